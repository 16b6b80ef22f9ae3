//! The simulator: the same seed gives the same trace, and scenarios hold.

use testnet::scenario::{Scenario, Span};
use testnet::sim::{Run, simulate};

fn scenario(name: &str) -> Scenario {
    let path = format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    Scenario::from_toml(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn run(name: &str, seed: u64) -> Run {
    let run = simulate(&scenario(name), seed, None).unwrap();
    assert_eq!(run.violations, [], "{name} with seed {seed}");
    run
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
    let minutes = |minutes: u64| Span::from_secs(60 * minutes);
    scenario.duration = minutes(30);
    scenario.expect.one_tip_within = None;
    scenario.payments.as_mut().unwrap().until = None;
    scenario.chaos.as_mut().unwrap().until = minutes(20);
    scenario
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut traces = [Vec::new(), Vec::new()];
    let runs: Vec<Run> = traces
        .iter_mut()
        .map(|trace| simulate(&short_and_hostile(), 3, Some(trace)).unwrap())
        .collect();
    assert_eq!(runs[0], runs[1]);
    assert!(traces[0] == traces[1] && traces[0].len() > 10_000);
    let other = simulate(&short_and_hostile(), 4, None).unwrap();
    assert_ne!(other.trace_hash, runs[0].trace_hash);
}

#[test]
fn every_scenario_of_the_repository_makes_sense() {
    let folder = format!("{}/../scenarios", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if let Err(error) = Scenario::from_toml(&text) {
            panic!("{}: {error}", path.display());
        }
        count += 1;
    }
    assert!(count >= 14, "{count} scenarios");
}
