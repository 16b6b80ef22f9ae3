//! What is asked of one peer by name: parents of what it sent, and blocks that an operator wants of it.

use std::sync::Arc;

use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash, Transaction, Txid};
use chain::fixtures::test_params;
use p2p::sync::{Input, RequestId};
use p2p::wire::{BlockBytes, Request, Response};
use p2p::{Mono, PeerNum};

use crate::host::{ALICE, BOB, Node, Sent, at, body_requests, dismissed, requests, up};

fn transaction_requests(sent: &[Sent]) -> Vec<(PeerNum, RequestId, Vec<Txid>)> {
    let mut found = Vec::new();
    for (peer, id, request) in requests(sent) {
        if let Request::Transactions(txids) = request {
            found.push((peer, id, txids));
        }
    }
    found
}

fn txid(number: u8) -> Txid {
    Txid::from_byte_array([number; 32])
}

fn parents_missing(node: &mut Node, peer: PeerNum, numbers: &[u8]) -> Vec<Sent> {
    let txids = numbers.iter().copied().map(txid).collect();
    node.input(at(1.0), Input::ParentsMissing { peer, txids })
}

fn two_peers() -> Node {
    let mut node = Node::new(&Arc::new(test_params()), 0);
    let _ = node.input(at(0.0), up(ALICE));
    let _ = node.input(at(0.0), up(BOB));
    node
}

#[test]
fn missing_parents_are_asked_of_who_sent_the_child_and_of_nobody_else() {
    let mut node = two_peers();
    let sent = parents_missing(&mut node, ALICE, &[1, 2]);
    let asked = transaction_requests(&sent);
    assert_eq!(asked.len(), 1);
    let (peer, id, ref txids) = asked[0];
    assert_eq!((peer, txids), (ALICE, &vec![txid(1), txid(2)]));
    let sent = parents_missing(&mut node, BOB, &[2]);
    assert!(transaction_requests(&sent).is_empty(), "it is on its way");
    // While that goes on, more is needed of the same peer: one request at a time.
    let sent = parents_missing(&mut node, ALICE, &[3]);
    assert!(transaction_requests(&sent).is_empty());
    let response = Response::Transactions(Vec::new());
    let sent = node.input(at(1.1), Input::Response { peer, id, response });
    // The first two were not given: the other sender is asked for the one that it must have, too.
    let asked = transaction_requests(&sent);
    let asked: Vec<_> = asked
        .into_iter()
        .map(|(peer, _, ids)| (peer, ids))
        .collect();
    assert_eq!(asked, [(ALICE, vec![txid(3)]), (BOB, vec![txid(2)])]);
}

#[test]
fn a_peer_that_makes_up_parents_without_end_is_asked_for_a_bounded_number() {
    let mut node = two_peers();
    let many = |first: u32| -> Vec<Txid> {
        (first..first + 5_000)
            .map(|n| Txid::hash(&n.to_le_bytes()))
            .collect()
    };
    let txids = many(0);
    let mut sent = node.input(at(1.0), Input::ParentsMissing { peer: ALICE, txids });
    let txids = many(5_000);
    let more = node.input(at(1.0), Input::ParentsMissing { peer: ALICE, txids });
    assert!(transaction_requests(&more).is_empty());
    let mut asked = 0;
    while let Some((peer, id, txids)) = transaction_requests(&sent).pop() {
        asked += txids.len();
        let response = Response::Transactions(Vec::new());
        sent = node.input(at(1.1), Input::Response { peer, id, response });
    }
    assert!((1_000..=2_000).contains(&asked), "{asked} of 10,000");
}

/// Both peers are level with the node and have the same transaction, which Alice was asked for.
fn asked_of_alice(tx: &Transaction) -> (Node, RequestId) {
    let mut node = two_peers();
    let status = node.status();
    let mut asked = Vec::new();
    for peer in [ALICE, BOB] {
        let sent = node.input(at(1.0), Input::PeerStatus { peer, status });
        let ids = requests(&sent)
            .into_iter()
            .find(|(_, _, request)| *request == Request::MempoolIds);
        let (_, id, _) = ids.expect("mempools are compared");
        let response = Response::MempoolIds(vec![tx.compute_txid()]);
        let sent = node.input(at(1.1), Input::Response { peer, id, response });
        asked.extend(transaction_requests(&sent));
    }
    assert_eq!(asked.len(), 1, "one is enough");
    assert_eq!(asked[0].0, ALICE);
    (node, asked[0].1)
}

fn a_transaction() -> Transaction {
    Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn::default()],
        output: vec![],
    }
}

#[test]
fn what_a_silent_peer_owes_is_asked_of_another_that_has_it() {
    let tx = a_transaction();
    for leaves in [false, true] {
        let (mut node, id) = asked_of_alice(&tx);
        let input = match leaves {
            true => Input::PeerDown { peer: ALICE },
            false => Input::RequestFailed {
                peer: ALICE,
                id,
                malformed: false,
            },
        };
        let sent = node.input(at(11.0), input);
        let (peer, _, txids) = transaction_requests(&sent)[0].clone();
        assert_eq!((peer, txids), (BOB, vec![tx.compute_txid()]));
    }
}

/// Whoever took ten seconds to give nothing kept everyone else from giving it.
#[test]
fn what_a_silent_peer_owes_is_asked_of_another_after_two_seconds() {
    let tx = a_transaction();
    let (mut node, id) = asked_of_alice(&tx);
    let sent = node.input(at(2.9), Input::Tick);
    assert!(transaction_requests(&sent).is_empty(), "it may still come");
    let sent = node.input(at(3.2), Input::Tick);
    let (peer, of_bob, txids) = transaction_requests(&sent)[0].clone();
    assert_eq!((peer, txids), (BOB, vec![tx.compute_txid()]));
    // What comes late is welcome, and changes nothing about who is asked now.
    let late = |peer, id| Input::Response {
        peer,
        id,
        response: Response::Transactions(vec![tx.clone()]),
    };
    let sent = node.input(at(3.3), late(ALICE, id));
    assert!(dismissed(&sent).is_empty() && transaction_requests(&sent).is_empty());
    assert_eq!(node.pool.len(), 1);
    let sent = node.input(at(3.4), late(BOB, of_bob));
    assert!(dismissed(&sent).is_empty());
}

#[test]
fn one_transaction_with_two_witnesses_is_not_what_was_asked_for() {
    let tx = a_transaction();
    let (mut node, id) = asked_of_alice(&tx);
    let mut other = tx.clone();
    other.input[0].witness.push([1]);
    assert_eq!(other.compute_txid(), tx.compute_txid());
    let response = Response::Transactions(vec![tx, other]);
    let sent = node.input(
        at(1.2),
        Input::Response {
            peer: ALICE,
            id,
            response,
        },
    );
    assert_eq!(dismissed(&sent), [(ALICE, true)]);
    assert_eq!(node.pool.len(), 0);
}

/// A node that is past a fork of two blocks whose headers it knows, and the blocks of that fork.
fn past_a_fork() -> (Node, Vec<Block>) {
    let params = Arc::new(test_params());
    let mut node = two_peers();
    node.grow(5, 1);
    let mut other = Node::new(&params, 1);
    let hashes = other.grow(2, 2);
    let blocks: Vec<Block> = hashes.iter().map(|hash| other.block(hash)).collect();
    for block in &blocks {
        node.chain
            .accept_header(&block.header, node.clock)
            .expect("a good header");
    }
    (node, blocks)
}

fn order(node: &mut Node, hash: BlockHash, peer: PeerNum, now: Mono) -> Vec<Sent> {
    node.engine.want_block_from(hash, peer);
    node.input(now, Input::Tick)
}

#[test]
fn an_ordered_block_comes_from_the_peer_that_was_named_though_it_is_on_a_losing_branch() {
    let (mut node, blocks) = past_a_fork();
    let hash = blocks[0].block_hash();
    let sent = order(&mut node, hash, BOB, at(1.0));
    let (peer, id, hashes) = body_requests(&sent)[0].clone();
    assert_eq!((peer, hashes), (BOB, vec![hash]));
    let block = BlockBytes::Theirs(Box::new(blocks[0].clone()));
    let response = Response::Blocks(vec![block]);
    let sent = node.input(at(1.1), Input::Response { peer, id, response });
    assert!(dismissed(&sent).is_empty());
    assert!(node.chain.block(&hash).expect("in memory").is_some());
}

#[test]
fn an_ordered_block_that_the_peer_has_not_is_asked_of_nobody_else() {
    let (mut node, blocks) = past_a_fork();
    let hash = blocks[0].block_hash();
    let mut sent = order(&mut node, hash, BOB, at(1.0));
    let (peer, id, _) = body_requests(&sent)[0].clone();
    let response = Response::Blocks(Vec::new());
    sent = node.input(at(1.1), Input::Response { peer, id, response });
    for tenths in 12..100 {
        sent.extend(node.input(at(f64::from(tenths) / 10.0), Input::Tick));
    }
    assert!(body_requests(&sent).is_empty() && dismissed(&sent).is_empty());
    assert_eq!(node.engine.progress().blocks_missing, 0);
    // The operator may try another.
    let sent = order(&mut node, hash, ALICE, at(11.0));
    assert_eq!(body_requests(&sent)[0].0, ALICE);
    let _ = node.input(at(11.1), Input::PeerDown { peer: ALICE });
    assert_eq!(node.engine.progress().blocks_missing, 0);
}
