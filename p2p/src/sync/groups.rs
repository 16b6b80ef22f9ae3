//! [`Groups`]: how header fetches went with each group of peers, beyond the life of a connection: a new identity is no new trust.

use std::collections::BTreeMap;

use super::budget::Budget;
use super::timing::{GROUP_HALF_LIFE, REMEMBERED_GROUPS};
use crate::wire::limits::LOW_WORK_HEADERS_PER_PEER;
use crate::{Mono, PeerGroup};

/// What is remembered of one group.
#[derive(Debug)]
struct Record {
    /// Fetches that brought nothing, less those that were long ago.
    fruitless: u32,
    counted_at: Mono,
    /// Headers with less work than our tip that it may still bring into the tree.
    low_work: Budget,
}

impl Record {
    fn age(&mut self, now: Mono) {
        let lives = now.since(self.counted_at).as_secs() / GROUP_HALF_LIFE.as_secs();
        if lives > 0 {
            self.fruitless = self
                .fruitless
                .checked_shr(lives.min(32) as u32)
                .unwrap_or(0);
            self.counted_at = now;
        }
    }
}

/// The groups of which something is held, bounded.
#[derive(Debug, Default)]
pub(super) struct Groups {
    records: BTreeMap<PeerGroup, Record>,
}

impl Groups {
    /// Fetches of a peer of this group brought nothing.
    pub(super) fn fruitless(&mut self, group: PeerGroup, times: u32, now: Mono) {
        let record = self.record(group, now);
        record.age(now);
        record.fruitless = record.fruitless.saturating_add(times);
        record.counted_at = now;
    }

    /// A fetch brought headers with work: nothing is held against the group any more.
    pub(super) fn proved(&mut self, group: PeerGroup) {
        if let Some(record) = self.records.get_mut(&group) {
            record.fruitless = 0;
        }
    }

    /// How little is to be expected of a group: 0 if nothing is held against it.
    pub(super) fn doubts(&mut self, group: PeerGroup, now: Mono) -> u32 {
        match self.records.get_mut(&group) {
            Some(record) => {
                record.age(now);
                record.fruitless
            }
            None => 0,
        }
    }

    /// Whether the group may bring no header of low work now.
    pub(super) fn is_low_work_spent(&mut self, group: PeerGroup, now: Mono) -> bool {
        let record = self.records.get_mut(&group);
        record.is_some_and(|record| record.low_work.left(now) == 0)
    }

    /// Whether the group may bring so many headers of low work more.
    pub(super) fn has_low_work_left(&mut self, group: PeerGroup, headers: u32, now: Mono) -> bool {
        let record = self.records.get_mut(&group);
        let left = record.map_or(LOW_WORK_HEADERS_PER_PEER, |record| {
            record.low_work.left(now)
        });
        headers <= left
    }

    /// The group brought headers of low work.
    pub(super) fn spend_low_work(&mut self, group: PeerGroup, headers: u32, now: Mono) {
        self.record(group, now).low_work.spend(headers, now);
    }

    fn record(&mut self, group: PeerGroup, now: Mono) -> &mut Record {
        if self.records.len() >= REMEMBERED_GROUPS && !self.records.contains_key(&group) {
            let oldest = self
                .records
                .iter()
                .min_by_key(|(_, record)| record.counted_at);
            if let Some(oldest) = oldest.map(|(group, _)| *group) {
                self.records.remove(&oldest);
            }
        }
        self.records.entry(group).or_insert_with(|| Record {
            fruitless: 0,
            counted_at: now,
            low_work: Budget::new(LOW_WORK_HEADERS_PER_PEER),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn doubts_outlive_a_connection_and_fade() {
        let mut groups = Groups::default();
        let group = PeerGroup(7);
        assert_eq!(groups.doubts(group, at(0)), 0);
        groups.fruitless(group, 1, at(1));
        groups.fruitless(group, 3, at(2));
        assert_eq!(groups.doubts(group, at(3)), 4);
        assert_eq!(groups.doubts(group, at(62)), 2);
        assert_eq!(groups.doubts(group, at(1_000)), 0);
        groups.fruitless(group, 2, at(1_001));
        groups.proved(group);
        assert_eq!(groups.doubts(group, at(1_002)), 0);
    }

    /// Once spent, it was spent for ever: on a network of many short forks a group was never asked again.
    #[test]
    fn low_work_may_come_again_one_header_a_second() {
        let mut groups = Groups::default();
        let group = PeerGroup(7);
        let most = LOW_WORK_HEADERS_PER_PEER;
        assert!(groups.has_low_work_left(group, most, at(1)));
        groups.spend_low_work(group, most, at(1));
        assert!(groups.is_low_work_spent(group, at(1)));
        assert!(!groups.has_low_work_left(group, 1, at(1)));
        assert!(!groups.is_low_work_spent(group, at(31)));
        assert!(groups.has_low_work_left(group, 30, at(31)));
        assert!(!groups.has_low_work_left(group, 31, at(31)));
        assert!(groups.has_low_work_left(group, most, at(100_000)));
        assert!(!groups.has_low_work_left(group, most + 1, at(100_000)));
    }

    #[test]
    fn a_bounded_number_is_remembered_and_the_oldest_goes() {
        let mut groups = Groups::default();
        for number in 0..=REMEMBERED_GROUPS as u64 {
            groups.fruitless(PeerGroup(number), 1, at(number));
        }
        let last = REMEMBERED_GROUPS as u64;
        assert_eq!(groups.records.len(), REMEMBERED_GROUPS);
        assert_eq!(groups.doubts(PeerGroup(0), at(last)), 0);
        assert_eq!(groups.doubts(PeerGroup(last), at(last)), 1);
    }
}
