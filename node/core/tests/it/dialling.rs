//! Whom a core dials, and whom it keeps away.

use std::time::Duration;

use node_core::{AddNode, Input, Output};
use p2p::Direction;

use crate::support::{ADDRESS, Lone, PEER, peer_up};

#[test]
fn a_peer_that_sends_rubbish_is_kept_away_for_a_while() {
    let mut lone = Lone::new();
    peer_up(&mut lone);
    lone.out.clear();
    lone.handle(Input::MalformedGossip { peer: PEER });
    let banned = |out: &[Output], wanted: bool| {
        out.iter()
            .any(|output| matches!(output, Output::Ban { banned, .. } if *banned == wanted))
    };
    assert!(banned(&lone.out, true));
    assert!(
        lone.out
            .iter()
            .any(|output| matches!(output, Output::Disconnect { .. }))
    );
    lone.handle(Input::PeerDown {
        peer: PEER,
        reason: "sent away".to_owned(),
    });
    assert!(lone.core.peers().is_empty());
    peer_up(&mut lone);
    assert!(lone.core.peers().is_empty(), "it is not let in again");
    lone.out.clear();
    lone.pass(Duration::from_secs(601));
    assert!(banned(&lone.out, false));
    peer_up(&mut lone);
    assert_eq!(lone.core.peers().len(), 1);
}

/// `invalidateblock` banned the very peers that the operator had named.
#[test]
fn a_peer_that_the_operator_named_is_sent_away_and_never_banned() {
    let mut lone = Lone::new();
    let now = lone.now;
    lone.core
        .add_node(now, ADDRESS, AddNode::Add, &mut lone.out)
        .expect("new");
    lone.handle(Input::PeerUp {
        peer: PEER,
        peer_id: "12D3KooW".to_owned(),
        address: ADDRESS.to_owned(),
        direction: Direction::Outbound,
        agent: "test".to_owned(),
    });
    lone.out.clear();
    lone.handle(Input::MalformedGossip { peer: PEER });
    let sent_away = |output: &Output| matches!(output, Output::Disconnect { .. });
    assert!(lone.out.iter().any(sent_away));
    let is_ban = |output: &Output| matches!(output, Output::Ban { .. });
    assert!(!lone.out.iter().any(is_ban));
    assert_eq!(lone.core.bans().count(), 0);
    lone.handle(Input::PeerDown {
        peer: PEER,
        reason: "sent away".to_owned(),
    });
    lone.out.clear();
    lone.pass(Duration::from_secs(10));
    assert_eq!(dials(&mut lone), 0, "it is left alone for a while");
    lone.pass(Duration::from_secs(60));
    assert_eq!(dials(&mut lone), 1, "and dialled again");
}

#[test]
fn bans_survive_as_they_were_told() {
    let mut lone = Lone::new();
    let now = lone.now;
    lone.core.ban(now, "10.0.0.7", 600, &mut lone.out);
    let before = lone.core.ban_changes();
    assert!(before > 0);
    let kept: Vec<_> = lone
        .core
        .bans()
        .map(|(subject, ban)| (subject.to_owned(), ban.clone()))
        .collect();
    let mut again = Lone::new();
    let now = again.now;
    let bans = kept.clone();
    again.core.restore_bans(now, bans, &mut again.out);
    let restored: Vec<_> = again
        .core
        .bans()
        .map(|(subject, ban)| (subject.to_owned(), ban.clone()))
        .collect();
    assert_eq!(restored, kept);
    again.pass(Duration::from_secs(601));
    assert_eq!(again.core.bans().count(), 0);
}

#[test]
fn operators_ban_by_address_too() {
    let mut lone = Lone::new();
    peer_up(&mut lone);
    let now = lone.now;
    lone.core.ban(now, "127.0.0.1", 60, &mut lone.out);
    assert!(
        lone.out
            .iter()
            .any(|o| matches!(o, Output::Disconnect { peer, .. } if *peer == PEER))
    );
    assert_eq!(lone.core.bans().count(), 1);
    assert!(lone.core.unban("127.0.0.1", &mut lone.out));
    assert!(!lone.core.unban("127.0.0.1", &mut lone.out));
}

fn dials(lone: &mut Lone) -> usize {
    let dials = lone
        .out
        .iter()
        .filter(|output| matches!(output, Output::Dial(_)))
        .count();
    lone.out.clear();
    dials
}

#[test]
fn an_added_node_is_dialled_until_it_is_there_and_again_when_it_is_lost() {
    let mut lone = Lone::new();
    let now = lone.now;
    lone.core
        .add_node(now, ADDRESS, AddNode::Add, &mut lone.out)
        .expect("new");
    assert!(
        lone.core
            .add_node(now, ADDRESS, AddNode::Add, &mut lone.out)
            .is_err()
    );
    assert!(
        lone.core
            .add_node(now, "nonsense", AddNode::Add, &mut lone.out)
            .is_err()
    );
    assert_eq!(dials(&mut lone), 1);
    let failed = || Input::DialFailed {
        address: ADDRESS.to_owned(),
        reason: "refused".to_owned(),
        lasting: false,
    };
    lone.handle(failed());
    assert_eq!(dials(&mut lone), 0, "after a pause only");
    lone.pass(Duration::from_millis(100));
    assert_eq!(dials(&mut lone), 1);
    peer_up(&mut lone);
    lone.pass(Duration::from_secs(10));
    assert_eq!(dials(&mut lone), 0);
    assert_eq!(
        lone.core.added_nodes().next().and_then(|named| named.peer),
        Some(PEER)
    );
    lone.handle(Input::PeerDown {
        peer: PEER,
        reason: "cut".to_owned(),
    });
    lone.pass(Duration::from_millis(100));
    assert_eq!(dials(&mut lone), 1);

    let now = lone.now;
    lone.core.set_network_active(now, false, &mut lone.out);
    lone.handle(failed());
    lone.pass(Duration::from_secs(100));
    assert_eq!(dials(&mut lone), 0, "networking is off");
    let now = lone.now;
    lone.core.set_network_active(now, true, &mut lone.out);
    assert_eq!(dials(&mut lone), 1, "at once when it is on again");
    lone.core
        .add_node(now, ADDRESS, AddNode::Remove, &mut lone.out)
        .expect("it is there");
    assert!(
        lone.core
            .add_node(now, ADDRESS, AddNode::Remove, &mut lone.out)
            .is_err()
    );
}
