//! The candidates.

use std::fmt::Debug;
use std::sync::LazyLock;

use bitcoin::{CompactTarget, Target};
use chain::fixtures::params_of;
use chain::genesis::GenesisSpec;
use chain::params::DifficultyRule;
use chain::rules::difficulty::{self, DifficultyContext, NextBits, Past};
use chain::{Height, Params, Timestamp};

use crate::world::{Block, SPACING_S};

/// Two hours, as on the built-in network.
const MAX_FUTURE_S: i64 = 7_200;
/// What one spacing more or less may count for, in spacings.
const MAX_DEVIATION: f64 = 8.0;

/// A difficulty rule.
pub(crate) trait Rule: Debug {
    fn name(&self) -> String;
    /// The target of a block on `blocks` that says `time`.
    fn target(&self, blocks: &[Block], time: i64) -> f64;
    /// Blocks that must be there before the rule is at its best.
    fn needs_before(&self) -> i64 {
        100
    }
    /// How far ahead of the clock such a block may be.
    fn max_ahead_s(&self, _blocks: &[Block], _time: i64) -> i64 {
        MAX_FUTURE_S
    }
}

fn last(blocks: &[Block]) -> Block {
    blocks[blocks.len() - 1]
}

/// Spacings that block `n` took by the headers, within the clamp.
fn solve_time(blocks: &[Block], n: usize) -> f64 {
    let solve_s = (blocks[n].time - blocks[n - 1].time) as f64;
    (solve_s / SPACING_S).clamp(1.0 - MAX_DEVIATION, 1.0 + MAX_DEVIATION)
}

/// ASERT from the first block.
#[derive(Debug)]
pub(crate) struct Asert {
    /// In blocks.
    pub(crate) half_life: f64,
}

impl Rule for Asert {
    fn name(&self) -> String {
        format!("asert, half-life {} blocks", self.half_life)
    }

    fn target(&self, blocks: &[Block], _: i64) -> f64 {
        let elapsed = (last(blocks).time - blocks[0].time) as f64 / SPACING_S;
        ((elapsed - (blocks.len() - 1) as f64) / self.half_life).exp2()
    }
}

/// ASERT from parent to parent, as wtema: an exponential average of about `memory` blocks.
#[derive(Debug)]
pub(crate) struct Relative {
    pub(crate) memory: f64,
}

impl Rule for Relative {
    fn name(&self) -> String {
        format!("wtema, {} blocks", self.memory)
    }

    fn target(&self, blocks: &[Block], _: i64) -> f64 {
        let solve = solve_time(blocks, blocks.len() - 1);
        last(blocks).target * ((solve - 1.0) / self.memory).exp()
    }
}

/// The same by the block's own time: its target rises while it is waited for, and stays where it is then.
#[derive(Debug)]
pub(crate) struct OwnTime {
    pub(crate) memory: f64,
}

impl Rule for OwnTime {
    fn name(&self) -> String {
        format!("wtema by own time, {} blocks", self.memory)
    }

    fn target(&self, blocks: &[Block], time: i64) -> f64 {
        let wait = (time - last(blocks).time) as f64 / SPACING_S;
        let wait = wait.clamp(1.0 - MAX_DEVIATION, 1.0 + MAX_DEVIATION);
        last(blocks).target * ((wait - 1.0) / self.memory).exp()
    }
}

/// LWMA-1: a window whose weights rise with height.
#[derive(Debug)]
pub(crate) struct Lwma {
    pub(crate) blocks: usize,
}

impl Rule for Lwma {
    fn name(&self) -> String {
        format!("lwma, {} blocks", self.blocks)
    }

    fn target(&self, blocks: &[Block], _: i64) -> f64 {
        let from = blocks.len() - self.blocks;
        let (mut weighted, mut targets, mut weights) = (0.0, 0.0, 0.0);
        for (weight, n) in (from..blocks.len()).enumerate() {
            let weight = (weight + 1) as f64;
            let solve = (blocks[n].time - blocks[n - 1].time) as f64 / SPACING_S;
            weighted += weight * solve.clamp(-6.0, 6.0);
            weights += weight;
            targets += blocks[n].target;
        }
        targets / self.blocks as f64 * (weighted / weights).max(0.1)
    }
}

/// The rule that nodes run.
#[derive(Debug)]
pub(crate) struct Ema {
    params: Params,
    half_life: u32,
    believes_any_clock: bool,
}

/// Target 1 of the simulation: far from the limit.
const UNIT_BITS: u32 = 0x1c10_0000;

fn unit() -> f64 {
    to_f64(CompactTarget::from_consensus(UNIT_BITS))
}

fn to_f64(bits: CompactTarget) -> f64 {
    let bytes = Target::from_compact(bits).to_be_bytes();
    bytes
        .iter()
        .fold(0.0, |sum, byte| sum * 256.0 + f64::from(*byte))
}

fn to_bits(target: f64) -> CompactTarget {
    // 23 bits of 0x100000 and its powers: the mantissa is exact enough, as in headers.
    let mut mantissa = target * f64::from(UNIT_BITS & 0x007f_ffff);
    let mut exponent = UNIT_BITS >> 24;
    while mantissa >= f64::from(0x0080_0000) {
        mantissa /= 256.0;
        exponent += 1;
    }
    while mantissa < f64::from(0x8000) {
        mantissa *= 256.0;
        exponent -= 1;
    }
    CompactTarget::from_consensus((exponent << 24) | mantissa.round() as u32)
}

impl Ema {
    pub(crate) fn with_half_life(blocks: u32) -> Ema {
        static PARAMS: LazyLock<Params> = LazyLock::new(|| params_of(&GenesisSpec::default()));
        let mut params = PARAMS.clone();
        let half_life_s = blocks * params.pow.spacing_s;
        params.pow.difficulty = DifficultyRule::Ema { half_life_s };
        Ema {
            params,
            half_life: blocks,
            believes_any_clock: false,
        }
    }

    /// Without the rule that an eased block may not be ahead of the clock by more than a spacing.
    pub(crate) fn believing_any_clock(self) -> Ema {
        Ema {
            believes_any_clock: true,
            ..self
        }
    }

    fn next(&self, blocks: &[Block], time: i64) -> NextBits {
        let at = |height: Height| {
            let block = blocks[height.0 as usize];
            Past {
                time: Timestamp(block.time as u32),
                bits: to_bits(block.target),
            }
        };
        let context = DifficultyContext {
            parent_height: Height(blocks.len() as u32 - 1),
            at: &at,
        };
        let time = Timestamp(u32::try_from(time).unwrap_or(u32::MAX));
        difficulty::next_bits(&self.params, &context, time)
    }
}

impl Rule for Ema {
    fn name(&self) -> String {
        let clock = match self.believes_any_clock {
            true => ", any clock",
            false => "",
        };
        format!("ema, half-life {} blocks{clock}", self.half_life)
    }

    fn target(&self, blocks: &[Block], time: i64) -> f64 {
        to_f64(self.next(blocks, time).bits) / unit()
    }

    fn needs_before(&self) -> i64 {
        3
    }

    fn max_ahead_s(&self, blocks: &[Block], time: i64) -> i64 {
        match self.believes_any_clock {
            true => MAX_FUTURE_S,
            false => i64::from(self.next(blocks, time).max_ahead_s),
        }
    }
}
