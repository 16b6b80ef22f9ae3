//! Connections: made, refused, lost.

use p2p::Direction;
use p2p::swarm::{Command, Event, SwarmConfig};
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn two_nodes_meet_and_know_who_dialled() {
    let (mut a, mut b) = (Node::start().await, Node::start().await);
    a.dial(b.plain_address());
    let (peer_id, address, direction, agent) = a
        .until("b", |event| match event {
            Event::PeerUp {
                peer_id,
                address,
                direction,
                agent,
                ..
            } => Some((peer_id, address, direction, agent)),
            _ => None,
        })
        .await;
    assert_eq!(peer_id, b.peer_id());
    assert_eq!(address, b.plain_address(), "as it was dialled");
    assert_eq!(direction, Direction::Outbound);
    assert!(agent.starts_with("mend/"), "{agent}");
    assert_eq!(b.peer_up_in().await.1, Direction::Inbound);
    let listens = b
        .until("where a listens", |event| match event {
            Event::PeerListens { addresses, .. } => Some(addresses),
            _ => None,
        })
        .await;
    assert_eq!(listens, [a.address.clone()]);
    a.until("a round trip", |event| match event {
        Event::Ping { micros, .. } => Some(micros),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn a_node_is_dialled_by_every_form_of_its_address() {
    let mut b = Node::start().await;
    let port = b.port();
    let forms = [
        b.address.clone(),
        b.plain_address().to_owned(),
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("/dns4/localhost/tcp/{port}"),
    ];
    for form in forms {
        let mut a = Node::start().await;
        a.dial(&form);
        let address = a
            .until(&form, |event| match event {
                Event::PeerUp { address, .. } => Some(address),
                Event::DialFailed { reason, .. } => panic!("{form}: {reason}"),
                _ => None,
            })
            .await;
        assert_eq!(address, form);
        b.peer_up().await;
    }
}

#[tokio::test]
async fn every_failed_dial_says_why() {
    let mut a = Node::start().await;
    let b = Node::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let stranger = libp2p::PeerId::random();
    for (address, reason) in [
        ("rubbish".to_owned(), "is not an address of a node"),
        (
            format!("/ip4/127.0.0.1/tcp/{}", free.port()),
            "connection refused",
        ),
        (
            format!("{}/p2p/{stranger}", b.plain_address()),
            "another node answers there",
        ),
        (a.address.clone(), "this node itself"),
        (a.plain_address().to_owned(), "this node itself"),
        (format!("localhost:{}", a.port()), "this node itself"),
        ("no-such-host.invalid:1".to_owned(), "cannot be looked up"),
    ] {
        a.dial(&address);
        let (dialled, got) = a
            .until(&address, |event| match event {
                Event::DialFailed {
                    address, reason, ..
                } => Some((address, reason)),
                Event::PeerUp { .. } => panic!("{address} went through"),
                _ => None,
            })
            .await;
        assert_eq!(dialled, address);
        assert!(got.contains(reason), "{address}: {got}");
    }
}

#[tokio::test]
async fn a_second_connection_to_a_peer_is_refused_quietly() {
    let (mut a, to_b, mut b, _) = pair().await;
    for address in [b.plain_address(), b.address.as_str()] {
        a.dial(address);
        let reason = a.dial_failed().await;
        assert!(reason.contains("already connected"), "{reason}");
    }
    b.dial(a.plain_address());
    let reason = b.dial_failed().await;
    assert!(reason.contains("already connected"), "{reason}");
    let changed = |event: &Event| matches!(event, Event::PeerUp { .. } | Event::PeerDown { .. });
    a.stays_without(changed).await;
    b.stays_without(changed).await;
    a.shake_hands(to_b, &mut b).await;
}

#[tokio::test]
async fn nodes_of_two_networks_part_with_a_reason() {
    let other = SwarmConfig {
        network: NetworkDigest([0x22; 32]),
        ..config()
    };
    let (mut a, mut b) = (Node::start().await, Node::with(other).await);
    a.dial(&b.address);
    let reason = a.dial_failed().await;
    assert!(
        reason.contains("another network") || reason.contains("refuse"),
        "{reason}"
    );
    b.dial(&a.address);
    b.dial_failed().await;
    b.stays_without(|event| matches!(event, Event::PeerUp { .. }))
        .await;
}

#[tokio::test]
async fn networks_that_share_half_a_digest_part_as_well() {
    let mut digest = NETWORK;
    digest.0[31] ^= 1;
    let mut b = Node::with(SwarmConfig {
        network: digest,
        ..config()
    })
    .await;
    let mut a = Node::start().await;
    a.dial(&b.address);
    a.dial_failed().await;
    b.stays_without(|event| matches!(event, Event::PeerUp { .. }))
        .await;
}

#[tokio::test]
async fn inbound_peers_cannot_take_more_than_their_slots() {
    let mut full = Node::with(SwarmConfig {
        max_inbound: 0,
        ..config()
    })
    .await;
    let mut late = Node::start().await;
    late.dial(&full.address);
    let reason = late.dial_failed().await;
    assert!(reason.contains("may be full"), "{reason}");
    // Its own dials are not affected.
    full.dial(&late.address);
    assert_eq!(full.peer_up_in().await.1, Direction::Outbound);
}

/// As many idle connections as there were slots kept everyone else out for good.
#[tokio::test]
async fn idle_connections_make_room_for_a_newcomer() {
    const SLOTS: u32 = 8;
    let mut full = Node::with(SwarmConfig {
        max_inbound: SLOTS,
        ..config()
    })
    .await;
    let mut guests = Vec::new();
    for _ in 0..SLOTS {
        let mut guest = Node::start().await;
        guest.dial(&full.address);
        guest.peer_up().await;
        full.peer_up().await;
        guests.push(guest);
    }
    let mut late = Node::start().await;
    late.dial(&full.address);
    let to_full = late.peer_up().await;
    let (gone, reason) = full.peer_down().await;
    assert!(reason.contains("made room"), "{reason}");
    assert_ne!(gone, PeerNum(u64::from(SLOTS) + 1), "the newcomer stays");
    late.shake_hands(to_full, &mut full).await;
}

#[tokio::test]
async fn outbound_connections_are_limited() {
    let mut a = Node::with(SwarmConfig {
        max_outbound: 1,
        ..config()
    })
    .await;
    let (b, c) = (Node::start().await, Node::start().await);
    a.dial(&b.address);
    a.peer_up().await;
    a.dial(&c.address);
    let reason = a.dial_failed().await;
    assert!(reason.contains("at most 1"), "{reason}");
}

#[tokio::test]
async fn a_disconnected_peer_is_down_once_on_both_sides() {
    let (mut a, to_b, mut b, to_a) = pair().await;
    a.tell(Command::Disconnect(to_b));
    a.tell(Command::Disconnect(to_b));
    let (peer, reason) = a.peer_down().await;
    assert_eq!(peer, to_b);
    assert!(reason.contains("this node ended"), "{reason}");
    assert_eq!(b.peer_down().await.0, to_a);
    let down = |event: &Event| matches!(event, Event::PeerDown { .. });
    a.stays_without(down).await;
    b.stays_without(down).await;
    b.dial(&a.address);
    assert_ne!(b.peer_up().await, to_a, "numbers are not used again");
}

#[tokio::test]
async fn a_banned_peer_is_out_until_it_is_allowed_again() {
    let (mut a, _, mut b, _) = pair().await;
    let peer_id = b.peer_id().to_owned();
    a.tell(Command::Ban {
        peer_id: peer_id.clone(),
        banned: true,
    });
    let (_, reason) = a.peer_down().await;
    assert!(reason.contains("banned"), "{reason}");
    b.peer_down().await;
    b.dial(&a.address);
    b.dial_failed().await;
    a.dial(b.plain_address());
    let reason = a.dial_failed().await;
    assert!(reason.contains("banned"), "{reason}");
    a.tell(Command::Ban {
        peer_id,
        banned: false,
    });
    a.dial(b.plain_address());
    a.peer_up().await;
}

#[tokio::test]
async fn networking_that_is_off_lets_nobody_in_or_out() {
    let (mut a, _, mut b, _) = pair().await;
    let mut c = Node::start().await;
    c.dial(&a.address);
    a.peer_up().await;
    c.peer_up().await;
    a.tell(Command::SetActive(false));
    for _ in 0..2 {
        let (_, reason) = a.peer_down().await;
        assert!(reason.contains("turned off"), "{reason}");
    }
    b.peer_down().await;
    c.peer_down().await;
    a.dial(&b.address);
    let reason = a.dial_failed().await;
    assert!(reason.contains("networking is off"), "{reason}");
    b.dial(&a.address);
    b.dial_failed().await;
    a.stays_without(|event| matches!(event, Event::PeerUp { .. }))
        .await;
    a.tell(Command::SetActive(true));
    b.dial(&a.address);
    b.peer_up().await;
    let to_b = a.peer_up().await;
    a.shake_hands(to_b, &mut b).await;
}

/// Both sides dial at the same moment, many times over: each time one connection comes to be, and it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_dial_each_other_at_once_end_with_one_connection() {
    let (mut a, mut b) = (Node::start().await, Node::start().await);
    for round in 0..25 {
        a.dial(b.plain_address());
        b.dial(a.plain_address());
        let (to_b, from_a) = a.peer_up_in().await;
        let (to_a, from_b) = b.peer_up_in().await;
        assert_ne!(
            from_a, from_b,
            "round {round}: one connection, seen from its two ends"
        );
        a.shake_hands(to_b, &mut b).await;
        a.tell(Command::Disconnect(to_b));
        assert_eq!(a.peer_down().await.0, to_b);
        assert_eq!(b.peer_down().await.0, to_a);
    }
}

/// Dials again what failed, as a peer book does, until the node has as many peers as wanted; then it must keep them.
async fn stay_connected(mut node: Node, wanted: usize, done: &mpsc::UnboundedSender<()>) {
    let mut peers = 0;
    while peers < wanted {
        let event = node.until("more peers", Some).await;
        match event {
            Event::PeerUp { .. } => peers += 1,
            Event::PeerDown { reason, .. } => panic!("lost a peer: {reason}"),
            Event::DialFailed {
                address, reason, ..
            } if !reason.contains("already connected") => {
                let commands = node.commands.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let _ = commands.send(Command::Dial(address));
                });
            }
            _ => {}
        }
    }
    node.stays_without(|event| matches!(event, Event::PeerUp { .. } | Event::PeerDown { .. }))
        .await;
    done.send(()).unwrap();
    // The others may still be looking for this one.
    tokio::time::sleep(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_dials_itself_all_at_once_is_fully_connected() {
    const CROWD: usize = 6;
    let mut nodes = Vec::new();
    for _ in 0..CROWD {
        nodes.push(Node::start().await);
    }
    for node in &nodes {
        for other in nodes.iter().filter(|other| other.address != node.address) {
            node.dial(other.plain_address());
        }
    }
    let (done, mut connected) = mpsc::unbounded_channel();
    for node in nodes {
        let done = done.clone();
        tokio::spawn(async move {
            stay_connected(node, CROWD - 1, &done).await;
        });
    }
    drop(done);
    for _ in 0..CROWD {
        let all = tokio::time::timeout(PATIENCE, connected.recv());
        all.await
            .expect("fully connected")
            .expect("no peer was lost");
    }
}

#[tokio::test]
async fn a_node_keeps_its_identity_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = SwarmConfig {
        key_file: Some(folder.path().join("identity")),
        ..config()
    };
    let first = Node::with(config.clone()).await;
    let peer_id = first.peer_id().to_owned();
    first.tell(Command::Shutdown);
    first.task.await.unwrap().unwrap();
    let second = Node::with(config).await;
    assert_eq!(second.peer_id(), peer_id);
}

#[tokio::test]
async fn a_node_that_leaves_says_farewell() {
    let (a, _, mut b, _) = pair().await;
    a.tell(Command::Shutdown);
    let started = std::time::Instant::now();
    b.peer_down().await;
    assert!(started.elapsed() < Duration::from_secs(2));
    a.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_port_stops_the_start_with_a_remedy() {
    let first = Node::start().await;
    let config = SwarmConfig {
        listen: vec![first.plain_address().to_owned()],
        ..config()
    };
    let (_commands, commanded) = mpsc::unbounded_channel();
    let error = p2p::swarm::run(config, commanded, |_| Ok(()), Arc::default())
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(error.contains("address in use"), "{error}");
    assert!(error.contains("--listen, or port 0"), "{error}");
}
