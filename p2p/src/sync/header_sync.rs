//! [`HeaderSync`]: from a peer's claim to its headers in our tree.
//!
//! `header_turns` decides who is asked when. The fork point is found by locator; while whole
//! messages bring nothing new, the locator is drawn closer, a hundredfold each round.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Work};
use chain::Height;

use super::budget::Budget;
use super::groups::Groups;
use super::header_batch::Batch;
use super::header_fetch::{Claim, Fetch, PeerHeaders, Stage};
use super::locator::locator_for;
use super::outbox::Context;
use super::peers::Peers;
use super::presync::Step;
use super::timing::{HEADERS_AHEAD_PAUSE, MAX_FAILURES, PRESYNC_TIME, doubled};
use super::{HeaderProblem, KnownHeader, blame};
use crate::wire::limits::{
    LOW_WORK_HEADERS, MAX_HEADERS_AHEAD, MAX_SIDE_HEADERS, MAX_SIDE_HEADERS_INBOUND,
};
use crate::{Direction, Mono, PeerGroup, PeerNum};

/// Headers from all peers.
#[derive(Debug)]
pub(super) struct HeaderSync {
    pub(super) peers: BTreeMap<PeerNum, PeerHeaders>,
    /// All peers with a claim or a fetch, and perhaps some that had one: what is looked at after every input.
    pub(super) busy: BTreeSet<PeerNum>,
    pub(super) groups: Groups,
    /// A peer was silent lately.
    pub(super) alarm_until: Option<Mono>,
    low_work: Budget,
}

impl HeaderSync {
    pub(super) fn new() -> HeaderSync {
        HeaderSync {
            peers: BTreeMap::new(),
            busy: BTreeSet::new(),
            groups: Groups::default(),
            alarm_until: None,
            low_work: Budget::new(LOW_WORK_HEADERS),
        }
    }

    pub(super) fn join(&mut self, peer: PeerNum, direction: Direction, group: PeerGroup) {
        self.peers.insert(peer, PeerHeaders::new(direction, group));
    }

    /// A peer is gone. What it owed is remembered of its group.
    pub(super) fn leave(&mut self, now: Mono, peer: PeerNum) {
        self.busy.remove(&peer);
        if let Some(state) = self.peers.remove(&peer) {
            let owed = state.fetch.is_some_and(|fetch| {
                !fetch.noted_silent && matches!(fetch.stage, Stage::Asked { .. })
            });
            let faults = state.new_faults + u32::from(owed);
            if faults > 0 {
                self.groups.fruitless(state.group, faults, now);
            }
        }
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

    /// Whether a header that a peer announces may be kept.
    pub(super) fn may_announce(&mut self, cx: &Context<'_>, peer: PeerNum) -> bool {
        let state = self.peers.get(&peer);
        let direction = state.map_or(Direction::Inbound, |state| state.direction);
        has_room(&mut self.low_work, cx, direction, 1)
    }

    pub(super) fn busy_peers(&self) -> impl Iterator<Item = &PeerHeaders> {
        self.busy.iter().filter_map(|peer| self.peers.get(peer))
    }

    /// Asks a peer for what leads to its claim.
    pub(super) fn start(&mut self, cx: &mut Context<'_>, peers: &Peers, peer: PeerNum) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        let stage = Stage::Asked {
            locator: Vec::new(),
        };
        state.fetch = Some(Box::new(Fetch {
            stage,
            started: cx.now,
            asked_at: cx.now,
            noted_silent: false,
            taken: 0,
            rounds: 0,
            presync: None,
        }));
        state.last_asked = Some(cx.now);
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
                let step = presync.message(&batch.headers, last, full, tip_work, cx.now);
                if presync.is_too_slow(
                    cx.now,
                    tip_work,
                    doubled(PRESYNC_TIME, state.fruitless, PRESYNC_TIME * 16),
                ) {
                    return state.finish(cx, peers, peer);
                }
                match step {
                    Step::Continue => state.ask_presync(cx, peer),
                    Step::HandOn
                        if !has_room(
                            &mut self.low_work,
                            cx,
                            state.direction,
                            batch.headers.len(),
                        ) =>
                    {
                        state.finish(cx, peers, peer);
                    }
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
            let broken = cx.broken.is_on(cx.chain, &parent.hash);
            if let Some(reason) = direction.and_then(|way| blame::for_header(&problem, way, broken))
            {
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
            if has_room(&mut self.low_work, cx, state.direction, batch.headers.len()) {
                state.hand_on(cx, peer, batch, full);
            } else {
                state.finish(cx, peers, peer);
            }
        } else if full {
            state.count_first(cx, peers, peer, parent, &batch, work, tip_work);
        } else if self.groups.has_low_work_left(state.group, new, cx.now)
            && self.low_work.spend(new, cx.now)
        {
            self.groups.spend_low_work(state.group, new, cx.now);
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
            self.groups.proved(state.group);
            if let Some(fetch) = &mut state.fetch {
                fetch.taken += accepted as u64;
            }
        }
        match (error, last) {
            (None, Some(last)) if full && is_far_ahead(cx, last, MAX_HEADERS_AHEAD) => {
                state.park(cx.now, last);
            }
            (None, Some(last)) if full => state.ask_on(cx, peer, last),
            (None, _) => state.finish(cx, peers, peer),
            (Some(problem), _) => state.refused(cx, peers, peer, problem),
        }
    }

    /// Fetches whose headers were far ahead of the bodies go on once the bodies have come closer.
    pub(super) fn resume_parked(&mut self, cx: &mut Context<'_>, peers: &mut Peers) {
        for number in &self.busy {
            let Some(state) = self.peers.get_mut(number) else {
                continue;
            };
            let Some(Stage::Parked { last }) = state.fetch.as_ref().map(|fetch| &fetch.stage)
            else {
                continue;
            };
            let last = *last;
            if cx.now < state.not_before {
                continue;
            }
            let known = cx.chain.header(&last);
            if known.is_none_or(|known| !known.may_be_valid) {
                state.finish(cx, peers, *number);
            } else if is_far_ahead(cx, last, MAX_HEADERS_AHEAD / 2) {
                state.not_before = cx.now + HEADERS_AHEAD_PAUSE;
            } else {
                state.ask_on(cx, *number, last);
            }
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
}

/// Whether peers of this direction may bring so many headers more beside the active chain; beyond their room it is charged to
/// `low_work`.
fn has_room(low_work: &mut Budget, cx: &Context<'_>, direction: Direction, headers: usize) -> bool {
    let most = match direction {
        Direction::Inbound => MAX_SIDE_HEADERS_INBOUND,
        Direction::Outbound => MAX_SIDE_HEADERS,
    };
    let room = most.saturating_sub(cx.chain.side_headers());
    low_work.spend_beyond(room, headers, cx.now)
}

/// Whether a chain has more than `most` headers above its highest body.
fn is_far_ahead(cx: &Context<'_>, last: BlockHash, most: u32) -> bool {
    let Some(top) = cx.chain.header(&last) else {
        return false;
    };
    let fork = cx.chain.fork_point(&cx.chain.tip().hash, &last);
    let mut with_body = fork.map_or(0, |fork| fork.height.0);
    if top.height.0 - with_body <= most {
        return false;
    }
    // Bodies come in order, but for a window.
    let mut without = top.height.0 + 1;
    while without - with_body > 1 {
        let middle = with_body + (without - with_body) / 2;
        match cx.chain.ancestor(&last, Height(middle)) {
            Some(KnownHeader { has_body: true, .. }) => with_body = middle,
            _ => without = middle,
        }
    }
    top.height.0 - with_body > most
}
