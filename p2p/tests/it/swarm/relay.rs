//! Gossip and verdicts.

use bitcoin::bip152::HeaderAndShortIds;
use p2p::swarm::Channel;
use p2p::wire::Verdict;
use p2p::wire::limits::MAX_UNSENT_GOSSIP;

use super::link::{Link, State};
use super::*;

/// Three nodes in a line: the ends hear each other only through the middle.
async fn line() -> (Node, Node, Node) {
    let (mut left, mut middle, mut right) = (
        Node::start().await,
        Node::start().await,
        Node::start().await,
    );
    left.dial(&middle.address);
    left.peer_up().await;
    middle.peer_up().await;
    middle.dial(&right.address);
    middle.peer_up().await;
    right.peer_up().await;
    settle(&left, &mut middle, 1_000_001).await;
    settle(&middle, &mut right, 1_000_002).await;
    settle(&right, &mut middle, 1_000_003).await;
    settle(&middle, &mut left, 1_000_004).await;
    (left, middle, right)
}

/// Publishes again and again until the neighbour hears it: subscriptions cross a moment after the peers are up.
pub(crate) async fn settle(from: &Node, to: &mut Node, number: u32) {
    for attempt in 0..200 {
        from.tell(Command::Publish(transaction(number + attempt * 100)));
        let wait = Duration::from_millis(25);
        let heard = async {
            loop {
                match to.events.recv().await {
                    Some(Event::Gossip { id, .. }) => return id,
                    Some(_) => {}
                    None => panic!("the swarm stopped"),
                }
            }
        };
        if let Ok(id) = tokio::time::timeout(wait, heard).await {
            to.tell(Command::Verdict {
                id,
                verdict: Verdict::Ignore,
            });
            return;
        }
    }
    panic!("gossip never arrived");
}

fn content(gossip: &Gossip) -> [u8; 32] {
    gossip.content_id()
}

/// The next gossip that is not left over from settling.
async fn heard(node: &mut Node, wanted: &Gossip) -> GossipId {
    let wanted = content(wanted);
    node.until("gossip", |event| match event {
        Event::Gossip { id, gossip, .. } if content(&gossip) == wanted => Some(id),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn only_what_is_accepted_is_forwarded() {
    let (left, mut middle, mut right) = line().await;
    for (number, verdict) in [
        (1, Verdict::Accept),
        (2, Verdict::Ignore),
        (3, Verdict::Reject),
        (4, Verdict::Accept),
    ] {
        let gossip = transaction(number);
        left.tell(Command::Publish(gossip.clone()));
        let id = heard(&mut middle, &gossip).await;
        middle.tell(Command::Verdict { id, verdict });
        if verdict == Verdict::Accept {
            heard(&mut right, &gossip).await;
        } else {
            let wanted = content(&gossip);
            right
                .stays_without(|event| {
                    matches!(event, Event::Gossip { gossip, .. } if content(gossip) == wanted)
                })
                .await;
        }
    }
    // A verdict that is given twice, or on nothing, changes nothing.
    middle.tell(Command::Verdict {
        id: GossipId(u64::MAX),
        verdict: Verdict::Accept,
    });
    let gossip = transaction(5);
    middle.tell(Command::Publish(gossip.clone()));
    heard(&mut right, &gossip).await;
}

#[tokio::test]
async fn blocks_headers_and_the_largest_transaction_are_relayed() {
    let (left, mut middle, mut right) = line().await;
    let short_ids = HeaderAndShortIds::from_block(&block(1, 300_000), 7, 2, &[]).unwrap();
    let largest = plain_transaction(1, 12_800);
    assert!(
        (390_000..400_000).contains(&largest.total_size()),
        "{}",
        largest.total_size()
    );
    for gossip in [
        Gossip::Block(Box::new(short_ids)),
        Gossip::Header(block(2, 0).header),
        Gossip::Transaction(Arc::new(largest)),
    ] {
        left.tell(Command::Publish(gossip.clone()));
        let id = heard(&mut middle, &gossip).await;
        middle.tell(Command::Verdict {
            id,
            verdict: Verdict::Accept,
        });
        heard(&mut right, &gossip).await;
        // Transactions were gossiped before, to see that the line is up.
        if !matches!(gossip, Gossip::Transaction(_)) {
            let kind = (Channel::Gossip, gossip.kind());
            let counted = middle
                .traffic
                .kinds()
                .find(|k| (k.channel, k.kind) == kind)
                .unwrap();
            assert!(counted.received_bytes > 0, "{kind:?}");
            assert_eq!(counted.sent_bytes, counted.received_bytes, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn the_same_content_is_heard_once() {
    let (left, mut middle, right) = line().await;
    let gossip = transaction(9);
    left.tell(Command::Publish(gossip.clone()));
    left.tell(Command::Publish(gossip.clone()));
    right.tell(Command::Publish(gossip.clone()));
    heard(&mut middle, &gossip).await;
    middle
        .stays_without(|event| matches!(event, Event::Gossip { .. }))
        .await;
}

#[tokio::test]
async fn publishing_to_nobody_is_not_an_error() {
    let mut alone = Node::start().await;
    let mut other = Node::start().await;
    let gossip = transaction(1);
    alone.tell(Command::Publish(gossip.clone()));
    alone.dial(&other.address);
    alone.peer_up().await;
    other.peer_up().await;
    settle(&alone, &mut other, 10).await;
    // What nobody heard can be published again.
    alone.tell(Command::Publish(gossip.clone()));
    heard(&mut other, &gossip).await;
}

/// The mesh is built at once, not at the next heartbeat: gossip over three hops in a network that is a moment old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_network_relays_at_once() {
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(Node::start().await);
    }
    for i in 0..3 {
        let next = nodes[i + 1].address.clone();
        nodes[i].dial(&next);
        nodes[i].peer_up().await;
        nodes[i + 1].peer_up().await;
    }
    let (first, rest) = nodes.split_first_mut().unwrap();
    let started = std::time::Instant::now();
    let mut attempt = 0;
    'publish: loop {
        attempt += 1;
        assert!(attempt < 100, "gossip does not cross the line");
        let gossip = transaction(attempt);
        first.tell(Command::Publish(gossip.clone()));
        let wanted = content(&gossip);
        for node in rest.iter_mut() {
            let heard = async {
                loop {
                    if let Some(Event::Gossip { id, gossip, .. }) = node.events.recv().await {
                        node.tell(Command::Verdict {
                            id,
                            verdict: Verdict::Accept,
                        });
                        if content(&gossip) == wanted {
                            return;
                        }
                    }
                }
            };
            if tokio::time::timeout(Duration::from_millis(50), heard)
                .await
                .is_err()
            {
                continue 'publish;
            }
        }
        break;
    }
    println!(
        "three hops after {:?}, attempt {attempt}",
        started.elapsed()
    );
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

/// Gossip that a peer did not take was kept for it without a bound worth the name.
#[tokio::test]
async fn a_peer_that_takes_no_gossip_is_let_go_before_it_fills_the_memory() {
    let mut far = Node::start().await;
    let link = Link::to(far.port()).await;
    let mut near = Node::start().await;
    near.dial(&link.address);
    near.peer_up().await;
    far.peer_up().await;
    settle(&near, &mut far, 1_000_001).await;
    link.set(State::Stalled);
    // A window of the stream is on its way, the rest waits.
    for number in 0..MAX_UNSENT_GOSSIP as u32 + 400 {
        let payment = Arc::new(plain_transaction(number, 40));
        near.tell(Command::Publish(Gossip::Transaction(payment)));
    }
    let (_, reason) = near.peer_down().await;
    assert!(reason.contains("takes gossip too slowly"), "{reason}");
}
