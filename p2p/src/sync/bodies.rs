//! [`Bodies`]: fetching the missing blocks in a moving window from all peers that have them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcoin::{Block, BlockHash};
use chain::Height;

use super::blame::Origin;
use super::outbox::Context;
use super::peers::Peers;
use super::senders::Senders;
use super::timing::{
    BODY_PAUSE, BODY_PAUSE_MAX, BODY_WINDOW, IN_FLIGHT_BLOCKS, IN_FLIGHT_BYTES,
    IN_FLIGHT_SMALL_BLOCKS, MAX_BROKEN_PROMISES, MAX_EXTRA_WANTS, MAX_FAILURES, MAX_HANDED_BLOCKS,
    NOT_YET_PAUSE, REQUEST_BYTES, STALL_TIMEOUT, doubled, earlier,
};
use super::wants::{State, Want, Wants};
use super::{Action, BlockOutcome, KnownHeader, RequestId, blame};
use crate::wire::limits::MAX_BLOCKS_PER_REQUEST;
use crate::wire::{BlockBytes, Request};
use crate::{Mono, PeerNum};

/// Bytes of a block before any was seen.
const FIRST_GUESS_BYTES: usize = 100_000;

/// One peer's part in the download.
#[derive(Debug)]
pub(super) struct PeerBodies {
    pub(super) in_flight: BTreeSet<BlockHash>,
    /// Up to here the peer's chain and the path are one.
    shared: Option<Height>,
    /// When it counts as stalled, if it delivers nothing until then. Only meaningful with blocks in flight.
    pub(super) stall_at: Mono,
    pub(super) stalls: u32,
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
    requests: BTreeMap<RequestId, (PeerNum, Vec<BlockHash>)>,
    /// The end of the best chain that a peer has, and how far it was looked through.
    target: Option<KnownHeader>,
    next: Height,
    damaged: Vec<BlockHash>,
    senders: Senders,
    pub(super) stall_timeout: Duration,
    /// Bytes of a block, about, as lately seen.
    average_bytes: usize,
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
            damaged: Vec::new(),
            senders: Senders::default(),
            stall_timeout: STALL_TIMEOUT,
            average_bytes: FIRST_GUESS_BYTES,
            refill_due: false,
            target_due: false,
        }
    }

    pub(super) fn join(&mut self, peer: PeerNum) {
        let state = PeerBodies {
            in_flight: BTreeSet::new(),
            shared: None,
            stall_at: Mono::ZERO,
            stalls: 0,
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
        self.requests.retain(|_, (asked, _)| *asked != peer);
        self.wants.forget_peer(peer);
        self.target_due = true;
    }

    /// Blocks that are asked for and not here yet.
    pub(super) fn in_flight(&self) -> usize {
        self.peers.values().map(|peer| peer.in_flight.len()).sum()
    }

    /// A body was found damaged. It is looked at with the next input.
    pub(super) fn want_damaged(&mut self, hash: BlockHash) {
        self.damaged.push(hash);
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
        let Some((_, asked)) = self.requests.remove(&id) else {
            return;
        };
        self.take_off_flight(peer, &asked);
        self.refill_due = true;
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
            self.note_size(block.block());
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
            self.progress(cx.now, peer);
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
        let Some((_, asked)) = self.requests.remove(&id) else {
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
        if let Some((peer, origin)) = sender {
            let direction = peers.get(peer).map(|peer| peer.direction);
            if let Some(reason) = direction.and_then(|way| blame::for_block(outcome, origin, way)) {
                cx.out.punish(peer, reason);
            }
        }
        match outcome {
            BlockOutcome::Accepted => {
                self.wants.remove(&hash);
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

    fn note_size(&mut self, block: &Block) {
        // A payment is 200 to 400 bytes; to measure exactly would cost as much as to decode.
        let bytes = 100 + 300 * block.txdata.len();
        self.average_bytes = (self.average_bytes * 7 + bytes) / 8;
    }

    /// Chooses the best chain that a peer has and that is worth more than ours, and moves the window along it.
    pub(super) fn follow(&mut self, cx: &Context<'_>, peers: &Peers) {
        self.want_damaged_now(cx);
        if std::mem::take(&mut self.target_due) {
            self.retarget(cx, peers);
        }
        let Some(target) = self.target else { return };
        while self.next <= target.height {
            let lowest = self.wants.lowest_on_path().unwrap_or(self.next);
            if self.next.0 >= lowest.0.saturating_add(BODY_WINDOW) {
                break;
            }
            let Some(header) = cx.chain.ancestor(&target.hash, self.next) else {
                break;
            };
            if !header.has_body {
                self.wants.add(&header, true);
                self.refill_due = true;
            }
            self.next = self.next.next();
        }
    }

    fn retarget(&mut self, cx: &Context<'_>, peers: &Peers) {
        let tip = cx.chain.tip();
        let mut best: Option<KnownHeader> = None;
        let own = self.target.map(|target| target.hash);
        for (_, peer) in peers.iter() {
            let told = peer.best.and_then(|best| cx.chain.header(&best.hash));
            let Some(header) = told.filter(|header| header.may_be_valid) else {
                continue;
            };
            // Of equal chains the one that is being fetched already stays.
            let key = |header: &KnownHeader| (header.chain_work, Some(header.hash) == own);
            let better = best.is_none_or(|best| key(&header) > key(&best));
            if header.chain_work > tip.chain_work && better {
                best = Some(header);
            }
        }
        let extends = |new: &KnownHeader, old: &KnownHeader| {
            let at = cx.chain.ancestor(&new.hash, old.height);
            at.is_some_and(|header| header.hash == old.hash)
        };
        match (best, self.target) {
            (Some(new), Some(old)) if extends(&new, &old) => {}
            (new, _) => {
                self.wants.leave_path(cx.chain, new.as_ref());
                let fork = new.and_then(|new| cx.chain.fork_point(&tip.hash, &new.hash));
                self.next = fork.map_or(Height::GENESIS, |fork| fork.height.next());
            }
        }
        self.target = best;
        self.refill_due = true;
        for (number, state) in &mut self.peers {
            let has = peers.get(*number).and_then(|peer| peer.best);
            let fork = match (has, best) {
                (Some(has), Some(target)) => cx.chain.fork_point(&has.hash, &target.hash),
                _ => None,
            };
            state.shared = fork.map(|fork| fork.height);
        }
    }

    fn want_damaged_now(&mut self, cx: &Context<'_>) {
        for hash in std::mem::take(&mut self.damaged) {
            if let Some(header) = cx.chain.header(&hash)
                && !header.has_body
            {
                self.wants.add(&header, false).from_anyone = true;
                self.refill_due = true;
            }
        }
    }

    /// Asks for what is needed, lowest first, each block of the least busy peer that has it.
    pub(super) fn refill(&mut self, cx: &mut Context<'_>, peers: &Peers) {
        if !std::mem::take(&mut self.refill_due) || !self.wants.has_needed() {
            return;
        }
        let mut room = self.room(cx.now);
        let unhanded = MAX_HANDED_BLOCKS.saturating_sub(self.wants.handed());
        let mut left = room.values().sum::<usize>().min(unhanded);
        let mut batches: BTreeMap<PeerNum, Vec<BlockHash>> = BTreeMap::new();
        let mut in_vain = Vec::new();
        let mut came = Vec::new();
        let highest = self.peers.values().filter_map(|state| state.shared).max();
        for (height, hash) in self.wants.needed() {
            let beyond = self.wants.extras() == 0 && highest.is_none_or(|top| height > top);
            if left == 0 || beyond {
                break;
            }
            let Some(want) = self.wants.get(&hash) else {
                continue;
            };
            if cx.chain.header(&hash).is_none_or(|header| header.has_body) {
                came.push(hash);
                continue;
            }
            match self.choose(cx, peers, &hash, want, &room) {
                Choice::Peer(peer) => {
                    batches.entry(peer).or_default().push(hash);
                    if let Some(room) = room.get_mut(&peer) {
                        *room -= 1;
                    }
                    left -= 1;
                }
                Choice::AllTried => in_vain.push((hash, want.rounds)),
                Choice::Wait => {}
            }
        }
        for hash in came {
            self.wants.remove(&hash);
        }
        for (hash, rounds) in in_vain {
            let pause = doubled(BODY_PAUSE, rounds, BODY_PAUSE_MAX);
            self.wants.next_round(&hash, cx.now + pause);
        }
        self.send(cx, batches);
    }

    /// How many more blocks each peer may be asked for now. Nothing until a whole request fits, so that small blocks
    /// are not asked for one by one.
    fn room(&self, now: Mono) -> BTreeMap<PeerNum, usize> {
        let limit = self.in_flight_limit();
        let rested = self
            .peers
            .iter()
            .filter(|(_, state)| state.rest_until <= now);
        rested
            .map(|(number, state)| (*number, limit.saturating_sub(state.in_flight.len())))
            .filter(|(_, room)| *room >= self.blocks_per_request())
            .collect()
    }

    fn send(&mut self, cx: &mut Context<'_>, batches: BTreeMap<PeerNum, Vec<BlockHash>>) {
        let per_request = self.blocks_per_request();
        for (peer, hashes) in batches {
            let Some(state) = self.peers.get_mut(&peer) else {
                continue;
            };
            if state.in_flight.is_empty() {
                state.stall_at = cx.now + self.stall_timeout;
            }
            state.in_flight.extend(&hashes);
            for chunk in hashes.chunks(per_request) {
                for hash in chunk {
                    self.wants.set(hash, State::Asked(peer));
                }
                let id = cx
                    .out
                    .request(cx.now, peer, Request::Blocks(chunk.to_vec()));
                self.requests.insert(id, (peer, chunk.to_vec()));
            }
        }
    }

    /// The least busy peer that has room and the block; rather one that was not tried yet.
    fn choose(
        &self,
        cx: &Context<'_>,
        peers: &Peers,
        hash: &BlockHash,
        want: &Want,
        room: &BTreeMap<PeerNum, usize>,
    ) -> Choice {
        let mut best: Option<((bool, usize), PeerNum)> = None;
        let (mut tried, mut busy) = (false, false);
        for (number, state) in &self.peers {
            let has = has_on_path(state, want)
                || want.from_anyone
                || want.announcers.contains(number)
                || (!want.on_path && has_on_its_chain(cx, peers, *number, hash, want.height));
            if !has || cx.out.is_dismissed(*number) {
                continue;
            }
            let fresh = !want.avoid.contains(number);
            let key = (fresh, room.get(number).copied().unwrap_or(0));
            if !fresh && !want.second_chance {
                tried = true;
            } else if key.1 == 0 {
                busy = true;
            } else if best.is_none_or(|(most, _)| key > most) {
                best = Some((key, *number));
            }
        }
        match best {
            Some((_, peer)) => Choice::Peer(peer),
            None if tried && !busy => Choice::AllTried,
            None => Choice::Wait,
        }
    }

    /// Blocks in flight from one peer: few when they are large, many when they are small.
    pub(super) fn in_flight_limit(&self) -> usize {
        (IN_FLIGHT_BYTES / self.average_bytes).clamp(IN_FLIGHT_BLOCKS, IN_FLIGHT_SMALL_BLOCKS)
    }

    fn blocks_per_request(&self) -> usize {
        (REQUEST_BYTES / self.average_bytes).clamp(1, MAX_BLOCKS_PER_REQUEST)
    }

    fn progress(&mut self, now: Mono, peer: PeerNum) {
        self.decay_stall_timeout();
        if let Some(state) = self.peers.get_mut(&peer) {
            state.stall_at = now + self.stall_timeout;
            state.stalls = 0;
            state.failures = 0;
            state.broken_promises = 0;
            state.rest_until = now;
        }
    }

    pub(super) fn shares_path(&self, peer: PeerNum, height: Height) -> bool {
        let shared = self.peers.get(&peer).and_then(|state| state.shared);
        shared.is_some_and(|shared| height <= shared)
    }

    /// When something is due by itself.
    pub(super) fn next_due(&self, now: Mono) -> Option<Mono> {
        let resting = self.wants.has_needed();
        let mut due = self.wants.next_wake();
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

/// Whom to ask for a block.
enum Choice {
    Peer(PeerNum),
    /// Everyone who may have it was tried.
    AllTried,
    /// Those who have it are busy, or nobody has it.
    Wait,
}

fn has_on_path(state: &PeerBodies, want: &Want) -> bool {
    want.on_path && state.shared.is_some_and(|shared| want.height <= shared)
}

fn has_on_its_chain(
    cx: &Context<'_>,
    peers: &Peers,
    peer: PeerNum,
    hash: &BlockHash,
    height: Height,
) -> bool {
    let best = peers.get(peer).and_then(|peer| peer.best);
    let at = best.and_then(|best| cx.chain.ancestor(&best.hash, height));
    at.is_some_and(|header| header.hash == *hash)
}
