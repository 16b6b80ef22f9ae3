//! The target of the next block: `fixed` and aserti3-2d, as pure functions.
//!
//! ASERT aims at a schedule: the chain is to have one block per spacing since the anchor. For every half-life by which
//! it is behind, the target doubles; ahead, it halves. The target is a function of the parent's height and time
//! alone, so it needs no walk back. Source: the aserti3-2d specification (2020-11-15 upgrade of Bitcoin Cash); its vectors are tests.

use bitcoin::{CompactTarget, Target};

use crate::params::{AsertAnchor, DifficultyRule, Params};
use crate::units::{Height, Timestamp};

/// What the difficulty rule may know of the chain: the parent, and the schedule's anchor block if the rule has one
/// and the chain has reached it.
#[derive(Clone, Copy, Debug)]
pub struct DifficultyContext {
    /// Height of the parent of the block whose bits are asked for.
    pub parent_height: Height,
    /// Time of that parent.
    pub parent_time: Timestamp,
    /// Time of the anchor block (genesis or block 1); `None` while the chain is below it.
    pub anchor_time: Option<Timestamp>,
}

/// The bits that the child of `context`'s parent must have.
pub fn next_bits(params: &Params, context: &DifficultyContext) -> CompactTarget {
    let (half_life_s, anchor) = match params.pow.difficulty {
        DifficultyRule::Fixed => return params.genesis.header.bits,
        DifficultyRule::Asert {
            half_life_s,
            anchor,
        } => (half_life_s, anchor),
    };
    let (anchor_height, anchor_bits) = match anchor {
        AsertAnchor::Genesis => (Height::GENESIS, params.genesis.header.bits),
        AsertAnchor::FirstBlock => (Height(1), params.pow.limit_bits),
    };
    let Some(anchor_time) = context
        .anchor_time
        .filter(|_| context.parent_height >= anchor_height)
    else {
        return params.pow.limit_bits;
    };
    let spacing_s = i64::from(params.pow.spacing_s);
    let schedule = Schedule {
        anchor_target: Target::from_compact(anchor_bits),
        limit: params.pow.limit,
        spacing_s,
        half_life_s: i64::from(half_life_s),
    };
    // The anchor's parent counts as one spacing earlier.
    let since_anchor_parent_s =
        i64::from(context.parent_time.0) - (i64::from(anchor_time.0) - spacing_s);
    let blocks_since_anchor = i64::from(context.parent_height.0) - i64::from(anchor_height.0);
    schedule
        .target_after(since_anchor_parent_s, blocks_since_anchor)
        .to_compact_lossy()
}

/// An ASERT schedule: where it starts and how fast it reacts.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Target of the anchor block.
    pub anchor_target: Target,
    /// The easiest target that is allowed.
    pub limit: Target,
    /// The wished time between blocks, in seconds.
    pub spacing_s: i64,
    /// The time, in seconds, that doubles or halves the target.
    pub half_life_s: i64,
}

impl Schedule {
    /// The target of the block after one that lies `blocks` above the anchor (which itself is 0) and `elapsed_s` seconds after the
    /// anchor's parent. Never zero and never above the limit.
    ///
    /// The exponent is a fixed-point number with 16 fractional bits, and its division truncates toward zero, as in the
    /// reference; flooring would differ in most blocks that are ahead of the schedule.
    #[must_use]
    pub fn target_after(&self, elapsed_s: i64, blocks: i64) -> Target {
        let drift_s = i128::from(elapsed_s) - i128::from(self.spacing_s) * (i128::from(blocks) + 1);
        let exponent = drift_s * 65_536 / i128::from(self.half_life_s);
        let whole = exponent >> 16;
        let fraction = (exponent & 0xffff) as u64;
        let product = Wide::from_target(self.anchor_target).times(two_to_the(fraction));
        // `two_to_the` carries 16 fractional bits: they go with the shift.
        let shift = whole - 16;
        let target = if shift >= 0 {
            product.shifted_left(u32::try_from(shift).unwrap_or(u32::MAX))
        } else {
            Some(product.shifted_right(u32::try_from(-shift).unwrap_or(u32::MAX)))
        };
        match target.and_then(Wide::to_target) {
            Some(target) if target == Target::ZERO => smallest_target(),
            Some(target) if target <= self.limit => target,
            _ => self.limit,
        }
    }
}

fn smallest_target() -> Target {
    Wide([1, 0, 0, 0, 0]).to_target().expect("one fits")
}

/// 65,536 times 2^(`fraction` / 65,536), by the specification's cubic; `fraction` is below 65,536.
fn two_to_the(fraction: u64) -> u64 {
    let cubic = 195_766_423_245_049 * fraction
        + 971_821_376 * fraction * fraction
        + 5_127 * fraction * fraction * fraction;
    // The sum stays below 2^64: it is at most 2^64 - 2^47 before the rounding half is added.
    65_536 + ((cubic + (1 << 47)) >> 48)
}

/// A 320-bit number, least significant limb first: a 256-bit target times a factor of 17 bits needs 273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wide([u64; 5]);

impl Wide {
    fn from_target(target: Target) -> Wide {
        let bytes = target.to_le_bytes();
        let mut limbs = [0; 5];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = u64::from_le_bytes(chunk.try_into().expect("a chunk has eight bytes"));
        }
        Wide(limbs)
    }

    /// The product; `factor` is below 2^64, and the topmost limb of `self` is empty, so nothing is lost.
    fn times(self, factor: u64) -> Wide {
        let mut carry = 0u128;
        Wide(self.0.map(|limb| {
            let product = u128::from(limb) * u128::from(factor) + carry;
            carry = product >> 64;
            product as u64
        }))
    }

    fn bits(self) -> u32 {
        (0..5)
            .rev()
            .find(|&i| self.0[i] != 0)
            .map_or(0, |i| 64 * i as u32 + 64 - self.0[i].leading_zeros())
    }

    /// `None` where a bit would be lost.
    fn shifted_left(self, shift: u32) -> Option<Wide> {
        if self.bits() == 0 {
            return Some(self);
        }
        if self.bits().checked_add(shift)? > 320 {
            return None;
        }
        let (limbs, bits) = ((shift / 64) as usize, shift % 64);
        let limb = |i: Option<usize>| i.and_then(|i| self.0.get(i)).copied().unwrap_or(0);
        Some(Wide(std::array::from_fn(|i| {
            let from = i.checked_sub(limbs);
            let below = from.and_then(|from| from.checked_sub(1));
            limb(from) << bits | limb(below).checked_shr(64 - bits).unwrap_or(0)
        })))
    }

    fn shifted_right(self, shift: u32) -> Wide {
        let (limbs, bits) = ((shift / 64) as usize, shift % 64);
        let limb = |i: usize| self.0.get(i).copied().unwrap_or(0);
        Wide(std::array::from_fn(|i| {
            let from = i + limbs;
            limb(from) >> bits | limb(from + 1).checked_shl(64 - bits).unwrap_or(0)
        }))
    }

    /// `None` where more than 256 bits are needed.
    fn to_target(self) -> Option<Target> {
        if self.0[4] != 0 {
            return None;
        }
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        Some(Target::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests;
