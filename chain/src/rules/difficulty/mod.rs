//! The target of the next block, as pure functions of the parameters, the ancestors and the block's own time.
//!
//! | rule | looks at | file |
//! | --- | --- | --- |
//! | `ema` | solve time and target of the parent; how long the block itself was waited for | `ema` |
//! | `asert` | height and time of the parent, against a schedule | `asert` |
//! | `fixed` | nothing: every block has the bits of genesis | here |
//!
//! `scale` multiplies targets by powers of two in integers: all machines agree.

mod asert;
mod ema;
mod scale;

use bitcoin::CompactTarget;

use crate::params::{DifficultyRule, Params};
use crate::units::{Height, Timestamp};

/// A block as far as difficulty rules look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Its header's time.
    pub time: Timestamp,
    /// Its header's bits.
    pub bits: CompactTarget,
}

/// What the difficulty rule may know of the chain: the ancestors of the block whose bits are asked for.
#[derive(Clone, Copy)]
pub struct DifficultyContext<'a> {
    /// Height of the parent.
    pub parent_height: Height,
    /// The block at a height, genesis to parent.
    pub at: &'a dyn Fn(Height) -> Past,
}

/// The bits that a block must have, and the times of its header for which that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextBits {
    /// The bits.
    pub bits: CompactTarget,
    /// The first time with these bits, as far as the difficulty rule has a say.
    pub from: Timestamp,
    /// The last time with these bits.
    pub until: Timestamp,
    /// How far ahead of the clock of whoever checks it the time may lie, in seconds.
    pub max_ahead_s: u32,
}

impl NextBits {
    /// Bits that do not depend on the block's own time.
    #[must_use]
    pub fn at_any_time(params: &Params, bits: CompactTarget) -> NextBits {
        NextBits {
            bits,
            from: Timestamp(0),
            until: Timestamp(u32::MAX),
            max_ahead_s: params.max_future_s,
        }
    }
}

/// The bits that a child of `context`'s parent must have if its header says `time`.
pub fn next_bits(params: &Params, context: &DifficultyContext<'_>, time: Timestamp) -> NextBits {
    match params.pow.difficulty {
        DifficultyRule::Fixed => NextBits::at_any_time(params, params.genesis.header.bits),
        DifficultyRule::Asert {
            half_life_s,
            anchor,
        } => {
            let reached = context.parent_height >= anchor.height();
            let place = asert::Place {
                parent_height: context.parent_height,
                parent_time: (context.at)(context.parent_height).time,
                anchor_time: reached.then(|| (context.at)(anchor.height()).time),
            };
            let bits = asert::next_bits(params, half_life_s, anchor, &place);
            NextBits::at_any_time(params, bits)
        }
        DifficultyRule::Ema { half_life_s } => ema::next_bits(params, half_life_s, context, time),
    }
}

/// The least that any block's time may lie ahead of the clock under these rules, in seconds ([`NextBits::max_ahead_s`]).
#[must_use]
pub fn least_ahead_s(params: &Params) -> u32 {
    match params.pow.difficulty {
        DifficultyRule::Fixed | DifficultyRule::Asert { .. } => params.max_future_s,
        DifficultyRule::Ema { .. } => ema::eased_ahead_s(params),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::test_params;

    #[test]
    fn fixed_bits_are_those_of_genesis() {
        let params = test_params();
        let context = DifficultyContext {
            parent_height: Height(7),
            at: &|_| panic!("no ancestor matters"),
        };
        let next = next_bits(&params, &context, Timestamp(5));
        assert_eq!(next.bits, params.genesis.header.bits);
        assert_eq!(next.max_ahead_s, params.max_future_s);
        assert_eq!((next.from.0, next.until.0), (0, u32::MAX));
    }
}
