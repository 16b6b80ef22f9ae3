//! [`Overdue`]: announced blocks whose bodies are not here. Whoever announces a block need not have it, and gossip tells of one
//! announcer only. So when a body takes longer than it should, everyone is asked for its tip: who has the block says so, and is
//! asked. Those that announced and did not deliver get less time with their next announcement, whatever their identity then.

use std::collections::BTreeMap;
use std::time::Duration;

use bitcoin::BlockHash;

use super::outbox::Context;
use super::peers::Peers;
use super::status::StatusRounds;
use super::timing::{
    LATE, MAX_OVERDUE, PART_PATIENCE, PROBE_PAUSE, PROBE_PAUSE_MAX, REMEMBERED_GROUPS, doubled,
};
use crate::{Mono, PeerGroup, PeerNum};

/// A block whose body is awaited.
#[derive(Debug)]
struct Missing {
    announcer: PeerGroup,
    since: Mono,
    /// When everyone is asked next.
    due: Mono,
    probes: u32,
    /// It is held against the announcer.
    counted: bool,
}

/// Blocks whose bodies are awaited, and what is held against announcers. Both bounded.
#[derive(Debug, Default)]
pub(super) struct Overdue {
    missing: BTreeMap<BlockHash, Missing>,
    /// Blocks that a group announced and did not give in time, less those that it gave.
    debts: BTreeMap<PeerGroup, u32>,
}

impl Overdue {
    /// How long an announcer may take to give what is missing before others are asked as well.
    pub(super) fn patience(&self, peers: &Peers, announcer: PeerNum) -> Duration {
        let group = peers.get(announcer).map(|peer| peer.group);
        match group.and_then(|group| self.debts.get(&group)) {
            Some(debts) if *debts > 0 => Duration::ZERO,
            _ => PART_PATIENCE,
        }
    }

    /// A block was announced, and its body is not here.
    pub(super) fn announced(
        &mut self,
        cx: &Context<'_>,
        peers: &Peers,
        hash: BlockHash,
        announcer: PeerNum,
    ) {
        let Some(group) = peers.get(announcer).map(|peer| peer.group) else {
            return;
        };
        if self.missing.contains_key(&hash) {
            return;
        }
        if self.missing.len() >= MAX_OVERDUE {
            let oldest = self.missing.iter().min_by_key(|(_, missing)| missing.since);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                self.missing.remove(&oldest);
            }
        }
        let missing = Missing {
            announcer: group,
            since: cx.now,
            due: cx.now + self.patience(peers, announcer),
            probes: 0,
            counted: false,
        };
        self.missing.insert(hash, missing);
    }

    /// A body came, from `sender`. Gives whether peers can be expected to lack it: it was late,
    /// or somebody else had to give it.
    pub(super) fn arrived(
        &mut self,
        now: Mono,
        peers: &Peers,
        hash: &BlockHash,
        sender: Option<PeerNum>,
    ) -> bool {
        let Some(missing) = self.missing.remove(hash) else {
            return false;
        };
        let sender = sender.and_then(|sender| peers.get(sender));
        let by_announcer = sender.is_some_and(|sender| sender.group == missing.announcer);
        if by_announcer && !missing.counted {
            self.settle_debt(missing.announcer);
        }
        !by_announcer || now.since(missing.since) >= LATE
    }

    /// Asks everyone for their tips where a body is overdue.
    pub(super) fn run(&mut self, cx: &Context<'_>, status: &mut StatusRounds) {
        let tip_work = cx.chain.tip().chain_work;
        let mut in_debt = Vec::new();
        self.missing.retain(|hash, missing| {
            if missing.due > cx.now {
                return true;
            }
            let known = cx.chain.header(hash);
            let wanted = known.is_some_and(|known| {
                known.may_be_valid && !known.has_body && known.chain_work > tip_work
            });
            if !wanted {
                return false;
            }
            if !missing.counted && cx.now.since(missing.since) >= PART_PATIENCE {
                missing.counted = true;
                in_debt.push(missing.announcer);
            }
            status.probe(cx.now);
            missing.due = cx.now + doubled(PROBE_PAUSE, missing.probes, PROBE_PAUSE_MAX);
            missing.probes += 1;
            true
        });
        for group in in_debt {
            self.note_debt(group);
        }
    }

    pub(super) fn next_due(&self) -> Option<Mono> {
        self.missing.values().map(|missing| missing.due).min()
    }

    fn note_debt(&mut self, group: PeerGroup) {
        if self.debts.len() >= REMEMBERED_GROUPS && !self.debts.contains_key(&group) {
            self.debts.pop_first();
        }
        let debt = self.debts.entry(group).or_default();
        *debt = debt.saturating_add(1).min(16);
    }

    fn settle_debt(&mut self, group: PeerGroup) {
        if let Some(debt) = self.debts.get_mut(&group) {
            *debt /= 2;
            if *debt == 0 {
                self.debts.remove(&group);
            }
        }
    }
}
