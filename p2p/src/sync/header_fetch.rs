//! [`PeerHeaders`]: one peer's part in header sync: its claim, the fetch that is under way, and how it fared so far.

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Work};
use chain::Standing;

use super::header_batch::Batch;
use super::locator::locator_between;
use super::outbox::{Context, Handed};
use super::peers::Peers;
use super::presync::Presync;
use super::timing::{
    HEADERS_AHEAD_PAUSE, HEADERS_PAUSE, MAX_FALSE_CLAIMS, MAX_LOCATE_ROUNDS, NOT_YET_PAUSE,
    STALL_TIMEOUT_MAX, doubled,
};
use super::{HeaderProblem, KnownHeader, blame};
use crate::wire::Request;
use crate::wire::limits::MAX_LOCATOR;
use crate::{Direction, Mono, PeerGroup, PeerNum};

/// A tip that a peer says to have, and that we do not know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) hash: BlockHash,
    /// What its status said; nothing if it was only announced.
    pub(super) work: Option<Work>,
}

/// One peer's part in header sync.
#[derive(Debug)]
pub(super) struct PeerHeaders {
    pub(super) direction: Direction,
    pub(super) group: PeerGroup,
    pub(super) claim: Option<Claim>,
    /// Boxed: seldom there, and larger than all the rest.
    pub(super) fetch: Option<Box<Fetch>>,
    pub(super) not_before: Mono,
    /// When its last fetch began.
    pub(super) last_asked: Option<Mono>,
    /// Fetches in a row that brought nothing.
    pub(super) fruitless: u32,
    /// Fetches in a row that showed less work than was claimed.
    pub(super) false_claims: u32,
    /// Requests in a row that failed.
    pub(super) failures: u32,
    /// Fetches that brought nothing, and that are not held against its group yet.
    pub(super) new_faults: u32,
}

/// A fetch from one peer, from its claim to the end of its headers.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) stage: Stage,
    pub(super) started: Mono,
    pub(super) asked_at: Mono,
    /// That it does not answer was noted.
    pub(super) noted_silent: bool,
    /// Headers that the chain took.
    pub(super) taken: u64,
    pub(super) rounds: u32,
    pub(super) presync: Option<Presync>,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// A request is under way. The locator is kept to draw it closer.
    Asked { locator: Vec<BlockHash> },
    /// Headers are with the chain; their hashes, and whether more may follow.
    Handed { hashes: Vec<BlockHash>, full: bool },
    /// The headers are far ahead of the bodies: it goes on after this one when those have come closer.
    Parked { last: BlockHash },
}

impl PeerHeaders {
    pub(super) fn new(direction: Direction, group: PeerGroup) -> PeerHeaders {
        PeerHeaders {
            direction,
            group,
            claim: None,
            fetch: None,
            not_before: Mono::ZERO,
            last_asked: None,
            fruitless: 0,
            false_claims: 0,
            failures: 0,
            new_faults: 0,
        }
    }

    pub(super) fn ask(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerNum,
        locator: Vec<BlockHash>,
        stop: Option<BlockHash>,
    ) {
        if let Some(fetch) = &mut self.fetch {
            fetch.asked_at = cx.now;
            fetch.noted_silent = false;
            fetch.stage = Stage::Asked {
                locator: locator.clone(),
            };
            let stop = stop.unwrap_or_else(BlockHash::all_zeros);
            cx.out
                .request(cx.now, peer, Request::Headers { locator, stop });
        }
    }

    pub(super) fn ask_presync(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        let presync = self.fetch.as_ref().and_then(|fetch| fetch.presync.as_ref());
        if let Some((locator, stop)) = presync.map(Presync::next_question) {
            self.ask(cx, peer, locator, stop);
        }
    }

    /// Asks for what follows after `last`.
    pub(super) fn ask_on(&mut self, cx: &mut Context<'_>, peer: PeerNum, last: BlockHash) {
        let counted = self
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.presync.is_some());
        if counted {
            return self.ask_presync(cx, peer);
        }
        let locator = std::iter::once(last).chain(cx.chain.locator());
        self.ask(cx, peer, locator.take(MAX_LOCATOR).collect(), None);
    }

    /// Waits for bodies.
    pub(super) fn park(&mut self, now: Mono, last: BlockHash) {
        if let Some(fetch) = &mut self.fetch {
            fetch.stage = Stage::Parked { last };
            self.not_before = now + HEADERS_AHEAD_PAUSE;
        }
    }

    pub(super) fn hand_on(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerNum,
        batch: Batch,
        full: bool,
    ) {
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
    pub(super) fn draw_closer(
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
    pub(super) fn count_first(
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
                fetch.presync = Some(Presync::new(base, *last, work, fetch.started));
                self.ask_presync(cx, peer);
            }
            _ => self.finish(cx, peers, peer),
        }
    }

    /// The fetch is over. If the claim is still unknown, the peer pauses; showing less than it claimed adds up.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>, peers: &mut Peers, peer: PeerNum) {
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

    pub(super) fn refused(
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
        if let Some(reason) = direction.and_then(|way| blame::for_header(problem, way, false)) {
            cx.out.punish(peer, reason);
        }
    }

    pub(super) fn pause(&mut self, now: Mono) {
        self.not_before = now + doubled(HEADERS_PAUSE, self.fruitless, STALL_TIMEOUT_MAX);
        self.fruitless += 1;
        self.new_faults += 1;
    }
}
