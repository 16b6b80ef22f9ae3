//! ASERT (aserti3-2d), as pure functions.
//!
//! ASERT aims at a schedule: the chain is to have one block per spacing since the anchor. For every half-life by which
//! it is behind, the target doubles; ahead, it halves. The target is a function of the parent's height and time
//! alone, so it needs no walk back. Source: the aserti3-2d specification (2020-11-15 upgrade of Bitcoin Cash); its vectors are tests.

use bitcoin::{CompactTarget, Target};

use super::scale::times_two_to_the;
use crate::params::{AsertAnchor, Params};
use crate::units::{Height, Timestamp};

/// What ASERT looks at: the parent, and the schedule's anchor block if the chain has reached it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Height of the parent of the block whose bits are asked for.
    pub(super) parent_height: Height,
    /// Time of that parent.
    pub(super) parent_time: Timestamp,
    /// Time of the anchor block (genesis or block 1); `None` while the chain is below it.
    pub(super) anchor_time: Option<Timestamp>,
}

/// The bits that the child of `place`'s parent must have.
pub(super) fn next_bits(
    params: &Params,
    half_life_s: u32,
    anchor: AsertAnchor,
    place: &Place,
) -> CompactTarget {
    let anchor_height = anchor.height();
    let anchor_bits = match anchor {
        AsertAnchor::Genesis => params.genesis.header.bits,
        AsertAnchor::FirstBlock => params.pow.limit_bits,
    };
    let Some(anchor_time) = place
        .anchor_time
        .filter(|_| place.parent_height >= anchor_height)
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
        i64::from(place.parent_time.0) - (i64::from(anchor_time.0) - spacing_s);
    let blocks_since_anchor = i64::from(place.parent_height.0) - i64::from(anchor_height.0);
    schedule
        .target_after(since_anchor_parent_s, blocks_since_anchor)
        .to_compact_lossy()
}

/// An ASERT schedule: where it starts and how fast it reacts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// Target of the anchor block.
    pub(super) anchor_target: Target,
    /// The easiest target that is allowed.
    pub(super) limit: Target,
    /// The wished time between blocks, in seconds.
    pub(super) spacing_s: i64,
    /// The time, in seconds, that doubles or halves the target.
    pub(super) half_life_s: i64,
}

impl Schedule {
    /// The target of the block after one that lies `blocks` above the anchor (which itself is 0) and `elapsed_s` seconds after the
    /// anchor's parent. Never zero and never above the limit.
    ///
    /// The exponent's division truncates toward zero, as in the reference ([`times_two_to_the`]).
    #[must_use]
    pub(super) fn target_after(&self, elapsed_s: i64, blocks: i64) -> Target {
        let drift_s = i128::from(elapsed_s) - i128::from(self.spacing_s) * (i128::from(blocks) + 1);
        times_two_to_the(self.anchor_target, drift_s, self.half_life_s, self.limit)
    }
}

#[cfg(test)]
mod tests;
