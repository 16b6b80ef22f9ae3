//! Requests and responses.

use std::time::Instant;

use bitcoin::Txid;
use p2p::swarm::Channel;
use p2p::wire::BlockBytes;
use p2p::wire::limits::{MAX_INBOUND_REQUESTS_PER_PEER, MAX_OUTBOUND_REQUESTS_PER_PEER};

use super::*;

fn hash(number: u8) -> BlockHash {
    BlockHash::from_byte_array([number; 32])
}

/// Encoded, since blocks and responses are not compared as they are.
fn bytes(response: &Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    response.encode(&mut bytes);
    bytes
}

#[tokio::test]
async fn every_kind_of_request_is_asked_and_answered() {
    let (mut a, to_b, mut b, _) = pair().await;
    let transactions = vec![plain_transaction(1, 1), plain_transaction(2, 5)];
    let txids: Vec<_> = transactions
        .iter()
        .map(bitcoin::Transaction::compute_txid)
        .collect();
    let headers: Vec<_> = (0..2_000).map(|i| block(i, 0).header).collect();
    let exchanges = [
        (Request::Status(status(7)), Response::Status(status(8))),
        (
            Request::Headers {
                locator: vec![hash(1), hash(2)],
                stop: BlockHash::all_zeros(),
            },
            Response::Headers(headers),
        ),
        (
            Request::Blocks(vec![hash(3)]),
            Response::Blocks(vec![BlockBytes::Theirs(Box::new(block(3, 100_000)))]),
        ),
        (
            Request::BlockTransactions {
                block: hash(3),
                indexes: vec![0, 5, 6],
            },
            Response::BlockTransactions(transactions.clone()),
        ),
        (Request::MempoolIds, Response::MempoolIds(txids.clone())),
        (
            Request::Transactions(txids),
            Response::Transactions(transactions),
        ),
        (Request::Peers, Response::Peers(vec![a.address.clone()])),
    ];
    for (request, response) in exchanges {
        let id = a.ask(to_b, request.clone());
        let (token, asked) = b.asked().await;
        assert_eq!(asked, request);
        b.answer(token, response.clone());
        let (answered, got) = a.response().await;
        assert_eq!(answered, id);
        assert_eq!(bytes(&got), bytes(&response), "{}", request.kind());
        for (node, sent) in [(&a, true), (&b, false)] {
            for channel in [Channel::Request, Channel::Response] {
                let kind = (channel, request.kind());
                let counted = node
                    .traffic
                    .kinds()
                    .find(|k| (k.channel, k.kind) == kind)
                    .unwrap();
                let (there, back) = (counted.sent_messages, counted.received_messages);
                let expected = if sent == (channel == Channel::Request) {
                    (1, 0)
                } else {
                    (0, 1)
                };
                assert_eq!((there, back), expected, "{kind:?}");
            }
        }
    }
    let sent = a.traffic.wire().sent_bytes;
    assert!(sent > 500 && sent < 100_000, "{sent}");
    assert!(b.traffic.wire().sent_bytes > 260_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_blocks_of_a_megabyte_cross_in_order_of_their_answers() {
    const BLOCKS: u32 = 100;
    const IN_FLIGHT: u32 = 16;
    let (mut a, to_b, mut b, _) = pair().await;
    let served: Vec<_> = (0..4).map(|i| block(i, 1_000_000)).collect();
    let server = tokio::spawn(async move {
        for _ in 0..BLOCKS {
            let (token, request) = b.asked().await;
            let Request::Blocks(hashes) = request else {
                panic!("{request:?}")
            };
            let which = hashes[0].to_byte_array()[0] as usize % served.len();
            let block = BlockBytes::Theirs(Box::new(served[which].clone()));
            b.answer(token, Response::Blocks(vec![block]));
        }
        b
    });
    let started = Instant::now();
    let mut received = 0;
    for number in 0..BLOCKS + IN_FLIGHT {
        if number < BLOCKS {
            a.ask(to_b, Request::Blocks(vec![hash(number as u8)]));
        }
        if number >= IN_FLIGHT {
            let (id, response) = a.response().await;
            let Response::Blocks(blocks) = response else {
                panic!("not blocks")
            };
            assert_eq!(blocks[0].block().header.time, (id.0 as u32 - 1) % 4);
            received += blocks[0].block().total_size();
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} MB in {seconds:.2} s, {:.0} MB/s",
        received / 1_000_000,
        received as f64 / 1e6 / seconds
    );
    drop(server.await.unwrap());
}

#[tokio::test]
async fn a_request_without_an_answer_fails_without_blame() {
    let (mut a, to_b, mut b, _) = pair().await;
    let id = a.ask(to_b, Request::Peers);
    let (token, _) = b.asked().await;
    b.tell(Command::Answer {
        token,
        response: None,
    });
    let (failed, malformed, reason) = a.request_failed().await;
    assert_eq!((failed, malformed), (id, false));
    assert!(reason.contains("did not answer"), "{reason}");
    a.shake_hands(to_b, &mut b).await;
}

#[tokio::test]
async fn a_peer_that_vanishes_fails_its_requests_before_it_is_down() {
    let (mut a, to_b, mut b, _) = pair().await;
    let ids = [
        a.ask(to_b, Request::Peers),
        a.ask(to_b, Request::MempoolIds),
    ];
    b.asked().await;
    b.asked().await;
    b.task.abort();
    for _ in ids {
        let (id, malformed, _) = a.request_failed().await;
        assert!(ids.contains(&id) && !malformed);
    }
    assert_eq!(a.peer_down().await.0, to_b);
    let id = a.ask(to_b, Request::Peers);
    assert_eq!(
        a.request_failed().await,
        (id, false, "the peer is gone".to_owned())
    );
}

#[tokio::test]
async fn an_answer_above_the_limit_is_not_sent() {
    let (mut a, to_b, mut b, _) = pair().await;
    let id = a.ask(to_b, Request::Blocks(vec![hash(1)]));
    let (token, _) = b.asked().await;
    let big = Response::Blocks(vec![BlockBytes::Theirs(Box::new(block(1, 10_000_000)))]);
    b.answer(token, big);
    let (failed, malformed, _) = a.request_failed().await;
    assert_eq!(
        (failed, malformed),
        (id, false),
        "our mistake is not held against us"
    );
    a.shake_hands(to_b, &mut b).await;
}

/// Thirty-two answers of nine megabytes lay in memory for whoever asked and did not read.
#[tokio::test]
async fn a_large_answer_is_made_when_the_one_before_was_taken() {
    let (mut a, to_b, mut b, _) = pair().await;
    for number in 0..8 {
        a.ask(to_b, Request::Blocks(vec![hash(number)]));
    }
    let (first, _) = b.asked().await;
    b.stays_without(|event| matches!(event, Event::Request { .. }))
        .await;
    // A small one does not wait for it.
    let small = a.ask(to_b, Request::Peers);
    let (token, request) = b.asked().await;
    assert_eq!(request, Request::Peers);
    b.answer(token, Response::Peers(vec![]));
    assert_eq!(a.response().await.0, small);
    let mut token = first;
    for number in 0..8 {
        let answer = BlockBytes::Theirs(Box::new(block(number, 2_000_000)));
        b.answer(token, Response::Blocks(vec![answer]));
        a.response().await;
        if number < 7 {
            token = b.asked().await.0;
        }
    }
}

/// The tip of a peer was asked for, and nine megabytes could come back.
#[tokio::test]
async fn an_answer_is_no_larger_than_its_question_allows() {
    let (mut a, to_b, mut b, _) = pair().await;
    a.ask(to_b, Request::Status(status(1)));
    let (token, _) = b.asked().await;
    let answer = BlockBytes::Theirs(Box::new(block(1, 100_000)));
    b.answer(token, Response::Blocks(vec![answer]));
    let (_, malformed, reason) = a.request_failed().await;
    assert!(malformed && reason.contains("at most"), "{reason}");
}

#[tokio::test]
async fn requests_that_wait_are_bounded_on_both_sides() {
    let (mut a, to_b, mut b, _) = pair().await;
    let all = MAX_OUTBOUND_REQUESTS_PER_PEER + 3;
    for _ in 0..all {
        a.ask(to_b, Request::Peers);
    }
    let mut tokens = Vec::new();
    for _ in 0..MAX_INBOUND_REQUESTS_PER_PEER {
        tokens.push(b.asked().await.0);
    }
    for _ in 0..all - MAX_INBOUND_REQUESTS_PER_PEER {
        let (_, malformed, reason) = a.request_failed().await;
        assert!(!malformed, "{reason}");
    }
    b.stays_without(|event| matches!(event, Event::Request { .. }))
        .await;
    for token in tokens.drain(..) {
        b.answer(token, Response::Peers(vec![]));
    }
    for _ in 0..MAX_INBOUND_REQUESTS_PER_PEER {
        a.response().await;
    }
    // Afterwards there is room again.
    for _ in 0..MAX_INBOUND_REQUESTS_PER_PEER {
        a.ask(to_b, Request::Peers);
    }
    for _ in 0..MAX_INBOUND_REQUESTS_PER_PEER {
        let (token, _) = b.asked().await;
        b.answer(token, Response::Peers(vec![]));
        a.response().await;
    }
}

#[tokio::test]
async fn an_answer_for_a_peer_that_is_gone_is_forgotten() {
    let (mut a, to_b, mut b, _) = pair().await;
    a.ask(to_b, Request::Transactions(vec![Txid::all_zeros()]));
    let (token, _) = b.asked().await;
    a.tell(Command::Disconnect(to_b));
    b.peer_down().await;
    b.answer(token, Response::Transactions(vec![]));
    b.answer(AnswerToken(u64::MAX), Response::Peers(vec![]));
    b.dial(&a.address);
    let to_b = a.peer_up_in().await;
    assert_eq!(to_b.1, Direction::Inbound);
    a.shake_hands(to_b.0, &mut b).await;
}
