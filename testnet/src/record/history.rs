//! What is known of each node and each fault over time.

use super::{BlockId, Exit};
use crate::plan::FaultKind;

/// One node over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeHistory {
    /// Its tip from each of these times on, in order of time; none while it is down. Empty: it never was up.
    pub tips: Vec<(u64, Option<BlockId>)>,
    /// When it went down, and how.
    pub exits: Vec<(u64, Exit)>,
    /// Its reorgs: when they were over.
    pub reorgs: Vec<Reorg>,
    /// Blocks that it takes back just now.
    pub(super) taken_back: Option<Reorg>,
}

/// Blocks that a node took back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reorg {
    /// When.
    pub t: u64,
    /// How many.
    pub depth: u32,
    /// Its tip before.
    pub from: BlockId,
}

/// A fault, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultHistory {
    /// What it is.
    pub what: FaultKind,
    /// Begin and end as planned; absent for networks that are run by hand.
    pub planned: Option<(u64, Option<u64>)>,
    /// When it took effect.
    pub begun: Option<u64>,
    /// When it was taken back.
    pub ended: Option<u64>,
    /// When it was known not to have taken place, and why.
    pub failed: Option<(u64, String)>,
}

impl NodeHistory {
    /// Its tip at a time, with what happened at that very time; none when it is down.
    pub fn tip_at(&self, t: u64) -> Option<BlockId> {
        let after = self.tips.partition_point(|(at, _)| *at <= t);
        self.tips[..after].last().and_then(|(_, tip)| *tip)
    }

    /// The last tip that it had at or before a time, even if it was down then.
    pub fn last_tip_at(&self, t: u64) -> Option<BlockId> {
        let after = self.tips.partition_point(|(at, _)| *at <= t);
        self.tips[..after].iter().rev().find_map(|(_, tip)| *tip)
    }

    /// Its tip just before a time: nothing that happened at that very time is in it.
    pub fn tip_before(&self, t: u64) -> Option<BlockId> {
        let before = self.tips.partition_point(|(at, _)| *at < t);
        self.tips[..before].last().and_then(|(_, tip)| *tip)
    }

    /// Its tips from a time on, each with the time from which it counts; the first is the one that it had at that time.
    pub fn tips_since(&self, t: u64) -> impl Iterator<Item = (u64, Option<BlockId>)> {
        let first = self.tips.partition_point(|(at, _)| *at <= t);
        let later = self.tips[first..].iter().copied();
        std::iter::once((t, self.tip_at(t))).chain(later)
    }

    pub(super) fn end_reorg(&mut self) {
        self.reorgs.extend(self.taken_back.take());
    }

    pub(super) fn took_back(&mut self, t: u64, from: BlockId) {
        // Blocks that are taken back at one time, without one connected between them, are one reorg.
        if self.taken_back.is_some_and(|reorg| reorg.t != t) {
            self.end_reorg();
        }
        let reorg = self.taken_back.get_or_insert(Reorg { t, depth: 0, from });
        reorg.depth += 1;
    }
}

impl FaultHistory {
    /// Whether it is in effect at a time.
    pub fn lasts_at(&self, t: u64) -> bool {
        self.begun.is_some_and(|begun| begun <= t) && self.ended.is_none_or(|ended| t < ended)
    }
}
