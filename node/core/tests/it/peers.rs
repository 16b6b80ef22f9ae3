//! What a core asks of its peers by name, and whom it dials.

use std::time::Duration;

use bitcoin::{OutPoint, Transaction};
use node_core::{AddNode, Input, OperatorError, Output};
use p2p::sync::GossipId;
use p2p::wire::{Gossip, Request, Response, Verdict};
use p2p::{Direction, PeerNum};

use crate::support::{FEE, Lone, alice, bob, new_core, pay, pay_on};

const ALICE: PeerNum = PeerNum(7);
const BOB: PeerNum = PeerNum(8);

fn peer_id(peer: PeerNum) -> String {
    format!("12D3KooW{:044}", peer.0)
}

fn address(peer: PeerNum) -> String {
    format!("/ip4/127.0.0.1/tcp/{}", 20_000 + peer.0)
}

fn peer_up(lone: &mut Lone, peer: PeerNum, direction: Direction) {
    lone.handle(Input::PeerUp {
        peer,
        peer_id: peer_id(peer),
        address: address(peer),
        direction,
        agent: "test".to_owned(),
    });
}

/// What was asked of whom since the last time.
fn take_requests(lone: &mut Lone) -> Vec<(PeerNum, Request)> {
    let mut found = Vec::new();
    for output in lone.out.drain(..) {
        if let Output::Request { peer, request, .. } = output {
            found.push((peer, request));
        }
    }
    found
}

fn take_dials(lone: &mut Lone) -> Vec<String> {
    let mut found = Vec::new();
    for output in lone.out.drain(..) {
        if let Output::Dial(address) = output {
            found.push(address);
        }
    }
    found
}

fn gossip(lone: &mut Lone, peer: PeerNum, tx: &Transaction) {
    lone.handle(Input::Gossip {
        peer,
        id: GossipId(1),
        gossip: Gossip::Transaction(tx.clone().into()),
    });
}

#[test]
fn missing_parents_are_asked_of_the_sender_of_the_child() {
    let mut lone = Lone::new();
    peer_up(&mut lone, ALICE, Direction::Outbound);
    peer_up(&mut lone, BOB, Direction::Outbound);
    lone.out.clear();
    let parent = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&parent, &bob(), &alice(), FEE);
    gossip(&mut lone, BOB, &child);
    let wanted = Request::Transactions(vec![parent.compute_txid()]);
    assert_eq!(take_requests(&mut lone), [(BOB, wanted)]);
    assert_eq!(lone.core.orphan_count(), 1);
}

/// Its parent is here, and the coin is not (any more): no parent would help.
#[test]
fn who_spends_what_is_spent_is_neither_kept_nor_asked_about() {
    let mut lone = Lone::new();
    peer_up(&mut lone, ALICE, Direction::Outbound);
    let spent = pay(&alice(), 0, &bob(), FEE);
    lone.send(&spent).expect("good");
    lone.mine();
    lone.out.clear();
    let mut bad = pay(&alice(), 0, &alice(), FEE);
    bad.input[0].previous_output = OutPoint {
        txid: spent.compute_txid(),
        vout: 5,
    };
    gossip(&mut lone, ALICE, &bad);
    let verdict = lone.out.iter().find_map(|output| match output {
        Output::Verdict { verdict, .. } => Some(*verdict),
        _ => None,
    });
    assert_eq!(verdict, Some(Verdict::Ignore));
    // Whether the confirmed parent ever had such an output is not known: asking once is all it costs.
    let wanted = Request::Transactions(vec![spent.compute_txid()]);
    assert_eq!(take_requests(&mut lone), [(ALICE, wanted)]);
    gossip(&mut lone, ALICE, &bad);
    assert_eq!(take_requests(&mut lone), []);
}

#[test]
fn a_block_that_is_ordered_is_asked_of_the_peer_that_was_named() {
    let mut other = Lone::with(new_core(2));
    // At another time, so that its blocks are others.
    other.pass(Duration::from_secs(100));
    other.mine_many(2);
    let stale = other.mine();
    let mut lone = Lone::new();
    lone.mine_many(5);
    peer_up(&mut lone, ALICE, Direction::Outbound);
    peer_up(&mut lone, BOB, Direction::Inbound);
    for height in 1..=3 {
        let header = other.core.chain().at_height(chain::Height(height));
        let header = header.expect("mined").header;
        lone.core
            .submit_header(lone.now, &header, &mut lone.out)
            .expect("a good header");
    }
    lone.out.clear();
    let hash = stale.block_hash();
    let now = lone.now;
    let nobody = lone
        .core
        .fetch_block(now, &hash, PeerNum(99), &mut lone.out);
    assert!(matches!(
        nobody,
        Err(OperatorError::UnknownPeer(PeerNum(99)))
    ));
    lone.core
        .fetch_block(now, &hash, BOB, &mut lone.out)
        .expect("known header, known peer");
    assert_eq!(
        take_requests(&mut lone),
        [(BOB, Request::Blocks(vec![hash]))]
    );
}

#[test]
fn an_added_address_whose_peer_dialled_us_is_dialled_again_only_when_that_peer_is_gone() {
    let mut lone = Lone::new();
    peer_up(&mut lone, ALICE, Direction::Inbound);
    let now = lone.now;
    let elsewhere = "/ip4/127.0.0.1/tcp/30000";
    lone.core
        .add_node(now, elsewhere, AddNode::Add, &mut lone.out)
        .expect("new");
    assert_eq!(take_dials(&mut lone), [elsewhere]);
    lone.handle(Input::DialMet {
        address: elsewhere.to_owned(),
        peer_id: peer_id(ALICE),
    });
    lone.handle(Input::DialFailed {
        address: elsewhere.to_owned(),
        reason: "already connected to this peer".to_owned(),
        lasting: false,
    });
    for _ in 0..60 {
        lone.pass(Duration::from_secs(1));
    }
    assert!(take_dials(&mut lone).is_empty());
    lone.handle(Input::PeerDown {
        peer: ALICE,
        reason: "gone".to_owned(),
    });
    lone.pass(Duration::from_secs(1));
    assert_eq!(take_dials(&mut lone), [elsewhere]);
}

#[test]
fn peers_that_we_dialled_are_asked_for_addresses_in_turn_and_ever_more_seldom() {
    let mut lone = Lone::new();
    peer_up(&mut lone, ALICE, Direction::Outbound);
    peer_up(&mut lone, BOB, Direction::Outbound);
    peer_up(&mut lone, PeerNum(9), Direction::Inbound);
    let mut asked = Vec::new();
    for _ in 0..3_600 {
        lone.pass(Duration::from_secs(1));
        let requests = take_requests(&mut lone);
        let addresses = requests.into_iter().filter(|(_, r)| *r == Request::Peers);
        asked.extend(addresses.map(|(peer, _)| peer));
    }
    assert!(asked.contains(&ALICE) && asked.contains(&BOB));
    assert!(!asked.contains(&PeerNum(9)), "it dialled us");
    assert!((8..20).contains(&asked.len()), "{asked:?} in an hour");
}

#[test]
fn case_53_a_stale_tip_is_a_reason_to_dial_one_peer_more() {
    let mut lone = Lone::new();
    let dialled: Vec<PeerNum> = (1..=8).map(PeerNum).collect();
    for peer in &dialled {
        peer_up(&mut lone, *peer, Direction::Outbound);
    }
    let asked = lone.out.drain(..).find_map(|output| match output {
        Output::Request {
            peer,
            id,
            request: Request::Peers,
        } => Some((peer, id)),
        _ => None,
    });
    let (peer, id) = asked.expect("a peer that we dialled is asked for addresses");
    let others: Vec<String> = (20..23)
        .map(|n| {
            format!(
                "/ip4/127.0.0.1/tcp/{}/p2p/{}",
                20_000 + n,
                peer_id(PeerNum(n))
            )
        })
        .collect();
    lone.handle(Input::Response {
        peer,
        id,
        response: Response::Peers(others.clone()),
    });
    lone.mine();
    lone.out.clear();
    let spacing = u64::from(lone.core.chain().params().pow.spacing_s);
    lone.pass(Duration::from_secs(14 * spacing));
    let tried_out = take_dials(&mut lone);
    assert!(
        tried_out.len() <= 1,
        "all slots are taken: one new address is tried out every two minutes"
    );
    for address in tried_out {
        lone.handle(Input::DialFailed {
            address,
            reason: "refused".to_owned(),
            lasting: false,
        });
    }
    assert!(take_dials(&mut lone).is_empty(), "all slots are taken");
    lone.pass(Duration::from_secs(spacing));
    let more = take_dials(&mut lone);
    assert_eq!(more.len(), 1, "{more:?}");
    // Without the id that was told: anyone of the network will do.
    let told = others.iter().any(|other| other.starts_with(&more[0]));
    assert!(told, "{more:?}");
}

#[test]
fn who_sends_an_invalid_transaction_is_let_go() {
    let mut lone = Lone::new();
    peer_up(&mut lone, ALICE, Direction::Outbound);
    lone.out.clear();
    let mut bad = pay(&alice(), 0, &bob(), FEE);
    let mut signature = bad.input[0].witness[0].to_vec();
    signature[10] ^= 1;
    let key = bad.input[0].witness.iter().nth(1).map(<[u8]>::to_vec);
    bad.input[0].witness.clear();
    bad.input[0].witness.push(signature);
    if let Some(key) = key {
        bad.input[0].witness.push(key);
    }
    gossip(&mut lone, ALICE, &bad);
    let gone =
        |output: &Output| matches!(output, Output::Disconnect { peer, .. } if *peer == ALICE);
    assert!(lone.out.iter().any(gone));
}
