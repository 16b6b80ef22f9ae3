//! Header sync cannot be shut out without work.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use p2p::PeerGroup;
use p2p::sync::ChainView;
use p2p::wire::limits::{MAX_HEADERS, MAX_HEADERS_AHEAD, MAX_SIDE_HEADERS_INBOUND};
use p2p::wire::{Request, Response};

use super::{SECOND, besieged, params};
use crate::net::{Answer, Net};
use crate::sync_headers::{claim, headers_on, huge_work, serve};

/// Lets the attackers of [`besieged`] come back under new identities every 2.5 s, one after the other, until the victim is level.
fn level_although_they_return(net: &mut Net, attackers: std::ops::Range<usize>, limit: Duration) {
    let end = net.now + limit;
    let mut asked = 0;
    while !net.agree(&[0, 1]) {
        assert!(net.now < end, "not level within {limit:?}");
        let n = attackers.start + asked % attackers.len();
        net.cut(n, 0);
        net.connect(n, 0);
        asked += 1;
        net.run(SECOND * 5 / 2 / attackers.len() as u32);
    }
}

#[test]
fn silent_peers_that_claim_the_most_work_cost_one_timeout_in_total() {
    for attackers in [1, 6, 40, 124] {
        let mut net = besieged(300, attackers);
        for n in 2..2 + attackers {
            net.connect(n, 0);
        }
        net.run(SECOND / 10);
        assert!(net.requests["headers"] > 0, "the lie is looked into");
        net.connect(0, 1);
        let took = net.run_until_agreed(&[0, 1], 4 * SECOND);
        assert!(took < 3 * SECOND, "{attackers}: {took:?}");
    }
}

#[test]
fn silent_peers_of_many_networks_cost_one_timeout_in_total_even_if_all_dialled_us() {
    let mut net = besieged(300, 60);
    net.groups.clear();
    for n in 2..62 {
        net.connect(n, 0);
    }
    net.run(SECOND / 10);
    net.connect(1, 0);
    let took = net.run_until_agreed(&[0, 1], 6 * SECOND);
    assert!(took < 3 * SECOND, "{took:?}");
}

#[test]
fn identities_that_come_back_all_the_time_do_not_stop_sync() {
    for attackers in [1, 6] {
        let mut net = besieged(300, attackers);
        for n in 2..2 + attackers {
            net.connect(n, 0);
        }
        net.run(SECOND / 10);
        net.connect(0, 1);
        level_although_they_return(&mut net, 2..2 + attackers, 6 * SECOND);

        // And so it stays: whatever the honest peer has is here at once, since nothing is expected of that group any more.
        for round in 0..5 {
            net.nodes[1].grow(3, 50 + round);
            net.cut(0, 1);
            net.connect(0, 1);
            let before = net.now;
            level_although_they_return(&mut net, 2..2 + attackers, 6 * SECOND);
            let took = net.now.since(before);
            assert!(took < 3 * SECOND, "{attackers}, {round}: {took:?}");
        }
    }
}

#[test]
fn a_peer_that_we_chose_never_waits_for_one_that_dialled_us() {
    let mut net = besieged(300, 1);
    net.connect(2, 0);
    net.run(SECOND / 10);
    assert_eq!(net.requests["headers"], 1);
    net.connect(0, 1);
    let took = net.run_until_agreed(&[0, 1], SECOND);
    assert!(took < SECOND, "{took:?}");
}

#[test]
fn claims_do_not_rank() {
    // Two silent liars and an honest peer, all chosen by us: whoever was not asked yet is next, not who claims most.
    let mut net = besieged(300, 2);
    for n in [2, 3] {
        net.connect(0, n);
    }
    net.run(SECOND / 10);
    net.connect(0, 1);
    let took = net.run_until_agreed(&[0, 1], 4 * SECOND);
    assert!(took < 3 * SECOND, "{took:?}");
}

/// A node at the tip of a chain of 9,000 whose ten next blocks an honest peer has, and a peer with a branch of headers from
/// genesis, as long and with as little work, that it gives a message at a time, each after `every`.
///
/// Gives how often it was asked as well.
fn dripped_on(every: Duration) -> (Net, Rc<Cell<usize>>) {
    let params = params();
    let mut net = Net::new(&params, 3);
    let chain = net.nodes[1].grow(9_000, 1);
    for hash in chain {
        let block = net.nodes[1].block(&hash);
        net.nodes[0].take(block);
    }
    let branch = headers_on(&params, &params.genesis.header, 8_900, 9);
    net.claims.insert(2, claim(&branch, huge_work()));
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    net.scripts.insert(
        2,
        Box::new(move |_, request| match request {
            Request::Headers { locator, stop } => {
                count.set(count.get() + 1);
                Answer::Say(Response::Headers(serve(&branch, locator, *stop)), every)
            }
            _ => Answer::Honest,
        }),
    );
    (net, asked)
}

#[test]
fn headers_that_drip_do_not_hold_others_up_and_are_cut_off() {
    let (mut net, _) = dripped_on(SECOND * 19 / 10);
    net.connect(2, 0);
    net.run(SECOND * 4);
    let asked = net.requests["headers"];
    assert!(asked >= 2, "it is being counted: {asked}");
    net.nodes[1].grow(10, 2);
    net.connect(1, 0);
    let took = net.run_until_agreed(&[0, 1], 4 * SECOND);
    assert!(took < SECOND, "{took:?}");

    // Slower, and what came is given up before the branch has ended.
    let (mut net, asked) = dripped_on(SECOND * 19 / 2);
    net.connect(2, 0);
    net.run(SECOND * 35);
    assert_eq!(asked.get(), 2);
}

#[test]
fn headers_without_bodies_are_taken_up_to_a_limit_and_go_on_when_bodies_come() {
    let params = params();
    let mut net = Net::new(&params, 2);
    let endless = headers_on(&params, &params.genesis.header, 45_000, 9);
    net.claims.insert(1, claim(&endless, huge_work()));
    let chain = endless.clone();
    net.scripts.insert(
        1,
        Box::new(move |_, request| match request {
            Request::Headers { locator, stop } => Answer::Say(
                Response::Headers(serve(&chain, locator, *stop)),
                Duration::ZERO,
            ),
            _ => Answer::Silence,
        }),
    );
    net.connect(1, 0);
    net.run(SECOND * 5);
    let taken = net.nodes[0].chain.tree().len();
    let most = MAX_HEADERS_AHEAD as usize + 2 * MAX_HEADERS;
    assert!(taken > MAX_HEADERS_AHEAD as usize, "{taken}");
    assert!(taken < most, "{taken}");
    assert!(net.nodes[0].chain.side_headers() < MAX_SIDE_HEADERS_INBOUND);
}

#[test]
fn a_long_chain_is_fetched_to_its_end_although_headers_wait_for_bodies() {
    // Not 20,000 real blocks: the limit is what is looked at, so the chain is just longer than it.
    let params = params();
    let mut net = Net::new(&params, 2);
    let more = 3_000;
    net.nodes[1].grow(MAX_HEADERS_AHEAD as usize + more, 1);
    net.connect(0, 1);
    let took = net.run_until_agreed(&[0, 1], 60 * SECOND);
    println!(
        "{} blocks in {took:?} of fake time",
        MAX_HEADERS_AHEAD as usize + more
    );
    assert!(net.dismissals.is_empty(), "{:?}", net.dismissals);
}

#[test]
fn a_silent_group_is_known_again_under_a_new_identity() {
    let mut net = besieged(5, 2);
    net.groups.insert(3, PeerGroup(78));
    net.connect(2, 0);
    net.run(3 * SECOND);
    // The honest peer dialled us as well, and is of another network.
    net.cut(2, 0);
    net.connect(2, 0);
    net.connect(1, 0);
    let took = net.run_until_agreed(&[0, 1], 4 * SECOND);
    assert!(took < SECOND, "{took:?}");
}
