use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

const CLOCK: Timestamp = Timestamp(1_900_000_000);
/// Longer than a connection must last to be good, and than a peer must be here to be an anchor.
const LONG: Duration = Duration::from_secs(100);

fn id(n: usize) -> String {
    format!("12D3KooW{n:044}")
}

fn place(n: usize) -> String {
    format!("/ip4/127.0.0.1/tcp/{}", 10_000 + n)
}

fn local(n: usize) -> String {
    format!("{}/p2p/{}", place(n), id(n))
}

/// The `n`-th address of a group of addresses.
fn far(group: usize, n: usize) -> String {
    let (a, b) = (20 + group / 200, group % 200);
    let (c, d) = (n / 200, n % 200 + 1);
    format!(
        "/ip4/{a}.{b}.{c}.{d}/tcp/9333/p2p/{}",
        id(group * 1_000 + n)
    )
}

fn book() -> PeerBook {
    PeerBook::new(BookOptions {
        seed: 7,
        ..BookOptions::default()
    })
}

fn at(after: Duration) -> Mono {
    Mono::ZERO + after
}

fn millis(n: u64) -> Mono {
    at(Duration::from_millis(n))
}

fn up(book: &mut PeerBook, n: usize, address: &str, direction: Direction, now: Mono) -> Connected {
    let peer = PeerNum(n as u64);
    book.connected(peer, &id(n), address, direction, (now, CLOCK))
}

fn outbound(book: &mut PeerBook, n: usize, now: Mono) {
    assert_eq!(
        up(book, n, &place(n), Direction::Outbound, now),
        Connected::Peer
    );
}

fn down(book: &mut PeerBook, n: usize, now: Mono) {
    book.disconnected(PeerNum(n as u64), now, "cut");
}

/// A peer that we dialled tells addresses of others.
fn told(book: &mut PeerBook, teller: usize, addresses: &[String]) -> usize {
    book.learn(PeerNum(teller as u64), AddressesOf::Others, addresses)
}

/// A peer of this machine, whose word counts for one source.
fn teller(book: &mut PeerBook, n: usize) {
    up(book, n, &place(n), Direction::Outbound, Mono::ZERO);
}

fn fail(book: &mut PeerBook, address: &str, now: Mono) -> Option<Complaint> {
    book.failed(address, now, "nothing listens there", false)
}

#[test]
fn fixed_addresses_are_dialled_for_ever_with_back_off_up_to_two_seconds() {
    let mut book = book();
    book.add_fixed(&place(9)).expect("fine");
    let mut now = Mono::ZERO;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert_eq!(book.due(now, 0), [place(9)]);
        assert!(book.due(now, 0).is_empty(), "it is being dialled");
        fail(&mut book, &place(9), now);
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
        fail(&mut book, address, Mono::ZERO);
    }
    assert_eq!(book.next_due(0), Some(at(Duration::from_secs(60))));
}

#[test]
fn a_lost_peer_is_dialled_again_within_a_moment() {
    let mut book = book();
    book.add_fixed(&place(9)).expect("fine");
    assert_eq!(book.due(millis(0), 0).len(), 1);
    outbound(&mut book, 9, millis(0));
    assert!(book.due(millis(5), 8).is_empty());
    down(&mut book, 9, at(LONG));
    assert!(book.due(at(LONG), 0).is_empty());
    // Without its id: someone else may answer there now, and the operator gave the address only.
    let soon = at(LONG) + Duration::from_millis(100);
    assert_eq!(book.due(soon, 0), [place(9)]);
}

/// A listener that closed after identify was dialled ten times a second: each handshake had reset the back-off.
#[test]
fn who_parts_right_after_meeting_is_dialled_ever_more_seldom() {
    let mut book = book();
    teller(&mut book, 1);
    told(&mut book, 1, &[local(5)]);
    let mut now = Mono::ZERO;
    let mut dials = 0;
    while now < at(Duration::from_secs(60)) {
        if book.due(now, 8).is_empty() {
            now = book.next_due(8).expect("waits");
            continue;
        }
        dials += 1;
        outbound(&mut book, 5, now);
        now = now + Duration::from_millis(20);
        down(&mut book, 5, now);
    }
    assert!((2..6).contains(&dials), "{dials} dials in a minute");
}

/// A fresh node whose peers all started from a snapshot dialled them 94 times in 10 s.
#[test]
fn who_was_given_up_for_a_lasting_reason_is_left_alone_even_if_the_operator_named_it() {
    let mut book = book();
    book.add_fixed(&place(9)).expect("fine");
    assert_eq!(book.due(Mono::ZERO, 8).len(), 1);
    outbound(&mut book, 9, Mono::ZERO);
    book.gave_up(PeerNum(9));
    down(&mut book, 9, millis(30));
    let next = book.next_due(8).expect("it waits");
    assert!(next >= at(Duration::from_secs(10)), "{next:?}");
    assert_eq!(book.fixed().next().unwrap().problem.as_deref(), Some("cut"));
}

#[test]
fn a_peer_that_dialled_us_is_not_dialled_as_well() {
    let mut book = book();
    teller(&mut book, 1);
    told(&mut book, 1, &[local(2)]);
    let from = "/ip4/127.0.0.1/tcp/55555";
    up(&mut book, 2, from, Direction::Inbound, Mono::ZERO);
    assert!(book.due(Mono::ZERO, 8).is_empty());
    down(&mut book, 2, at(LONG));
    assert_eq!(book.due(at(LONG) + LONG, 8), [place(2)]);
}

#[test]
fn a_dial_without_result_is_tried_again_after_a_while() {
    let mut book = book();
    book.add_fixed(&place(9)).expect("fine");
    assert_eq!(book.due(millis(0), 0).len(), 1);
    let again = book.next_due(0).expect("waits");
    assert_eq!(again, millis(30_000));
    assert_eq!(book.due(again, 0).len(), 1);
}

#[test]
fn no_more_is_dialled_than_is_missing() {
    let mut book = book();
    for source in 1..=3 {
        teller(&mut book, source);
        let addresses: Vec<_> = (0..50).map(|n| local(source * 100 + n)).collect();
        told(&mut book, source, &addresses);
    }
    assert_eq!(book.due(Mono::ZERO, 3).len(), 3);
    assert!(book.due(Mono::ZERO, 3).is_empty(), "three are under way");
    assert_eq!(book.due(Mono::ZERO, 100).len(), 5, "eight at once");
    assert!(book.due(Mono::ZERO, 0).is_empty());
}

/// Twenty-nine sources filled the book, and what it dialled was theirs.
#[test]
fn case_55_however_many_tell_addresses_good_ones_are_dialled() {
    let mut book = book();
    let honest: Vec<_> = (1..=4).map(|n| far(n, 1)).collect();
    teller(&mut book, 1);
    told(&mut book, 1, &honest);
    for address in &honest {
        let peer = PeerNum(1_000 + book.changes());
        let clock = (Mono::ZERO, CLOCK);
        book.connected(peer, &id(77), address, Direction::Outbound, clock);
        book.disconnected(peer, at(LONG), "cut");
    }
    let newly_told: Vec<_> = (11..=18).map(|n| far(n, 1)).collect();
    assert_eq!(told(&mut book, 1, &newly_told), 8);
    // A hundred identities tell a hundred addresses each, in two networks of their own.
    for identity in 100..200 {
        teller(&mut book, identity);
        let flood: Vec<_> = (0..MAX_PER_SOURCE)
            .map(|n| far(500 + n % 2, identity * 200 + n))
            .collect();
        told(&mut book, identity, &flood);
    }
    assert!(book.len() <= MAX_NEW + MAX_TRIED);
    let now = at(LONG) + LONG;
    let is_hostile = |address: &String| address.starts_with("/ip4/22.1");
    let mut hostile = 0;
    let mut dialled = 0;
    for _ in 0..12 {
        let due = book.due(now, 1);
        hostile += due.iter().filter(|address| is_hostile(address)).count();
        dialled += due.len();
        for address in due {
            book.failed(&address, now, "refused", true);
        }
    }
    assert_eq!(dialled, 12);
    assert!(
        hostile <= 4,
        "{hostile} of {dialled} dials go to two networks"
    );
}

#[test]
fn case_55_a_source_that_fills_the_book_makes_room_for_others() {
    let mut book = book();
    for identity in 1..=40 {
        teller(&mut book, identity);
        let flood: Vec<_> = (0..MAX_PER_SOURCE * 2)
            .map(|n| local(1_000 + identity * 400 + n))
            .collect();
        let new = told(&mut book, identity, &flood);
        assert!(new <= MAX_PER_SOURCE, "a source has its share");
        assert!(new > 0, "also the last of them");
        assert!(book.len() <= MAX_NEW);
    }
    assert_eq!(book.len(), MAX_NEW);
}

#[test]
fn case_55_reached_addresses_are_not_pushed_out() {
    let mut book = book();
    teller(&mut book, 1);
    told(&mut book, 1, &[local(2)]);
    book.due(Mono::ZERO, 1);
    outbound(&mut book, 2, Mono::ZERO);
    down(&mut book, 2, at(LONG));
    for source in 3..30 {
        teller(&mut book, source);
        let addresses: Vec<_> = (0..100).map(|n| local(source * 1_000 + n)).collect();
        told(&mut book, source, &addresses);
    }
    assert_eq!(book.to_tell(Reach::Loopback, 10), [local(2)]);
}

/// A stranger told a wrong id for an address: nobody was reached there any more, not even by the operator's order.
#[test]
fn case_55_hearsay_changes_nothing_that_is_known() {
    let mut book = book();
    let wrong = |n| format!("{}/p2p/{}", place(n), id(666));
    let pinned = local(5);
    book.add_fixed(&place(4)).expect("fine");
    book.add_fixed(&pinned).expect("fine");
    teller(&mut book, 1);
    told(&mut book, 1, &[local(6)]);
    assert_eq!(told(&mut book, 1, &[wrong(4), wrong(5), wrong(6)]), 0);
    let named: Vec<_> = book.fixed().map(|named| named.address).collect();
    assert_eq!(named, [place(4), pinned.clone()]);
    let mut due = book.due(Mono::ZERO, 8);
    due.sort();
    assert_eq!(due, [place(4), pinned, place(6)]);
}

#[test]
fn case_55_far_peers_cannot_name_near_addresses_and_nobody_names_us() {
    let mut book = book();
    book.set_own_id(&id(7));
    let near = [local(1), format!("/ip4/192.168.1.1/tcp/1/p2p/{}", id(2))];
    for (n, from) in [(1, "8.8.8.8"), (2, "10.0.0.1"), (3, "127.0.0.1")] {
        let from = format!("/ip4/{from}/tcp/9");
        up(&mut book, n, &from, Direction::Outbound, Mono::ZERO);
    }
    assert_eq!(told(&mut book, 1, &near), 0);
    assert_eq!(told(&mut book, 2, &near), 1);
    assert_eq!(told(&mut book, 3, &[local(7), local(8)]), 1);
    let mapped = format!("/ip6/::ffff:127.0.0.1/tcp/5/p2p/{}", id(5));
    assert_eq!(told(&mut book, 1, &[mapped]), 0, "IPv4 in IPv6's clothes");
    let named = format!("/dns/node.example/tcp/5/p2p/{}", id(5));
    assert_eq!(told(&mut book, 1, &[named]), 0, "looking it up tells on us");
    assert_eq!(told(&mut book, 3, &["junk".to_owned()]), 0);
    assert_eq!(told(&mut book, 3, &[place(77)]), 0, "nobody's");
    assert_eq!(told(&mut book, 99, &[local(78)]), 0, "from nobody");
}

#[test]
fn an_inbound_peer_is_believed_no_address_but_of_the_host_that_it_comes_from() {
    let mut book = book();
    let from = "/ip4/9.9.1.1/tcp/50000";
    up(&mut book, 1, from, Direction::Inbound, Mono::ZERO);
    let mine = format!("/ip4/9.9.1.1/tcp/9333/p2p/{}", id(1));
    let another = format!("/ip4/5.5.5.5/tcp/9333/p2p/{}", id(1));
    let told = [another, mine.clone()];
    assert_eq!(book.learn(PeerNum(1), AddressesOf::Itself, &told), 1);
    assert_eq!(book.to_tell(Reach::Public, 8), [mine]);
}

#[test]
fn peers_of_many_groups_are_dialled_before_a_second_one_of_a_group() {
    let mut book = book();
    teller(&mut book, 1);
    let of_one: Vec<_> = (0..30).map(|n| far(1, n)).collect();
    let others: Vec<_> = (2..9).map(|group| far(group, 1)).collect();
    told(&mut book, 1, &of_one);
    told(&mut book, 1, &others);
    let due = book.due(Mono::ZERO, 8);
    assert_eq!(due.len(), 8);
    let groups: BTreeSet<_> = due
        .iter()
        .map(|address| address.parse::<PeerAddress>().unwrap().endpoint.group())
        .collect();
    assert_eq!(groups.len(), 8, "{due:?}");
}

#[test]
fn the_order_cannot_be_foreseen() {
    let order = |seed| {
        let mut book = PeerBook::new(BookOptions {
            seed,
            ..BookOptions::default()
        });
        teller(&mut book, 1);
        told(&mut book, 1, &(2..80).map(local).collect::<Vec<_>>());
        book.due(Mono::ZERO, 8)
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}

#[test]
fn new_addresses_are_tried_out_while_nobody_is_missing() {
    let mut book = book();
    teller(&mut book, 1);
    told(&mut book, 1, &[local(5)]);
    assert!(book.due(Mono::ZERO, 0).is_empty());
    let next = book.next_due(0).expect("it will be tried");
    assert_eq!(book.due(next, 0), [place(5)]);
    let found = up(&mut book, 5, &place(5), Direction::Outbound, next);
    assert_eq!(found, Connected::Feeler);
    assert!(book.to_tell(Reach::Loopback, 8).contains(&local(5)));
    assert_eq!(book.next_due(0), None, "nothing new is left");
}

#[test]
fn connect_only_dials_nothing_else() {
    let options = BookOptions {
        fixed_only: true,
        ..BookOptions::default()
    };
    let mut book = PeerBook::new(options);
    book.add_fixed(&local(2)).expect("fine");
    assert_eq!(book.due(Mono::ZERO, 8), [local(2)]);
    outbound(&mut book, 2, Mono::ZERO);
    assert_eq!(told(&mut book, 2, &[local(1)]), 0);
    assert!(book.to_tell(Reach::Loopback, 8).is_empty());
}

#[test]
fn the_book_comes_back_as_it_was_stored_with_anchors_first() {
    let mut book = book();
    teller(&mut book, 1);
    told(&mut book, 1, &(2..40).map(local).collect::<Vec<_>>());
    book.add_fixed(&place(50)).expect("fine");
    outbound(&mut book, 50, Mono::ZERO);
    // The last one came just now: it may be anyone's.
    for (n, since) in [(5, 3), (17, 1), (30, 2), (33, 1_000)] {
        outbound(&mut book, n, at(Duration::from_secs(since)));
    }
    assert!(book.changes() > 0);
    let now = at(Duration::from_secs(1_001));
    let text = book.to_json(now);
    let mut again = PeerBook::from_json(&text, BookOptions::default()).expect("just written");
    assert_eq!(again.len(), 39, "what the operator gave is known, too");
    assert_eq!(again.to_json(now), text);
    let mut first = again.due(Mono::ZERO, 2);
    first.sort();
    assert_eq!(first, [place(17), place(30)]);
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
    teller(&mut book, 1);
    told(&mut book, 1, &[local(2)]);
    for _ in 0..20 {
        fail(&mut book, &place(2), Mono::ZERO);
    }
    assert!(book.is_empty());
}

/// It was dialled every two seconds, for as long as the other side's connection lasted.
#[test]
fn a_fixed_address_whose_peer_dialled_us_is_left_alone_until_that_peer_is_gone() {
    let mut book = book();
    book.add_fixed(&place(7)).expect("fine");
    let from = "/ip4/127.0.0.1/tcp/50123";
    up(&mut book, 7, from, Direction::Inbound, Mono::ZERO);
    assert_eq!(
        book.due(Mono::ZERO, 8),
        [place(7)],
        "nobody knows who is there"
    );
    book.met(&place(7), &id(7));
    assert_eq!(fail(&mut book, &place(7), Mono::ZERO), None);
    assert!(book.due(at(LONG), 8).is_empty());
    assert_eq!(book.next_due(8), None);
    assert_eq!(book.fixed().next().unwrap().peer, Some(PeerNum(7)));
    down(&mut book, 7, at(LONG));
    let soon = book.next_due(8).expect("it is dialled again");
    assert_eq!(book.due(soon, 8), [place(7)]);
}

/// Two peers came back at each other's port: one of them was never dialled, since it was held to be at its old place.
#[test]
fn an_address_is_dialled_though_its_former_occupant_lives_elsewhere_now() {
    for is_named in [true, false] {
        let mut book = book();
        teller(&mut book, 9);
        for n in [1, 2] {
            if is_named {
                book.add_fixed(&place(n)).expect("fine");
            } else {
                told(&mut book, 9, &[local(n)]);
            }
        }
        assert_eq!(book.due(Mono::ZERO, 8).len(), 2);
        outbound(&mut book, 1, Mono::ZERO);
        outbound(&mut book, 2, Mono::ZERO);
        down(&mut book, 1, at(LONG));
        down(&mut book, 2, at(LONG));
        let now = at(LONG) + Duration::from_secs(2);
        assert_eq!(book.due(now, 8).len(), 2);
        up(&mut book, 2, &place(1), Direction::Outbound, now);
        fail(&mut book, &place(2), now);
        let next = book.next_due(8).expect("nobody is known to be there");
        assert!(next.since(now) <= Duration::from_secs(2));
        assert_eq!(book.due(next, 8), [place(2)], "named: {is_named}");
    }
}

/// Twenty nodes that all dialled a first one stayed a star: it had reached none of them itself, so it told nobody of them.
#[test]
fn peers_that_dialled_us_are_told_while_they_are_here_if_they_come_from_where_they_listen() {
    let mut book = book();
    let inbound = |book: &mut PeerBook, n: usize| {
        let from = format!("/ip4/127.0.0.1/tcp/{}", 50_000 + n);
        up(book, n, &from, Direction::Inbound, Mono::ZERO);
    };
    inbound(&mut book, 1);
    book.learn(PeerNum(1), AddressesOf::Itself, &[local(1)]);
    assert_eq!(book.to_tell(Reach::Loopback, 8), [local(1)]);
    // One that names somebody else's host.
    inbound(&mut book, 2);
    let elsewhere = format!("/ip4/127.0.0.2/tcp/10002/p2p/{}", id(2));
    book.learn(PeerNum(2), AddressesOf::Itself, &[elsewhere]);
    assert_eq!(book.to_tell(Reach::Loopback, 8), [local(1)]);
    down(&mut book, 1, Mono::ZERO);
    assert!(book.to_tell(Reach::Loopback, 8).is_empty());
}

/// With `--log info` nothing at all was told of an address that could never work.
#[test]
fn the_operator_hears_once_why_an_address_fails_and_then_ever_more_seldom() {
    let mut book = book();
    book.add_fixed(&place(9)).expect("fine");
    let mut complaints = Vec::new();
    let mut now = Mono::ZERO;
    while now < at(Duration::from_secs(1_000)) {
        if let Some(complaint) = fail(&mut book, &place(9), now) {
            assert_eq!(complaint.address, place(9));
            assert_eq!(complaint.reason, "nothing listens there");
            complaints.push(now.since(Mono::ZERO).as_secs());
        }
        now = now + Duration::from_secs(1);
    }
    assert_eq!(complaints, [5, 65, 185, 425, 905]);
    let shown = book.fixed().next().unwrap();
    assert_eq!(shown.problem.as_deref(), Some("nothing listens there"));
    // What will not pass is told at once.
    book.add_fixed(&place(8)).expect("fine");
    let copied = book.failed(&place(8), now, "a copy of this node answers there", true);
    assert!(copied.is_some());
    // Of addresses that nobody ordered nothing is told.
    assert_eq!(fail(&mut book, &place(1), now), None);
}
