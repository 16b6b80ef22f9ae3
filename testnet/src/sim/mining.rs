//! Poisson miners: when a block is found and by whom is drawn; the block itself is the node's own template, with real work.
//!
//! With its full hash power the network finds a block each spacing at the first difficulty. Candidates are drawn as often as the
//! easiest block of any miner would be found, and one that comes to a miner with a harder block counts in proportion: so each
//! miner finds blocks by its own difficulty, which its branch, its clock and the time since its last block decide.

use bitcoin::{Block, CompactTarget, ScriptBuf, Target};
use node_core::Mode;
use rand::RngExt;

use super::stats::{Found, TrafficFigures};
use super::world::{Event, World};
use crate::plan::random::{by_weight, interval_us};
use crate::record::Line;
use crate::scenario::file::Difficulty;

/// A block that comes in between may be easier than all of now, by as much at most.
const ROOM: f64 = 2.0;

/// The draw of the next block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Luck {
    /// The last draw's number: earlier ones do not count any more.
    draw: u32,
    /// No miner's block is easier than the first one by more than this, until the next draw.
    ease: f64,
}

impl World<'_> {
    /// Draws when the next candidate comes. Also called when anything about miners has changed: draws have no memory.
    pub(super) fn draw_next_block(&mut self) {
        self.luck.draw = self.luck.draw.wrapping_add(1);
        let draw = self.luck.draw;
        // Waiting makes blocks easier: within half a spacing by half at most.
        let window_us = match self.plan.difficulty {
            Difficulty::Shipped => self.plan.spacing_us / 2,
            Difficulty::Fixed => u64::MAX,
        };
        self.luck.ease = match self.plan.difficulty {
            Difficulty::Shipped => ROOM * self.greatest_ease(window_us),
            Difficulty::Fixed => 1.0,
        };
        let power = self.shares.iter().sum::<f64>() / self.plan.full_share() * self.luck.ease;
        let wait_us = match power > 0.0 {
            true => {
                let mean_us = self.plan.spacing_us as f64 / power;
                interval_us(mean_us as u64, &mut self.streams.mining)
            }
            false => u64::MAX,
        };
        let found = wait_us <= window_us && wait_us < u64::MAX;
        let wait_us = wait_us.min(window_us);
        if wait_us < u64::MAX {
            let event = Event::Luck { draw, found };
            self.queue.push(self.now_us + wait_us, event);
        }
    }

    /// A candidate comes, or the time of a draw is over. A miner that is down, frozen or syncing wastes its luck.
    pub(super) fn luck(&mut self, draw: u32, found: bool) {
        if draw != self.luck.draw {
            return;
        }
        let ease = self.luck.ease;
        self.draw_next_block();
        if !found {
            return;
        }
        let Some(node) = by_weight(&self.shares, &mut self.streams.mining) else {
            return;
        };
        let counts = match self.plan.difficulty {
            Difficulty::Fixed => true,
            Difficulty::Shipped => {
                let own = self.ease(node, 0).unwrap_or(0.0);
                self.streams.mining.random::<f64>() * ease < own
            }
        };
        if counts {
            self.find_block(node);
        }
    }

    /// How much easier than the first block a miner's next one is, after waiting so long.
    fn ease(&self, node: usize, wait_us: u64) -> Option<f64> {
        let core = self.nodes[node].core.as_ref()?;
        let wall = self.now(node).wall;
        let later = u32::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u32::MAX);
        let bits = core
            .chain()
            .next_block(wall.saturating_add_secs(later))
            .bits;
        Some(ratio(bits, self.params.genesis.header.bits))
    }

    /// The greatest ease of all miners, after waiting so long.
    fn greatest_ease(&self, wait_us: u64) -> f64 {
        let mut greatest = f64::MIN_POSITIVE;
        let mut last = None;
        for (node, sim) in self.nodes.iter().enumerate() {
            if self.shares[node] <= 0.0 {
                continue;
            }
            // Most miners are on one tip with right clocks.
            let alike = (sim.tip, sim.clock_offset_s);
            if last == Some(alike) {
                continue;
            }
            last = Some(alike);
            greatest = greatest.max(self.ease(node, wait_us).unwrap_or(0.0));
        }
        greatest
    }

    /// This node finds a block now.
    pub(super) fn find_block(&mut self, node: usize) {
        let now = self.now(node);
        self.tell_traffic();
        let sim = &mut self.nodes[node];
        let Some(core) = sim.core.as_mut().filter(|_| !sim.paused) else {
            return;
        };
        if core.mode() == Mode::Syncing {
            return;
        }
        self.extra_nonce += 1;
        // A chain that is ahead of this node's clock makes its miner wait.
        let Ok(template) = core.template(now) else {
            return;
        };
        let mut block = template.build(&payout(node), self.extra_nonce);
        grind(&mut block);
        let (t, hash) = (self.now_us, block.block_hash());
        self.payments.mined(hash, &block);
        self.counters.found.insert(hash, Found { node, at_us: t });
        self.book.block(t, Some(node), template.height.0, &block);
        let mut outputs = Vec::new();
        match core.submit_block(now, block, &mut outputs) {
            Ok(_) => self.nodes[node].acknowledged.push(hash),
            Err(error) => self.watch.refused_own_block(t, node, &error.to_string()),
        }
        self.carry_out(node, outputs);
    }
}

impl World<'_> {
    /// Tells what was sent since it was last told.
    pub(super) fn tell_traffic(&mut self) {
        let t = self.now_us;
        for (kind, TrafficFigures { messages, bytes }) in self.counters.untold_traffic() {
            self.book.line(Line::Traffic {
                t,
                from: None,
                to: None,
                kind: Some(kind.to_owned()),
                messages,
                bytes,
            });
        }
    }
}

/// Pays nobody in particular: an output that anyone can see and nobody of the lab spends.
fn payout(node: usize) -> ScriptBuf {
    let mut program = [0; 20];
    program[..8].copy_from_slice(&(node as u64).to_be_bytes());
    let hash = bitcoin::hashes::Hash::from_byte_array(program);
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_raw_hash(hash))
}

/// Finds a nonce: a few hundred tries on average at the simulator's first target.
fn grind(block: &mut Block) {
    let target = Target::from_compact(block.header.bits);
    while !target.is_met_by(block.header.block_hash()) {
        block.header.nonce = block.header.nonce.wrapping_add(1);
    }
}

/// How many times as large the first target is: by steps of 256 and one division, which all machines do alike.
fn ratio(first: CompactTarget, second: CompactTarget) -> f64 {
    let parts =
        |bits: CompactTarget| (bits.to_consensus() >> 24, bits.to_consensus() & 0x00ff_ffff);
    let ((exponent, mantissa), (other_exponent, other_mantissa)) = (parts(first), parts(second));
    let mut ratio = f64::from(mantissa) / f64::from(other_mantissa.max(1));
    for _ in other_exponent..exponent {
        ratio *= 256.0;
    }
    for _ in exponent..other_exponent {
        ratio /= 256.0;
    }
    ratio
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_compared_whatever_their_exponents() {
        let bits = CompactTarget::from_consensus;
        assert_eq!(ratio(bits(0x207f_ffff), bits(0x207f_ffff)), 1.0);
        assert!(ratio(bits(0x2000_ffff), bits(0x1f7f_ffff)) > 1.0);
        assert_eq!(ratio(bits(0x2001_0000), bits(0x1f01_0000)), 256.0);
        assert_eq!(ratio(bits(0x1f01_0000), bits(0x2002_0000)), 1.0 / 512.0);
    }
}
