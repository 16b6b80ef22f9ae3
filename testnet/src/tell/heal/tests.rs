//! Histories made by hand, each with the report that it must give. Blocks `c` are common, those of the first group are `a`, of
//! the second `b`, of the third `d`; `e` lose a race.

use std::collections::BTreeSet;

use super::*;
use crate::plan::FaultKind;
use crate::record::Exit;
use crate::tell::history::{History, REWARD_SAT, WORK};

/// Five nodes with one common block.
fn five() -> History {
    let mut net = History::of(5);
    net.at(1).finds(0, "c1").go(1..5, "c1");
    net
}

/// Five nodes that are cut 3 | 2 at 10 s and find two blocks and one until 60 s.
fn split() -> (History, usize) {
    let mut net = five();
    let split = net.at(10).splits("0,1,2/3,4");
    net.at(11).finds(0, "a1").go([1, 2], "a1");
    net.at(12).finds(1, "a2").go([0, 2], "a2");
    net.at(13).finds(3, "b1").goes(4, "b1");
    (net, split)
}

/// Runs to 100 s, and compares the only report.
#[track_caller]
fn expect(net: &mut History, expected: &str) -> HealReport {
    let mut all = expect_all(net, &[expected]);
    all.remove(0)
}

#[track_caller]
fn expect_all(net: &mut History, expected: &[&str]) -> Vec<HealReport> {
    let record = net.end(100);
    let reports = reports(&record);
    let told: Vec<String> = reports
        .iter()
        .map(|report| net.named(&report.to_string()))
        .collect();
    for (told, expected) in told.iter().zip(expected) {
        let expected = expected.trim_start_matches('\n');
        assert!(told == expected, "told:\n{told}\nexpected:\n{expected}");
    }
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for report in &reports {
        adds_up(report);
        // What is written is read.
        let text = serde_json::to_string(report).unwrap();
        assert_eq!(&serde_json::from_str::<HealReport>(&text).unwrap(), report);
    }
    reports
}

fn adds_up(report: &HealReport) {
    let Totals {
        found,
        stayed,
        lost,
    } = report.totals;
    assert_eq!(found.blocks, stayed.blocks + lost.blocks);
    assert_eq!(found.payments, stayed.payments + lost.payments);
    assert_eq!(found.reward_sat, stayed.reward_sat + lost.reward_sat);
    assert_eq!(found.work, stayed.work + lost.work);
    assert_eq!(lost.blocks as usize, report.lost.len());
    assert_eq!(
        lost.reward_sat,
        report
            .lost
            .iter()
            .map(|block| block.reward_sat)
            .sum::<u64>()
    );
}

#[test]
fn the_side_with_less_work_goes_over() {
    // c1 - a1 - a2      nodes 0, 1, 2
    //    \ b1           nodes 3, 4
    let (mut net, split) = split();
    net.at(60).ends(split).at(62).go([3, 4], "a2");
    let report = expect(
        &mut net,
        "
Heal report: one tip 2.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0-2: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: 1 block, 2 hashes of work, 0 payments, tip b1 at height 2: all lost
  nodes
    nodes 0-2: no change, on the final chain from the first
    nodes 3, 4: 1 block back, 2 forward, on the final chain after 2.00 s
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
    assert_eq!(
        (report.split_at_us, report.opened_at_us),
        (10_000_000, 60_000_000)
    );
    assert_eq!((report.looked_us, report.next_split), (40_000_000, None));
    assert_eq!(
        (report.sides[0].work, report.sides[1].reward_sat),
        (2 * WORK, REWARD_SAT)
    );
    assert_eq!((report.sides[0].found, report.sides[1].found), (2, 1));
    assert_eq!(report.deepest_reorg(), 1);
}

#[test]
fn a_block_that_loses_a_race_after_the_opening_is_no_side() {
    // c1 - a1 - a2 - a3 - a4
    //    \ b1      \ e3           found by node 1 after the opening
    let (mut net, split) = split();
    net.at(60).ends(split);
    net.at_ms(60_500).finds(0, "a3").finds(1, "e3");
    net.at(61).goes(2, "a3").finds(2, "a4");
    net.at(62).go([0, 1, 3, 4], "a4");
    let report = expect(
        &mut net,
        "
Heal report: one tip 2.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a4 at height 5
  sides
    1: group 1, nodes 0-2: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: 1 block, 2 hashes of work, 0 payments, tip b1 at height 2: all lost
  nodes
    nodes 0-2: 2 blocks forward, on the final chain from the first
    nodes 3, 4: 1 block back, 4 forward, on the final chain after 2.00 s
  blocks      6 above the fork point, 4 in the final chain, 2 lost with 0.00010000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
    e3 at height 4, found by node 1, 0 payments: stale after the links opened
  payments that lost their confirmation: 0
",
    );
    assert_eq!(report.nodes[1].changed_us, Some(500_000));
}

#[test]
fn a_side_that_finds_nothing_is_a_side() {
    let mut net = five();
    let split = net.at(10).splits("0,1,2/3,4");
    net.at(11).finds(0, "a1").go([1, 2], "a1");
    net.at(60).ends(split).at(61).go([3, 4], "a1");
    expect(
        &mut net,
        "
Heal report: one tip 1.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a1 at height 2
  sides
    1: group 1, nodes 0-2: 1 block, 2 hashes of work, 0 payments, tip a1 at height 2: all stayed
    2: group 2, nodes 3, 4: no block, 0 hashes of work, 0 payments, tip c1 at height 1
  nodes
    nodes 0-2: no change, on the final chain from the first
    nodes 3, 4: 1 block forward, on the final chain after 1.00 s
  blocks      1 above the fork point, 1 in the final chain, 0 lost with 0 BTC of rewards
  payments that lost their confirmation: 0
",
    );
}

#[test]
fn nothing_was_found_at_all() {
    let mut net = five();
    let split = net.at(10).splits("0,1,2/3,4");
    net.at(60).ends(split);
    expect(
        &mut net,
        "
Heal report: one tip 0 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   c1 at height 1
  sides
    1: group 1, nodes 0-2: no block, 0 hashes of work, 0 payments, tip c1 at height 1
    2: group 2, nodes 3, 4: no block, 0 hashes of work, 0 payments, tip c1 at height 1
  nodes
    nodes 0-4: no change, on the final chain from the first
  blocks      0 above the fork point, 0 in the final chain, 0 lost with 0 BTC of rewards
  payments that lost their confirmation: 0
",
    );
}

#[test]
fn a_node_that_follows_the_other_group_is_told() {
    // Node 2 belongs to the first group, and hears only the second.
    let mut net = five();
    let split = net.at(10).splits("0,1,2/3,4");
    net.at(11).finds(0, "a1").goes(1, "a1");
    net.at(12).finds(1, "a2").goes(0, "a2");
    net.at(13).finds(3, "b1").go([2, 4], "b1");
    net.at(60).ends(split).at(62).go(2..5, "a2");
    let report = expect(
        &mut net,
        "
Heal report: one tip 2.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0, 1: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 1, node 2: 1 block, 2 hashes of work, 0 payments, tip b1 at height 2: all lost
    3: group 2, nodes 3, 4: 1 block of side 2, 2 hashes of work, 0 payments, tip b1 at height 2: all lost
  nodes
    nodes 0, 1: no change, on the final chain from the first
    nodes 2-4: 1 block back, 2 forward, on the final chain after 2.00 s
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
    let found: Vec<u32> = report.sides.iter().map(|side| side.found).collect();
    assert_eq!(found, [2, 0, 1]);
}

#[test]
fn three_sides() {
    let mut net = five();
    let split = net.at(10).splits("0,1/2,3/4");
    net.at(11).finds(0, "a1").goes(1, "a1");
    net.at(12).finds(2, "b1").goes(3, "b1");
    net.at(13).finds(3, "b2").goes(2, "b2");
    net.at(14).finds(4, "d1");
    net.at(70).ends(split);
    net.at(71).goes(4, "b2").at(73).go([0, 1], "b2");
    expect(
        &mut net,
        "
Heal report: one tip 3.00 s after the links opened
  split       partition 0,1/2,3/4, for 1 m 0 s
  fork point  c1 at height 1
  final tip   b2 at height 3
  sides
    1: group 2, nodes 2, 3: 2 blocks, 4 hashes of work, 0 payments, tip b2 at height 3: all stayed
    2: group 1, nodes 0, 1: 1 block, 2 hashes of work, 0 payments, tip a1 at height 2: all lost
    3: group 3, node 4: 1 block, 2 hashes of work, 0 payments, tip d1 at height 2: all lost
  nodes
    nodes 0, 1: 1 block back, 2 forward, on the final chain after 3.00 s
    nodes 2, 3: no change, on the final chain from the first
    node 4: 1 block back, 2 forward, on the final chain after 1.00 s
  blocks      4 above the fork point, 2 in the final chain, 2 lost with 0.00010000 BTC of rewards
    a1 at height 2, found by node 0, 0 payments: orphaned
    d1 at height 2, found by node 4, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
}

#[test]
fn nested_forks_count_no_block_twice() {
    // c1 - a1 - a2 - a3 - a4 - a5      nodes 0, 1
    //    \ b1 - b2 - b3 - b4           nodes 2, 3
    //              \ d3                node 4: cut off within the second group, after b2
    let mut net = five();
    let outer = net.at(10).splits("0,1/2,3,4");
    for (second, block) in ["a1", "a2", "a3", "a4", "a5"].into_iter().enumerate() {
        net.at(11 + second as u64).finds(0, block).goes(1, block);
    }
    net.at(16)
        .finds(2, "b1")
        .go([3, 4], "b1")
        .at(17)
        .finds(3, "b2")
        .go([2, 4], "b2");
    let inner = net.at(20).splits("2,3/4");
    net.at(21)
        .finds(2, "b3")
        .goes(3, "b3")
        .at(22)
        .finds(2, "b4")
        .goes(3, "b4");
    net.at(23).finds(4, "d3");
    net.at(60).ends(outer).ends(inner);
    net.at(65).go([2, 3, 4], "a5");
    let report = expect(
        &mut net,
        "
Heal report: one tip 5.00 s after the links opened
  split       partition 0,1/2,3,4, partition 2,3/4, for 50.00 s
  fork point  c1 at height 1
  final tip   a5 at height 6
  sides
    1: group 1, nodes 0, 1: 5 blocks, 10 hashes of work, 0 payments, tip a5 at height 6: all stayed
    2: group 2, nodes 2, 3: 4 blocks, 8 hashes of work, 0 payments, tip b4 at height 5: all lost
    3: group 3, node 4: 3 blocks (1 of its own), 6 hashes of work, 0 payments, tip d3 at height 4: all lost
  nodes
    nodes 0, 1: no change, on the final chain from the first
    nodes 2, 3: 4 blocks back, 5 forward, on the final chain after 5.00 s
    node 4: 3 blocks back, 5 forward, on the final chain after 5.00 s
  blocks      10 above the fork point, 5 in the final chain, 5 lost with 0.00025000 BTC of rewards
    b1 at height 2, found by node 2, 0 payments: orphaned
    b2 at height 3, found by node 3, 0 payments: orphaned
    b3 at height 4, found by node 2, 0 payments: orphaned
    d3 at height 4, found by node 4, 0 payments: orphaned
    b4 at height 5, found by node 2, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
    assert_eq!(report.sides.iter().map(|side| side.own).sum::<u32>(), 10);
}

#[test]
fn a_race_within_a_group_makes_two_sides_of_it() {
    // c1 - a1 - a2           nodes 0, 1
    //    \    \ e2 - e3      node 2 had e2 when the links opened
    //     \ b1               nodes 3, 4
    let mut net = five();
    let split = net.at(10).splits("0,1,2/3,4");
    net.at(11).finds(0, "a1").go([1, 2], "a1");
    net.at(59).finds(0, "a2").goes(1, "a2").finds(2, "e2");
    net.at(13 + 46).finds(3, "b1").goes(4, "b1");
    net.at(60).ends(split);
    net.at(61).finds(2, "e3").at(62).go([0, 1, 3, 4], "e3");
    expect(
        &mut net,
        "
Heal report: one tip 2.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   e3 at height 4
  sides
    1: group 1, nodes 0, 1: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: 1 stayed
    2: group 1, node 2: 2 blocks (1 of its own), 4 hashes of work, 0 payments, tip e2 at height 3: all stayed
    3: group 2, nodes 3, 4: 1 block, 2 hashes of work, 0 payments, tip b1 at height 2: all lost
  nodes
    nodes 0, 1: 1 block back, 2 forward, on the final chain after 2.00 s
    node 2: 1 block forward, on the final chain from the first
    nodes 3, 4: 1 block back, 3 forward, on the final chain after 2.00 s
  blocks      5 above the fork point, 3 in the final chain, 2 lost with 0.00010000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
    a2 at height 3, found by node 0, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
}

#[test]
fn a_block_lost_within_a_side_is_told_as_such() {
    // Node 2 went from its own e1 to a1 before the links opened.
    let mut net = five();
    let split = net.at(10).splits("0,1,2/3,4");
    net.at(11)
        .finds(2, "e1")
        .at(12)
        .finds(0, "a1")
        .goes(1, "a1");
    net.at(13).finds(1, "a2").go([0, 2], "a2");
    net.at(60).ends(split).at(61).go([3, 4], "a2");
    expect(
        &mut net,
        "
Heal report: one tip 1.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0-2: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: no block, 0 hashes of work, 0 payments, tip c1 at height 1
  nodes
    nodes 0-2: no change, on the final chain from the first
    nodes 3, 4: 2 blocks forward, on the final chain after 1.00 s
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    e1 at height 2, found by node 2, 0 payments: stale before the links opened
  payments that lost their confirmation: 0
",
    );
}

#[test]
fn a_frozen_node_delays_nobody_and_is_named() {
    let (mut net, split) = split();
    let pause = net.at(50).freezes(3);
    net.at(60).ends(split).at(62).goes(4, "a2");
    net.at(80).ends(pause).at(81).goes(3, "a2");
    expect(
        &mut net,
        "
Heal report: one tip 2.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0-2: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: 1 block, 2 hashes of work, 0 payments, tip b1 at height 2: all lost
  nodes
    nodes 0-2: no change, on the final chain from the first
    node 3: frozen, back after 20.00 s, 1 block back, 2 forward, on the final chain after 21.00 s
    node 4: 1 block back, 2 forward, on the final chain after 2.00 s
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
}

#[test]
fn a_node_that_is_killed_while_healing_is_named() {
    let (mut net, split) = split();
    net.at(60)
        .ends(split)
        .at(61)
        .down(4, Exit::Killed)
        .at(62)
        .goes(3, "a2");
    net.at(80).up(4, "b1").at(82).goes(4, "a2");
    expect(
        &mut net,
        "
Heal report: one tip 2.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0-2: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: 1 block, 2 hashes of work, 0 payments, tip b1 at height 2: all lost
  nodes
    nodes 0-2: no change, on the final chain from the first
    node 3: 1 block back, 2 forward, on the final chain after 2.00 s
    node 4: went down after 1.00 s, back after 20.00 s, 1 block back, 2 forward, on the final chain after 22.00 s
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
}

#[test]
fn a_node_that_is_down_when_the_links_open_is_named() {
    let (mut net, split) = split();
    net.at(50).down(3, Exit::Stopped).down(2, Exit::PowerCut);
    net.at(60).ends(split).at(62).goes(4, "a2");
    // Node 2 comes back with what its disk holds; node 3 stays away.
    net.at(90).up(2, "c1").at(91).goes(2, "a2");
    let report = expect(
        &mut net,
        "
Heal report: one tip 2.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0, 1: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, node 4: 1 block, 2 hashes of work, 0 payments, tip b1 at height 2: all lost
  nodes
    nodes 0, 1: no change, on the final chain from the first
    node 2: down, back after 30.00 s, no change, on the final chain after 31.00 s
    node 3: down, no change, never on the final chain
    node 4: 1 block back, 2 forward, on the final chain after 2.00 s
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
    assert_eq!(report.nodes[3].tip, Some(net.place("b1")));
}

#[test]
fn no_convergence_is_a_result_and_the_next_healing_counts_all() {
    let (mut net, split) = split();
    net.at(40).ends(split);
    net.at(42).goes(3, "a2");
    let again = net.at(50).splits("0,1,2,3/4");
    net.at(55).finds(4, "b2");
    net.at(60)
        .ends(again)
        .at(61)
        .finds(0, "a3")
        .go([1, 2, 3], "a3")
        .at(64)
        .goes(4, "a3");
    expect_all(
        &mut net,
        &[
            "
Heal report: no one tip within 10.00 s, when the next split began: 2 tips
  split       partition 0,1,2/3,4, for 30.00 s
    nodes 0-3 on a2 at height 3
    node 4 on b1 at height 2
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0-2: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: 1 block, 2 hashes of work, 0 payments, tip b1 at height 2: all lost
  nodes
    nodes 0-2: no change, on the final chain from the first
    node 3: 1 block back, 2 forward, on the final chain after 2.00 s
    node 4: no change, never on the final chain
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
  payments that lost their confirmation: 0
",
            "
Heal report: one tip 4.00 s after the links opened
  split       partition 0,1,2,3/4, for 10.00 s
  fork point  c1 at height 1
  final tip   a3 at height 4
  sides
    1: group 1, nodes 0-3: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, node 4: 2 blocks, 4 hashes of work, 0 payments, tip b2 at height 3: all lost
  nodes
    nodes 0-3: 1 block forward, on the final chain from the first
    node 4: 2 blocks back, 3 forward, on the final chain after 4.00 s
  blocks      5 above the fork point, 3 in the final chain, 2 lost with 0.00010000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
    b2 at height 3, found by node 4, 0 payments: orphaned
  payments that lost their confirmation: 0
",
        ],
    );
}

#[test]
fn a_network_that_never_agrees_is_told_with_its_tips() {
    let (mut net, split) = split();
    net.at(60).ends(split);
    let report = expect(
        &mut net,
        "
Heal report: no one tip within 40.00 s, when the run ended: 2 tips
  split       partition 0,1,2/3,4, for 50.00 s
    nodes 0-2 on a2 at height 3
    nodes 3, 4 on b1 at height 2
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0-2: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: 1 block, 2 hashes of work, 0 payments, tip b1 at height 2: all lost
  nodes
    nodes 0-2: no change, on the final chain from the first
    nodes 3, 4: no change, never on the final chain
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
    assert!(!report.is_whole());
}

#[test]
fn a_flapping_link_gives_a_report_each_time() {
    let mut net = History::of(2);
    let cut = net.at(10).splits("0/1");
    net.at(11)
        .finds(0, "a1")
        .at(20)
        .ends(cut)
        .at(21)
        .goes(1, "a1");
    let cut = net.at(30).splits("0/1");
    net.at(31).finds(0, "a2").finds(1, "b2").at(40).ends(cut);
    let cut = net.at(41).splits("0/1");
    net.at(42)
        .finds(1, "b3")
        .at(50)
        .ends(cut)
        .at(53)
        .goes(0, "b3");
    expect_all(
        &mut net,
        &[
            "
Heal report: one tip 1.00 s after the links opened
  split       partition 0/1, for 10.00 s
  fork point  0 at height 0
  final tip   a1 at height 1
  sides
    1: group 1, node 0: 1 block, 2 hashes of work, 0 payments, tip a1 at height 1: all stayed
    2: group 2, node 1: no block, 0 hashes of work, 0 payments, tip 0 at height 0
  nodes
    node 0: no change, on the final chain from the first
    node 1: 1 block forward, on the final chain after 1.00 s
  blocks      1 above the fork point, 1 in the final chain, 0 lost with 0 BTC of rewards
  payments that lost their confirmation: 0
",
            "
Heal report: no one tip within 1.00 s, when the next split began: 2 tips
  split       partition 0/1, for 10.00 s
    node 0 on a2 at height 2
    node 1 on b2 at height 2
  fork point  a1 at height 1
  final tip   a2 at height 2
  sides
    1: group 1, node 0: 1 block, 2 hashes of work, 0 payments, tip a2 at height 2: all stayed
    2: group 2, node 1: 1 block, 2 hashes of work, 0 payments, tip b2 at height 2: all lost
  nodes
    node 0: no change, on the final chain from the first
    node 1: no change, never on the final chain
  blocks      2 above the fork point, 1 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b2 at height 2, found by node 1, 0 payments: orphaned
  payments that lost their confirmation: 0
",
            "
Heal report: one tip 3.00 s after the links opened
  split       partition 0/1, for 9.00 s
  fork point  a1 at height 1
  final tip   b3 at height 3
  sides
    1: group 2, node 1: 2 blocks, 4 hashes of work, 0 payments, tip b3 at height 3: all stayed
    2: group 1, node 0: 1 block, 2 hashes of work, 0 payments, tip a2 at height 2: all lost
  nodes
    node 0: 1 block back, 2 forward, on the final chain after 3.00 s
    node 1: no change, on the final chain from the first
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    a2 at height 2, found by node 0, 0 payments: orphaned
  payments that lost their confirmation: 0
",
        ],
    );
}

#[test]
fn a_silent_split_is_a_split() {
    let mut net = History::of(3);
    let groups = "0,1/2".parse().unwrap();
    let silent = true;
    let cut = net.at(5).begins(FaultKind::Partition { groups, silent });
    net.at(6)
        .finds(0, "a1")
        .goes(1, "a1")
        .at(7)
        .finds(1, "a2")
        .goes(0, "a2");
    net.at(8).finds(2, "b1");
    // Nobody was told that the link was dead: it takes until the next ping.
    net.at(30).ends(cut).at(55).goes(2, "a2");
    expect(
        &mut net,
        "
Heal report: one tip 25.00 s after the links opened
  split       silent partition 0,1/2, for 25.00 s
  fork point  0 at height 0
  final tip   a2 at height 2
  sides
    1: group 1, nodes 0, 1: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 2: all stayed
    2: group 2, node 2: 1 block, 2 hashes of work, 0 payments, tip b1 at height 1: all lost
  nodes
    nodes 0, 1: no change, on the final chain from the first
    node 2: 1 block back, 2 forward, on the final chain after 25.00 s
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 1, found by node 2, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
}

#[test]
fn the_end_of_an_eclipse_is_a_healing() {
    // Node 4 hears only node 0, which keeps the blocks of the others to itself, and gives it blocks of its own.
    let mut net = five();
    let attackers = BTreeSet::from([0]);
    let eclipse = net.at(10).begins(FaultKind::Eclipse {
        victim: 4,
        attackers,
    });
    net.at(11).finds(0, "e1").goes(4, "e1");
    net.at(12)
        .finds(1, "a1")
        .go([2, 3], "a1")
        .at(13)
        .finds(2, "a2")
        .go([0, 1, 3], "a2");
    net.at(60).ends(eclipse).at(61).goes(4, "a2");
    expect(
        &mut net,
        "
Heal report: one tip 1.00 s after the links opened
  split       eclipse of node 4 by 0, for 50.00 s
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 2, nodes 1-3: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: in no group, node 0: 2 blocks of side 1, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    3: group 1, node 4: 1 block, 2 hashes of work, 0 payments, tip e1 at height 2: all lost
  nodes
    nodes 0-3: no change, on the final chain from the first
    node 4: 1 block back, 2 forward, on the final chain after 1.00 s
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    e1 at height 2, found by node 0, 0 payments: orphaned
  payments that lost their confirmation: 0
",
    );
}

#[test]
fn the_end_of_a_one_way_cut_is_a_healing() {
    // Nodes 3 and 4 are heard, and hear nothing: what they find counts until the others have more.
    let mut net = five();
    let from = BTreeSet::from([0, 1, 2]);
    let to = BTreeSet::from([3, 4]);
    let cut = net.at(10).begins(FaultKind::OneWay { from, to });
    net.at(11).finds(3, "b1").go([0, 1, 2, 4], "b1");
    net.at(12).finds(0, "a2").go([1, 2], "a2");
    net.at(60).ends(cut).at(61).go([3, 4], "a2");
    expect(
        &mut net,
        "
Heal report: one tip 1.00 s after the links opened
  split       one-way 0,1,2 to 3,4, for 50.00 s
  fork point  b1 at height 2
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0-2: 1 block, 2 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: no block, 0 hashes of work, 0 payments, tip b1 at height 2
  nodes
    nodes 0-2: no change, on the final chain from the first
    nodes 3, 4: 1 block forward, on the final chain after 1.00 s
  blocks      1 above the fork point, 1 in the final chain, 0 lost with 0 BTC of rewards
  payments that lost their confirmation: 0
",
    );
}

#[test]
fn one_node_alone_and_a_split_that_goes_on() {
    let mut net = five();
    let alone = net.at(10).splits("0,1,2,3/4");
    let other = net.at(20).splits("0,4/1,2,3");
    net.at(21).finds(1, "a1").go([2, 3], "a1");
    net.at(60).ends(alone);
    let report = expect(
        &mut net,
        "
Heal report: no one tip within 40.00 s, when the run ended: 2 tips
  split       partition 0,1,2,3/4, for 50.00 s
  but         1 other split went on
    nodes 1-3 on a1 at height 2
    nodes 0, 4 on c1 at height 1
  fork point  c1 at height 1
  final tip   a1 at height 2
  sides
    1: group 1, nodes 0-3: 1 block, 2 hashes of work, 0 payments, tip a1 at height 2: all stayed
    2: group 2, node 4: no block, 0 hashes of work, 0 payments, tip c1 at height 1
  nodes
    nodes 0, 4: no change, never on the final chain
    nodes 1-3: no change, on the final chain from the first
  blocks      1 above the fork point, 1 in the final chain, 0 lost with 0 BTC of rewards
  payments that lost their confirmation: 0
",
    );
    assert_eq!(report.still_apart, [other]);
}

#[test]
fn a_double_spend_takes_its_children_with_it() {
    let mut net = five();
    let split = net.at(10).splits("0,1,2/3,4");
    net.payment("left", &["coin 1"]).hands(0, "left");
    net.payment("right", &["coin 1"]).hands(3, "right");
    net.payment("child", &["right"])
        .payment("grandchild", &["child", "coin 2"]);
    net.at(11).finds_with(0, "a1", &["left"]).go([1, 2], "a1");
    net.at(12).finds(1, "a2").go([0, 2], "a2");
    net.at(13)
        .finds_with(3, "b1", &["right", "child", "grandchild"])
        .goes(4, "b1");
    net.at(60).ends(split).at(61).go([3, 4], "a2").mempools(&[]);
    let report = expect(
        &mut net,
        "
Heal report: one tip 1.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0-2: 2 blocks, 4 hashes of work, 1 payment, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: 1 block, 2 hashes of work, 3 payments, tip b1 at height 2: all lost
  nodes
    nodes 0-2: no change, on the final chain from the first
    nodes 3, 4: 1 block back, 2 forward, on the final chain after 1.00 s
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 2, found by node 3, 3 payments: orphaned
  payments that lost their confirmation: 3
    right: double-spent by left, a1 at height 2
    child: void: it spends right, which came to nothing
    grandchild: void: it spends child, which came to nothing
",
    );
    assert_eq!(report.open_payments(), 0);
    assert_eq!(
        (report.totals.found.payments, report.totals.lost.payments),
        (4, 3)
    );
}

#[test]
fn a_lost_reward_takes_its_children_with_it() {
    let mut net = five();
    let split = net.at(10).splits("0,1,2/3,4");
    net.at(11).finds(3, "b1").goes(4, "b1");
    net.payment("spends", &["reward of b1"])
        .payment("child", &["spends"]);
    net.at(12)
        .finds_with(4, "b2", &["spends", "child"])
        .goes(3, "b2");
    net.at(13)
        .finds(0, "a1")
        .go([1, 2], "a1")
        .finds(0, "a2")
        .go([1, 2], "a2");
    net.at(14).finds(0, "a3").go([1, 2], "a3");
    // A mempool that has not noticed yet changes nothing.
    net.at(60)
        .ends(split)
        .at(61)
        .go([3, 4], "a3")
        .mempools(&[])
        .mempool(3, &["child"], &[]);
    expect(
        &mut net,
        "
Heal report: one tip 1.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a3 at height 4
  sides
    1: group 1, nodes 0-2: 3 blocks, 6 hashes of work, 0 payments, tip a3 at height 4: all stayed
    2: group 2, nodes 3, 4: 2 blocks, 4 hashes of work, 2 payments, tip b2 at height 3: all lost
  nodes
    nodes 0-2: no change, on the final chain from the first
    nodes 3, 4: 2 blocks back, 3 forward, on the final chain after 1.00 s
  blocks      5 above the fork point, 3 in the final chain, 2 lost with 0.00010000 BTC of rewards
    b1 at height 2, found by node 3, 0 payments: orphaned
    b2 at height 3, found by node 4, 2 payments: orphaned
  payments that lost their confirmation: 2
    spends: void: it spends the reward reward of b1 of a lost block
    child: void: it spends spends, which came to nothing
",
    );
}

#[test]
fn payments_of_lost_blocks_end_in_different_ways() {
    let mut net = five();
    let split = net.at(10).splits("0,1,2/3,4");
    for (number, payment) in [
        "both", "again", "waits", "aside", "gone", "rival", "replaced",
    ]
    .into_iter()
    .enumerate()
    {
        let coin = format!("coin {}", number.min(5));
        net.payment(payment, &[&coin]);
    }
    net.at(11).finds_with(0, "a1", &["both"]).go([1, 2], "a1");
    net.at(12).finds(1, "a2").go([0, 2], "a2");
    let all = ["both", "again", "waits", "aside", "gone", "replaced"];
    net.at(13).finds_with(3, "b1", &all).goes(4, "b1");
    net.at(60).ends(split).at(62).go([3, 4], "a2");
    net.at(65)
        .finds_with(3, "a3", &["again"])
        .go([0, 1, 2, 4], "a3");
    net.at(66)
        .mempools(&["waits", "rival"])
        .mempool(4, &["waits"], &["aside"]);
    expect(
        &mut net,
        "
Heal report: one tip 2.00 s after the links opened
  split       partition 0,1,2/3,4, for 50.00 s
  fork point  c1 at height 1
  final tip   a3 at height 4
  sides
    1: group 1, nodes 0-2: 2 blocks, 4 hashes of work, 1 payment, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: 1 block, 2 hashes of work, 6 payments, tip b1 at height 2: all lost
  nodes
    nodes 0-2: no change, on the final chain from the first
    nodes 3, 4: 1 block back, 2 forward, on the final chain after 2.00 s
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 2, found by node 3, 6 payments: orphaned
  payments that lost their confirmation: 6
    both: the final chain had it too, a1 at height 2
    again: confirmed again, a3 at height 4
    waits: in the mempool of nodes 0-4
    aside: set aside by node 4, whose chain contradicts it
    gone: gone: nobody has it
    replaced: replaced in mempools by rival
",
    );
}

#[test]
fn payments_of_a_branch_that_nodes_are_still_on_are_told_so() {
    let mut net = five();
    let split = net.at(10).splits("0,1,2/3,4");
    net.payment("one", &["coin 1"]);
    net.at(11).finds_with(3, "b1", &["one"]).goes(4, "b1");
    net.at(12)
        .finds(0, "a1")
        .go([1, 2], "a1")
        .finds(0, "a2")
        .go([1, 2], "a2");
    net.at(60).ends(split).at(61).goes(3, "a2");
    expect(
        &mut net,
        "
Heal report: no one tip within 40.00 s, when the run ended: 2 tips
  split       partition 0,1,2/3,4, for 50.00 s
    nodes 0-3 on a2 at height 3
    node 4 on b1 at height 2
  fork point  c1 at height 1
  final tip   a2 at height 3
  sides
    1: group 1, nodes 0-2: 2 blocks, 4 hashes of work, 0 payments, tip a2 at height 3: all stayed
    2: group 2, nodes 3, 4: 1 block, 2 hashes of work, 1 payment, tip b1 at height 2: all lost
  nodes
    nodes 0-2: no change, on the final chain from the first
    node 3: 1 block back, 2 forward, on the final chain after 1.00 s
    node 4: no change, never on the final chain
  blocks      3 above the fork point, 2 in the final chain, 1 lost with 0.00005000 BTC of rewards
    b1 at height 2, found by node 3, 1 payment: orphaned
  payments that lost their confirmation: 1
    one: on another branch, with node 4
",
    );
}

#[test]
fn a_split_that_never_ends_has_no_report() {
    let (mut net, _) = split();
    expect_all(&mut net, &[]);
}
