//! Links that are cut, stalled and healed.

use p2p::wire::Verdict;
use p2p::wire::limits::{MAX_INBOUND_REQUESTS_PER_PEER, PROOF_OF_LIFE};

use super::link::{Link, State};
use super::relay::settle;
use super::*;

/// Dials until it goes through, as a node's peer book does.
async fn redial(node: &mut Node, address: &str) -> PeerNum {
    for _ in 0..100 {
        node.dial(address);
        let up = node
            .until("the end of a dial", |event| match event {
                Event::PeerUp { peer, .. } => Some(Some(peer)),
                Event::DialFailed { .. } => Some(None),
                _ => None,
            })
            .await;
        if let Some(peer) = up {
            return peer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never connected again");
}

/// After a cut of any length, requests and gossip flow again, both ways, over a fresh connection.
async fn heals_after(cut: Duration) {
    let (mut a, mut b) = (Node::start().await, Node::start().await);
    let link = Link::to(b.port()).await;
    redial(&mut a, &link.address).await;
    b.peer_up().await;
    for round in 0..4 {
        let base = 1_000_000 * (round + 1);
        settle(&a, &mut b, base + 1).await;
        settle(&b, &mut a, base + 500_001).await;
        link.set(State::Cut);
        a.peer_down().await;
        b.peer_down().await;
        tokio::time::sleep(cut).await;
        link.set(State::Up);
        let to_b = redial(&mut a, &link.address).await;
        b.peer_up().await;
        a.shake_hands(to_b, &mut b).await;
    }
    settle(&a, &mut b, 11).await;
    settle(&b, &mut a, 12).await;
}

#[tokio::test]
async fn gossip_flows_again_at_once_after_a_cut() {
    heals_after(Duration::ZERO).await;
}

#[tokio::test]
async fn gossip_flows_again_after_a_cut_of_50_ms() {
    heals_after(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn gossip_flows_again_after_a_cut_of_1_s() {
    heals_after(Duration::from_secs(1)).await;
}

/// The identity is the same, the process is not: what was known of the old connection must not hinder the new one.
#[tokio::test]
async fn gossip_flows_again_to_a_node_that_was_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let config = SwarmConfig {
        key_file: Some(folder.path().join("identity")),
        ..config()
    };
    let mut stays = Node::start().await;
    let mut last = None;
    for round in 0..4 {
        let mut restarted = Node::with(config.clone()).await;
        let to_stays = redial(&mut restarted, &stays.address).await;
        let number = stays.peer_up().await;
        assert!(last < Some(number));
        last = Some(number);
        restarted.shake_hands(to_stays, &mut stays).await;
        settle(&restarted, &mut stays, round * 100_000 + 1).await;
        settle(&stays, &mut restarted, round * 100_000 + 50_001).await;
        // Killed, not told to leave.
        restarted.task.abort();
    }
}

/// A short stall loses nothing.
#[tokio::test]
async fn what_was_sent_into_a_stall_arrives_after_it() {
    let (mut a, mut b) = (Node::start().await, Node::start().await);
    let link = Link::to(b.port()).await;
    let to_b = redial(&mut a, &link.address).await;
    b.peer_up().await;
    settle(&a, &mut b, 1).await;
    link.set(State::Stalled);
    let id = a.ask(to_b, Request::Peers);
    let gossip = transaction(77);
    a.tell(Command::Publish(gossip.clone()));
    b.stays_without(|event| match event {
        Event::Request { .. } => true,
        Event::Gossip { gossip: got, .. } => got.content_id() == gossip.content_id(),
        _ => false,
    })
    .await;
    link.set(State::Up);
    let mut heard = None;
    let mut asked = None;
    while heard.is_none() || asked.is_none() {
        let event = b.until("what was held back", Some).await;
        match event {
            Event::Gossip {
                id, gossip: got, ..
            } if got.content_id() == gossip.content_id() => {
                heard = Some(id);
            }
            Event::Request { token, .. } => asked = Some(token),
            _ => {}
        }
    }
    b.tell(Command::Verdict {
        id: heard.unwrap(),
        verdict: Verdict::Accept,
    });
    b.answer(asked.unwrap(), Response::Peers(vec![]));
    assert_eq!(a.response().await.0, id);
}

/// A link is stalled while megabytes are on their way, so that the connection cannot even be ended politely: it is let go all
/// the same, and made anew after healing.
#[tokio::test]
async fn a_stalled_connection_is_let_go_and_made_anew() {
    let (mut a, mut b) = (Node::start().await, Node::start().await);
    let link = Link::to(b.port()).await;
    let to_b = redial(&mut a, &link.address).await;
    b.peer_up().await;
    for _ in 0..MAX_INBOUND_REQUESTS_PER_PEER {
        a.ask(
            to_b,
            Request::Headers {
                locator: vec![],
                stop: BlockHash::all_zeros(),
            },
        );
    }
    let mut tokens = Vec::new();
    for _ in 0..MAX_INBOUND_REQUESTS_PER_PEER {
        tokens.push(b.asked().await.0);
    }
    link.set(State::Stalled);
    let headers = vec![block(1, 0).header; 2_000];
    for token in tokens {
        b.answer(token, Response::Headers(headers.clone()));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let started = std::time::Instant::now();
    b.tell(Command::SetActive(false));
    b.peer_down().await;
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(300),
        "the stall was not felt: {took:?}"
    );
    assert!(took < Duration::from_secs(5), "{took:?}");
    b.tell(Command::SetActive(true));
    link.set(State::Up);
    a.peer_down().await;
    let to_b = redial(&mut a, &link.address).await;
    b.peer_up().await;
    a.shake_hands(to_b, &mut b).await;
    settle(&a, &mut b, 1).await;
    settle(&b, &mut a, 2).await;
}

/// A machine that dies says no farewell. When it came back under its identity it was refused for half a minute, until pings had
/// found out that its old connection was dead.
#[tokio::test]
async fn a_machine_that_died_without_a_word_is_back_soon() {
    let folder = tempfile::tempdir().unwrap();
    let with_identity = || SwarmConfig {
        key_file: Some(folder.path().join("key")),
        ..config()
    };
    let mut node = Node::start().await;
    let link = Link::to(node.port()).await;
    let mut machine = Node::with(with_identity()).await;
    redial(&mut machine, &link.address).await;
    let dead = node.peer_up().await;
    link.set(State::Stalled);
    machine.task.abort();
    let mut machine = Node::with(with_identity()).await;
    let started = std::time::Instant::now();
    redial(&mut machine, &node.address.clone()).await;
    let (down, reason) = node.peer_down().await;
    assert_eq!(down, dead);
    assert!(reason.contains("came back"), "{reason}");
    node.peer_up().await;
    // Without a sign of life asked for it takes 20 s and more.
    let took = started.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
}

/// Whoever dials a peer a second time by mistake does not lose the first connection.
#[tokio::test]
async fn a_living_connection_outlasts_a_second_dial() {
    let (mut a, to_b, mut b, _) = pair().await;
    tokio::time::sleep(PROOF_OF_LIFE).await;
    for _ in 0..3 {
        b.dial(a.plain_address());
        b.dial_failed().await;
    }
    tokio::time::sleep(PROOF_OF_LIFE + Duration::from_secs(1)).await;
    b.stays_without(|event| matches!(event, Event::PeerDown { .. }))
        .await;
    // Each was asked for a sign of life.
    a.asked().await;
    a.shake_hands(to_b, &mut b).await;
}

/// Nobody is told when a link goes silent. Pings find out.
#[tokio::test]
#[ignore = "takes half a minute: cargo test -p p2p --test it a_silent_peer -- --ignored"]
async fn a_silent_peer_is_down_after_two_pings() {
    let (mut a, mut b) = (Node::start().await, Node::start().await);
    let link = Link::to(b.port()).await;
    redial(&mut a, &link.address).await;
    b.peer_up().await;
    link.set(State::Stalled);
    let started = std::time::Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_secs(60), a.events.recv()).await {
            Ok(Some(Event::PeerDown { reason, .. })) => {
                assert!(reason.contains("does not answer pings"), "{reason}");
                break;
            }
            Ok(Some(_)) => {}
            _ => panic!("the silence was not noticed"),
        }
    }
    println!("noticed after {:?}", started.elapsed());
    link.set(State::Up);
    redial(&mut a, &link.address).await;
}
