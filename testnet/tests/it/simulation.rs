//! The simulator: the same seed gives the same trace, figures follow from it, and scenarios hold.

use testnet::invariants::Rule;
use testnet::plan::Plan;
use testnet::scenario::file::{Difficulty, Expectations};
use testnet::scenario::{Scenario, Span};
use testnet::sim::shrink::shrink;
use testnet::sim::{Run, simulate};
use testnet::tell::checks::checks;
use testnet::tell::{Check, Figures};

fn scenario(name: &str) -> Scenario {
    let path = format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    Scenario::from_toml(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn run(name: &str, seed: u64) -> Run {
    let run = simulate(&scenario(name), seed, None).unwrap();
    assert_eq!(run.violations, [], "{name} with seed {seed}");
    run
}

fn minutes(minutes: u64) -> Span {
    Span::from_secs(60 * minutes)
}

#[test]
fn a_clean_split_heals() {
    let run = run("clean-split", 1);
    assert_eq!(run.summary.tips, [10]);
    assert!(run.summary.one_tip_after_ms.unwrap() < 60_000.0);
}

/// Half an hour of everything at once.
fn short_and_hostile() -> Scenario {
    let mut scenario = scenario("mixed-faults");
    scenario.duration = minutes(30);
    scenario.expect = Expectations::default();
    scenario.payments.as_mut().unwrap().until = None;
    scenario.chaos.as_mut().unwrap().until = minutes(20);
    scenario
}

#[test]
fn the_same_seed_gives_the_same_record() {
    let mut traces = [Vec::new(), Vec::new()];
    let runs: Vec<Run> = traces
        .iter_mut()
        .map(|trace| simulate(&short_and_hostile(), 3, Some(trace)).unwrap())
        .collect();
    assert_eq!(runs[0].record_hash, runs[1].record_hash);
    assert_eq!(runs[0].summary, runs[1].summary);
    assert!(traces[0] == traces[1] && traces[0].len() > 10_000);
    let other = simulate(&short_and_hostile(), 4, None).unwrap();
    assert_ne!(other.record_hash, runs[0].record_hash);
}

#[test]
fn every_figure_can_be_made_again_from_the_record() {
    let mut split = scenario("clean-split");
    split.nodes = 4;
    split.duration = minutes(60);
    split.events[0].at = minutes(20);
    split.events[0].groups = Some("0,1/2,3".parse().unwrap());
    split.events[1].at = minutes(40);
    let mut deepest = 0;
    for (scenario, seed) in [
        (&split, 1),
        (&short_and_hostile(), 5),
        (&short_and_hostile(), 6),
        (&short_and_hostile(), 7),
    ] {
        let mut lines = Vec::new();
        let run = simulate(scenario, seed, Some(&mut lines)).unwrap();
        // What is read is what the engine had in memory.
        let read = testnet::record::read(lines.as_slice()).unwrap();
        assert_eq!(Some(&read), run.record.as_ref());
        // And what is told of it is what the engine itself has counted.
        let (told, counted) = (Figures::of(&read), &run.summary);
        let name = format!("{} with seed {seed}", scenario.name);
        assert_eq!(told.events, Some(counted.events), "{name}");
        assert_eq!(
            (told.blocks, told.stale),
            (counted.blocks, counted.stale),
            "{name}"
        );
        assert_eq!(
            (told.height, &told.tips),
            (counted.height, &counted.tips),
            "{name}"
        );
        assert_eq!(
            (&told.reorgs, &told.faults),
            (&counted.reorgs, &counted.actions),
            "{name}"
        );
        assert_eq!(
            told.propagation_ms.p99, counted.propagation_ms.p99,
            "{name}"
        );
        assert_eq!(told.one_tip_after_ms, counted.one_tip_after_ms, "{name}");
        assert_eq!(told.parted, counted.sent_away, "{name}");
        assert_eq!(read.violated, [], "{name}");
        assert_eq!(
            read.coins.len(),
            counted.tips.iter().sum::<usize>(),
            "{name}"
        );
        let failed: Vec<_> = checks(&read, &told)
            .into_iter()
            .filter(Check::fails)
            .collect();
        assert!(failed.is_empty(), "{name}: {failed:?}");
        // There was something to see.
        assert!(run.summary.blocks > 10 && run.summary.propagation_ms.p99 > 0.0);
        assert!(run.summary.traffic.len() > 3 && run.summary.one_tip_after_ms.is_some());
        deepest = run
            .summary
            .reorgs
            .keys()
            .copied()
            .max()
            .unwrap_or(0)
            .max(deepest);
    }
    assert!(deepest >= 3, "the deepest reorg of all runs is {deepest}");
}

#[test]
fn a_coin_that_is_spent_at_two_nodes_comes_through_once() {
    // A delay of 2 s between the halves: an account of either half often spends a coin that the other has spent.
    let mut scenario = scenario("slow-link");
    scenario.duration = minutes(40);
    let payments = scenario.payments.as_mut().unwrap();
    payments.accounts = 3;
    payments.until = Some(minutes(20));
    scenario.events[0].lane.as_mut().unwrap().delay_ms = 2_000;
    scenario.expect.one_tip_within = None;
    let run = simulate(&scenario, 1, None).unwrap();
    assert_eq!(run.violations, []);
    let payments = run.summary.payments;
    assert!(payments.conflicted > 0, "{payments:?}");
    let settled = payments.confirmed + payments.conflicted + payments.void;
    assert_eq!(payments.sent, settled, "{payments:?}");
}

/// Seeds of a sweep in which a payment got lost though its coins were never spent: a block contradicted it (or its parent) on
/// every node that knew it, and was then taken back itself.
#[test]
fn payments_that_only_a_lost_branch_contradicted_are_not_lost() {
    for seed in [233, 3672, 4641, 5119, 6812] {
        let payments = run("mixed-faults", seed).summary.payments;
        assert_eq!(payments.vanished, 0, "seed {seed}: {payments:?}");
        assert!(payments.confirmed > 100, "seed {seed}: {payments:?}");
    }
}

/// As [`short_and_hostile`], without anything that could fail.
fn holds_whatever_happens() -> Scenario {
    let mut scenario = short_and_hostile();
    scenario.chaos = None;
    scenario.payments = None;
    scenario
}

#[test]
fn shrinking_gives_a_smaller_file_that_fails_in_the_same_way() {
    // An expectation that only a partition breaks, among many other faults.
    let mut scenario = short_and_hostile();
    scenario.payments = None;
    scenario.expect.reorg_of_at_most = Some(1);
    let broken = |scenario: &Scenario, seed| {
        let run = simulate(scenario, seed, None).unwrap();
        run.violations
            .iter()
            .any(|violation| violation.rule == Rule::Expected)
    };
    let seed = (0..40).find(|seed| broken(&scenario, *seed)).unwrap();
    let (small, runs) = shrink(&scenario, seed).unwrap().unwrap();
    assert!(runs > 1);

    // What is written to the file fails again, without chaos and with a few events only.
    let written = Scenario::from_toml(&small.to_toml()).unwrap();
    assert!(broken(&written, seed));
    assert!(written.chaos.is_none());
    assert!(
        (1..=4).contains(&written.events.len()),
        "{} events are left: {:?}",
        written.events.len(),
        written.events
    );
    // And no event too many: without any one of them it holds.
    assert!(shrink(&holds_whatever_happens(), seed).unwrap().is_none());
    for index in 0..written.events.len() {
        let mut less = written.clone();
        less.events.remove(index);
        assert!(!broken(&less, seed), "event {index} is not needed");
    }
}

/// What an end of its own would be dropped from: a shrinker that does that fails for another reason than the seed did.
#[test]
fn shrinking_keeps_the_ends_of_faults() {
    let mut scenario = scenario("clean-split");
    scenario.duration = minutes(60);
    (scenario.events[0].at, scenario.events[1].at) = (minutes(20), minutes(40));
    scenario.expect.reorg_of_at_least = None;
    scenario.expect.one_tip_within = Some(Span(1_000));
    let (small, _) = shrink(&scenario, 1).unwrap().unwrap();
    assert_eq!(small.events.len(), 1);
    assert!(small.events[0].lasting.is_some(), "{:?}", small.events);
    let run = simulate(&small, 1, None).unwrap();
    assert_eq!(run.violations[0].rule, Rule::OneTipInTime);
    assert!(
        run.violations[0].detail.starts_with("it took"),
        "{:?}",
        run.violations
    );
}

#[test]
fn nodes_that_fall_apart_again_after_the_last_event_are_told() {
    // The last event is no split by name, and at its instant all agree: then the two halves hear nothing of each other.
    let mut scenario = scenario("slow-link");
    scenario.payments = None;
    scenario.duration = minutes(60);
    scenario.events[0].lane = Some(testnet::link::Lane {
        flow: testnet::link::Flow::Stalled,
        ..testnet::link::Lane::default()
    });
    scenario.expect = Expectations {
        one_tip_within: Some(minutes(10)),
        ..Expectations::default()
    };
    let run = simulate(&scenario, 1, None).unwrap();
    let rules: Vec<Rule> = run
        .violations
        .iter()
        .map(|violation| violation.rule)
        .collect();
    assert_eq!(rules, [Rule::OneTipInTime], "{:?}", run.violations);
    assert!(
        run.violations[0].detail.contains("divided again"),
        "{:?}",
        run.violations
    );
}

/// Four nodes in a line, one of them with a clock that is wrong for two hours.
fn with_a_wrong_clock(offset_s: i64) -> Run {
    let text = format!(
        r#"
        name = "wrong-clock"
        nodes = 4
        topology = "line"
        duration = "4h"
        spacing = "1m"
        event = [{{ at = "1h", do = "clock", node = 0, offset_s = {offset_s}, lasting = "2h" }}]
        "#
    );
    let run = simulate(&Scenario::from_toml(&text).unwrap(), 1, None).unwrap();
    assert_eq!(run.violations, [], "{offset_s}");
    run
}

#[test]
fn a_clock_that_is_too_far_off_keeps_a_node_apart_and_one_within_the_rule_does_not() {
    let own_stale = |run: &Run| run.summary.miners[0].stale;
    let right = with_a_wrong_clock(1);
    assert!(own_stale(&right) <= 2, "{:?}", right.summary.miners);
    // Others take none of its blocks for two hours, and it takes all of theirs.
    let ahead = with_a_wrong_clock(3 * 3_600);
    assert!(own_stale(&ahead) >= 8, "{:?}", ahead.summary.miners);
    // Behind, it takes none of theirs until its clock is right again.
    let behind = with_a_wrong_clock(-3 * 3_600);
    let deepest = behind.summary.reorgs.keys().next_back();
    assert!(
        deepest.is_some_and(|depth| *depth >= 8),
        "{:?}",
        behind.summary.reorgs
    );
}

#[test]
fn the_difficulty_follows_hash_power_that_leaves() {
    let text = r#"
        name = "miners-leave"
        nodes = 4
        topology = "complete"
        duration = "8h"
        spacing = "1m"
        event = [
            { at = "2h", do = "mining", node = 0, share = 0 },
            { at = "2h", do = "mining", node = 1, share = 0 },
            { at = "2h", do = "mining", node = 2, share = 0 },
        ]
    "#;
    let mut scenario = Scenario::from_toml(text).unwrap();
    let blocks = |scenario: &Scenario| simulate(scenario, 1, None).unwrap().summary.blocks;
    let followed = blocks(&scenario);
    assert!((400..520).contains(&followed), "{followed} blocks in 8 h");
    scenario.difficulty = Difficulty::Fixed;
    let slow = blocks(&scenario);
    assert!((150..280).contains(&slow), "{slow} blocks in 8 h");
}

#[test]
fn a_crash_is_a_power_cut_that_tears_writes_and_loses_no_acknowledged_block() {
    let mut scenario = short_and_hostile();
    let chaos = scenario.chaos.as_mut().unwrap();
    chaos.kinds = vec![testnet::scenario::chaos::Kind::Crash];
    chaos.every = Span::from_secs(20);
    chaos.lasting = Span::from_secs(60);
    let mut torn = 0;
    for seed in 0..3 {
        let run = simulate(&scenario, seed, None).unwrap();
        assert_eq!(run.violations, [], "seed {seed}");
        assert!(
            run.summary.actions["kill"] > 10,
            "{:?}",
            run.summary.actions
        );
        torn += run.summary.torn_writes;
    }
    assert!(torn > 10, "{torn} writes were torn");
}

/// Twenty nodes around one that does not mine: its mesh has room for six of them, so the others hear of blocks lazily.
#[test]
fn those_outside_of_a_mesh_hear_of_blocks_a_heartbeat_and_a_round_trip_later() {
    let text = r#"
        name = "star"
        nodes = 21
        topology = "star"
        duration = "3h"
        spacing = "1m"
        link = { delay_ms = 100 }
        miner = [{ node = 1, share = 1 }, { node = 2, share = 1 }]
    "#;
    let run = simulate(&Scenario::from_toml(text).unwrap(), 1, None).unwrap();
    assert_eq!(run.violations, []);
    assert!(run.summary.traffic["gossip-control"].messages > 1_000);
    let late = run.summary.propagation_ms;
    // At once over two hops, or told at one of three heartbeats: then three more trips.
    assert!(late.p50 > 200.0 && late.p99 < 5_000.0, "{late:?}");
    assert!(late.p90 > 500.0, "{late:?}");
}

#[test]
fn every_scenario_of_the_repository_makes_sense() {
    let folder = format!("{}/../scenarios", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        match Scenario::from_toml(&text) {
            Ok(scenario) => _ = Plan::of(&scenario, 1).unwrap(),
            Err(error) => panic!("{}: {error}", path.display()),
        }
        count += 1;
    }
    assert!(count >= 14, "{count} scenarios");
}
