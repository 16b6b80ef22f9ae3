//! When all nodes were on one tip.

use std::collections::BTreeMap;

use crate::plan::FaultKind;
use crate::record::{BlockId, Record};

/// The times at which all nodes that are up, and not frozen, were on one tip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreements(Vec<Agreement>);

/// One of these times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// From then on.
    pub from: u64,
    /// Until then, not included; none: until the end.
    pub to: Option<u64>,
    /// The tip.
    pub tip: BlockId,
}

/// Something that changes who is on which tip.
enum Change {
    Tip(Option<BlockId>),
    Frozen(bool),
}

#[derive(Clone, Copy, Default)]
struct State {
    tip: Option<BlockId>,
    /// Faults that freeze it just now.
    frozen: u32,
}

impl State {
    fn counts(&self) -> Option<BlockId> {
        self.tip.filter(|_| self.frozen == 0)
    }
}

impl Agreements {
    /// Of a run.
    pub fn of(record: &Record) -> Agreements {
        let mut states = vec![State::default(); record.nodes.len()];
        let mut on_tip: BTreeMap<BlockId, usize> = BTreeMap::new();
        let mut agreements: Vec<Agreement> = Vec::new();
        let changes = changes(record);
        let mut changes = changes.into_iter().peekable();
        while let Some((t, node, change)) = changes.next() {
            let state = &mut states[node];
            let before = state.counts();
            match change {
                Change::Tip(tip) => state.tip = tip,
                Change::Frozen(true) => state.frozen += 1,
                Change::Frozen(false) => state.frozen = state.frozen.saturating_sub(1),
            }
            let after = state.counts();
            if before != after {
                if let Some(left) = before {
                    let count = on_tip.entry(left).or_default();
                    *count -= 1;
                    if *count == 0 {
                        on_tip.remove(&left);
                    }
                }
                if let Some(tip) = after {
                    *on_tip.entry(tip).or_default() += 1;
                }
            }
            // What happens at one time has no states between.
            if changes.peek().is_some_and(|(next, ..)| *next == t) {
                continue;
            }
            let tip = on_tip.keys().next().filter(|_| on_tip.len() == 1).copied();
            let open = agreements.last_mut().filter(|last| last.to.is_none());
            match (open, tip) {
                (Some(open), tip) if tip != Some(open.tip) => {
                    open.to = Some(t);
                    agreements.extend(tip.map(|tip| Agreement {
                        from: t,
                        to: None,
                        tip,
                    }));
                }
                (None, Some(tip)) => agreements.push(Agreement {
                    from: t,
                    to: None,
                    tip,
                }),
                _ => {}
            }
        }
        Agreements(agreements)
    }

    /// The first time at or after `t` at which there is one tip, and that tip.
    pub fn first_since(&self, t: u64) -> Option<(u64, BlockId)> {
        let ended = |agreement: &Agreement| agreement.to.is_some_and(|to| to <= t);
        let first = self.0.partition_point(ended);
        let agreement = self.0.get(first)?;
        Some((agreement.from.max(t), agreement.tip))
    }

    /// The longest time without one tip between two times, in microseconds.
    pub fn longest_apart(&self, from: u64, to: u64) -> u64 {
        let mut last = from;
        let mut longest = 0;
        for agreement in &self.0 {
            let begins = agreement.from.clamp(from, to);
            longest = longest.max(begins.saturating_sub(last));
            last = last.max(agreement.to.map_or(to, |end| end.clamp(from, to)));
        }
        longest.max(to.saturating_sub(last))
    }

    /// Share of the time between two times without one tip.
    pub fn share_apart(&self, from: u64, to: u64) -> f64 {
        let together = self.0.iter().map(|agreement| {
            let begins = agreement.from.clamp(from, to);
            agreement.to.map_or(to, |end| end.clamp(from, to)) - begins
        });
        let span = to.saturating_sub(from).max(1);
        1.0 - together.sum::<u64>() as f64 / span as f64
    }

    /// In order of time.
    pub fn iter(&self) -> impl Iterator<Item = &Agreement> {
        self.0.iter()
    }
}

fn changes(record: &Record) -> Vec<(u64, usize, Change)> {
    let mut changes = Vec::new();
    for (node, history) in record.nodes.iter().enumerate() {
        let tips = history.tips.iter();
        changes.extend(tips.map(|(t, tip)| (*t, node, Change::Tip(*tip))));
    }
    for fault in &record.faults {
        if let (FaultKind::Pause { node }, Some(begun)) = (&fault.what, fault.begun) {
            changes.push((begun, *node, Change::Frozen(true)));
            changes.extend(
                fault
                    .ended
                    .map(|ended| (ended, *node, Change::Frozen(false))),
            );
        }
    }
    // Stable: of each node in the order in which it was told.
    changes.sort_by_key(|(t, ..)| *t);
    changes
}
