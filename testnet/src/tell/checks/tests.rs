//! Each check once as it holds and once as it fails.

use super::*;
use crate::plan::{Fault, FaultKind, Payment, Plan};
use crate::record::{End, Line};
use crate::scenario::Span;
use crate::tell::history::{History, REWARD_SAT, block_hash};

fn plan() -> Plan {
    let groups = "0/1".parse().unwrap();
    let silent = false;
    let mut plan = Plan {
        nodes: 2,
        duration_us: 100_000_000,
        faults: vec![Fault {
            at_us: 10_000_000,
            until_us: Some(20_000_000),
            what: FaultKind::Partition { groups, silent },
        }],
        ..Plan::default()
    };
    plan.expect.one_tip_within = Some(Span::from_secs(5));
    plan.expect.reorg_of_at_least = Some(1);
    plan.expect.reorg_of_at_most = Some(2);
    plan.expect.stale_share = Some((0.2, 0.5));
    plan
}

/// A planned split of two nodes: one block against two, and 2 s to agree.
fn healed(net: &mut History) -> &mut History {
    begin(net);
    net.at(11)
        .finds(0, "a1")
        .at(12)
        .finds(1, "b1")
        .finds(1, "b2");
    net.at(20).ends(0).at(22).goes(0, "b2")
}

fn begin(net: &mut History) {
    let t = 10_000_000;
    net.at(10).line(Line::Begun {
        t,
        fault: 0,
        what: None,
    });
}

fn coins(net: &mut History, node: usize, tip: &str, muhash: &str, amount_sat: u64) {
    let muhash = muhash.to_owned();
    net.line(Line::Coins {
        t: 90_000_000,
        node,
        tip: block_hash(tip),
        muhash,
        amount_sat,
    });
}

fn told(record: &Record) -> Vec<Check> {
    checks(record, &Figures::of(record))
}

/// The only check that fails, in words.
#[track_caller]
fn failure(net: &mut History) -> String {
    let all = told(&net.end(100));
    let failed: Vec<String> = all
        .iter()
        .filter(|check| check.fails())
        .map(ToString::to_string)
        .collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    failed[0].clone()
}

#[test]
fn all_checks_of_a_good_run_hold_and_are_told_with_their_numbers() {
    let mut net = History::with_plan(plan());
    healed(&mut net);
    let supply = 1_000 + 2 * REWARD_SAT;
    coins(&mut net, 0, "b2", "same", supply);
    coins(&mut net, 1, "b2", "same", supply);
    let told: Vec<String> = told(&net.end(100))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "ok    the run is finished: after 1 m 40 s; expected to its end",
            "ok    every fault took place: 2 begins and ends; expected 2",
            "ok    nodes that died unasked: 0; expected 0",
            "ok    rules broken: 0; expected 0",
            "ok    work of a tip that fell: 0 of 8 changes; expected 0",
            "ok    one set of coins on each tip: 1, of 2 nodes on 1 tip; expected 1",
            "ok    coins there are: 11000 sat at node 0; expected 11000 sat",
            "ok    one tip after the last event: after 2.00 s; expected within 5.00 s",
            "ok    deepest reorg: 1 block; expected at least 1",
            "ok    deepest reorg: 1 block; expected at most 2",
            "ok    share of stale blocks: 0.3333 (1 of 3); expected 0.2 to 0.5",
        ]
    );
}

#[test]
fn a_split_that_never_heals_is_no_agreement() {
    let mut plan = plan();
    plan.faults[0].until_us = None;
    plan.expect.reorg_of_at_least = None;
    plan.expect.stale_share = None;
    let mut net = History::with_plan(plan);
    begin(&mut net);
    // At this very moment both are on one tip, and nobody mines for a while.
    net.at(80).finds(0, "a1");
    let failure = failure(&mut net);
    assert_eq!(
        failure,
        "FAIL  one tip after the last event: the split partition 0/1 never ended; expected within 5.00 s"
    );
}

#[test]
fn agreement_must_come_in_time_and_stay() {
    let mut net = History::with_plan(plan());
    begin(&mut net);
    net.at(11)
        .finds(0, "a1")
        .at(12)
        .finds(1, "b1")
        .finds(1, "b2");
    net.at(20).ends(0).at(26).goes(0, "b2");
    assert!(failure(&mut net).contains("after 6.00 s; expected within 5.00 s"));

    let mut net = History::with_plan(plan());
    healed(&mut net).at(40).finds(0, "a3").at(60).goes(1, "a3");
    assert!(failure(&mut net).contains("after 2.00 s, but apart for 20.00 s later"));

    let mut net = History::with_plan(plan());
    begin(&mut net);
    net.at(11)
        .finds(0, "a1")
        .at(12)
        .finds(1, "b1")
        .finds(1, "b2")
        .goes(0, "b2");
    net.at(19).finds(1, "b3").at(20).ends(0);
    assert!(failure(&mut net).contains("not within 1 m 20 s; nodes on each tip: [1, 1]"));
}

#[test]
fn faults_that_did_not_take_place_are_named() {
    let mut plan = plan();
    plan.faults.push(Fault {
        at_us: 50_000_000,
        until_us: None,
        what: FaultKind::Kill { node: 0 },
    });
    // What is planned for later than the end cannot take place.
    plan.faults.push(Fault {
        at_us: 500_000_000,
        until_us: None,
        what: FaultKind::Kill { node: 1 },
    });
    let mut net = History::with_plan(plan);
    healed(&mut net);
    let failed = failure(&mut net);
    assert_eq!(
        failed,
        "FAIL  every fault took place: 2 begins and ends; fault 1, kill node 0 at 50.00 s: never began; expected 3"
    );

    let mut net = History::with_plan(self::plan());
    let why = "the link carried 40 bytes".to_owned();
    healed(&mut net).line(Line::Failed {
        t: 20_000_000,
        fault: 0,
        why,
    });
    assert!(failure(&mut net).contains("fault 0, partition 0/1: the link carried 40 bytes"));
}

#[test]
fn a_node_that_dies_and_a_rule_that_is_broken_fail_the_run() {
    let mut net = History::with_plan(plan());
    healed(&mut net)
        .at(50)
        .down(1, Exit::Died("signal 9".to_owned()));
    let failed = failure(&mut net);
    assert_eq!(
        failed,
        "FAIL  nodes that died unasked: 1: node 1 after 50.00 s (signal 9); expected 0"
    );

    let mut net = History::with_plan(plan());
    let (rule, detail) = ("storage holds".to_owned(), "node 0: torn".to_owned());
    healed(&mut net).line(Line::Violated {
        t: 30_000_000,
        rule,
        detail,
    });
    assert!(failure(&mut net).contains("1: storage holds after 30.00 s: node 0: torn"));

    let mut net = History::with_plan(plan());
    healed(&mut net);
    let mut record = net.end(100);
    let failed = Some("node 1 does not answer".to_owned());
    record.end = Some(End {
        failed,
        ..record.end.unwrap()
    });
    assert!(told(&record)[0].fails());
}

#[test]
fn work_that_falls_is_noticed() {
    let mut net = History::with_plan(plan());
    healed(&mut net).at(30).goes(0, "a1").at(31).goes(0, "b2");
    let failed = failure(&mut net);
    assert_eq!(
        failed,
        "FAIL  work of a tip that fell: 1 of 14 changes: node 0 after 30.00 s; expected 0"
    );
    // After a power cut a node may have less.
    let mut net = History::with_plan(plan());
    healed(&mut net)
        .at(30)
        .down(0, Exit::PowerCut)
        .at(31)
        .up(0, "b1")
        .at(32)
        .goes(0, "b2");
    assert!(!told(&net.end(100)).iter().any(Check::fails));
}

#[test]
fn coins_that_differ_or_came_from_nowhere_are_noticed() {
    let supply = 1_000 + 2 * REWARD_SAT;
    let mut net = History::with_plan(plan());
    healed(&mut net);
    coins(&mut net, 0, "b2", "one", supply);
    coins(&mut net, 1, "b2", "another", supply);
    assert!(failure(&mut net).contains("2 sets on tip"));
    let mut net = History::with_plan(plan());
    healed(&mut net);
    coins(&mut net, 0, "b2", "one", supply);
    coins(&mut net, 1, "b2", "one", supply + 1);
    assert!(failure(&mut net).contains("11001 sat at node 1; expected 11000 sat"));
}

#[test]
fn payments_that_are_refused_or_lost_are_noticed() {
    let payment = |conflicts_with| Payment {
        at_us: 1,
        from: 0,
        to: 1,
        amount_sat: 5,
        node: 0,
        conflicts_with,
        accepts_after: None,
    };
    let mut plan = plan();
    plan.payments = vec![payment(None), payment(Some(0)), payment(None)];
    let net = || {
        let mut net = History::with_plan(plan.clone());
        net.payment("one", &["coin 1"])
            .payment("rival", &["coin 1"])
            .payment("other", &["coin 2"]);
        healed(&mut net);
        net
    };
    let handed = |net: &mut History, node, name: &str, by, refused: Option<&str>| {
        let txid = crate::tell::history::txid(name);
        let refused = refused.map(str::to_owned);
        net.line(Line::Handed {
            t: 30_000_000,
            node,
            txid,
            by: Some(by),
            refused,
        });
    };
    let mut nobody = net();
    assert!(failure(&mut nobody).contains("payments refused: 0 of 0 payments"));

    let mut refused = net();
    handed(&mut refused, 0, "one", 0, None);
    // One of two payments of one coin is refused where the other is known: that is how it should be.
    handed(&mut refused, 0, "rival", 1, Some("txn-mempool-conflict"));
    handed(&mut refused, 0, "other", 2, Some("min relay fee not met"));
    refused.at(40).mempools(&["one"]);
    let failed = failure(&mut refused);
    assert!(
        failed.contains("1 of 3 payments, the first by node 0 after 30.00 s: min relay"),
        "{failed}"
    );

    let mut lost = net();
    handed(&mut lost, 0, "one", 0, None);
    lost.at(40).mempools(&[]);
    assert!(failure(&mut lost).contains("payments lost by nodes: 1 of 1"));

    // It was only at node 0, which crashed: nobody lost it, and it is told.
    let mut crashed = net();
    handed(&mut crashed, 0, "one", 0, None);
    crashed
        .at(40)
        .down(0, Exit::PowerCut)
        .at(41)
        .up(0, "b2")
        .at(90)
        .mempools(&[]);
    let told: Vec<String> = told(&crashed.end(100))
        .iter()
        .map(ToString::to_string)
        .collect();
    let told = told.join("\n");
    assert!(
        told.contains("0 of 1; 1 more went down with the only node that had them"),
        "{told}"
    );
    assert!(!told.contains("FAIL"), "{told}");
}
