//! [`HeaderSync`]: from a peer's claim to its headers in our tree.
//!
//! One peer at a time is asked; another joins in when that one is slow. The fork point is found by locator; while whole
//! messages bring nothing new, the locator is drawn closer, a hundredfold each round.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Work};
use chain::rules::header::check_proof_of_work;
use chain::{Height, Standing};

use super::budget::Budget;
use super::outbox::{Context, Handed};
use super::peers::Peers;
use super::presync::{Presync, Step};
use super::timing::{
    HEADERS_PAUSE, HEADERS_STALL, LOW_WORK_HEADERS, LOW_WORK_HEADERS_PER_PEER, MAX_FAILURES,
    MAX_FALSE_CLAIMS, MAX_HEADER_FETCHES, MAX_LOCATE_ROUNDS, NOT_YET_PAUSE, STALL_TIMEOUT_MAX,
    doubled, earlier,
};
use super::{HeaderProblem, KnownHeader, blame};
use crate::wire::Request;
use crate::wire::limits::{MAX_HEADERS, MAX_LOCATOR};
use crate::{Mono, PeerNum};

/// A tip that a peer says to have, and that we do not know.
#[derive(Clone, Copy, Debug)]
struct Claim {
    hash: BlockHash,
    /// What its status said; nothing if it was only announced.
    work: Option<Work>,
}

/// One peer's part in header sync.
#[derive(Debug, Default)]
struct PeerHeaders {
    claim: Option<Claim>,
    fetch: Option<Fetch>,
    not_before: Mono,
    /// Fetches in a row that brought nothing.
    fruitless: u32,
    /// Fetches in a row that showed less work than was claimed.
    false_claims: u32,
    /// Requests in a row that failed.
    failures: u32,
    low_work_spent: u32,
}

/// A fetch from one peer, from its claim to the end of its headers.
#[derive(Debug)]
struct Fetch {
    stage: Stage,
    asked_at: Mono,
    rounds: u32,
    presync: Option<Presync>,
}

#[derive(Debug)]
enum Stage {
    /// A request is under way. The locator is kept to draw it closer.
    Asked { locator: Vec<BlockHash> },
    /// Headers are with the chain; their hashes, and whether more may follow.
    Handed { hashes: Vec<BlockHash>, full: bool },
}

/// Headers from all peers.
#[derive(Debug)]
pub(super) struct HeaderSync {
    peers: BTreeMap<PeerNum, PeerHeaders>,
    low_work: Budget,
}

/// A message of headers that are linked and have the work they state.
struct Batch {
    headers: Vec<Header>,
    hashes: Vec<BlockHash>,
}

impl HeaderSync {
    pub(super) fn new() -> HeaderSync {
        HeaderSync {
            peers: BTreeMap::new(),
            low_work: Budget::new(LOW_WORK_HEADERS),
        }
    }

    pub(super) fn join(&mut self, peer: PeerNum) {
        self.peers.insert(peer, PeerHeaders::default());
    }

    pub(super) fn leave(&mut self, peer: PeerNum) {
        self.peers.remove(&peer);
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
            None => state.claim = Some(Claim { hash, work }),
        }
    }

    /// Starts fetches: one at a time, more when it is slow.
    pub(super) fn schedule(&mut self, cx: &mut Context<'_>, peers: &mut Peers) {
        while self.may_start(cx.now) {
            let Some(peer) = self.next_candidate(cx, peers) else {
                return;
            };
            self.start(cx, peers, peer);
        }
    }

    fn may_start(&self, now: Mono) -> bool {
        let fetches = self.peers.values().filter_map(|peer| peer.fetch.as_ref());
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
        for (number, state) in &mut self.peers {
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
        state.fetch = Some(Fetch {
            stage,
            asked_at: cx.now,
            rounds: 0,
            presync: None,
        });
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
        }) = &state.fetch
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
        self.peers.values().any(|state| state.fetch.is_some())
    }

    pub(super) fn next_due(&self, now: Mono) -> Option<Mono> {
        let mut due = None;
        let mut waiting = false;
        for state in self.peers.values() {
            if state.claim.is_some() && state.fetch.is_none() {
                waiting = true;
                due = earlier(due, Some(state.not_before).filter(|time| *time > now));
            }
        }
        if waiting {
            let fetches = self.peers.values().filter_map(|state| state.fetch.as_ref());
            let stalls = fetches.map(|fetch| fetch.asked_at + HEADERS_STALL);
            due = earlier(due, stalls.filter(|time| *time > now).min());
        }
        due
    }
}

impl PeerHeaders {
    fn ask(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerNum,
        locator: Vec<BlockHash>,
        stop: Option<BlockHash>,
    ) {
        if let Some(fetch) = &mut self.fetch {
            fetch.asked_at = cx.now;
            fetch.stage = Stage::Asked {
                locator: locator.clone(),
            };
            let stop = stop.unwrap_or_else(BlockHash::all_zeros);
            cx.out
                .request(cx.now, peer, Request::Headers { locator, stop });
        }
    }

    fn ask_presync(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        let presync = self.fetch.as_ref().and_then(|fetch| fetch.presync.as_ref());
        if let Some((locator, stop)) = presync.map(Presync::next_question) {
            self.ask(cx, peer, locator, stop);
        }
    }

    fn hand_on(&mut self, cx: &mut Context<'_>, peer: PeerNum, batch: Batch, full: bool) {
        if let Some(fetch) = &mut self.fetch {
            fetch.rounds = 0;
            fetch.stage = Stage::Handed {
                hashes: batch.hashes,
                full,
            };
            cx.out.accept_headers(peer, batch.headers, Handed::Fetched);
        }
    }

    /// A whole message brought only known headers, from the locator's `shared` up to `last`: asks again with a locator
    /// that is dense between `last` and the lowest hash that the peer did not recognise.
    fn draw_closer(
        &mut self,
        cx: &mut Context<'_>,
        peers: &mut Peers,
        peer: PeerNum,
        shared: BlockHash,
        last: KnownHeader,
    ) {
        let Some(fetch) = &mut self.fetch else { return };
        let Stage::Asked { locator } = &fetch.stage else {
            return;
        };
        fetch.rounds += 1;
        if fetch.rounds > MAX_LOCATE_ROUNDS {
            return self.finish(cx, peers, peer);
        }
        let place = locator.iter().position(|hash| *hash == shared);
        let above = place
            .and_then(|place| place.checked_sub(1))
            .map(|place| locator[place]);
        let closer = above
            .and_then(|above| locator_between(cx, above, last))
            .unwrap_or_else(|| vec![last.hash]);
        self.ask(cx, peer, closer, None);
    }

    /// A full message with less work than our tip: its work is counted before any of it is kept, if the peer's
    /// status promises that it is worth it.
    #[expect(
        clippy::too_many_arguments,
        reason = "the facts that were just found, used once"
    )]
    fn count_first(
        &mut self,
        cx: &mut Context<'_>,
        peers: &mut Peers,
        peer: PeerNum,
        base: KnownHeader,
        batch: &Batch,
        work: Work,
        tip_work: Work,
    ) {
        let promising = self
            .claim
            .and_then(|claim| claim.work)
            .is_some_and(|work| work > tip_work);
        match (&mut self.fetch, batch.hashes.last()) {
            (Some(fetch), Some(last)) if promising => {
                fetch.presync = Some(Presync::new(base, *last, work));
                self.ask_presync(cx, peer);
            }
            _ => self.finish(cx, peers, peer),
        }
    }

    /// The fetch is over. If the claim is still unknown, the peer pauses; showing less than it claimed adds up.
    fn finish(&mut self, cx: &mut Context<'_>, peers: &mut Peers, peer: PeerNum) {
        self.fetch = None;
        let Some(claim) = self.claim.take() else {
            return;
        };
        if let Some(known) = cx.chain.header(&claim.hash) {
            if claim.work.is_some() {
                peers.has_chain(peer, known);
            }
            return;
        }
        self.pause(cx.now);
        let shown = peers
            .get(peer)
            .and_then(|peer| peer.best)
            .map(|best| best.chain_work);
        let more = cx
            .chain
            .tip()
            .chain_work
            .max(shown.unwrap_or(cx.chain.tip().chain_work));
        if claim.work.is_some_and(|work| work > more) {
            self.false_claims += 1;
            if self.false_claims >= MAX_FALSE_CLAIMS {
                cx.out
                    .punish(peer, "claims more work than its headers show");
            }
        }
    }

    fn refused(
        &mut self,
        cx: &mut Context<'_>,
        peers: &mut Peers,
        peer: PeerNum,
        problem: &HeaderProblem,
    ) {
        self.fetch = None;
        self.pause(cx.now);
        if let HeaderProblem::Rule(rule) = problem
            && rule.standing() == Standing::NotYet
        {
            self.not_before = self.not_before.max(cx.now + NOT_YET_PAUSE);
            return;
        }
        self.claim = None;
        let direction = peers.get(peer).map(|peer| peer.direction);
        if let Some(reason) = direction.and_then(|way| blame::for_header(problem, way)) {
            cx.out.punish(peer, reason);
        }
    }

    fn pause(&mut self, now: Mono) {
        self.not_before = now + doubled(HEADERS_PAUSE, self.fruitless, STALL_TIMEOUT_MAX);
        self.fruitless += 1;
    }
}

/// Our locator, with what the peer is known to have in its place by height: it may be on another branch than ours.
fn locator_for(cx: &Context<'_>, peer_best: Option<KnownHeader>) -> Vec<BlockHash> {
    let mut locator = cx.chain.locator();
    if let Some(best) = peer_best {
        let is_above = |hash: &BlockHash| {
            cx.chain
                .header(hash)
                .is_some_and(|header| header.height > best.height)
        };
        let place = locator
            .iter()
            .position(|hash| !is_above(hash))
            .unwrap_or(locator.len());
        if locator.get(place) != Some(&best.hash) {
            locator.insert(place, best.hash);
        }
    }
    locator.truncate(MAX_LOCATOR);
    locator
}

/// Hashes of our chain from just below `above` down to `last`, evenly spread; `None` if nothing lies between them.
fn locator_between(
    cx: &Context<'_>,
    above: BlockHash,
    last: KnownHeader,
) -> Option<Vec<BlockHash>> {
    let top = cx.chain.header(&above)?.height.0;
    let bottom = last.height.0;
    let ours = cx.chain.ancestor(&above, last.height)?;
    if ours.hash != last.hash || top <= bottom {
        return None;
    }
    let most = u32::try_from(MAX_LOCATOR - 1).unwrap_or(u32::MAX);
    let step = (top - bottom).div_ceil(most).max(1);
    let heights = (1..most)
        .map(|n| bottom + n * step)
        .take_while(|height| *height < top);
    let mut hashes: Vec<BlockHash> = heights
        .filter_map(|height| cx.chain.ancestor(&above, Height(height)))
        .map(|header| header.hash)
        .collect();
    hashes.reverse();
    hashes.push(last.hash);
    Some(hashes)
}

impl Batch {
    /// What needs no ancestors is checked here, before the chain is bothered.
    fn checked(headers: Vec<Header>, cx: &Context<'_>) -> Result<Batch, String> {
        if headers.len() > MAX_HEADERS {
            return Err(format!(
                "sent {} headers, at most {MAX_HEADERS} may come",
                headers.len()
            ));
        }
        let hashes: Vec<BlockHash> = headers.iter().map(Header::block_hash).collect();
        let linked = headers
            .iter()
            .skip(1)
            .zip(&hashes)
            .all(|(h, prev)| h.prev_blockhash == *prev);
        if !linked {
            return Err("sent headers that do not link to each other".to_owned());
        }
        for header in &headers {
            check_proof_of_work(header, cx.params)
                .map_err(|rule| format!("sent a bad header: {rule}"))?;
        }
        Ok(Batch { headers, hashes })
    }

    /// As many as fit: more may follow.
    fn is_full(&self) -> bool {
        self.headers.len() == MAX_HEADERS
    }

    fn without_first(mut self, known: usize) -> Batch {
        self.headers.drain(..known);
        self.hashes.drain(..known);
        self
    }
}
