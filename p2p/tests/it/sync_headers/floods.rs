//! Chains and forks that cost little work.

use std::cell::Cell;
use std::sync::Arc;

use bitcoin::{BlockHash, Work};
use chain::{Chain, Height};
use p2p::sync::{Action, ChainView, Input, KnownHeader, SyncEngine};
use p2p::wire::{Request, Response, TipStatus};
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
    for n in 0..200u8 {
        let fork = headers_on(&params, &params.genesis.header, 100, n);
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
    assert_eq!(handed, 2_000, "of 20,000");
}
