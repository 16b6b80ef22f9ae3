//! [`StatusRounds`]: telling our tip to those who do not know it, and asking for theirs. Heals lost gossip.
//!
//! Whoever changes its tip tells the peers that are not known to have it: at once if the tip was fetched, after a moment
//! if it was gossiped, since they most likely know. Peers that agree are silent.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bitcoin::BlockHash;

use super::outbox::Context;
use super::timing::{
    Jitter, STATUS_AFTER_GOSSIP, STATUS_CATCHING_UP, STATUS_DISAGREE, STATUS_DISAGREE_MAX,
    STATUS_IDLE, STATUS_JITTER, STATUS_MIN_GAP, earlier,
};
use crate::wire::{Request, TipStatus};
use crate::{Mono, PeerNum};

/// Tips that came or went by gossip lately.
const REMEMBERED_GOSSIP: usize = 32;

/// Where the exchange with one peer stands.
#[derive(Debug)]
struct Round {
    /// The last tip of ours that the peer was told.
    told: Option<BlockHash>,
    /// The tip in the request that is under way.
    asking: Option<BlockHash>,
    asked_at: Mono,
    due: Mono,
    gap: Duration,
}

/// The exchange of tips with all peers.
#[derive(Debug)]
pub(super) struct StatusRounds {
    rounds: BTreeMap<PeerNum, Round>,
    /// Nothing is due before this; what is due then may have been put off since.
    soonest: Option<Mono>,
    tip: Option<BlockHash>,
    /// The last change of tip came while more blocks were missing.
    caught_up: bool,
    gossiped: VecDeque<BlockHash>,
    jitter: Jitter,
}

impl StatusRounds {
    pub(super) fn new(seed: u64) -> StatusRounds {
        StatusRounds {
            rounds: BTreeMap::new(),
            soonest: None,
            tip: None,
            caught_up: true,
            gossiped: VecDeque::new(),
            jitter: Jitter::new(seed),
        }
    }

    pub(super) fn join(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        let round = Round {
            told: None,
            asking: None,
            asked_at: cx.now,
            due: cx.now,
            gap: STATUS_DISAGREE,
        };
        self.rounds.insert(peer, round);
        self.ask(cx, peer);
    }

    pub(super) fn leave(&mut self, peer: PeerNum) {
        self.rounds.remove(&peer);
    }

    /// This tip spreads by gossip: most peers will know it without being told.
    pub(super) fn gossiped(&mut self, tip: BlockHash) {
        if !self.gossiped.contains(&tip) {
            if self.gossiped.len() == REMEMBERED_GOSSIP {
                self.gossiped.pop_front();
            }
            self.gossiped.push_back(tip);
        }
    }

    /// A block that was gossiped came late: its body was held back, so peers may lack it as well, and are told at once.
    pub(super) fn was_late(&mut self, tip: &BlockHash) {
        self.gossiped.retain(|gossiped| gossiped != tip);
    }

    /// Asks everyone soon, whatever was told lately: somebody may have what is missing here.
    pub(super) fn probe(&mut self, now: Mono) {
        for round in self.rounds.values_mut() {
            if round.asking.is_none() {
                round.due = round.due.min(now.max(round.asked_at + STATUS_MIN_GAP));
                self.soonest = earlier(self.soonest, Some(round.due));
            }
        }
    }

    /// The peer asked for our tip, and told its own.
    pub(super) fn was_asked(&mut self, cx: &Context<'_>, peer: PeerNum, status: &TipStatus) {
        let ours = cx.chain.tip().hash;
        if let Some(round) = self.rounds.get_mut(&peer) {
            round.told = Some(ours);
            round.settle(cx.now, status.hash == ours);
            self.soonest = earlier(self.soonest, Some(round.due));
        }
    }

    /// The peer answered our request.
    pub(super) fn answered(&mut self, cx: &Context<'_>, peer: PeerNum, status: &TipStatus) {
        let ours = cx.chain.tip().hash;
        let Some(round) = self.rounds.get_mut(&peer) else {
            return;
        };
        round.told = round.asking.take().or(round.told);
        round.settle(cx.now, status.hash == ours);
        if round.told != Some(ours) && status.hash != ours {
            round.due = round.asked_at + STATUS_MIN_GAP;
        }
        self.soonest = earlier(self.soonest, Some(round.due));
    }

    pub(super) fn failed(&mut self, cx: &Context<'_>, peer: PeerNum) {
        if let Some(round) = self.rounds.get_mut(&peer) {
            round.asking = None;
            round.settle(cx.now, false);
            self.soonest = earlier(self.soonest, Some(round.due));
        }
    }

    /// Notices that our tip changed, or will not change further for now, and plans whom to tell when.
    pub(super) fn watch_tip(&mut self, cx: &Context<'_>, catching_up: bool) {
        let ours = cx.chain.tip().hash;
        if self.tip == Some(ours) && (self.caught_up || catching_up) {
            return;
        }
        self.tip = Some(ours);
        self.caught_up = !catching_up;
        let delay = if self.gossiped.contains(&ours) {
            STATUS_AFTER_GOSSIP + self.jitter.up_to(STATUS_JITTER)
        } else if catching_up {
            STATUS_CATCHING_UP
        } else {
            Duration::ZERO
        };
        for round in self.rounds.values_mut() {
            // A peer whose tip we caught up with is told, too: it compares mempools with those on its chain only.
            if round.told == Some(ours) {
                continue;
            }
            round.gap = STATUS_DISAGREE;
            let soon = (cx.now + delay).max(round.asked_at + STATUS_MIN_GAP);
            round.due = round.due.min(soon).max(cx.now);
            self.soonest = earlier(self.soonest, Some(round.due));
        }
    }

    /// Asks everyone whose turn it is.
    pub(super) fn run(&mut self, cx: &mut Context<'_>) {
        if self.soonest.is_none_or(|soonest| soonest > cx.now) {
            return;
        }
        let due: Vec<PeerNum> = self
            .rounds
            .iter()
            .filter(|(_, round)| round.asking.is_none() && round.due <= cx.now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in due {
            self.ask(cx, peer);
        }
        let waiting = self.rounds.values().filter(|round| round.asking.is_none());
        self.soonest = waiting.map(|round| round.due).min();
    }

    fn ask(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        let tip = cx.chain.tip();
        if let Some(round) = self.rounds.get_mut(&peer) {
            round.asking = Some(tip.hash);
            round.asked_at = cx.now;
            cx.out.request(cx.now, peer, Request::Status(tip));
        }
    }

    pub(super) fn next_due(&self) -> Option<Mono> {
        self.soonest
    }
}

impl Round {
    /// Plans the next exchange after one that went through, or failed.
    fn settle(&mut self, now: Mono, agree: bool) {
        if agree {
            self.gap = STATUS_DISAGREE;
            self.due = now + STATUS_IDLE;
        } else {
            self.due = now + self.gap;
            self.gap = (self.gap * 2).min(STATUS_DISAGREE_MAX);
        }
    }
}
