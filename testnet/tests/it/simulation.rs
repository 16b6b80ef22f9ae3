//! The simulator: the same seed gives the same trace, and scenarios hold.

use testnet::scenario::Scenario;
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

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut traces = [Vec::new(), Vec::new()];
    let runs: Vec<Run> = traces
        .iter_mut()
        .map(|trace| simulate(&scenario("mixed-faults"), 3, Some(trace)).unwrap())
        .collect();
    assert_eq!(runs[0], runs[1]);
    assert!(traces[0] == traces[1] && traces[0].len() > 10_000);
    let other = simulate(&scenario("mixed-faults"), 4, None).unwrap();
    assert_ne!(other.trace_hash, runs[0].trace_hash);
}
