//! The engine driven by hand: announced blocks, bodies and blame (groups A and C of the fault checklist).

use std::sync::Arc;

use bitcoin::{Amount, Block, BlockHash, Transaction, Wtxid};
use chain::fixtures::{BlockBuilder, Key, Payment, test_params_with};
use chain::{Height, Params};
use p2p::sync::{GossipId, Input, RequestId};
use p2p::wire::{BlockBytes, Gossip, Request, Response, TipStatus, Verdict};
use p2p::{Mono, PeerNum};

use crate::host::{ALICE, BOB, Node, Sent, at, body_requests, dismissed, requests, up, verdicts};

/// A network where "alice" has coins from the start.
fn params() -> Arc<Params> {
    let coin = (Key::p2wpkh("alice").address(), Amount::from_sat(1_000_000));
    Arc::new(test_params_with(&vec![coin; 40]))
}

/// Payments that can go into block 1.
fn payments(params: &Params, count: u32) -> Vec<Transaction> {
    let allocations = &params.genesis.txdata[1];
    let pay = |vout| {
        Payment::new()
            .spend_output_of(allocations, vout, &Key::p2wpkh("alice"))
            .pay(&Key::p2tr("bob"), Amount::from_sat(1_000_000))
            .sign()
    };
    (0..count).map(pay).collect()
}

/// A node, and another that has mined a block of `count` payments.
fn two_nodes(count: u32) -> (Node, Node, Block, Vec<Transaction>) {
    let params = params();
    let payments = payments(&params, count);
    let node = Node::new(&params, 0);
    let mut miner = Node::new(&params, 1);
    let block = miner.grow_with(&payments, 1);
    (node, miner, block, payments)
}

fn announce(node: &mut Node, now: Mono, peer: PeerNum, gossip: Gossip) -> Vec<Sent> {
    node.input(
        now,
        Input::Announcement {
            peer,
            id: GossipId(1),
            gossip,
        },
    )
}

fn part_requests(sent: &[Sent]) -> Vec<(PeerNum, RequestId, Vec<u32>)> {
    let mut found = Vec::new();
    for (peer, id, request) in requests(sent) {
        if let Request::BlockTransactions { indexes, .. } = request {
            found.push((peer, id, indexes));
        }
    }
    found
}

fn give_blocks(
    node: &mut Node,
    now: Mono,
    peer: PeerNum,
    id: RequestId,
    blocks: &[Block],
) -> Vec<Sent> {
    let theirs = |block: &Block| BlockBytes::Theirs(Box::new(block.clone()));
    let response = Response::Blocks(blocks.iter().map(theirs).collect());
    node.input(now, Input::Response { peer, id, response })
}

fn give_parts(
    node: &mut Node,
    now: Mono,
    peer: PeerNum,
    id: RequestId,
    parts: Vec<Transaction>,
) -> Vec<Sent> {
    let response = Response::BlockTransactions(parts);
    node.input(now, Input::Response { peer, id, response })
}

#[test]
fn a_block_of_known_payments_is_rebuilt_and_forwarded_without_a_question() {
    let (mut node, mut miner, block, payments) = two_nodes(30);
    payments.iter().for_each(|tx| node.pool.add(tx));
    let _ = node.input(at(0.0), up(ALICE));
    let gossip = miner.announce(&block.block_hash());
    let sent = announce(&mut node, at(0.1), ALICE, gossip);
    assert_eq!(verdicts(&sent), [(GossipId(1), Verdict::Accept)]);
    assert!(
        requests(&sent)
            .iter()
            .all(|(_, _, request)| request.kind() == "mempool_ids")
    );
    assert_eq!(node.tip(), block.block_hash());
}

#[test]
fn the_verdict_comes_before_the_missing_payments_are_there() {
    let (mut node, mut miner, block, payments) = two_nodes(10);
    payments[..7].iter().for_each(|tx| node.pool.add(tx));
    let _ = node.input(at(0.0), up(ALICE));
    let gossip = miner.announce(&block.block_hash());
    let sent = announce(&mut node, at(0.1), ALICE, gossip);
    assert_eq!(verdicts(&sent), [(GossipId(1), Verdict::Accept)]);
    let (peer, id, indexes) = part_requests(&sent)[0].clone();
    assert_eq!((peer, indexes), (ALICE, vec![8, 9, 10]));
    assert!(body_requests(&sent).is_empty());

    let _ = give_parts(&mut node, at(0.2), ALICE, id, payments[7..].to_vec());
    assert_eq!(node.tip(), block.block_hash());
}

#[test]
fn an_announcer_that_has_no_body_yet_is_asked_again_and_then_for_the_whole() {
    let (mut node, mut miner, block, _) = two_nodes(3);
    let _ = node.input(at(0.0), up(ALICE));
    let gossip = miner.announce(&block.block_hash());
    let mut sent = announce(&mut node, at(0.1), ALICE, gossip);
    let mut now = 0.1;
    let mut asked = 0;
    while let Some((_, id, _)) = part_requests(&sent).pop() {
        asked += 1;
        sent = give_parts(&mut node, at(now), ALICE, id, Vec::new());
        assert!(dismissed(&sent).is_empty());
        while part_requests(&sent).is_empty() && body_requests(&sent).is_empty() {
            now += 0.01;
            assert!(now < 5.0, "gave up");
            sent = node.input(at(now), Input::Tick);
        }
    }
    assert_eq!(asked, 4);
    assert!(now < 1.0, "{now}");
    let (peer, id, hashes) = body_requests(&sent)[0].clone();
    assert_eq!((peer, hashes), (ALICE, vec![block.block_hash()]));
    // Still nothing: asked again, since it only announced and never claimed to have it.
    sent = give_blocks(&mut node, at(now), ALICE, id, &[]);
    while body_requests(&sent).is_empty() {
        now += 0.01;
        assert!(now < 5.0, "gave up");
        sent = node.input(at(now), Input::Tick);
    }
    let (_, id, _) = body_requests(&sent)[0].clone();
    let _ = give_blocks(&mut node, at(now), ALICE, id, std::slice::from_ref(&block));
    assert_eq!(node.tip(), block.block_hash());
}

#[test]
fn case_52_a_wrong_rebuilding_falls_back_to_the_whole_block_and_blames_nobody() {
    let (mut node, mut miner, block, payments) = two_nodes(5);
    // The mempool gives another transaction for the short id of the last payment: a collision, or a bug.
    payments[..4].iter().for_each(|tx| node.pool.add(tx));
    let _ = node.input(at(0.0), up(ALICE));
    let gossip = miner.announce(&block.block_hash());
    let sent = announce(&mut node, at(0.1), ALICE, gossip);
    let (_, id, _) = part_requests(&sent)[0].clone();
    let wrong = payments[0].clone();
    let sent = give_parts(&mut node, at(0.2), ALICE, id, vec![wrong]);
    assert!(dismissed(&sent).is_empty(), "{sent:?}");
    let (peer, id, _) = body_requests(&sent)[0].clone();
    assert_eq!(peer, ALICE);
    let _ = give_blocks(&mut node, at(0.3), ALICE, id, std::slice::from_ref(&block));
    assert_eq!(node.tip(), block.block_hash());
}

#[test]
fn case_52_malformed_short_ids_only_lead_to_the_whole_block() {
    let (mut node, mut miner, block, _) = two_nodes(5);
    let _ = node.input(at(0.0), up(ALICE));
    let Gossip::Block(mut gossip) = miner.announce(&block.block_hash()) else {
        panic!("small enough for short ids")
    };
    gossip.prefilled_txs[0].idx = 99;
    let sent = announce(&mut node, at(0.1), ALICE, Gossip::Block(gossip));
    assert_eq!(
        verdicts(&sent),
        [(GossipId(1), Verdict::Accept)],
        "the header is good"
    );
    assert!(dismissed(&sent).is_empty());
    assert_eq!(body_requests(&sent).len(), 1);
}

#[test]
fn an_announcer_that_vanishes_is_replaced_by_who_is_known_to_have_the_block() {
    let (mut node, mut miner, block, _) = two_nodes(5);
    let _ = node.input(at(0.0), up(ALICE));
    let _ = node.input(at(0.0), up(BOB));
    let gossip = miner.announce(&block.block_hash());
    let sent = announce(&mut node, at(0.1), ALICE, gossip);
    assert_eq!(part_requests(&sent).len(), 1);
    let sent = node.input(at(0.2), Input::PeerDown { peer: ALICE });
    assert!(
        body_requests(&sent).is_empty(),
        "nobody is known to have it"
    );
    let status = miner.status();
    let sent = node.input(at(0.3), Input::PeerStatus { peer: BOB, status });
    assert_eq!(body_requests(&sent)[0].0, BOB);
}

#[test]
fn a_block_by_header_alone_is_fetched_whole() {
    let (mut node, _, block, _) = two_nodes(5);
    let _ = node.input(at(0.0), up(ALICE));
    let sent = announce(&mut node, at(0.1), ALICE, Gossip::Header(block.header));
    assert_eq!(verdicts(&sent), [(GossipId(1), Verdict::Accept)]);
    assert_eq!(body_requests(&sent)[0].2, [block.block_hash()]);
}

#[test]
fn case_50_known_and_low_work_announcements_are_ignored_quietly() {
    let (mut node, mut miner, block, payments) = two_nodes(2);
    payments.iter().for_each(|tx| node.pool.add(tx));
    let _ = node.input(at(0.0), up(ALICE));
    let gossip = miner.announce(&block.block_hash());
    let _ = announce(&mut node, at(0.1), ALICE, gossip.clone());
    node.grow(2, 5);
    let _ = node.input(at(0.2), Input::ChainChanged);
    let before = node.accepted_headers;
    for n in 0..1_000 {
        let sent = announce(&mut node, at(0.3), ALICE, gossip.clone());
        assert_eq!(verdicts(&sent), [(GossipId(1), Verdict::Ignore)]);
        let fork = BlockBuilder::first(node.chain.params())
            .extra_nonce(n)
            .mine();
        let sent = announce(&mut node, at(0.3), ALICE, Gossip::Header(fork.header));
        assert_eq!(verdicts(&sent), [(GossipId(1), Verdict::Ignore)]);
        assert!(requests(&sent).is_empty() && dismissed(&sent).is_empty());
    }
    assert_eq!(node.accepted_headers, before);
}

#[test]
fn a_rival_of_the_tip_is_fetched_too_so_that_a_later_reorg_is_quick() {
    let (mut node, mut miner, block, payments) = two_nodes(2);
    node.grow(1, 9);
    let own = node.tip();
    payments.iter().for_each(|tx| node.pool.add(tx));
    let _ = node.input(at(0.0), up(ALICE));
    let gossip = miner.announce(&block.block_hash());
    let sent = announce(&mut node, at(0.1), ALICE, gossip);
    assert_eq!(verdicts(&sent), [(GossipId(1), Verdict::Accept)]);
    assert_eq!(node.tip(), own, "first seen stays");
    assert!(
        node.chain
            .block(&block.block_hash())
            .expect("in memory")
            .is_some()
    );
}

/// A block that pays its miner one satoshi too much: only connecting it tells.
fn greedy_block(params: &Params) -> Block {
    BlockBuilder::first(params).fees(Amount::from_sat(1)).mine()
}

fn claim_of(block: &Block, params: &Params) -> TipStatus {
    let work = params.genesis.header.work() + block.header.work();
    TipStatus {
        hash: block.block_hash(),
        height: Height(1),
        chain_work: work,
    }
}

#[test]
fn case_4_an_invalid_block_is_held_against_whom_it_was_asked_of() {
    let params = params();
    let mut node = Node::new(&params, 0);
    let bad = greedy_block(&params);
    let _ = node.input(at(0.0), up(ALICE));
    let status = claim_of(&bad, &params);
    let sent = node.input(
        at(0.0),
        Input::PeerStatus {
            peer: ALICE,
            status,
        },
    );
    let (_, id, _) = requests(&sent)
        .into_iter()
        .next_back()
        .expect("headers are asked for");
    let response = Response::Headers(vec![bad.header]);
    let sent = node.input(
        at(0.1),
        Input::Response {
            peer: ALICE,
            id,
            response,
        },
    );
    let (_, id, _) = body_requests(&sent)[0].clone();
    let sent = give_blocks(&mut node, at(0.2), ALICE, id, std::slice::from_ref(&bad));
    assert_eq!(dismissed(&sent), [(ALICE, true)]);
    assert_eq!(node.tip(), params.genesis_hash);
}

#[test]
fn an_announcement_is_what_bip_152_says() {
    let (_, mut miner, block, _) = two_nodes(2);
    let Gossip::Block(announced) = miner.announce(&block.block_hash()) else {
        panic!("short ids fit");
    };
    assert_eq!(announced.short_ids.len(), 2);
    let expected = bitcoin::bip152::HeaderAndShortIds::from_block(&block, announced.nonce, 2, &[]);
    assert_eq!(Ok(*announced), expected);
}

#[test]
fn an_invalid_block_that_was_announced_is_not_held_against_the_relay() {
    let params = params();
    let mut node = Node::new(&params, 0);
    let mut miner = Node::new(&params, 1);
    let bad = greedy_block(&params);
    let _ = node.input(at(0.0), up(ALICE));
    let announced = bitcoin::bip152::HeaderAndShortIds::from_block(&bad, 1, 2, &[]).expect("good");
    let sent = announce(
        &mut node,
        at(0.1),
        ALICE,
        Gossip::Block(Box::new(announced)),
    );
    assert_eq!(
        verdicts(&sent),
        [(GossipId(1), Verdict::Accept)],
        "its work is real"
    );
    assert!(dismissed(&sent).is_empty());

    // Its sibling wins, and what is built on it is refused.
    let good = miner.grow_with(&[], 3);
    let gossip = miner.announce(&good.block_hash());
    let _ = announce(&mut node, at(0.2), ALICE, gossip);
    assert_eq!(node.tip(), good.block_hash());
    let child = BlockBuilder::on(&params, &bad.header, Height(2)).mine();
    let sent = announce(&mut node, at(0.3), ALICE, Gossip::Header(child.header));
    assert_eq!(verdicts(&sent), [(GossipId(1), Verdict::Ignore)]);
}

#[test]
fn case_12_duplicated_transactions_do_not_spoil_the_honest_block() {
    let (mut node, miner, block, _) = two_nodes(2);
    let _ = node.input(at(0.0), up(ALICE));
    let _ = node.input(at(0.0), up(BOB));
    let status = miner.status();
    let sent = node.input(
        at(0.0),
        Input::PeerStatus {
            peer: ALICE,
            status,
        },
    );
    let (_, id, _) = requests(&sent)
        .into_iter()
        .next_back()
        .expect("headers are asked for");
    let response = Response::Headers(vec![block.header]);
    let sent = node.input(
        at(0.1),
        Input::Response {
            peer: ALICE,
            id,
            response,
        },
    );
    let (_, id, _) = body_requests(&sent)[0].clone();
    let _ = node.input(at(0.1), Input::PeerStatus { peer: BOB, status });
    // Three transactions and the last one again have the same merkle root as the three.
    let mut doubled = block.clone();
    doubled.txdata.push(doubled.txdata[2].clone());
    assert_eq!(doubled.compute_merkle_root(), block.compute_merkle_root());
    let sent = give_blocks(&mut node, at(0.2), ALICE, id, &[doubled]);
    assert_eq!(dismissed(&sent), [(ALICE, true)]);
    let (peer, id, _) = body_requests(&sent)[0].clone();
    assert_eq!(peer, BOB, "the same hash is asked from another peer");
    let _ = give_blocks(&mut node, at(0.3), BOB, id, std::slice::from_ref(&block));
    assert_eq!(node.tip(), block.block_hash());
}

#[test]
fn a_block_that_comes_twice_is_harmless() {
    let (mut node, miner, block, _) = two_nodes(1);
    let _ = node.input(at(0.0), up(ALICE));
    let status = miner.status();
    let sent = node.input(
        at(0.0),
        Input::PeerStatus {
            peer: ALICE,
            status,
        },
    );
    let (_, id, _) = requests(&sent)
        .into_iter()
        .next_back()
        .expect("headers are asked for");
    let response = Response::Headers(vec![block.header]);
    let sent = node.input(
        at(0.1),
        Input::Response {
            peer: ALICE,
            id,
            response,
        },
    );
    let (_, first, _) = body_requests(&sent)[0].clone();
    // Alice stalls; Bob shows up with the block and is asked as well.
    let _ = node.input(at(1.0), up(BOB));
    let _ = node.input(at(1.0), Input::PeerStatus { peer: BOB, status });
    let sent = node.input(at(2.5), Input::Tick);
    let (peer, second, _) = body_requests(&sent)[0].clone();
    assert_eq!(peer, BOB);
    let sent = give_blocks(
        &mut node,
        at(2.6),
        ALICE,
        first,
        std::slice::from_ref(&block),
    );
    assert!(dismissed(&sent).is_empty());
    let sent = give_blocks(
        &mut node,
        at(2.7),
        BOB,
        second,
        std::slice::from_ref(&block),
    );
    assert!(dismissed(&sent).is_empty());
    assert_eq!((node.tip(), node.accepted_blocks), (block.block_hash(), 1));
}

#[test]
fn case_70_a_damaged_block_is_fetched_again_from_anyone() {
    let (mut node, _, block, _) = two_nodes(1);
    node.grow(1, 9);
    node.chain
        .accept_header(&block.header, node.clock)
        .expect("a good header");
    let _ = node.input(at(0.0), up(ALICE));
    node.engine.want_block(block.block_hash());
    let sent = node.input(at(0.1), Input::Tick);
    let (peer, id, hashes) = body_requests(&sent)[0].clone();
    assert_eq!((peer, hashes), (ALICE, vec![block.block_hash()]));
    // Alice has not got it, which is no crime; Bob has.
    let sent = give_blocks(&mut node, at(0.2), ALICE, id, &[]);
    assert!(dismissed(&sent).is_empty());
    let sent = node.input(at(0.3), up(BOB));
    let (peer, id, _) = body_requests(&sent)[0].clone();
    assert_eq!(peer, BOB);
    let _ = give_blocks(&mut node, at(0.4), BOB, id, std::slice::from_ref(&block));
    assert!(
        node.chain
            .block(&block.block_hash())
            .expect("in memory")
            .is_some()
    );
    assert_eq!(node.engine.progress().blocks_missing, 0);
}

#[test]
fn case_48_a_block_that_nobody_gives_is_forgotten() {
    let (mut node, mut miner, block, _) = two_nodes(2);
    let _ = node.input(at(0.0), up(ALICE));
    let gossip = miner.announce(&block.block_hash());
    let mut sent = announce(&mut node, at(0.1), ALICE, gossip);
    let mut asked = 0;
    for tick in 0..6_000 {
        let now = at(0.1 + 0.01 * f64::from(tick));
        let mut next = Vec::new();
        for (_, id, _) in part_requests(&sent) {
            asked += 1;
            next.extend(give_parts(&mut node, now, ALICE, id, Vec::new()));
        }
        for (_, id, _) in body_requests(&sent) {
            asked += 1;
            next.extend(give_blocks(&mut node, now, ALICE, id, &[]));
        }
        next.extend(node.input(now, Input::Tick));
        sent = next;
        assert!(dismissed(&sent).is_empty(), "it never claimed to have it");
    }
    assert!((10..25).contains(&asked), "{asked}");
    assert_eq!(node.engine.progress().blocks_missing, 0);
}

#[test]
fn case_44_requests_beyond_the_chain_are_answered_with_nothing() {
    let (_, mut miner, block, payments) = two_nodes(3);
    let hash = block.block_hash();
    let unknown = Wtxid::from_raw_hash(hash.to_raw_hash());
    let unknown = BlockHash::from_raw_hash(unknown.to_raw_hash());
    miner.addresses = (0..150)
        .map(|n| format!("/ip4/127.0.0.1/tcp/{n}"))
        .collect();
    let served = |request: Request| miner.serve(&request);

    let all = served(Request::Headers {
        locator: vec![],
        stop: crate::host::no_stop(),
    });
    assert!(matches!(all, Some(Response::Headers(headers)) if headers.len() == 1));
    let none = served(Request::Headers {
        locator: vec![hash],
        stop: crate::host::no_stop(),
    });
    assert!(matches!(none, Some(Response::Headers(headers)) if headers.is_empty()));
    let long = Request::Headers {
        locator: vec![hash; 102],
        stop: hash,
    };
    assert!(served(long).is_none());

    let missing = BlockHash::from_raw_hash(bitcoin::hashes::Hash::all_zeros());
    let prefix = served(Request::Blocks(vec![unknown, missing, hash]));
    assert!(matches!(prefix, Some(Response::Blocks(blocks)) if blocks.len() == 1));
    assert!(served(Request::Blocks(vec![hash; 17])).is_none());

    let parts = |block, indexes| served(Request::BlockTransactions { block, indexes });
    let some = parts(hash, vec![1, 3]);
    assert!(
        matches!(some, Some(Response::BlockTransactions(txs)) if txs == [payments[0].clone(), payments[2].clone()])
    );
    assert!(parts(hash, vec![4]).is_none());
    let absent = parts(missing, vec![1]);
    assert!(matches!(absent, Some(Response::BlockTransactions(txs)) if txs.is_empty()));
    assert!(matches!(served(Request::Peers), Some(Response::Peers(all)) if all.len() == 100));
}

#[test]
fn single_transactions_of_old_blocks_are_not_given_and_those_of_fresh_ones_cost_one_decoding() {
    let (_, mut miner, block, payments) = two_nodes(3);
    let part = |miner: &Node| {
        let request = Request::BlockTransactions {
            block: block.block_hash(),
            indexes: vec![1],
        };
        match miner.serve(&request) {
            Some(Response::BlockTransactions(transactions)) => transactions,
            other => panic!("{other:?}"),
        }
    };
    for _ in 0..1_000 {
        assert_eq!(
            part(&miner),
            payments[..1],
            "kept from the first question on"
        );
    }
    miner.grow(11, 7);
    let mut other = Node::new(miner.chain.params(), 2);
    for height in 1..=12 {
        let hash = miner.chain.at_height(Height(height)).expect("grown").hash;
        other.take(miner.block(&hash));
    }
    assert_eq!(part(&other), [], "as a whole only");
    let whole = other.serve(&Request::Blocks(vec![block.block_hash()]));
    assert!(matches!(whole, Some(Response::Blocks(blocks)) if blocks.len() == 1));
}
