use std::time::Duration;

use super::*;

const CLOCK: Timestamp = Timestamp(1_900_000_000);

fn id(n: usize) -> String {
    format!("12D3KooW{n:044}")
}

fn local(n: usize) -> String {
    format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", 10_000 + n, id(n))
}

fn book() -> PeerBook {
    PeerBook::new(BookOptions::default())
}

fn millis(n: u64) -> Mono {
    Mono::ZERO + Duration::from_millis(n)
}

#[test]
fn fixed_addresses_are_dialled_for_ever_with_back_off_up_to_two_seconds() {
    let mut book = book();
    book.add_fixed("/ip4/127.0.0.1/tcp/9").expect("fine");
    let mut now = Mono::ZERO;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert_eq!(book.due(now, 0), ["/ip4/127.0.0.1/tcp/9"]);
        assert!(book.due(now, 0).is_empty(), "it is being dialled");
        book.failed("/ip4/127.0.0.1/tcp/9", now);
        let next = book.next_due(0).expect("waits");
        assert!(book.due(now, 0).is_empty(), "it waits");
        pauses.push(next.since(now).as_millis());
        now = next;
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
}

#[test]
fn elsewhere_the_pause_grows_to_a_minute() {
    let mut book = book();
    let address = "/ip4/8.8.8.8/tcp/9";
    book.add_fixed(address).expect("fine");
    for _ in 0..10 {
        book.failed(address, Mono::ZERO);
    }
    assert_eq!(book.next_due(0), Some(Mono::ZERO + Duration::from_secs(60)));
}

#[test]
fn a_lost_peer_is_dialled_again_within_a_moment() {
    let mut book = book();
    book.add_fixed("/ip4/127.0.0.1/tcp/9").expect("fine");
    assert_eq!(book.due(millis(0), 0).len(), 1);
    book.connected(&id(9), "/ip4/127.0.0.1/tcp/9", Direction::Outbound, CLOCK);
    assert!(book.due(millis(5), 8).is_empty());
    book.disconnected(&id(9), millis(10));
    assert!(book.due(millis(50), 0).is_empty());
    // Without its id: someone else may answer there now, and the operator gave the address only.
    assert_eq!(book.due(millis(110), 0), ["/ip4/127.0.0.1/tcp/9"]);
}

#[test]
fn a_peer_that_dialled_us_is_not_dialled_as_well() {
    let mut book = book();
    book.learn(&id(1), Reach::Loopback, &[local(2)]);
    book.connected(
        &id(2),
        "/ip4/127.0.0.1/tcp/55555",
        Direction::Inbound,
        CLOCK,
    );
    assert!(book.due(Mono::ZERO, 8).is_empty());
    book.disconnected(&id(2), Mono::ZERO);
    assert_eq!(book.due(millis(100), 8), [local(2)]);
}

#[test]
fn a_dial_without_result_is_tried_again_after_a_while() {
    let mut book = book();
    book.add_fixed("/ip4/127.0.0.1/tcp/9").expect("fine");
    assert_eq!(book.due(millis(0), 0).len(), 1);
    let again = book.next_due(0).expect("waits");
    assert_eq!(again, millis(30_000));
    assert_eq!(book.due(again, 0).len(), 1);
}

#[test]
fn no_more_is_dialled_than_is_missing() {
    let mut book = book();
    for source in 1..=3 {
        let addresses: Vec<_> = (0..50).map(|n| local(source * 100 + n)).collect();
        book.learn(&id(source), Reach::Loopback, &addresses);
    }
    assert_eq!(book.due(Mono::ZERO, 3).len(), 3);
    assert!(book.due(Mono::ZERO, 3).is_empty(), "three are under way");
    assert_eq!(book.due(Mono::ZERO, 100).len(), 5, "eight at once");
    assert!(book.due(Mono::ZERO, 0).is_empty());
}

#[test]
fn case_55_one_peer_cannot_fill_the_book() {
    let mut book = book();
    let flood: Vec<_> = (0..100_000).map(|n| local(n % 50_000)).collect();
    assert_eq!(book.learn(&id(1), Reach::Loopback, &flood), MAX_PER_SOURCE);
    assert_eq!(
        book.learn(&id(1), Reach::Loopback, &[local(99_999 - 50_000)]),
        0
    );
    for source in 2..30 {
        let addresses: Vec<_> = (0..200).map(|n| local(source * 1_000 + n)).collect();
        book.learn(&id(source), Reach::Loopback, &addresses);
        assert!(book.len() <= MAX_ADDRESSES);
    }
    assert_eq!(book.len(), MAX_ADDRESSES);
}

#[test]
fn case_55_reached_addresses_are_not_pushed_out() {
    let mut book = book();
    book.learn(&id(1), Reach::Loopback, &[local(1)]);
    book.due(Mono::ZERO, 1);
    book.connected(&id(1), &local(1), Direction::Outbound, CLOCK);
    book.disconnected(&id(1), Mono::ZERO);
    for source in 2..30 {
        let addresses: Vec<_> = (0..100).map(|n| local(source * 1_000 + n)).collect();
        book.learn(&id(source), Reach::Loopback, &addresses);
    }
    assert_eq!(book.to_tell(Reach::Loopback, 10), [local(1)]);
}

#[test]
fn case_55_far_peers_cannot_name_near_addresses_and_nobody_names_us() {
    let mut book = book();
    book.set_own_id(&id(7));
    let near = [local(1), format!("/ip4/192.168.1.1/tcp/1/p2p/{}", id(2))];
    assert_eq!(book.learn("far", Reach::Public, &near), 0);
    assert_eq!(book.learn("lan", Reach::Private, &near), 1);
    assert_eq!(
        book.learn("here", Reach::Loopback, &[local(7), local(8)]),
        1
    );
    assert_eq!(book.learn("here", Reach::Loopback, &["junk".to_owned()]), 0);
    let nameless = "/ip4/127.0.0.1/tcp/77".to_owned();
    assert_eq!(book.learn("here", Reach::Loopback, &[nameless]), 0);
}

#[test]
fn connect_only_dials_nothing_else() {
    let options = BookOptions {
        fixed_only: true,
        ..BookOptions::default()
    };
    let mut book = PeerBook::new(options);
    assert_eq!(book.learn("peer", Reach::Loopback, &[local(1)]), 0);
    book.add_fixed(&local(2)).expect("fine");
    assert_eq!(book.due(Mono::ZERO, 8), [local(2)]);
    book.connected(&id(2), &local(2), Direction::Outbound, CLOCK);
    assert!(book.to_tell(Reach::Loopback, 8).is_empty());
}

#[test]
fn the_book_comes_back_as_it_was_stored_with_anchors_first() {
    let mut book = book();
    let addresses: Vec<_> = (1..40).map(local).collect();
    book.learn("peer", Reach::Loopback, &addresses);
    for n in [5, 17, 30] {
        book.connected(&id(n), &local(n), Direction::Outbound, CLOCK);
    }
    assert!(book.changes() > 0);
    let text = book.to_json();
    let mut again = PeerBook::from_json(&text, BookOptions::default()).expect("just written");
    assert_eq!(again.len(), 39);
    assert_eq!(again.to_json(), text);
    let mut first = again.due(Mono::ZERO, 2);
    first.sort();
    assert_eq!(first, [local(17), local(30)]);
}

#[test]
fn a_strange_book_is_refused_with_a_remedy() {
    for text in [
        "",
        "{",
        "[]",
        r#"{"format":1,"peers":[],"anchors":[],"x":1}"#,
    ] {
        let error = PeerBook::from_json(text, BookOptions::default()).expect_err(text);
        assert!(error.to_string().contains("delete it"), "{error}");
    }
    let newer = r#"{"format":9,"peers":[],"anchors":[]}"#;
    let error = PeerBook::from_json(newer, BookOptions::default()).expect_err("newer");
    assert!(matches!(error, BookError::NewerFormat { found: 9 }));
}

#[test]
fn hopeless_addresses_are_forgotten() {
    let mut book = book();
    book.learn("peer", Reach::Loopback, &[local(1)]);
    for _ in 0..20 {
        book.failed(&local(1), Mono::ZERO);
    }
    assert!(book.is_empty());
}

/// It was dialled every two seconds, for as long as the other side's connection lasted.
#[test]
fn a_fixed_address_whose_peer_dialled_us_is_left_alone_until_that_peer_is_gone() {
    let mut book = book();
    let nameless = "/ip4/127.0.0.1/tcp/7";
    book.add_fixed(nameless).expect("fine");
    book.connected(
        &id(7),
        "/ip4/127.0.0.1/tcp/50123",
        Direction::Inbound,
        CLOCK,
    );
    assert_eq!(
        book.due(Mono::ZERO, 8),
        [nameless],
        "nobody knows who is there"
    );
    book.met(nameless, &id(7));
    book.failed(nameless, Mono::ZERO);
    let later = Mono::ZERO + Duration::from_secs(100);
    assert!(book.due(later, 8).is_empty());
    assert_eq!(book.next_due(8), None);
    book.disconnected(&id(7), later);
    let soon = book.next_due(8).expect("it is dialled again");
    assert_eq!(book.due(soon, 8), [nameless]);
}

/// Twenty nodes that all dialled a first one stayed a star: it had reached none of them itself, so it told nobody of them.
#[test]
fn peers_that_dialled_us_are_told_while_they_are_here_if_they_come_from_where_they_listen() {
    let mut book = book();
    book.learn(&id(1), Reach::Loopback, &[local(1)]);
    assert!(book.to_tell(Reach::Loopback, 8).is_empty(), "hearsay");
    book.connected(
        &id(1),
        "/ip4/127.0.0.1/tcp/50001",
        Direction::Inbound,
        CLOCK,
    );
    assert_eq!(book.to_tell(Reach::Loopback, 8), [local(1)]);
    // One that names somebody else's host.
    let elsewhere = format!("/ip4/127.0.0.2/tcp/10002/p2p/{}", id(2));
    book.learn(&id(2), Reach::Loopback, &[elsewhere]);
    book.connected(
        &id(2),
        "/ip4/127.0.0.1/tcp/50002",
        Direction::Inbound,
        CLOCK,
    );
    assert_eq!(book.to_tell(Reach::Loopback, 8), [local(1)]);
    book.disconnected(&id(1), Mono::ZERO);
    assert!(book.to_tell(Reach::Loopback, 8).is_empty());
}
