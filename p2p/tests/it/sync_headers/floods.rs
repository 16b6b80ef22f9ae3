//! Chains, forks and announcements that cost little work.

use std::cell::Cell;
use std::sync::Arc;

use bitcoin::{BlockHash, Work};
use chain::fixtures::grind;
use chain::{Chain, Height};
use p2p::sync::{Action, ChainView, GossipId, Input, KnownHeader, SyncEngine};
use p2p::wire::limits::{LOW_WORK_HEADERS, MAX_SIDE_HEADERS_INBOUND};
use p2p::wire::{Gossip, Request, Response, TipStatus, Verdict};
use p2p::{Direction, PeerGroup};

use super::{claim, headers_on, huge_work, params, serve};
use crate::host::{ALICE, Pool, at};

/// A chain with much more work than it has.
struct Rich<'a>(&'a Chain);

impl ChainView for Rich<'_> {
    fn header(&self, hash: &BlockHash) -> Option<KnownHeader> {
        self.0.header(hash)
    }
    fn best_header(&self) -> KnownHeader {
        self.0.best_header()
    }
    fn tip(&self) -> TipStatus {
        let mut bytes = [0; 32];
        bytes[20] = 1;
        TipStatus {
            chain_work: Work::from_be_bytes(bytes),
            ..ChainView::tip(self.0)
        }
    }
    fn locator(&self) -> Vec<BlockHash> {
        self.0.locator()
    }
    fn ancestor(&self, of: &BlockHash, height: Height) -> Option<KnownHeader> {
        self.0.ancestor(of, height)
    }
    fn fork_point(&self, a: &BlockHash, b: &BlockHash) -> Option<KnownHeader> {
        self.0.fork_point(a, b)
    }
    fn side_headers(&self) -> usize {
        self.0.side_headers()
    }
}

#[test]
fn case_33_a_flood_of_cheap_headers_is_counted_but_not_kept() {
    let params = params();
    let flood = headers_on(&params, &params.genesis.header, 13_000, 1);
    let chain = Chain::in_memory(Arc::clone(&params));
    let view = Rich(&chain);
    let pool = Pool::default();
    let mut engine = SyncEngine::new(Arc::clone(&params), 0);
    let handed = Cell::new(0);
    let mut step = |now, input| {
        let mut asked = None;
        for action in engine.handle(now, input, &view, &pool) {
            match action {
                Action::Request {
                    id,
                    request: Request::Headers { locator, stop },
                    ..
                } => {
                    asked = Some((id, locator, stop));
                }
                Action::AcceptHeaders { headers, .. } => handed.set(handed.get() + headers.len()),
                Action::Punish { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
        asked
    };
    step(
        at(0.0),
        Input::PeerUp {
            peer: ALICE,
            direction: Direction::Inbound,
            group: PeerGroup(1),
        },
    );
    let status = claim(&flood, huge_work());
    let mut asked = step(
        at(0.0),
        Input::PeerStatus {
            peer: ALICE,
            status,
        },
    );
    let mut rounds = 0;
    while let Some((id, locator, stop)) = asked {
        rounds += 1;
        let response = Response::Headers(serve(&flood, &locator, stop));
        asked = step(
            at(1.0),
            Input::Response {
                peer: ALICE,
                id,
                response,
            },
        );
    }
    assert_eq!(rounds, 7, "all of it was looked at once");
    assert_eq!(handed.get(), 0, "and nothing of it kept");
    assert_eq!(chain.tree().len(), 1);
}

#[test]
fn case_34_many_low_forks_spend_a_budget() {
    let params = params();
    let chain = Chain::in_memory(Arc::clone(&params));
    let view = Rich(&chain);
    let pool = Pool::default();
    let mut engine = SyncEngine::new(Arc::clone(&params), 0);
    let mut handed = 0;
    let up = Input::PeerUp {
        peer: ALICE,
        direction: Direction::Inbound,
        group: PeerGroup(1),
    };
    let _ = engine.handle(at(0.0), up, &view, &pool);
    for n in 0..50u8 {
        let fork = headers_on(&params, &params.genesis.header, 400, n);
        // Less work than ours: worth a look, not more.
        let status = claim(&fork, fork[0].work());
        let now = at(100.0 * f64::from(n));
        let mut actions = engine.handle(
            now,
            Input::PeerStatus {
                peer: ALICE,
                status,
            },
            &view,
            &pool,
        );
        while let Some(action) = actions.pop() {
            match action {
                Action::Request {
                    id,
                    request: Request::Headers { .. },
                    ..
                } => {
                    let response = Response::Headers(fork.clone());
                    let input = Input::Response {
                        peer: ALICE,
                        id,
                        response,
                    };
                    actions.extend(engine.handle(now, input, &view, &pool));
                }
                Action::AcceptHeaders { headers, .. } => {
                    handed += headers.len();
                    let input = Input::HeadersProcessed {
                        peer: ALICE,
                        accepted: headers.len(),
                        error: None,
                    };
                    actions.extend(engine.handle(now, input, &view, &pool));
                }
                Action::Punish { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    }
    // 2,000 at once, then one a second; each fork as a whole or not at all.
    assert!(
        (2_000..=2_000 + 4_900).contains(&handed),
        "{handed} of 20,000"
    );
}

/// A chain that knows so many headers beside its own.
struct Crowded<'a>(&'a Chain, usize);

impl ChainView for Crowded<'_> {
    fn header(&self, hash: &BlockHash) -> Option<KnownHeader> {
        self.0.header(hash)
    }
    fn best_header(&self) -> KnownHeader {
        self.0.best_header()
    }
    fn tip(&self) -> TipStatus {
        ChainView::tip(self.0)
    }
    fn locator(&self) -> Vec<BlockHash> {
        self.0.locator()
    }
    fn ancestor(&self, of: &BlockHash, height: Height) -> Option<KnownHeader> {
        self.0.ancestor(of, height)
    }
    fn fork_point(&self, a: &BlockHash, b: &BlockHash) -> Option<KnownHeader> {
        self.0.fork_point(a, b)
    }
    fn side_headers(&self) -> usize {
        self.1
    }
}

/// How many of `count` announcements are passed on by a node that knows `side` headers beside its chain.
fn announced_to(side: usize, direction: Direction, count: usize) -> usize {
    let params = params();
    let chain = Chain::in_memory(Arc::clone(&params));
    let view = Crowded(&chain, side);
    let pool = Pool::default();
    let mut engine = SyncEngine::new(Arc::clone(&params), 0);
    let up = Input::PeerUp {
        peer: ALICE,
        direction,
        group: PeerGroup(1),
    };
    let _ = engine.handle(at(0.0), up, &view, &pool);
    let (mut handed, mut accepted) = (0, 0);
    for number in 0..count {
        let mut header = params.genesis.header;
        header.prev_blockhash = params.genesis.header.block_hash();
        header.time += u32::try_from(number).expect("few") + 1;
        grind(&mut header);
        let announcement = Input::Announcement {
            peer: ALICE,
            id: GossipId(number as u64),
            gossip: Gossip::Header(header),
        };
        let mut actions = engine.handle(at(0.0), announcement, &view, &pool);
        while let Some(action) = actions.pop() {
            match action {
                Action::AcceptHeaders { .. } => {
                    handed += 1;
                    let input = Input::HeadersProcessed {
                        peer: ALICE,
                        accepted: 1,
                        error: None,
                    };
                    actions.extend(engine.handle(at(0.0), input, &view, &pool));
                }
                Action::Verdict { verdict, .. } => {
                    accepted += usize::from(verdict == Verdict::Accept);
                }
                Action::Punish { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
    }
    assert_eq!(handed, accepted, "what is not kept is not passed on");
    handed
}

/// Announced headers were charged to nobody, whatever their number: on a network of trivial difficulty they filled the memory.
#[test]
fn announced_headers_are_charged_to_the_room_for_side_headers() {
    let budget = LOW_WORK_HEADERS as usize;
    let count = budget + 100;
    let full = MAX_SIDE_HEADERS_INBOUND;
    assert_eq!(announced_to(full, Direction::Inbound, count), budget);
    assert_eq!(announced_to(full - 50, Direction::Inbound, count), count);
    assert_eq!(
        announced_to(full, Direction::Outbound, count),
        count,
        "there is room for those that we chose"
    );
}
