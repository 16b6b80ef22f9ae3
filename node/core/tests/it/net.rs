//! Networks of cores in fake time: relay, joining, partitions, healing.

use std::time::Duration;

use bitcoin::{Amount, Transaction, Txid};
use chain::fixtures::Payment;
use node_core::Mode;
use node_core::events::NodeEvent;
use node_core::mempool::RemovalReason;

use crate::support::{FEE, Net, alice, bob, pay, pay_on};

const SOON: Duration = Duration::from_secs(2);

#[test]
fn a_block_reaches_everyone_in_a_ring() {
    let mut net = Net::ring(5);
    let hash = net.mine(0);
    let time = net.run_until(SOON, Net::agree);
    assert_eq!(net.cores[3].chain().tip().hash, hash);
    assert!(
        time < Duration::from_millis(100),
        "gossip, not polling: {time:?}"
    );
}

#[test]
fn a_payment_is_relayed_and_confirmed_everywhere() {
    let mut net = Net::ring(4);
    let txid = net.send(1, &pay(&alice(), 0, &bob(), FEE));
    net.run_until(SOON, |net| (0..4).all(|node| net.has(node, &txid)));
    let hash = net.mine(3);
    net.run_until(SOON, Net::agree);
    for node in 0..4 {
        assert!(net.cores[node].mempool().is_empty());
        let connected = |event: &NodeEvent| matches!(event, NodeEvent::BlockConnected { hash: h, .. } if *h == hash);
        let events = &net.events[node];
        let at = events
            .iter()
            .position(connected)
            .expect("the block is told");
        let removed = NodeEvent::TransactionRemoved {
            txid,
            reason: RemovalReason::Confirmed,
        };
        assert!(
            events[at..].contains(&removed),
            "what follows from a block is told after it"
        );
    }
}

#[test]
fn a_child_whose_parent_was_lost_brings_it_along() {
    let mut net = Net::ring(2);
    net.run(Duration::from_secs(10));
    let parent = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&parent, &bob(), &alice(), FEE);
    net.lose_gossip = true;
    let parent_id = net.send(0, &parent);
    net.run(Duration::from_secs(10));
    assert!(!net.has(1, &parent_id), "it was lost");
    net.lose_gossip = false;
    let child_id = net.send(0, &child);
    net.run(Duration::from_millis(100));
    assert!(net.has(1, &parent_id) && net.has(1, &child_id));
    assert_eq!(net.cores[1].orphan_count(), 0);
}

#[test]
fn who_joins_late_fetches_the_chain_and_the_mempool() {
    let mut net = Net::new(3);
    net.connect(0, 1);
    net.run(SOON);
    for _ in 0..150 {
        net.mine(0);
    }
    let txid = net.send(0, &pay(&alice(), 0, &bob(), FEE));
    net.run(SOON);
    net.connect(2, 0);
    net.connect(2, 1);
    net.run_until(Duration::from_secs(10), Net::agree);
    assert_eq!(net.height(2).0, 150);
    net.run_until(Duration::from_secs(10), |net| net.has(2, &txid));
    assert_eq!(net.cores[2].mode(), Mode::Healthy);
    let modes: Vec<Mode> = net.events[2]
        .iter()
        .filter_map(|event| match event {
            NodeEvent::ModeChanged { mode } => Some(*mode),
            _ => None,
        })
        .collect();
    // Blocks come every second here, so two minutes alone make a stale tip.
    assert_eq!(
        modes,
        [Mode::Isolated, Mode::Stale, Mode::Syncing, Mode::Healthy]
    );
}

#[test]
fn lost_announcements_are_healed() {
    let mut net = Net::ring(3);
    net.lose_gossip = true;
    let hash = net.mine(0);
    let txid = net.send(0, &pay(&alice(), 0, &bob(), FEE));
    net.run_until(Duration::from_secs(10), Net::agree);
    assert_eq!(net.cores[2].chain().tip().hash, hash);
    net.lose_gossip = false;
    let hash = net.mine(0);
    net.run_until(SOON, Net::agree);
    assert_eq!(net.cores[1].chain().tip().hash, hash);
    assert!(
        net.cores[1].mempool().get(&txid).is_none(),
        "it was in the block"
    );
}

#[test]
fn a_split_network_heals_to_one_tip_and_keeps_its_payments() {
    //   G - a1 - a2 - a3                 nodes 0, 1: pay in a2
    //     \ b1 - b2 - b3 - b4 - b5       nodes 2, 3, 4: pay in b1, and spend bob's coin another way in b2
    let mut net = Net::ring(5);
    net.partition(&[0, 1], &[2, 3, 4]);
    let lost = pay(&alice(), 0, &bob(), FEE);
    let lost_child = pay_on(&lost, &bob(), &alice(), FEE);
    let kept = pay(&alice(), 1, &bob(), FEE);
    let (left, right) = (
        pay(&bob(), 0, &alice(), FEE),
        pay(&bob(), 0, &bob(), FEE * 2),
    );
    net.mine(0);
    let ids = [net.send(0, &lost), net.send(1, &left)];
    net.run(SOON);
    net.mine(1);
    let child_id = net.send(0, &lost_child);
    net.run(SOON);
    net.mine(0);
    let kept_id = net.send(2, &kept);
    net.run(SOON);
    net.mine(2);
    let right_id = net.send(3, &right);
    net.run(SOON);
    for node in [3, 4, 2, 3] {
        net.mine(node);
        net.run(SOON);
    }
    assert_eq!(net.tips().len(), 2);
    assert!(net.cores[0].mempool().is_empty() && net.cores[4].mempool().is_empty());
    let (old_tip, best) = (net.cores[0].chain().tip(), net.cores[2].chain().tip());
    net.events.iter_mut().for_each(Vec::clear);

    net.heal();
    let time = net.run_until(Duration::from_secs(5), Net::agree);
    assert!(
        time < Duration::from_millis(2_100),
        "a redial and a few round trips: {time:?}"
    );
    assert_eq!(net.cores[0].chain().tip().hash, best.hash);
    // Payments follow when the winners hear that the losers have come over.
    net.run_until(Duration::from_secs(5), |net| {
        (0..5).all(|node| net.has(node, &ids[0]) && net.has(node, &child_id))
    });

    // Both sides' payments are confirmed or wait, but for the double spend.
    for node in 0..5 {
        assert!(net.has(node, &ids[0]), "node {node} has the payment again");
        assert!(net.has(node, &child_id), "node {node} has its child again");
        assert!(!net.has(node, &ids[1]) && !net.has(node, &right_id) && !net.has(node, &kept_id));
    }
    // The losers saw their blocks go, newest first, before the others came, oldest first.
    for node in [0, 1] {
        let blocks: Vec<(bool, u32)> = net.events[node]
            .iter()
            .filter_map(|event| match event {
                NodeEvent::BlockDisconnected { height, .. } => Some((false, height.0)),
                NodeEvent::BlockConnected { height, .. } => Some((true, height.0)),
                _ => None,
            })
            .collect();
        let expected: Vec<(bool, u32)> = (1..=3)
            .rev()
            .map(|h| (false, h))
            .chain((1..=5).map(|h| (true, h)))
            .collect();
        assert_eq!(blocks, expected);
        let gone = NodeEvent::BlockDisconnected {
            hash: old_tip.hash,
            height: old_tip.height,
        };
        assert!(net.events[node].contains(&gone));
    }
    let hash = net.mine(0);
    net.run_until(SOON, Net::agree);
    assert!(net.cores.iter().all(|core| core.mempool().is_empty()));
    let block = net.cores[4]
        .chain()
        .block(&hash)
        .expect("reads")
        .expect("stored");
    assert_eq!(
        block.txids().len(),
        3,
        "the next block confirms what was lost"
    );
    let coins = net
        .cores
        .iter()
        .map(|core| core.chain().coin_set_stats(false).expect("reads"));
    let total: Vec<Amount> = coins.map(|stats| stats.total).collect();
    assert!(total.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_long_split_of_a_hundred_blocks_a_side_heals() {
    let mut net = Net::ring(4);
    net.partition(&[0, 1], &[2, 3]);
    for _ in 0..100 {
        net.mine(0);
        net.mine(2);
    }
    net.mine(2);
    net.run(SOON);
    net.heal();
    let time = net.run_until(Duration::from_secs(5), Net::agree);
    assert_eq!(net.height(1).0, 101);
    assert!(time < Duration::from_secs(3), "{time:?}");
}

#[test]
fn equal_runs_have_equal_traces() {
    let run = || {
        let mut net = Net::ring(5);
        net.partition(&[0, 1], &[2, 3, 4]);
        for round in 0..5 {
            net.mine(round % 2);
            net.send(2, &pay(&alice(), round, &bob(), FEE));
            net.mine(2 + round % 3);
        }
        net.mine(4);
        net.heal();
        net.run(Duration::from_secs(5));
        assert!(net.agree());
        net.trace
    };
    let (first, second) = (run(), run());
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a, b);
    }
    assert_eq!(first.len(), second.len());
}

#[test]
fn an_idle_network_is_quiet() {
    let mut net = Net::ring(4);
    net.mine(0);
    net.run(Duration::from_secs(60));
    let before = net.trace.len();
    net.run(Duration::from_secs(600));
    let outputs = net.trace.len() - before;
    assert!(
        outputs < 4 * 10 * 4,
        "{outputs} outputs of 4 idle nodes in 10 minutes"
    );
}

/// Nodes in a line: each has news from its neighbours alone.
fn line(count: usize) -> Net {
    let mut net = Net::new(count);
    for node in 1..count {
        net.connect(node - 1, node);
    }
    net.run(Duration::from_secs(10));
    net
}

const FIVE_SECONDS: Duration = Duration::from_secs(5);

#[test]
fn an_orphan_that_was_adopted_is_passed_on_down_the_line() {
    let mut net = line(4);
    let parent = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&parent, &bob(), &alice(), FEE);
    net.lose_gossip = true;
    let parent_id = net.send(0, &parent);
    net.run(Duration::from_secs(1));
    net.lose_gossip = false;
    let child_id = net.send(0, &child);
    net.run_until(FIVE_SECONDS, |net| {
        (0..4).all(|node| net.has(node, &parent_id) && net.has(node, &child_id))
    });
}

/// Payments of which each spends the one before, oldest first. The first spends a coin of Alice's.
fn family(coin: usize, members: usize) -> Vec<Transaction> {
    let mut family = vec![pay(&alice(), coin, &bob(), FEE)];
    for generation in 1..members {
        let (from, to) = match generation % 2 {
            1 => (bob(), alice()),
            _ => (alice(), bob()),
        };
        let parent = family.last().expect("one at least").clone();
        family.push(pay_on(&parent, &from, &to, FEE));
    }
    family
}

fn ids_of(transactions: &[Transaction]) -> Vec<Txid> {
    transactions.iter().map(Transaction::compute_txid).collect()
}

/// Runs until all mempools have these, and says how long it took.
#[expect(clippy::print_stdout, reason = "the time is worth knowing")]
fn run_until_all_have(net: &mut Net, what: &str, ids: &[Txid]) {
    let count = net.cores.len();
    let took = net.run_until(FIVE_SECONDS, |net| {
        (0..count).all(|node| ids.iter().all(|txid| net.has(node, txid)))
    });
    println!("{what}, {count} nodes: all mempools are equal after {took:?}");
}

/// Children were told before the parent that they had waited for, under a name that those who could not use them yet never
/// passed on.
#[test]
fn a_family_that_is_gossiped_in_reverse_reaches_all_of_a_line() {
    for count in [3, 5] {
        let mut net = line(count);
        let mut ids = Vec::new();
        for (coin, node) in [(0, 0), (1, count - 1), (2, count / 2)] {
            let stranger = net.stranger(node);
            let family = family(coin, 5);
            for member in family.iter().rev() {
                net.tell(node, stranger, member);
            }
            ids.extend(ids_of(&family));
        }
        run_until_all_have(&mut net, "families in reverse", &ids);
    }
}

/// Who gives nothing was waited for though the other side of the cut had it.
#[test]
fn families_that_a_partition_tore_apart_are_whole_again_after_it() {
    for count in [3, 5] {
        let middle = count / 2;
        let mut net = line(count);
        let (left, right): (Vec<usize>, Vec<usize>) = (0..count).partition(|node| *node < middle);
        net.partition(&left, &right);
        // A parent on one side; its children on the other, at the cut and at the end, by one who does not give their parents.
        let (here, there) = (middle - 1, middle);
        let places = [(0, there), (here, count - 1), (there, here), (count - 1, 0)];
        let mut families = Vec::new();
        for (coin, (near, far)) in places.into_iter().enumerate() {
            let stranger = net.stranger(far);
            let family = family(coin, 2 + coin % 3);
            net.send(near, &family[0]);
            for child in family[1..].iter().rev() {
                net.tell(far, stranger, child);
            }
            families.push(ids_of(&family));
        }
        net.run(Duration::from_millis(500));
        assert!(!net.has(0, &families[3][0]) && !net.has(count - 1, &families[0][0]));
        net.heal();
        run_until_all_have(&mut net, "families torn apart", &families.concat());
    }
}

#[test]
fn a_family_that_comes_in_reverse_is_passed_on_down_a_line_of_five() {
    let mut net = line(5);
    let family = family(0, 6);
    // All but the youngest are lost on their way: what comes is an orphan whose parents are orphans.
    net.lose_gossip = true;
    let mut ids = Vec::new();
    for (place, member) in family.iter().enumerate() {
        net.lose_gossip = place + 1 < family.len();
        ids.push(net.send(0, member));
    }
    net.run_until(FIVE_SECONDS, |net| {
        (0..5).all(|node| ids.iter().all(|txid| net.has(node, txid)))
    });
}

#[test]
fn what_was_lost_spreads_when_it_is_sent_again() {
    let mut net = line(3);
    let payment = pay(&alice(), 0, &bob(), FEE);
    net.lose_gossip = true;
    let txid = net.send(0, &payment);
    net.run(Duration::from_secs(2));
    assert!(!net.has(1, &txid), "it was lost");
    net.lose_gossip = false;
    net.send(0, &payment);
    net.run_until(FIVE_SECONDS, |net| (0..3).all(|node| net.has(node, &txid)));
}

#[test]
fn payments_that_a_reorg_gave_back_reach_those_who_never_saw_them() {
    let mut net = line(4);
    net.lose_gossip = true;
    let txid = net.send(0, &pay(&alice(), 0, &bob(), FEE));
    net.mine(0);
    net.mine(2);
    net.mine(2);
    assert!(!net.has(0, &txid), "it is confirmed there");
    assert!(!net.agree());
    net.lose_gossip = false;
    net.run_until(Duration::from_secs(20), |net| net.agree());
    assert!(net.has(0, &txid), "the block is lost");
    net.run_until(FIVE_SECONDS, |net| (0..4).all(|node| net.has(node, &txid)));
}

/// Every input of an orphan is looked up, so that one with thousands of them would cost much.
#[test]
fn an_orphan_with_too_many_parents_is_not_kept() {
    let mut net = Net::new(1);
    let stranger = net.stranger(0);
    let unknown = |number: u8| {
        pay_on(
            &family(0, 2)[1],
            &alice(),
            &bob(),
            FEE * u64::from(number + 1),
        )
    };
    let parents: Vec<Transaction> = (0..101).map(unknown).collect();
    for (count, kept) in [(100, 1), (101, 1)] {
        let spend = parents[..count]
            .iter()
            .fold(Payment::new(), |payment, parent| {
                payment.spend_output_of(parent, 0, &bob())
            });
        net.tell(0, stranger, &spend.pay(&bob(), Amount::ONE_BTC).sign());
        assert_eq!(net.cores[0].orphan_count(), kept, "{count} parents");
    }
}
