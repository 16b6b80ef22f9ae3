//! An exponential moving average by solve time, without a schedule: a chain may rest (ADR 0003).
//!
//! ```text
//! base   of a block = base of its parent * 2^((solve time of the parent - spacing) / half-life)
//! target of a block = base of the block * 2^doublings(wait), at most the limit
//! wait              = time since the later of the parent's time and the time of the block before it
//! ```
//!
//! The solve time is the difference of two header times, at most eight spacings away from one spacing: a rest of any
//! length counts as one slow block, and times that lie ahead and behind cancel out. Blocks that come in time
//! have the base as their target.
//!
//! A block that is late is *eased*: after a wait of four spacings its target doubles, and again every half spacing, up
//! to 128 times the base. So the chain goes on within ten spacings when nearly all hash power left. The doublings are taken
//! back for the next block: they are known from the times. A parent that lies back does not begin the wait sooner: else whoever
//! withholds a block with an early time would have the next one for next to nothing. Since they depend on the time that a block claims, an eased
//! block may lie ahead of the clock by one spacing only, whatever `max_future_s` allows others.

use bitcoin::{CompactTarget, Target};

use super::scale::{doubled, halved, times_two_to_the};
use super::{DifficultyContext, NextBits};
use crate::params::Params;
use crate::units::{Height, Timestamp};

/// A solve time counts as at most this many spacings more, or less, than one spacing.
const MAX_DEVIATION: i64 = 8;
/// Spacings of waiting from which a block is eased.
const EASED_AFTER: i64 = 4;
/// Doublings per spacing from then on.
const DOUBLINGS_PER_SPACING: i64 = 2;
/// Most doublings.
const MAX_DOUBLINGS: i64 = 7;
/// How many blocks in a row, all eased up to the limit, are looked through for the base before them. At the default
/// half-life 33 of them raise any base to the limit.
const MAX_LOOK_BACK: u32 = 64;

/// The bits of a child of `context`'s parent whose header says `time`.
pub(super) fn next_bits(
    params: &Params,
    half_life_s: u32,
    context: &DifficultyContext<'_>,
    time: Timestamp,
) -> NextBits {
    let rule = Ema {
        spacing_s: i64::from(params.pow.spacing_s),
        half_life_s: i64::from(half_life_s),
        limit: params.pow.limit,
        limit_bits: params.pow.limit_bits,
        context,
    };
    let waits_since = rule.waits_since(context.parent_height);
    let base = rule.base_after(context.parent_height);
    let doublings = rule.doublings(i64::from(time.0) - waits_since);
    let (from, until) = rule.waits_with(doublings);
    let timestamp = |wait: Option<i64>, none: Timestamp| {
        wait.map_or(none, |wait| {
            let seconds = (waits_since + wait).clamp(0, i64::from(u32::MAX));
            Timestamp(u32::try_from(seconds).unwrap_or(u32::MAX))
        })
    };
    NextBits {
        bits: doubled(base, doublings, rule.limit).to_compact_lossy(),
        from: timestamp(from, Timestamp(0)),
        until: timestamp(until, Timestamp(u32::MAX)),
        max_ahead_s: match doublings {
            0 => params.max_future_s,
            _ => eased_ahead_s(params),
        },
    }
}

/// How far an eased block's time may lie ahead of the clock, in seconds: who claims to have waited must nearly have done so.
pub(super) fn eased_ahead_s(params: &Params) -> u32 {
    params.pow.spacing_s.min(params.max_future_s)
}

struct Ema<'a> {
    spacing_s: i64,
    half_life_s: i64,
    limit: Target,
    limit_bits: CompactTarget,
    context: &'a DifficultyContext<'a>,
}

impl Ema<'_> {
    fn time(&self, height: Height) -> i64 {
        i64::from((self.context.at)(height).time.0)
    }

    /// Seconds between a block and its parent, negative where the header says so; `None` for genesis.
    fn solve_time(&self, height: Height) -> Option<i64> {
        Some(self.time(height) - self.time(height.previous()?))
    }

    /// The time, in seconds, at which the wait for a child of the block at `parent` begins.
    fn waits_since(&self, parent: Height) -> i64 {
        let before = parent.previous().map(|height| self.time(height));
        before.unwrap_or(i64::MIN).max(self.time(parent))
    }

    /// By how many doublings a block is eased that comes after a wait of `wait_s`.
    fn doublings(&self, wait_s: i64) -> u32 {
        let late_s = wait_s - EASED_AFTER * self.spacing_s;
        if late_s < 0 {
            return 0;
        }
        let doublings = DOUBLINGS_PER_SPACING * late_s / self.spacing_s + 1;
        u32::try_from(doublings.min(MAX_DOUBLINGS)).expect("few and not negative")
    }

    /// The first and the last wait, in seconds, that gives these doublings; `None` where there is no end.
    fn waits_with(&self, doublings: u32) -> (Option<i64>, Option<i64>) {
        let doublings = i64::from(doublings);
        // The first wait with at least this many.
        let first = |doublings: i64| {
            let late_s = ((doublings - 1) * self.spacing_s + DOUBLINGS_PER_SPACING - 1)
                / DOUBLINGS_PER_SPACING;
            EASED_AFTER * self.spacing_s + late_s
        };
        (
            (doublings > 0).then(|| first(doublings)),
            (doublings < MAX_DOUBLINGS).then(|| first(doublings + 1) - 1),
        )
    }

    /// The base of a block's child.
    fn base_after(&self, parent: Height) -> Target {
        let mut height = parent;
        let lowest = Height(parent.0.saturating_sub(MAX_LOOK_BACK));
        let mut base = loop {
            if let Some(base) = self.base_told_by(height) {
                break base;
            }
            if height == lowest {
                break self.limit;
            }
            height = Height(height.0 - 1);
        };
        loop {
            base = match self.solve_time(height) {
                Some(solve_s) => self.follow(base, solve_s),
                None => base,
            };
            if height == parent {
                return base;
            }
            height = height.next();
        }
    }

    /// The base of a block, as its bits and time tell it; `None` where its eased target met the limit, so that they do not.
    fn base_told_by(&self, height: Height) -> Option<Target> {
        let bits = (self.context.at)(height).bits;
        let doublings = height.previous().map_or(0, |parent| {
            self.doublings(self.time(height) - self.waits_since(parent))
        });
        let target = Target::from_compact(bits);
        (doublings == 0 || bits != self.limit_bits).then(|| halved(target, doublings))
    }

    /// The base after a block with this base that took `solve_s` seconds.
    fn follow(&self, base: Target, solve_s: i64) -> Target {
        let most_s = MAX_DEVIATION * self.spacing_s;
        let late_s = (solve_s - self.spacing_s).clamp(-most_s, most_s);
        times_two_to_the(base, i128::from(late_s), self.half_life_s, self.limit)
    }
}

#[cfg(test)]
mod tests;
