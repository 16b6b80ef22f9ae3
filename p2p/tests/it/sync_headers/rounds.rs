//! How many questions it takes: long chains, deep forks, false claims, slow peers.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use chain::Height;
use p2p::sync::Input;
use p2p::wire::TipStatus;

use super::{claim, header_requests, headers_on, huge_work, meet, params, play, respond, serve};
use crate::host::{ALICE, BOB, Node, at, dismissed, up};

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
