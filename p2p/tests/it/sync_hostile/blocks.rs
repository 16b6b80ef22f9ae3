//! Blocks cannot be held back: neither by who announces them first, nor by branches of headers that nobody has bodies of.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Amount, Transaction};
use chain::Params;
use chain::fixtures::{Key, Payment, test_params_with};
use p2p::PeerGroup;
use p2p::wire::{Request, Response};

use super::{SECOND, params};
use crate::net::{Answer, Net, Script};
use crate::sync_headers::{claim, headers_on, serve};

/// A network where "alice" has coins from the start.
pub(super) fn rich_params() -> Arc<Params> {
    let coin = (Key::p2wpkh("alice").address(), Amount::from_sat(1_000_000));
    Arc::new(test_params_with(&vec![coin; 40]))
}

fn payment(params: &Params, vout: u32) -> Transaction {
    Payment::new()
        .spend_output_of(&params.genesis.txdata[1], vout, &Key::p2wpkh("alice"))
        .pay(&Key::p2tr("bob"), Amount::from_sat(1_000_000))
        .sign()
}

/// Passes announcements on and gives no block nor part of one; `empty` after 9.9 s, or never.
fn withholds(empty: bool) -> Script {
    let late = SECOND * 99 / 10;
    Box::new(move |_, request| match request {
        Request::BlockTransactions { .. } if empty => {
            Answer::Say(Response::BlockTransactions(Vec::new()), late)
        }
        Request::Blocks(_) if empty => Answer::Say(Response::Blocks(Vec::new()), late),
        Request::BlockTransactions { .. } | Request::Blocks(_) => Answer::Silence,
        _ => Answer::Honest,
    })
}

/// A miner (0) and honest nodes (1..=hops) in a line behind it, and attackers that are connected to all of them and quicker.
fn surrounded(params: &Arc<Params>, hops: usize, attackers: usize, empty: bool) -> Net {
    let count = 1 + hops + attackers;
    let mut net = Net::new(params, count);
    for n in 0..hops {
        net.connect(n, n + 1);
        net.slow(n, n + 1, Duration::from_millis(60));
    }
    for attacker in 1 + hops..count {
        net.scripts.insert(attacker, withholds(empty));
        for n in 0..=hops {
            net.connect(attacker, n);
        }
    }
    net.run(SECOND);
    net
}

#[test]
fn who_announces_first_and_gives_nothing_delays_one_block_by_a_second_and_the_next_ones_not_at_all()
{
    let params = rich_params();
    for (hops, attackers, empty) in [
        (1, 1, false),
        (1, 1, true),
        (1, 3, false),
        (2, 1, false),
        (3, 1, true),
    ] {
        let case = format!("{hops} hops, {attackers} attackers, empty {empty}");
        let mut net = surrounded(&params, hops, attackers, empty);
        let honest: Vec<usize> = (0..=hops).collect();
        let mut waited = Vec::new();
        for block in 0..6 {
            net.mine_with(0, 100 + block, &[payment(&params, block as u32)]);
            waited.push(net.run_until_agreed(&honest, 20 * SECOND));
            net.run(5 * SECOND);
        }
        println!("{case}: {waited:?}");
        assert!(
            waited[0] > SECOND,
            "{case}: the attack must work at first: {waited:?}"
        );
        assert!(waited[0] < SECOND * 5 / 2, "{case}: {waited:?}");
        let later = waited[2..].iter().max().expect("some");
        assert!(*later < SECOND, "{case}: {waited:?}");
        assert!(
            net.dismissals.iter().all(|(_, whom, ..)| *whom > hops),
            "{case}: {:?}",
            net.dismissals
        );
    }
}

#[test]
fn without_attackers_nobody_waits_for_a_timeout() {
    let params = rich_params();
    let mut net = surrounded(&params, 3, 0, false);
    for block in 0..6 {
        net.mine_with(0, 100 + block, &[payment(&params, block as u32)]);
        let took = net.run_until_agreed(&[0, 1, 2, 3], 20 * SECOND);
        assert!(took < SECOND, "{took:?}");
        net.run(5 * SECOND);
    }
    assert!(net.dismissals.is_empty(), "{:?}", net.dismissals);
}

#[test]
fn a_new_identity_of_the_same_network_is_not_waited_for_again() {
    let params = rich_params();
    let mut net = surrounded(&params, 1, 1, false);
    net.cut(2, 1);
    net.groups.insert(2, PeerGroup(99));
    net.connect(2, 1);
    net.run(SECOND);
    net.mine_with(0, 1, &[payment(&params, 0)]);
    let took = net.run_until_agreed(&[0, 1], 20 * SECOND);
    assert!(took > SECOND, "{took:?}");
    net.run(SECOND);
    net.cut(2, 1);
    net.connect(2, 1);
    net.run(SECOND);
    net.mine_with(0, 2, &[payment(&params, 1)]);
    let took = net.run_until_agreed(&[0, 1], 20 * SECOND);
    assert!(took < SECOND, "{took:?}");
}

/// A victim (0), an honest peer (1) with `blocks` blocks, and `attackers` (2..) that serve the headers of one branch with more
/// work, and no bodies.
fn misled(blocks: usize, attackers: usize) -> Net {
    let params = params();
    let mut net = Net::new(&params, 2 + attackers);
    net.nodes[1].grow(blocks, 1);
    let branch = headers_on(&params, &params.genesis.header, blocks + 500, 9);
    let work = branch
        .iter()
        .fold(params.genesis.header.work(), |sum, header| {
            sum + header.work()
        });
    for n in 2..2 + attackers {
        let chain = branch.clone();
        net.claims.insert(n, claim(&branch, work));
        net.groups.insert(n, PeerGroup(77));
        net.scripts.insert(
            n,
            Box::new(move |_, request| match request {
                Request::Headers { locator, stop } => Answer::Say(
                    Response::Headers(serve(&chain, locator, *stop)),
                    Duration::ZERO,
                ),
                Request::Blocks(_) => Answer::Silence,
                _ => Answer::Honest,
            }),
        );
    }
    net
}

#[test]
fn a_branch_without_bodies_costs_one_timeout_however_many_offer_it() {
    for attackers in [1, 4, 20] {
        let mut net = misled(300, attackers);
        for n in 2..2 + attackers {
            net.connect(n, 0);
        }
        net.run(SECOND);
        let best = net.nodes[0].chain.tree().best_header().height.0;
        assert_eq!(best, 800, "the branch was believed");
        net.connect(0, 1);
        let took = net.run_until_agreed(&[0, 1], 30 * SECOND);
        println!("{attackers}: {took:?}");
        assert!(took < 6 * SECOND, "{attackers}: {took:?}");

        // New identities with the same branch do not lead astray again.
        for n in 2..2 + attackers {
            net.cut(n, 0);
            net.connect(n, 0);
        }
        net.run(SECOND);
        net.nodes[1].grow(5, 2);
        net.cut(0, 1);
        net.connect(0, 1);
        let took = net.run_until_agreed(&[0, 1], 30 * SECOND);
        assert!(took < SECOND, "{attackers}: {took:?}");
    }
}
