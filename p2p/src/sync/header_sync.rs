//! [`HeaderSync`]: from a peer's claim to its headers in our tree.
//!
//! One peer at a time is asked; another joins in when that one is slow. The fork point is found by locator; while whole
//! messages bring nothing new, the locator is drawn closer, a hundredfold each round.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Work};

use super::budget::Budget;
use super::header_batch::Batch;
use super::header_fetch::{Claim, Fetch, PeerHeaders, Stage};
use super::locator::locator_for;
use super::outbox::Context;
use super::peers::Peers;
use super::presync::Step;
use super::timing::{
    HEADERS_STALL, LOW_WORK_HEADERS, LOW_WORK_HEADERS_PER_PEER, MAX_FAILURES, MAX_HEADER_FETCHES,
    earlier,
};
use super::{HeaderProblem, blame};
use crate::wire::limits::MAX_LOCATOR;
use crate::{Mono, PeerNum};

/// Headers from all peers.
#[derive(Debug)]
pub(super) struct HeaderSync {
    peers: BTreeMap<PeerNum, PeerHeaders>,
    /// All peers with a claim or a fetch, and perhaps some that had one: what is looked at after every input.
    busy: BTreeSet<PeerNum>,
    low_work: Budget,
}

impl HeaderSync {
    pub(super) fn new() -> HeaderSync {
        HeaderSync {
            peers: BTreeMap::new(),
            busy: BTreeSet::new(),
            low_work: Budget::new(LOW_WORK_HEADERS),
        }
    }

    pub(super) fn join(&mut self, peer: PeerNum) {
        self.peers.insert(peer, PeerHeaders::default());
    }

    pub(super) fn leave(&mut self, peer: PeerNum) {
        self.peers.remove(&peer);
        self.busy.remove(&peer);
    }

    /// The peer has a tip. Known: noted. Unknown: its headers are asked for when it is the peer's turn.
    pub(super) fn claimed(
        &mut self,
        cx: &Context<'_>,
        peers: &mut Peers,
        peer: PeerNum,
        hash: BlockHash,
        work: Option<Work>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        match cx.chain.header(&hash) {
            Some(known) => {
                // Only a status says that the peer has the bodies.
                if work.is_some() {
                    peers.has_chain(peer, known);
                }
                state.claim = None;
            }
            None => {
                state.claim = Some(Claim { hash, work });
                self.busy.insert(peer);
            }
        }
    }

    /// Starts fetches: one at a time, more when it is slow.
    pub(super) fn schedule(&mut self, cx: &mut Context<'_>, peers: &mut Peers) {
        if self.busy.is_empty() {
            return;
        }
        while self.may_start(cx.now) {
            let Some(peer) = self.next_candidate(cx, peers) else {
                break;
            };
            self.start(cx, peers, peer);
        }
        let states = &self.peers;
        self.busy.retain(|peer| {
            let state = states.get(peer);
            state.is_some_and(|state| state.claim.is_some() || state.fetch.is_some())
        });
    }

    fn busy_peers(&self) -> impl Iterator<Item = &PeerHeaders> {
        self.busy.iter().filter_map(|peer| self.peers.get(peer))
    }

    fn may_start(&self, now: Mono) -> bool {
        let fetches = self.busy_peers().filter_map(|peer| peer.fetch.as_ref());
        let (mut all, mut brisk) = (0, 0);
        for fetch in fetches {
            all += 1;
            brisk += usize::from(now < fetch.asked_at + HEADERS_STALL);
        }
        brisk == 0 && all < MAX_HEADER_FETCHES
    }

    /// The peer whose turn it is: least fruitless, then most work claimed.
    fn next_candidate(&mut self, cx: &Context<'_>, peers: &mut Peers) -> Option<PeerNum> {
        let tip_work = cx.chain.tip().chain_work;
        let mut best: Option<(u32, Reverse<Option<Work>>, PeerNum)> = None;
        for number in &self.busy {
            let Some(state) = self.peers.get_mut(number) else {
                continue;
            };
            let Some(claim) = state.claim else { continue };
            if let Some(known) = cx.chain.header(&claim.hash) {
                if claim.work.is_some() {
                    peers.has_chain(*number, known);
                }
                state.claim = None;
                continue;
            }
            let low = claim.work.is_some_and(|work| work < tip_work)
                && state.low_work_spent >= LOW_WORK_HEADERS_PER_PEER;
            if low || state.fetch.is_some() || cx.now < state.not_before {
                continue;
            }
            let key = (state.fruitless, Reverse(claim.work), *number);
            if best.is_none_or(|best| key < best) {
                best = Some(key);
            }
        }
        best.map(|(_, _, peer)| peer)
    }

    fn start(&mut self, cx: &mut Context<'_>, peers: &Peers, peer: PeerNum) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let stage = Stage::Asked {
            locator: Vec::new(),
        };
        state.fetch = Some(Box::new(Fetch {
            stage,
            asked_at: cx.now,
            rounds: 0,
            presync: None,
        }));
        let best = peers.get(peer).and_then(|peer| peer.best);
        state.ask(cx, peer, locator_for(cx, best), None);
    }

    /// The peer answered a request for headers.
    pub(super) fn answered(
        &mut self,
        cx: &mut Context<'_>,
        peers: &mut Peers,
        peer: PeerNum,
        headers: Vec<Header>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.failures = 0;
        let batch = match Batch::checked(headers, cx) {
            Ok(batch) => batch,
            Err(reason) => return cx.out.punish(peer, reason),
        };
        let Some(fetch) = &mut state.fetch else {
            return;
        };
        match &mut fetch.presync {
            Some(presync) => {
                let full = batch.is_full();
                let last = batch
                    .hashes
                    .last()
                    .copied()
                    .unwrap_or_else(BlockHash::all_zeros);
                let tip_work = cx.chain.tip().chain_work;
                match presync.message(&batch.headers, last, full, tip_work) {
                    Step::Continue => state.ask_presync(cx, peer),
                    Step::HandOn => {
                        // Complete: behind the last checkpoint the peer may have more.
                        if presync.is_complete() {
                            fetch.presync = None;
                        }
                        state.hand_on(cx, peer, batch, true);
                    }
                    Step::TooLittleWork | Step::Broken => state.finish(cx, peers, peer),
                }
            }
            None => self.located(cx, peers, peer, batch),
        }
    }

    /// Headers after the fork point, or on the way to it.
    fn located(&mut self, cx: &mut Context<'_>, peers: &mut Peers, peer: PeerNum, batch: Batch) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(first) = batch.headers.first() else {
            return state.finish(cx, peers, peer);
        };
        let Some(mut parent) = cx.chain.header(&first.prev_blockhash) else {
            return cx
                .out
                .punish(peer, "sent headers that do not follow any block we named");
        };
        let mut known = 0;
        for hash in &batch.hashes {
            match cx.chain.header(hash) {
                Some(header) => parent = header,
                None => break,
            }
            known += 1;
        }
        if known == batch.hashes.len() {
            peers.has_chain(peer, parent);
            return match batch.is_full() {
                true => state.draw_closer(cx, peers, peer, first.prev_blockhash, parent),
                false => state.finish(cx, peers, peer),
            };
        }
        if !parent.may_be_valid {
            let direction = peers.get(peer).map(|peer| peer.direction);
            let problem = HeaderProblem::KnownInvalid;
            if let Some(reason) = direction.and_then(|way| blame::for_header(&problem, way)) {
                cx.out.punish(peer, reason);
            }
            return state.finish(cx, peers, peer);
        }
        let (full, batch) = (batch.is_full(), batch.without_first(known));
        let new = u32::try_from(batch.headers.len()).unwrap_or(u32::MAX);
        let work = batch
            .headers
            .iter()
            .fold(parent.chain_work, |sum, header| sum + header.work());
        let tip_work = cx.chain.tip().chain_work;
        if work >= tip_work {
            state.hand_on(cx, peer, batch, full);
        } else if full {
            state.count_first(cx, peers, peer, parent, &batch, work, tip_work);
        } else if state.low_work_spent + new <= LOW_WORK_HEADERS_PER_PEER
            && self.low_work.spend(new, cx.now)
        {
            state.low_work_spent += new;
            state.hand_on(cx, peer, batch, full);
        } else {
            state.finish(cx, peers, peer);
        }
    }

    /// The chain took the headers of this peer's fetch, or some of them.
    pub(super) fn processed(
        &mut self,
        cx: &mut Context<'_>,
        peers: &mut Peers,
        peer: PeerNum,
        accepted: usize,
        error: Option<&HeaderProblem>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let Some(Fetch {
            stage: Stage::Handed { hashes, full },
            ..
        }) = state.fetch.as_deref()
        else {
            return;
        };
        let (full, last) = (
            *full,
            accepted.checked_sub(1).and_then(|n| hashes.get(n)).copied(),
        );
        if let Some(known) = last.and_then(|last| cx.chain.header(&last)) {
            peers.has_chain(peer, known);
            state.fruitless = 0;
            state.false_claims = 0;
        }
        match (error, last) {
            (None, Some(last)) if full => {
                if state
                    .fetch
                    .as_ref()
                    .is_some_and(|fetch| fetch.presync.is_some())
                {
                    state.ask_presync(cx, peer);
                } else {
                    let locator = std::iter::once(last).chain(cx.chain.locator());
                    state.ask(cx, peer, locator.take(MAX_LOCATOR).collect(), None);
                }
            }
            (None, _) => state.finish(cx, peers, peer),
            (Some(problem), _) => state.refused(cx, peers, peer, problem),
        }
    }

    /// A request for headers failed or took too long.
    pub(super) fn failed(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.fetch = None;
        state.failures += 1;
        state.pause(cx.now);
        if state.failures >= MAX_FAILURES {
            cx.out
                .disconnect(peer, "does not answer requests for headers");
        }
    }

    /// Someone has a tip that we do not know, and is being asked for its headers.
    pub(super) fn is_fetching(&self) -> bool {
        self.busy_peers().any(|state| state.fetch.is_some())
    }

    pub(super) fn next_due(&self, now: Mono) -> Option<Mono> {
        let mut due = None;
        let mut waiting = false;
        for state in self.busy_peers() {
            if state.claim.is_some() && state.fetch.is_none() {
                waiting = true;
                due = earlier(due, Some(state.not_before).filter(|time| *time > now));
            }
        }
        if waiting {
            let fetches = self.busy_peers().filter_map(|state| state.fetch.as_ref());
            let stalls = fetches.map(|fetch| fetch.asked_at + HEADERS_STALL);
            due = earlier(due, stalls.filter(|time| *time > now).min());
        }
        due
    }
}
