//! What a peer is blamed for, and what not.

use std::time::Duration;

use chain::fixtures::grind;
use p2p::sync::{BlockOutcome, GossipId, Input, RequestId};
use p2p::wire::{Gossip, Response, Verdict};
use p2p::{Direction, Mono, PeerGroup, PeerNum};

use super::{claim, header_requests, headers_on, huge_work, meet, params, respond, serve};
use crate::host::{ALICE, BOB, Node, at, dismissed, up, verdicts};

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

/// Gives the headers of a chain whose first block is invalid here to a node that is connected to who sends them.
fn follows_an_invalid_block(direction: Direction, broke_a_rule: bool) -> Vec<(PeerNum, bool)> {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 5, 1);
    let hash = chain[0].block_hash();
    let mut node = Node::new(&params, 0);
    node.chain
        .accept_header(&chain[0], node.clock)
        .expect("good");
    node.chain.invalidate(&hash).expect("in memory");
    if broke_a_rule {
        let rule = chain::RuleError::TimeNotAfterMedian {
            time: node.clock,
            median: node.clock,
        };
        let outcome = BlockOutcome::Rule(rule);
        let peer = PeerNum(u64::MAX);
        let _ = node.input(
            at(0.0),
            Input::BlockProcessed {
                peer,
                hash,
                outcome,
            },
        );
    }
    let up = Input::PeerUp {
        peer: ALICE,
        direction,
        group: PeerGroup(1),
    };
    let _ = node.input(at(0.0), up);
    let status = claim(&chain, huge_work());
    let told = Input::PeerStatus {
        peer: ALICE,
        status,
    };
    let sent = node.input(at(0.0), told);
    let (_, id, ..) = header_requests(&sent)[0];
    dismissed(&respond(&mut node, at(0.1), ALICE, id, chain))
}

#[test]
fn chains_that_broke_a_rule_are_held_against_those_we_dialled_only() {
    assert_eq!(
        follows_an_invalid_block(Direction::Outbound, true),
        [(ALICE, true)]
    );
    assert_eq!(follows_an_invalid_block(Direction::Inbound, true), []);
}

#[test]
fn what_an_operator_marked_invalid_is_held_against_nobody() {
    for direction in [Direction::Outbound, Direction::Inbound] {
        assert_eq!(follows_an_invalid_block(direction, false), []);
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
