//! Splits, and how they heal.

use std::time::Duration;

use testnet::link::Flow;
use testnet::real::orders::LaneChange;
use testnet::report::heal::Fate;

use super::{Lab, PATIENCE, options};

/// A payment of the losing side comes back, and one coin that was spent on both sides is spent once.
#[test]
fn a_split_heals_and_every_payment_is_accounted_for() {
    let lab = Lab::start(&options(5));
    lab.mine(0, 2);
    lab.wait_for_one_tip();
    lab.partition("0,1,2/3,4", false);
    let pay = |from, to: &str, node| {
        let amount = testnet::pay::parse_amount("0.01").unwrap();
        let sent = lab.supervisor.network().pay(from, to, amount, Some(node));
        sent.unwrap().txid
    };
    let (kept, lost) = (pay(0, "1", 0), pay(0, "2", 4));
    let honest = pay(3, "4", 4);
    lab.mine(4, 2);
    lab.mine(0, 4);
    let healed = lab.supervisor.heal(PATIENCE).unwrap();
    let report = healed.report().unwrap();
    assert_eq!(report.fork.height, 2);
    assert_eq!(report.final_tip.height, 6);
    assert_eq!((report.sides[0].blocks, report.sides[1].blocks), (4, 2));
    assert_eq!(report.deepest_reorg(), 2);
    let fate = |report: &testnet::report::HealReport, txid| {
        let found = report.payments.iter().find(|payment| payment.txid == txid);
        found.unwrap().fate.clone()
    };
    assert!(matches!(fate(&report, lost), Fate::DoubleSpent { by, .. } if by == kept));
    assert!(matches!(fate(&report, honest), Fate::InMempool { .. }));
    // It reaches the winners' mempools as well, and their next block.
    let deadline = std::time::Instant::now() + PATIENCE;
    while !lab.probe(0).mempool().unwrap().contains(&honest) {
        assert!(
            std::time::Instant::now() < deadline,
            "the payment does not come back"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    lab.mine(0, 1);
    lab.wait_for_one_tip();
    let report = healed.report().unwrap();
    assert!(matches!(fate(&report, honest), Fate::ConfirmedAgain { at } if at.height == 7));
    assert_eq!(report.open_payments(), 0);
}

/// Neither side is told that the other is gone: connections stay open and carry nothing.
#[test]
fn a_silent_split_heals() {
    let lab = Lab::start(&options(4));
    lab.mine(0, 1);
    lab.wait_for_one_tip();
    lab.partition("0,1/2,3", true);
    lab.mine(0, 3);
    lab.mine(3, 1);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((lab.height(1), lab.height(2)), (4, 2));
    let report = lab.supervisor.heal(PATIENCE).unwrap().report().unwrap();
    assert_eq!(report.final_tip.height, 4);
    assert_eq!(report.deepest_reorg(), 1);
}

/// Blocks pass one way only; what the others miss comes when the lane opens.
#[test]
fn a_one_way_stall_ends_in_one_tip() {
    let lab = Lab::start(&options(2));
    let lane = |flow| LaneChange {
        flow: Some(flow),
        ..LaneChange::default()
    };
    let set = |flow| {
        let mut network = lab.supervisor.network();
        network.change_link(0, 1, lane(flow), true).unwrap();
    };
    set(Flow::Stalled);
    lab.mine(0, 3);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(lab.height(1), 0);
    set(Flow::Open);
    lab.wait_for_one_tip();
    assert_eq!(lab.height(1), 3);
}

/// Ten nodes, a hundred blocks on the losing side.
#[test]
fn a_deep_split_of_ten_nodes_heals() {
    let lab = Lab::start(&testnet::real::NetworkOptions {
        half_life_blocks: None,
        ..options(10)
    });
    lab.partition("0,1,2,3,4/5,6,7,8,9", false);
    lab.mine(0, 110);
    lab.mine(9, 100);
    let report = lab.supervisor.heal(PATIENCE).unwrap().report().unwrap();
    assert_eq!(report.final_tip.height, 110);
    assert_eq!(report.deepest_reorg(), 100);
    assert_eq!(report.orphaned.len(), 100);
}
