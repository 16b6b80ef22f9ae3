//! The engine driven by hand: headers, claims and the fork point (group B of the fault checklist).

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, TxMerkleNode, Work};
use chain::fixtures::{grind, test_params};
use chain::{Chain, Height, Params};
use p2p::sync::{Action, ChainView, GossipId, Input, KnownHeader, RequestId, SyncEngine};
use p2p::wire::limits::MAX_HEADERS;
use p2p::wire::{Gossip, Request, Response, TipStatus, Verdict};
use p2p::{Direction, Mono, PeerNum};

use crate::host::{Node, Pool, Sent, at, dismissed, requests, up, verdicts};

const ALICE: PeerNum = PeerNum(1);
const BOB: PeerNum = PeerNum(2);

fn params() -> Arc<Params> {
    Arc::new(test_params())
}

/// `count` headers on `parent`, with real if trivial work; `tag` makes them differ.
fn headers_on(params: &Params, parent: &Header, count: usize, tag: u8) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::with_capacity(count);
    let mut last = *parent;
    for n in 0..count {
        let mut root = [tag; 32];
        root[..8].copy_from_slice(&(n as u64).to_le_bytes());
        let mut header = Header {
            prev_blockhash: last.block_hash(),
            merkle_root: TxMerkleNode::from_byte_array(root),
            time: last.time + 1,
            bits: params.genesis.header.bits,
            nonce: 0,
            version: last.version,
        };
        header.version = bitcoin::block::Version::from_consensus(0x2000_0000);
        grind(&mut header);
        headers.push(header);
        last = header;
    }
    headers
}

/// What an honest peer with this header chain answers.
fn serve(chain: &[Header], locator: &[BlockHash], stop: BlockHash) -> Vec<Header> {
    let place = |hash: &BlockHash| chain.iter().position(|header| header.block_hash() == *hash);
    let start = locator.iter().find_map(place).map_or(0, |place| place + 1);
    let end = place(&stop).map_or(chain.len(), |place| place + 1);
    chain[start..end.max(start)]
        .iter()
        .take(MAX_HEADERS)
        .copied()
        .collect()
}

fn claim(chain: &[Header], work: Work) -> TipStatus {
    let hash = chain.last().expect("not empty").block_hash();
    TipStatus {
        hash,
        height: Height(chain.len() as u32),
        chain_work: work,
    }
}

fn huge_work() -> Work {
    Work::from_be_bytes([1; 32])
}

/// Connects a peer that claims a tip; gives what the node wants of it.
fn meet(node: &mut Node, peer: PeerNum, status: TipStatus) -> Vec<Sent> {
    let mut sent = node.input(at(0.0), up(peer));
    sent.extend(node.input(at(0.0), Input::PeerStatus { peer, status }));
    sent
}

fn header_requests(sent: &[Sent]) -> Vec<(PeerNum, RequestId, Vec<BlockHash>, BlockHash)> {
    let mut found = Vec::new();
    for (peer, id, request) in requests(sent) {
        if let Request::Headers { locator, stop } = request {
            found.push((peer, id, locator, stop));
        }
    }
    found
}

fn respond(
    node: &mut Node,
    now: Mono,
    peer: PeerNum,
    id: RequestId,
    headers: Vec<Header>,
) -> Vec<Sent> {
    node.input(
        now,
        Input::Response {
            peer,
            id,
            response: Response::Headers(headers),
        },
    )
}

/// Plays the honest peer until no more headers are asked for; gives the number of rounds.
fn play(node: &mut Node, peer: PeerNum, chain: &[Header], mut sent: Vec<Sent>) -> usize {
    let mut rounds = 0;
    while let Some((_, id, locator, stop)) = header_requests(&sent).pop() {
        rounds += 1;
        assert!(rounds < 40, "no end");
        sent = respond(node, at(1.0), peer, id, serve(chain, &locator, stop));
        assert!(dismissed(&sent).is_empty(), "{sent:?}");
    }
    rounds
}

#[test]
fn headers_come_two_thousand_at_a_time_until_none_are_left() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 4_500, 1);
    let mut node = Node::new(&params, 0);
    let sent = meet(&mut node, ALICE, claim(&chain, huge_work()));
    assert_eq!(play(&mut node, ALICE, &chain, sent), 3);
    assert_eq!(node.chain.tree().best_header().height, Height(4_500));
    assert!(!node.engine.progress().fetching_headers);
}

#[test]
fn case_36_the_fork_point_of_a_deep_fork_is_found_in_few_rounds() {
    let params = params();
    let shared = headers_on(&params, &params.genesis.header, 9_000, 1);
    let mut ours = shared.clone();
    ours.extend(headers_on(&params, &shared[8_999], 9_000, 2));
    let mut theirs = shared.clone();
    theirs.extend(headers_on(&params, &shared[8_999], 9_500, 3));

    let mut node = Node::new(&params, 0);
    for header in &ours {
        node.chain
            .accept_header(header, node.clock)
            .expect("good header");
    }
    let before = node.accepted_headers;
    let sent = meet(&mut node, ALICE, claim(&theirs, huge_work()));
    let rounds = play(&mut node, ALICE, &theirs, sent);
    assert_eq!(node.accepted_headers - before, 9_500);
    assert_eq!(
        node.chain.tree().best_header().hash,
        theirs[18_499].block_hash()
    );
    // Five messages carry the branch; what is left is the search, in a chain of 18,000.
    assert!(rounds - 5 <= 3, "{rounds}");
}

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

#[test]
fn case_32_headers_that_do_not_link_are_punished() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 10, 1);
    let mut node = Node::new(&params, 0);
    let sent = meet(&mut node, ALICE, claim(&chain, huge_work()));
    let (_, id, ..) = header_requests(&sent)[0];
    let gap = vec![chain[0], chain[2]];
    assert_eq!(
        dismissed(&respond(&mut node, at(0.1), ALICE, id, gap)),
        [(ALICE, true)]
    );
    assert_eq!(node.accepted_headers, 0);
}

#[test]
fn case_31_headers_that_follow_nothing_we_named_are_punished() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 10, 1);
    let mut node = Node::new(&params, 0);
    let sent = meet(&mut node, ALICE, claim(&chain, huge_work()));
    let (_, id, ..) = header_requests(&sent)[0];
    let sent = respond(&mut node, at(0.1), ALICE, id, chain[3..].to_vec());
    assert_eq!(dismissed(&sent), [(ALICE, true)]);
}

#[test]
fn case_30_a_header_without_work_is_punished_and_not_forwarded() {
    let params = params();
    let mut bad = headers_on(&params, &params.genesis.header, 1, 1)[0];
    let target = bitcoin::Target::from_compact(bad.bits);
    while target.is_met_by(bad.block_hash()) {
        bad.nonce += 1;
    }
    let mut node = Node::new(&params, 0);
    let sent = meet(&mut node, ALICE, claim(&[bad], huge_work()));
    let (_, id, ..) = header_requests(&sent)[0];
    assert_eq!(
        dismissed(&respond(&mut node, at(0.1), ALICE, id, vec![bad])),
        [(ALICE, true)]
    );

    let _ = node.input(at(0.2), up(BOB));
    let gossip = Gossip::Header(bad);
    let sent = node.input(
        at(0.3),
        Input::Announcement {
            peer: BOB,
            id: GossipId(5),
            gossip,
        },
    );
    assert_eq!(verdicts(&sent), [(GossipId(5), Verdict::Reject)]);
    assert_eq!(dismissed(&sent), [(BOB, true)]);
    assert_eq!(node.accepted_headers, 0);
}

#[test]
fn case_30_an_announced_header_with_wrong_bits_is_rejected() {
    let params = params();
    let mut bad = headers_on(&params, &params.genesis.header, 1, 1)[0];
    bad.bits = bitcoin::CompactTarget::from_consensus(0x203f_ffff);
    grind(&mut bad);
    let mut node = Node::new(&params, 0);
    let _ = node.input(at(0.0), up(BOB));
    let gossip = Gossip::Header(bad);
    let sent = node.input(
        at(0.3),
        Input::Announcement {
            peer: BOB,
            id: GossipId(5),
            gossip,
        },
    );
    assert_eq!(verdicts(&sent), [(GossipId(5), Verdict::Reject)]);
    assert_eq!(dismissed(&sent), [(BOB, true)]);
}

#[test]
fn case_45_claims_that_no_headers_follow_are_punished_in_the_end() {
    let params = params();
    let mut node = Node::new(&params, 0);
    let mut sent = node.input(at(0.0), up(ALICE));
    let mut asked = 0;
    for n in 0..20u8 {
        let hash = BlockHash::from_byte_array([n + 1; 32]);
        let status = TipStatus {
            hash,
            height: Height(9),
            chain_work: huge_work(),
        };
        let now = at(f64::from(n) * 100.0);
        sent = node.input(
            now,
            Input::PeerStatus {
                peer: ALICE,
                status,
            },
        );
        let Some((_, id, ..)) = header_requests(&sent).pop() else {
            continue;
        };
        asked += 1;
        sent = respond(&mut node, now, ALICE, id, Vec::new());
        if !dismissed(&sent).is_empty() {
            break;
        }
    }
    assert_eq!(dismissed(&sent), [(ALICE, true)]);
    assert_eq!(asked, 4);
}

#[test]
fn a_slow_peer_gets_company_after_two_seconds() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 10, 1);
    let mut node = Node::new(&params, 0);
    let mut sent = meet(&mut node, ALICE, claim(&chain, huge_work()));
    sent.extend(meet(&mut node, BOB, claim(&chain, huge_work())));
    let asked: Vec<_> = header_requests(&sent)
        .into_iter()
        .map(|(peer, ..)| peer)
        .collect();
    assert_eq!(asked, [ALICE], "one at first");
    assert!(header_requests(&node.input(at(1.9), Input::Tick)).is_empty());
    let asked = header_requests(&node.input(at(2.0), Input::Tick));
    assert_eq!(asked.len(), 1);
    let (peer, id, locator, stop) = asked[0].clone();
    assert_eq!(peer, BOB);
    let _ = respond(&mut node, at(2.1), BOB, id, serve(&chain, &locator, stop));
    assert_eq!(node.chain.tree().best_header().height, Height(10));
}

#[test]
fn a_peer_that_answers_no_request_is_let_go_after_a_few() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 10, 1);
    let mut node = Node::new(&params, 0);
    let _ = meet(&mut node, ALICE, claim(&chain, huge_work()));
    let mut gone = Vec::new();
    for second in 1..300 {
        gone.extend(dismissed(&node.input(at(f64::from(second)), Input::Tick)));
    }
    assert_eq!(gone, [(ALICE, false)], "not held against it");
    assert_eq!(node.engine.progress().peers, 0);
}

#[test]
fn case_76_a_header_ahead_of_our_clock_is_tried_again_and_nobody_is_blamed() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 3, 1);
    let mut node = Node::new(&params, 0);
    node.clock = chain::Timestamp(chain[0].time - params.max_future_s - 1);
    let sent = meet(&mut node, ALICE, claim(&chain, huge_work()));
    let (_, id, ..) = header_requests(&sent)[0];
    let sent = respond(&mut node, at(0.1), ALICE, id, chain.clone());
    assert!(dismissed(&sent).is_empty());
    assert!(
        header_requests(&node.input(at(5.0), Input::Tick)).is_empty(),
        "not at once"
    );

    node.clock = chain::Timestamp(chain[2].time);
    let sent = node.input(at(10.2), Input::Tick);
    let (_, id, ..) = header_requests(&sent)[0];
    let _ = respond(&mut node, at(10.3), ALICE, id, chain.clone());
    assert_eq!(node.chain.tree().best_header().height, Height(3));
}

#[test]
fn case_31_an_announcement_without_parent_asks_for_the_ancestors_and_blames_nobody() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 5, 1);
    let mut node = Node::new(&params, 0);
    let _ = node.input(at(0.0), up(ALICE));
    let gossip = Gossip::Header(chain[4]);
    let id = GossipId(1);
    let sent = node.input(
        at(0.1),
        Input::Announcement {
            peer: ALICE,
            id,
            gossip,
        },
    );
    assert_eq!(verdicts(&sent), [(id, Verdict::Ignore)]);
    let (_, request, ..) = header_requests(&sent)[0];
    // The announcer itself has not connected the block yet: its headers end at the parent.
    let sent = respond(&mut node, at(0.2), ALICE, request, chain[..4].to_vec());
    assert!(dismissed(&sent).is_empty());
    assert_eq!(
        node.chain.tree().best_header().hash,
        chain[4].block_hash(),
        "the orphan was kept"
    );
}

#[test]
fn case_49_a_flood_of_orphans_costs_little() {
    let params = params();
    let mut node = Node::new(&params, 0);
    let _ = node.input(at(0.0), up(ALICE));
    let mut asked = 0;
    for n in 0..10_000u64 {
        let mut orphan = params.genesis.header;
        let mut parent = [9; 32];
        parent[..8].copy_from_slice(&n.to_le_bytes());
        orphan.prev_blockhash = BlockHash::from_byte_array(parent);
        grind(&mut orphan);
        let gossip = Gossip::Header(orphan);
        let input = Input::Announcement {
            peer: ALICE,
            id: GossipId(n),
            gossip,
        };
        let sent = node.input(at(0.001 * n as f64), input);
        assert!(dismissed(&sent).is_empty());
        for (_, id, ..) in header_requests(&sent) {
            asked += 1;
            let _ = respond(&mut node, at(0.001 * n as f64), ALICE, id, Vec::new());
        }
    }
    assert!(asked <= 6, "asked {asked} times in ten seconds");
    assert_eq!(node.accepted_headers, 0);
}

#[test]
fn answers_that_were_not_asked_for_are_ignored_and_of_another_kind_punished() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 5, 1);
    let mut node = Node::new(&params, 0);
    let sent = meet(&mut node, ALICE, claim(&chain, huge_work()));
    let (_, id, ..) = header_requests(&sent)[0];
    let _ = node.input(at(0.0), up(BOB));
    // Bob answers what Alice was asked; Alice answers what nobody was asked.
    assert!(dismissed(&respond(&mut node, at(0.1), BOB, id, chain.clone())).is_empty());
    let unknown = RequestId(999);
    assert!(dismissed(&respond(&mut node, at(0.1), ALICE, unknown, chain.clone())).is_empty());
    assert_eq!(node.accepted_headers, 0);

    let response = Response::Peers(Vec::new());
    let sent = node.input(
        at(0.2),
        Input::Response {
            peer: ALICE,
            id,
            response,
        },
    );
    assert_eq!(dismissed(&sent), [(ALICE, true)]);
}

#[test]
fn a_malformed_answer_is_punished_and_a_failed_one_is_not() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 5, 1);
    for (malformed, expected) in [(true, vec![(ALICE, true)]), (false, vec![])] {
        let mut node = Node::new(&params, 0);
        let sent = meet(&mut node, ALICE, claim(&chain, huge_work()));
        let (_, id, ..) = header_requests(&sent)[0];
        let sent = node.input(
            at(0.1),
            Input::RequestFailed {
                peer: ALICE,
                id,
                malformed,
            },
        );
        assert_eq!(dismissed(&sent), expected);
    }
}

#[test]
fn known_invalid_chains_are_held_against_those_we_dialled_only() {
    let params = params();
    for (direction, expected) in [
        (Direction::Outbound, vec![(ALICE, true)]),
        (Direction::Inbound, vec![]),
    ] {
        let chain = headers_on(&params, &params.genesis.header, 5, 1);
        let mut node = Node::new(&params, 0);
        node.chain
            .accept_header(&chain[0], node.clock)
            .expect("good");
        node.chain
            .invalidate(&chain[0].block_hash())
            .expect("in memory");
        let _ = node.input(
            at(0.0),
            Input::PeerUp {
                peer: ALICE,
                direction,
            },
        );
        let status = claim(&chain, huge_work());
        let sent = node.input(
            at(0.0),
            Input::PeerStatus {
                peer: ALICE,
                status,
            },
        );
        let (_, id, ..) = header_requests(&sent)[0];
        let sent = respond(&mut node, at(0.1), ALICE, id, chain);
        assert_eq!(dismissed(&sent), expected, "{direction:?}");
    }
}

#[test]
fn the_same_inputs_give_the_same_actions() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 3_000, 1);
    let run = || {
        let mut node = Node::new(&params, 7);
        let mut log = String::new();
        let mut sent = meet(&mut node, ALICE, claim(&chain, huge_work()));
        sent.extend(meet(&mut node, BOB, claim(&chain, huge_work())));
        for round in 1..8 {
            log += &format!("{sent:?}");
            let asked = header_requests(&sent);
            sent = node.input(Mono::ZERO + Duration::from_secs(round), Input::Tick);
            for (peer, id, locator, stop) in asked {
                let headers = serve(&chain, &locator, stop);
                sent.extend(respond(&mut node, at(round as f64), peer, id, headers));
            }
        }
        log
    };
    assert_eq!(run(), run());
}
