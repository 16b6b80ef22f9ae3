//! The scenarios that come with the program hold, and would not without their faults: each has a twin that must fail.

use testnet::scenario::Scenario;
use testnet::sim::simulate;
use testnet::tell::checks::checks;
use testnet::tell::{Check, Figures};

/// Those whose faults show in the time apart. `thousand-nodes` has none: it measures what a simulation costs. Those of
/// `crash-during-sync` take seconds of five hours: no bound tells them from its slow links, and its own expectation is tested elsewhere.
const SCENARIOS: [&str; 13] = [
    "clean-split",
    "clock-skew",
    "eclipse",
    "flapping-link",
    "long-partition",
    "lost-announcements",
    "majorities-ring",
    "many-joins",
    "mixed-faults",
    "one-node-alone",
    "one-way-cut",
    "slow-link",
    "unequal-hash-power",
];

/// The same network on a good day.
fn twin(mut scenario: Scenario) -> Scenario {
    scenario.events.clear();
    scenario.down.clear();
    (scenario.chaos, scenario.churn) = (None, None);
    scenario.gossip.loss = 0.0;
    scenario
}

/// Names of the checks that fail in a run.
fn failures(scenario: &Scenario) -> Vec<String> {
    let mut lines = Vec::new();
    let run = simulate(scenario, 1, Some(&mut lines)).unwrap();
    let record = run.record.expect("it was asked for");
    let failed = checks(&record, &Figures::of(&record));
    let failed = failed.into_iter().filter(Check::fails);
    failed.map(|check| check.to_string()).collect()
}

#[test]
fn shipped_scenarios_hold_and_their_twins_without_faults_do_not() {
    for name in SCENARIOS {
        let path = format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let scenario = Scenario::from_toml(&text).unwrap();
        assert_eq!(failures(&scenario), Vec::<String>::new(), "{name}");
        let twin = failures(&twin(scenario));
        assert!(
            twin.iter()
                .any(|check| check.contains("share of time apart")),
            "{name} without its faults: {twin:?}"
        );
    }
}
