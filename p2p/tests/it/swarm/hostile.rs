//! Peers that break the protocol.

use libp2p::PeerId;
use p2p::swarm::Channel;
use p2p::wire::limits::{
    BLOCKS_TIMEOUT, MAX_PENDING_HANDSHAKES, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw_peer::{Manners, Order, RawPeer};
use super::*;

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = (message.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(message);
    frame
}

fn peer_id(node: &Node) -> PeerId {
    node.peer_id().parse().unwrap()
}

/// What our node makes of an answer in raw bytes.
async fn verdict_on_answer(answer: Vec<u8>) -> (bool, String) {
    let raw = RawPeer::start(Manners {
        answer: Some(answer),
        ..Manners::default()
    })
    .await;
    let mut node = Node::start().await;
    node.dial(&raw.address);
    let peer = node.peer_up().await;
    node.ask(peer, Request::Peers);
    let (_, malformed, reason) = node.request_failed().await;
    (malformed, reason)
}

#[tokio::test]
async fn a_malformed_answer_is_told_as_such() {
    let mut trailing = Vec::new();
    Response::Peers(vec![]).encode(&mut trailing);
    trailing.push(0);
    for (answer, words) in [
        (framed(&[]), "malformed"),
        (framed(&[0xee; 40]), "malformed"),
        (framed(&trailing), "malformed"),
        (u32::MAX.to_le_bytes().to_vec(), "at most 40316"),
        (
            (MAX_RESPONSE_BYTES as u32).to_le_bytes().to_vec(),
            "at most 40316",
        ),
    ] {
        let (malformed, reason) = verdict_on_answer(answer).await;
        assert!(malformed, "{reason}");
        assert!(reason.contains(words), "{reason}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_early_is_not_malformed() {
    for answer in [vec![], vec![1, 0], 1_000u32.to_le_bytes().to_vec()] {
        let (malformed, reason) = verdict_on_answer(answer).await;
        assert!(!malformed, "{reason}");
    }
}

#[tokio::test]
async fn malformed_requests_are_dropped_and_the_rest_goes_on() {
    let mut node = Node::start().await;
    let mut raw = RawPeer::start(Manners::default()).await;
    raw.order(Order::Dial(node.address.clone()));
    node.peer_up().await;
    let too_long = MAX_REQUEST_BYTES as u32 + 1;
    for request in [
        framed(&[]),
        framed(&[0xee; 10]),
        framed(&[4, 0]),
        too_long.to_le_bytes().to_vec(),
        u32::MAX.to_le_bytes().to_vec(),
        vec![9],
    ] {
        raw.order(Order::Ask(peer_id(&node), request));
        // The stream ends: nothing, or an error.
        assert!(raw.answer().await.map_or(true, |bytes| bytes.is_empty()));
    }
    let mut request = Vec::new();
    Request::Peers.encode(&mut request);
    raw.order(Order::Ask(peer_id(&node), framed(&request)));
    let (token, request) = node.asked().await;
    assert_eq!(request, Request::Peers);
    node.answer(token, Response::Peers(vec![]));
    assert!(!raw.answer().await.unwrap().is_empty());
}

/// What came after a request was kept, unread, for as long as its answer took.
#[tokio::test]
async fn what_comes_after_a_request_makes_it_none() {
    let mut node = Node::start().await;
    let mut raw = RawPeer::start(Manners::default()).await;
    raw.order(Order::Dial(node.address.clone()));
    node.peer_up().await;
    let mut request = Vec::new();
    Request::Peers.encode(&mut request);
    let mut bytes = framed(&request);
    bytes.extend_from_slice(&[7; 100_000]);
    raw.order(Order::Ask(peer_id(&node), bytes));
    assert!(raw.answer().await.map_or(true, |bytes| bytes.is_empty()));
    node.stays_without(|event| matches!(event, Event::Request { .. }))
        .await;
}

/// The engine gives up sooner, each kind of request after its own time; this is the swarm's bound for whatever the engine forgets.
#[tokio::test]
#[ignore = "takes as long as the largest answer may: cargo test -p p2p --test it never_answered -- --ignored"]
async fn a_request_that_is_never_answered_fails_in_time() {
    let raw = RawPeer::start(Manners::default()).await;
    let mut node = Node::start().await;
    node.dial(&raw.address);
    let peer = node.peer_up().await;
    let started = std::time::Instant::now();
    node.ask(peer, Request::Peers);
    let failed = async {
        loop {
            let event = node.events.recv().await.expect("the swarm runs");
            if let Event::RequestFailed {
                malformed, reason, ..
            } = event
            {
                return (malformed, reason);
            }
        }
    };
    let bound = BLOCKS_TIMEOUT + PATIENCE;
    let (malformed, reason) = tokio::time::timeout(bound, failed).await.unwrap();
    assert!(
        !malformed && reason.contains("no answer in time"),
        "{reason}"
    );
    assert!(started.elapsed() + PATIENCE > BLOCKS_TIMEOUT);
}

#[tokio::test]
async fn a_peer_of_another_network_is_told_apart_by_name() {
    let version = format!("mend/1/{}\u{1b}[2J", "33".repeat(32));
    let raw = RawPeer::start(Manners {
        protocol_version: version,
        answer: None,
    })
    .await;
    let mut node = Node::start().await;
    node.dial(&raw.address);
    let reason = node.dial_failed().await;
    assert!(reason.contains("another network"), "{reason}");
    assert!(reason.contains("same --genesis"), "{reason}");
    assert!(!reason.contains('\u{1b}'), "{reason:?}");
}

/// Gossips until it is heard of.
async fn gossip_until<T>(
    raw: &RawPeer,
    node: &mut Node,
    topic: &'static str,
    data: &[u8],
    wanted: impl Fn(Event) -> Option<T>,
) -> T {
    for attempt in 0..100u32 {
        // Other bytes each time, since the same ones are sent once; and none that make it well-formed.
        let mut data = data.to_vec();
        data.extend_from_slice(&attempt.to_le_bytes());
        raw.order(Order::Gossip(topic, data));
        let wait = tokio::time::Instant::now() + Duration::from_millis(50);
        while let Ok(Some(event)) = tokio::time::timeout_at(wait, node.events.recv()).await {
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }
    panic!("gossip did not arrive");
}

#[tokio::test]
async fn malformed_gossip_is_rejected_and_told_but_not_handed_on() {
    let (mut node, mut beyond) = (Node::start().await, Node::start().await);
    node.dial(&beyond.address);
    node.peer_up().await;
    beyond.peer_up().await;
    let raw = RawPeer::start(Manners::default()).await;
    raw.order(Order::Dial(node.address.clone()));
    let peer = node.peer_up().await;
    let mut misplaced = Vec::new();
    transaction(1).encode(&mut misplaced);
    misplaced.truncate(misplaced.len() - 4);
    for data in [&[0xee; 50][..], &[], &misplaced] {
        let blamed = gossip_until(&raw, &mut node, "blocks", data, |event| match event {
            Event::MalformedGossip { peer } => Some(peer),
            Event::Gossip { gossip, .. } => panic!("handed on: {gossip:?}"),
            _ => None,
        });
        assert_eq!(blamed.await, peer);
    }
    let counted = node
        .traffic
        .kinds()
        .find(|k| (k.channel, k.kind) == (Channel::Gossip, "malformed"));
    assert!(counted.unwrap().received_messages >= 3);
    beyond
        .stays_without(|event| {
            matches!(event, Event::Gossip { .. } | Event::MalformedGossip { .. })
        })
        .await;
}

#[tokio::test]
async fn gossip_above_the_limit_is_not_taken() {
    let mut node = Node::start().await;
    let raw = RawPeer::start(Manners::default()).await;
    raw.order(Order::Dial(node.address.clone()));
    node.peer_up().await;
    // Once small, to know that gossip flows.
    gossip_until(
        &raw,
        &mut node,
        "transactions",
        &[0xee; 9],
        |event| match event {
            Event::MalformedGossip { .. } => Some(()),
            _ => None,
        },
    )
    .await;
    for size in [500_000, 5_000_000] {
        raw.order(Order::Gossip("transactions", vec![2; size]));
    }
    node.stays_without(|event| matches!(event, Event::Gossip { .. }))
        .await;
    // The node is well.
    let (mut other, address) = (Node::start().await, node.address.clone());
    other.dial(&address);
    let to_node = other.peer_up().await;
    other.shake_hands(to_node, &mut node).await;
}

/// Sixty-four of them were all the handshakes that a node had under way, so that nobody else got in.
#[tokio::test]
async fn silent_sockets_never_keep_a_newcomer_out() {
    let mut node = Node::start().await;
    let mut sockets = Vec::new();
    for _ in 0..MAX_PENDING_HANDSHAKES * 2 {
        let socket = tokio::net::TcpStream::connect(("127.0.0.1", node.port())).await;
        sockets.push(socket.unwrap());
    }
    let mut guest = Node::start().await;
    guest.dial(&node.address);
    let to_node = guest.peer_up().await;
    guest.shake_hands(to_node, &mut node).await;
    // They were pushed out, the oldest first.
    let mut oldest = sockets.remove(0);
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, oldest.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "it is closed");
}

#[tokio::test]
async fn sockets_that_say_nothing_or_rubbish_do_not_hinder_others() {
    let mut node = Node::start().await;
    let mut sockets = Vec::new();
    for i in 0..20u8 {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", node.port()))
            .await
            .unwrap();
        if i % 2 == 0 {
            socket.write_all(&[i; 300]).await.unwrap();
        }
        sockets.push(socket);
    }
    let mut guest = Node::start().await;
    guest.dial(&node.address);
    let to_node = guest.peer_up().await;
    guest.shake_hands(to_node, &mut node).await;
}
