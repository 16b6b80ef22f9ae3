//! What has to go: the cheapest when the mempool is full, and what waited too long. While it was full lately, the
//! [`Floor`] keeps out what would be the next to go.

use std::collections::BTreeSet;

use bitcoin::Txid;
use chain::Timestamp;

use super::policy::INCREMENTAL_RELAY_FEE;
use super::rate::{FeeRate, SatPerKvb};
use super::{Change, Mempool, RemovalReason};

/// Seconds after which a transaction that is in no block goes: two weeks, as in Core.
pub const EXPIRY_S: u32 = 336 * 3_600;

/// Seconds in which the floor falls by half; faster while the mempool is half or three quarters empty.
const FLOOR_HALF_LIFE_S: u64 = 12 * 3_600;

/// The least fee rate while the mempool was full lately: rises with each eviction, falls by half-lives once a block came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floor {
    rate: SatPerKvb,
    /// When the last block came, if that was after the last rise.
    falls_since: Option<Timestamp>,
}

impl Floor {
    /// The floor at `now`, with `used` of `limit` bytes in use.
    pub(super) fn at(&self, now: Timestamp, used: usize, limit: usize) -> SatPerKvb {
        let Some(since) = self.falls_since else {
            return self.rate;
        };
        let half_life = match used {
            used if used < limit / 4 => FLOOR_HALF_LIFE_S / 4,
            used if used < limit / 2 => FLOOR_HALF_LIFE_S / 2,
            _ => FLOOR_HALF_LIFE_S,
        };
        let elapsed = u64::from(now.0.saturating_sub(since.0));
        let fallen = fall_by_half_lives(self.rate.0, elapsed, half_life);
        // Below half a step it would only say "free" with a number.
        SatPerKvb(if fallen < INCREMENTAL_RELAY_FEE.0 / 2 {
            0
        } else {
            fallen
        })
    }

    fn rise_above(&mut self, evicted: FeeRate, current: SatPerKvb) {
        let above = SatPerKvb(evicted.per_kvb().0.saturating_add(INCREMENTAL_RELAY_FEE.0));
        self.rate = current.max(above);
        self.falls_since = None;
    }

    /// A block came: from now on the floor falls.
    fn block_came(&mut self, now: Timestamp, current: SatPerKvb) {
        if self.rate.0 > 0 {
            self.rate = current;
            self.falls_since = Some(now);
        }
    }
}

/// `rate` halved `elapsed / half_life` times, linear between halvings: integers, so that every machine agrees.
fn fall_by_half_lives(rate: u64, elapsed: u64, half_life: u64) -> u64 {
    let halvings = u32::try_from(elapsed / half_life).unwrap_or(u32::MAX);
    let whole = rate.checked_shr(halvings).unwrap_or(0);
    let part = u128::from(whole) * u128::from(elapsed % half_life) / u128::from(2 * half_life);
    whole - u64::try_from(part).unwrap_or(whole)
}

impl Mempool {
    /// Drops the cheapest until all fits, and raises the floor above them.
    pub(super) fn evict_to_size(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        while self.memory_bytes() > self.max_bytes {
            let Some((rate, txid)) = self.graph.least_worth_keeping() else {
                return;
            };
            let current = self.floor.at(now, self.memory_bytes(), self.max_bytes);
            self.floor.rise_above(rate, current);
            let dropped = self.graph.with_descendants([txid]);
            self.remove_all(&dropped, RemovalReason::SizeLimit, changes);
        }
    }

    /// Drops what waited too long, with all that depends on it.
    pub fn expire(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        let before = Timestamp(now.0.saturating_sub(EXPIRY_S));
        let old: BTreeSet<Txid> = self
            .graph
            .by_time()
            .take_while(|(time, _)| *time < before)
            .map(|(_, txid)| txid)
            .collect();
        if !old.is_empty() {
            let dropped = self.graph.with_descendants(old);
            self.remove_all(&dropped, RemovalReason::Expired, changes);
        }
    }

    /// When the oldest entry will have waited too long.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.graph
            .by_time()
            .next()
            .map(|(time, _)| time.saturating_add_secs(EXPIRY_S + 1))
    }

    pub(super) fn note_block(&mut self, now: Timestamp) {
        let current = self.floor.at(now, self.memory_bytes(), self.max_bytes);
        self.floor.block_came(now, current);
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::Amount;

    use super::*;

    #[test]
    fn the_floor_falls_only_after_a_block_and_then_by_half_lives() {
        let mut floor = Floor::default();
        let evicted = FeeRate {
            fee: Amount::from_sat(900),
            vsize: 1_000,
        };
        floor.rise_above(evicted, SatPerKvb(0));
        let (used, limit) = (90, 100);
        let later = |hours: u32| Timestamp(1_000_000 + hours * 3_600);
        assert_eq!(floor.at(later(100), used, limit), SatPerKvb(1_000));
        floor.block_came(later(0), SatPerKvb(1_000));
        assert_eq!(floor.at(later(6), used, limit), SatPerKvb(750));
        assert_eq!(floor.at(later(12), used, limit), SatPerKvb(500));
        assert_eq!(floor.at(later(24), used, limit), SatPerKvb(250));
        assert_eq!(
            floor.at(later(3), 10, limit),
            SatPerKvb(500),
            "nearly empty: four times faster"
        );
        assert_eq!(
            floor.at(later(60), used, limit),
            SatPerKvb(0),
            "too little to matter"
        );
        assert_eq!(
            floor.at(later(0), used, limit),
            SatPerKvb(1_000),
            "clocks may be equal"
        );
    }

    #[test]
    fn falling_never_overflows() {
        assert_eq!(fall_by_half_lives(u64::MAX, u64::MAX, 1), 0);
        assert_eq!(fall_by_half_lives(1_000, 0, 10), 1_000);
        assert!(fall_by_half_lives(1_000, 9, 10) > 500);
    }
}
