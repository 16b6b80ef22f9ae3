//! [`Bodies`]: the download of missing blocks: what is under way, what comes back, and what the chain says to it.
//!
//! `window` decides what is wanted, `withheld` what to leave for later, `refill` whom to ask, `stall` who is too slow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcoin::{Block, BlockHash};
use chain::Height;

use super::blame::Origin;
use super::outbox::Context;
use super::peers::Peers;
use super::senders::Senders;
use super::timing::{
    BODY_PAUSE, BODY_PAUSE_MAX, MAX_BROKEN_PROMISES, MAX_EXTRA_WANTS, MAX_FAILURES, NOT_YET_PAUSE,
    STALL_TIMEOUT, doubled, earlier,
};
use super::wants::{State, Want, Wants};
use super::withheld::Withheld;
use super::{Action, BlockOutcome, KnownHeader, RequestId, blame};
use crate::wire::BlockBytes;
use crate::{Mono, PeerNum};

/// Bytes of a block before any was seen.
const FIRST_GUESS_BYTES: usize = 100_000;

/// One peer's part in the download.
#[derive(Debug)]
pub(super) struct PeerBodies {
    pub(super) in_flight: BTreeSet<BlockHash>,
    /// Up to here the peer's chain and the path are one.
    pub(super) shared: Option<Height>,
    /// When it counts as stalled, if it delivers nothing until then. Only meaningful with blocks in flight.
    pub(super) stall_at: Mono,
    pub(super) stalls: u32,
    /// It has delivered a block.
    pub(super) proven: bool,
    /// When it last delivered, or joined.
    pub(super) delivered_at: Mono,
    /// What it lately brought, from question to answer; 0 before the first.
    pub(super) bytes_per_s: u64,
    failures: u32,
    broken_promises: u32,
    /// Nothing is asked of it before.
    pub(super) rest_until: Mono,
}

/// The download of bodies.
#[derive(Debug)]
pub(super) struct Bodies {
    pub(super) wants: Wants,
    pub(super) peers: BTreeMap<PeerNum, PeerBodies>,
    pub(super) requests: BTreeMap<RequestId, (PeerNum, Mono, Vec<BlockHash>)>,
    /// The end of the best chain that a peer has, and how far it was looked through.
    pub(super) target: Option<KnownHeader>,
    pub(super) next: Height,
    /// When a body of the path last came.
    pub(super) last_body: Option<Mono>,
    pub(super) withheld: Withheld,
    pub(super) damaged: Vec<BlockHash>,
    pub(super) ordered: Vec<(BlockHash, PeerNum)>,
    senders: Senders,
    pub(super) stall_timeout: Duration,
    /// Bytes of a block, about, as lately seen.
    pub(super) average_bytes: usize,
    /// That is not a guess.
    pub(super) sizes_seen: bool,
    /// Something changed that may let blocks be asked for.
    pub(super) refill_due: bool,
    /// Something changed that may move the target.
    pub(super) target_due: bool,
}

impl Bodies {
    pub(super) fn new() -> Bodies {
        Bodies {
            wants: Wants::default(),
            peers: BTreeMap::new(),
            requests: BTreeMap::new(),
            target: None,
            next: Height::GENESIS,
            last_body: None,
            withheld: Withheld::default(),
            damaged: Vec::new(),
            ordered: Vec::new(),
            senders: Senders::default(),
            stall_timeout: STALL_TIMEOUT,
            average_bytes: FIRST_GUESS_BYTES,
            sizes_seen: false,
            refill_due: false,
            target_due: false,
        }
    }

    pub(super) fn join(&mut self, now: Mono, peer: PeerNum) {
        let state = PeerBodies {
            in_flight: BTreeSet::new(),
            shared: None,
            stall_at: Mono::ZERO,
            stalls: 0,
            proven: false,
            delivered_at: now,
            bytes_per_s: 0,
            failures: 0,
            broken_promises: 0,
            rest_until: Mono::ZERO,
        };
        self.peers.insert(peer, state);
        self.refill_due = true;
    }

    pub(super) fn leave(&mut self, now: Mono, peer: PeerNum) {
        if let Some(state) = self.peers.remove(&peer) {
            for hash in state.in_flight {
                self.release(now, &hash, None);
            }
        }
        self.requests.retain(|_, (asked, ..)| *asked != peer);
        self.wants.forget_peer(peer);
        self.target_due = true;
    }

    /// Blocks that are asked for and not here yet.
    pub(super) fn in_flight(&self) -> usize {
        match self.requests.is_empty() {
            true => 0,
            false => self.peers.values().map(|peer| peer.in_flight.len()).sum(),
        }
    }

    /// A body was found damaged. It is looked at with the next input.
    pub(super) fn want_damaged(&mut self, hash: BlockHash) {
        self.damaged.push(hash);
        self.refill_due = true;
    }

    /// An operator wants a body of one peer. It is looked at with the next input.
    pub(super) fn want_ordered(&mut self, hash: BlockHash, peer: PeerNum) {
        self.ordered.push((hash, peer));
        self.refill_due = true;
    }

    /// A block was announced. Returns whether it is free to be rebuilt: not here, and not on its way as a whole.
    pub(super) fn want_announced(
        &mut self,
        cx: &Context<'_>,
        header: KnownHeader,
        announcer: PeerNum,
    ) -> bool {
        let full = self.wants.extras() >= MAX_EXTRA_WANTS;
        if header.has_body || (full && self.wants.get(&header.hash).is_none()) {
            return false;
        }
        let connected = self.peers.contains_key(&announcer);
        let want = self.wants.add(&header, false);
        if connected {
            want.announcers.insert(announcer);
        }
        if matches!(want.state, State::Delayed(_)) {
            self.wants.set(&header.hash, State::Needed);
        }
        self.refill_due = true;
        debug_assert!(
            cx.chain.header(&header.hash).is_some(),
            "announced after its header"
        );
        self.wants
            .get(&header.hash)
            .is_some_and(|want| want.state == State::Needed)
    }

    /// Keeps a block from being asked for as a whole while it is being rebuilt.
    pub(super) fn reserve(&mut self, hash: &BlockHash, announcer: PeerNum) -> bool {
        let free = self.peers.contains_key(&announcer)
            && self
                .wants
                .get(hash)
                .is_some_and(|want| want.state == State::Needed);
        if free {
            self.wants.set(hash, State::Rebuilding);
        }
        free
    }

    /// A block is to be asked for again, of someone else than `avoid`.
    pub(super) fn release(&mut self, now: Mono, hash: &BlockHash, avoid: Option<PeerNum>) {
        let Some(want) = self.wants.get(hash) else {
            return;
        };
        if matches!(want.state, State::Handed(..)) {
            return;
        }
        if let State::Delayed(until) = want.state
            && until > now
        {
            return;
        }
        if let Some(peer) = avoid {
            self.wants.avoid(hash, peer);
        }
        self.wants.set(hash, State::Needed);
        self.refill_due = true;
    }

    /// A block is here, as far as its hash tells: hands it to the chain unless that has happened.
    pub(super) fn deliver(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerNum,
        hash: BlockHash,
        block: Block,
        origin: Origin,
    ) {
        let Some(want) = self.wants.get(&hash) else {
            return;
        };
        if matches!(want.state, State::Handed(..)) {
            return;
        }
        self.wants.set(&hash, State::Handed(peer, origin));
        cx.out.push(Action::AcceptBlock { peer, block });
    }

    /// A peer answered a request for blocks.
    pub(super) fn received(
        &mut self,
        cx: &mut Context<'_>,
        id: RequestId,
        peer: PeerNum,
        blocks: Vec<BlockBytes>,
    ) {
        let Some((_, asked_at, asked)) = self.requests.remove(&id) else {
            return;
        };
        self.take_off_flight(peer, &asked);
        self.refill_due = true;
        let mut bytes = 0;
        if blocks.len() > asked.len() {
            cx.out
                .punish(peer, "sent more blocks than it was asked for");
        }
        let mut good = 0;
        for (block, expected) in blocks.into_iter().zip(&asked) {
            let hash = block.hash();
            if hash != *expected {
                let reason = format!("sent block {hash} when asked for {expected}");
                cx.out.punish(peer, reason);
                break;
            }
            bytes += self.note_size(block.block());
            self.deliver(cx, peer, hash, block.into_block(), Origin::Asked);
            good += 1;
        }
        match asked.get(good..) {
            Some([first, rest @ ..]) if good == 0 => {
                self.answered_nothing(cx, peer, first);
                self.release_from(cx.now, peer, rest, None);
            }
            Some(rest) => self.release_from(cx.now, peer, rest, None),
            None => {}
        }
        if good > 0 {
            self.progress(cx.now, peer, bytes, asked_at);
        }
    }

    /// The peer has not got (or does not give) the first block that it was asked for.
    fn answered_nothing(&mut self, cx: &mut Context<'_>, peer: PeerNum, first: &BlockHash) {
        let promised = self.wants.get(first).is_some_and(|want| {
            self.peers
                .get(&peer)
                .is_some_and(|state| has_on_path(state, want))
        });
        self.release_from(cx.now, peer, std::slice::from_ref(first), Some(peer));
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.stall_at = cx.now + self.stall_timeout;
        if promised {
            state.broken_promises += 1;
            state.rest_until =
                cx.now + doubled(BODY_PAUSE, state.broken_promises + 4, BODY_PAUSE_MAX);
            if state.broken_promises >= MAX_BROKEN_PROMISES {
                cx.out.disconnect(
                    peer,
                    "does not give blocks of the chain that it says to have",
                );
            }
        }
    }

    /// A request for blocks failed or took too long.
    pub(super) fn failed(&mut self, cx: &mut Context<'_>, id: RequestId, peer: PeerNum) {
        let Some((_, _, asked)) = self.requests.remove(&id) else {
            return;
        };
        self.take_off_flight(peer, &asked);
        self.release_from(cx.now, peer, &asked, Some(peer));
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.failures += 1;
        state.rest_until = cx.now + doubled(BODY_PAUSE, state.failures + 4, BODY_PAUSE_MAX);
        if state.failures >= MAX_FAILURES {
            cx.out
                .disconnect(peer, "does not answer requests for blocks");
        }
    }

    /// The chain took a block, or refused it.
    pub(super) fn processed(
        &mut self,
        cx: &mut Context<'_>,
        peers: &Peers,
        hash: BlockHash,
        outcome: &BlockOutcome,
    ) {
        self.refill_due = true;
        let handed = self.wants.get(&hash).and_then(|want| match want.state {
            State::Handed(peer, origin) => Some((peer, origin)),
            _ => None,
        });
        let sender = handed.or_else(|| self.senders.of(&hash));
        if let BlockOutcome::Rule(rule) = outcome
            && rule.standing() == chain::Standing::Never
        {
            cx.broken.note(cx.chain, &hash);
        }
        let broken = cx.broken.is_on(cx.chain, &hash);
        if let Some((peer, origin)) = sender {
            let direction = peers.get(peer).map(|peer| peer.direction);
            if let Some(reason) =
                direction.and_then(|way| blame::for_block(outcome, origin, way, broken))
            {
                cx.out.punish(peer, reason);
            }
        }
        match outcome {
            BlockOutcome::Accepted => {
                if self.wants.remove(&hash).is_some_and(|want| want.on_path) {
                    self.last_body = Some(cx.now);
                    self.withheld.came(cx.now);
                }
                if let Some((peer, origin)) = handed {
                    self.senders.remember(hash, peer, origin);
                }
            }
            BlockOutcome::UnknownParent | BlockOutcome::KnownInvalid => {
                self.wants.remove(&hash);
                self.target_due = true;
            }
            BlockOutcome::Rule(rule) => match rule.standing() {
                chain::Standing::Never => {
                    self.wants.remove(&hash);
                    self.target_due = true;
                }
                chain::Standing::OtherBytes => self.want_other_bytes(cx, hash, sender),
                chain::Standing::NotYet => {
                    self.wants
                        .set(&hash, State::Delayed(cx.now + NOT_YET_PAUSE));
                }
            },
        }
    }

    /// These bytes were bad; the same hash is asked from someone else. A wrong rebuilding is nobody's fault: then the
    /// announcer may be asked for the whole.
    fn want_other_bytes(
        &mut self,
        cx: &Context<'_>,
        hash: BlockHash,
        sender: Option<(PeerNum, Origin)>,
    ) {
        if let Some(header) = cx.chain.header(&hash) {
            let want = self.wants.add(&header, false);
            want.from_anyone = true;
            if let Some((peer, Origin::Asked)) = sender {
                want.avoid.insert(peer);
            }
            self.wants.set(&hash, State::Needed);
        }
    }

    fn release_from(
        &mut self,
        now: Mono,
        peer: PeerNum,
        hashes: &[BlockHash],
        avoid: Option<PeerNum>,
    ) {
        for hash in hashes {
            let asked = self
                .wants
                .get(hash)
                .is_some_and(|want| want.state == State::Asked(peer));
            if asked {
                self.release(now, hash, avoid);
            }
        }
    }

    fn take_off_flight(&mut self, peer: PeerNum, hashes: &[BlockHash]) {
        if let Some(state) = self.peers.get_mut(&peer) {
            for hash in hashes {
                state.in_flight.remove(hash);
            }
        }
    }

    fn note_size(&mut self, block: &Block) -> usize {
        let bytes = block.total_size();
        self.sizes_seen = true;
        self.average_bytes = ((self.average_bytes * 7 + bytes) / 8).max(1);
        bytes
    }

    fn progress(&mut self, now: Mono, peer: PeerNum, bytes: usize, asked_at: Mono) {
        self.decay_stall_timeout();
        let micros = now.since(asked_at).as_micros().max(1_000);
        let rate = u64::try_from(bytes as u128 * 1_000_000 / micros).unwrap_or(u64::MAX);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.stall_at = now + self.stall_timeout;
            state.stalls = 0;
            state.proven = true;
            state.delivered_at = now;
            state.bytes_per_s = match state.bytes_per_s {
                0 => rate,
                before => (before / 4) * 3 + rate / 4,
            };
            state.failures = 0;
            state.broken_promises = 0;
            state.rest_until = now;
        }
    }

    /// When something is due by itself.
    pub(super) fn next_due(&self, now: Mono) -> Option<Mono> {
        let resting = self.wants.has_needed();
        let mut due = earlier(self.wants.next_wake(), self.withholding_due());
        if self.is_idle() {
            return due;
        }
        for state in self.peers.values() {
            if !state.in_flight.is_empty() {
                due = earlier(due, Some(state.stall_at));
            }
            if resting && state.rest_until > now {
                due = earlier(due, Some(state.rest_until));
            }
        }
        due
    }
}

/// Whether a wanted block is on the part of the path that is a peer's chain, too.
pub(super) fn has_on_path(state: &PeerBodies, want: &Want) -> bool {
    want.on_path && state.shared.is_some_and(|shared| want.height <= shared)
}
