use chain::Timestamp;

use super::*;

const ADDRESS: &str = "/ip4/8.8.8.8/tcp/18444";

fn at(seconds: u32) -> Now {
    Now {
        mono: Mono::ZERO + std::time::Duration::from_secs(u64::from(seconds)),
        wall: Timestamp(1_000_000 + seconds),
    }
}

fn peer(num: u64, address: &str, direction: Direction) -> NewPeer {
    NewPeer {
        num: PeerNum(num),
        peer_id: format!("12D3KooW{num}"),
        address: address.to_owned(),
        direction,
        agent: "test".to_owned(),
    }
}

/// What an output is about, in a word or two.
fn words(out: &mut Vec<Output>) -> Vec<String> {
    let word = |output: Output| match output {
        Output::Dial(address) => format!("dial {address}"),
        Output::Disconnect { peer, reason } => format!("part from {}: {reason}", peer.0),
        Output::Ban { peer_id, banned } => format!("ban {peer_id} {banned}"),
        Output::SetActive(active) => format!("active {active}"),
        Output::Event(NodeEvent::PeerUp { peer, .. }) => format!("up {}", peer.0),
        Output::Event(NodeEvent::PeerDown { peer, .. }) => format!("down {}", peer.0),
        other => format!("{other:?}"),
    };
    std::mem::take(out).into_iter().map(word).collect()
}

#[test]
fn addresses_match_with_and_without_peer_id() {
    let plain = "/ip4/127.0.0.1/tcp/18444";
    assert!(is_same_address(plain, plain));
    assert!(is_same_address(plain, "/ip4/127.0.0.1/tcp/18444/p2p/12D3A"));
    assert!(is_same_address("/ip4/127.0.0.1/tcp/18444/p2p/12D3A", plain));
    assert!(!is_same_address(
        "/ip4/127.0.0.1/tcp/18444/p2p/12D3A",
        "/ip4/127.0.0.1/tcp/18444/p2p/12D3B"
    ));
    assert!(!is_same_address(plain, "/ip4/127.0.0.1/tcp/1844"));
}

#[test]
fn who_misbehaved_is_sent_away_and_let_in_again_ten_minutes_later() {
    let mut connections = Connections::new(&CoreOptions::default());
    let mut out = Vec::new();
    let newcomer = || peer(1, ADDRESS, Direction::Inbound);
    assert!(connections.up(at(0), newcomer(), &mut out).is_some());
    connections.punish(at(1), PeerNum(1), "rubbish".to_owned(), &mut out);
    assert!(connections.down(at(1), PeerNum(1), "closed".to_owned(), &mut out));
    assert_eq!(
        words(&mut out),
        [
            "up 1",
            "part from 1: rubbish",
            "ban 12D3KooW1 true",
            "down 1"
        ]
    );
    assert!(connections.up(at(2), newcomer(), &mut out).is_none());
    assert_eq!(words(&mut out), ["part from 1: it is banned: rubbish"]);
    assert!(connections.table().is_empty());
    assert_eq!(connections.next_due(at(2)), Some(at(601).mono));
    connections.end_bans(at(600), &mut out);
    assert_eq!(words(&mut out), [""; 0]);
    connections.end_bans(at(601), &mut out);
    assert_eq!(words(&mut out), ["ban 12D3KooW1 false"]);
    assert!(connections.up(at(602), newcomer(), &mut out).is_some());
}

#[test]
fn what_the_operator_named_is_kept_away_by_his_word_alone() {
    let options = CoreOptions {
        peers: vec![ADDRESS.to_owned()],
        ..CoreOptions::default()
    };
    let mut connections = Connections::new(&options);
    let mut out = Vec::new();
    let named = || peer(1, ADDRESS, Direction::Outbound);
    connections.dial_due(at(0), &mut out);
    assert_eq!(words(&mut out), [format!("dial {ADDRESS}")]);
    assert!(connections.up(at(0), named(), &mut out).is_some());
    connections.punish(at(1), PeerNum(1), "rubbish".to_owned(), &mut out);
    assert_eq!(words(&mut out), ["up 1", "part from 1: rubbish"]);
    connections.ban(at(2), "8.8.8.8", 60, &mut out);
    assert_eq!(words(&mut out), ["part from 1: an operator asked for it"]);
    assert!(connections.down(at(2), PeerNum(1), "closed".to_owned(), &mut out));
    assert!(connections.up(at(3), named(), &mut out).is_none());
    assert!(connections.unban("8.8.8.8", &mut out));
    assert!(connections.up(at(4), named(), &mut out).is_some());
}

#[test]
fn only_who_was_dialled_is_asked_for_addresses_each_in_turn_with_growing_pauses() {
    let mut connections = Connections::new(&CoreOptions::default());
    let mut out = Vec::new();
    connections.up(
        at(0),
        peer(1, "/ip4/9.9.9.9/tcp/1", Direction::Inbound),
        &mut out,
    );
    assert_eq!(connections.take_to_ask(at(0)), None);
    for (num, address) in [(2, "/ip4/8.8.8.8/tcp/1"), (3, "/ip4/7.7.7.7/tcp/1")] {
        connections.up(at(0), peer(num, address, Direction::Outbound), &mut out);
    }
    assert_eq!(connections.take_to_ask(at(0)), Some(PeerNum(2)));
    assert_eq!(connections.take_to_ask(at(0)), None);
    assert_eq!(connections.take_to_ask(at(1)), Some(PeerNum(3)));
    assert_eq!(connections.take_to_ask(at(2)), None);
    assert_eq!(connections.take_to_ask(at(3)), Some(PeerNum(2)));
    // Who tells something new is worth asking again soon.
    let told = [format!("/ip4/6.6.6.6/tcp/1/p2p/12D3KooW{:044}", 9)];
    connections.learn(PeerNum(2), AddressesOf::Others, &told);
    assert_eq!(connections.take_to_ask(at(7)), Some(PeerNum(3)));
    assert_eq!(connections.take_to_ask(at(8)), Some(PeerNum(2)));
    connections.set_active(at(9), false, &mut out);
    assert_eq!(connections.take_to_ask(at(1_000)), None);
}
