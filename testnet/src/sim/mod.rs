//! The simulator: many [`node_core::NodeCore`]s, as shipped, in virtual time.
//!
//! One seeded source decides everything that is random, events are ordered by (time, number), and nothing reads a clock: the
//! same scenario and seed give the same record on every run and machine. Blocks carry real proof of work at the easiest
//! target; who finds one when is drawn from Poisson clocks.

pub mod attack;
mod disk;
mod fates;
mod faults;
mod finish;
mod gossip;
mod host;
mod mining;
mod payments;
mod queue;
mod requests;
mod setup;
pub mod shrink;
mod spread;
pub mod stats;
pub mod sweep;
mod wires;
mod world;

use serde::{Deserialize, Serialize};

use crate::invariants::{Rule, Violation};
use crate::plan::Plan;
use crate::record::Record;
use crate::scenario::{Scenario, ScenarioError};

pub use fates::Fate;
pub use stats::Summary;

/// What one run gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Name of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// SHA-256 of the record: equal for equal runs.
    pub record_hash: String,
    /// Figures.
    pub summary: Summary,
    /// What should not have happened.
    pub violations: Vec<Violation>,
    /// What happened; absent if it could not be recorded, which is a violation.
    #[serde(skip)]
    pub record: Option<Record>,
}

/// Runs a scenario once. `record` gets every line as it is written.
///
/// # Errors
///
/// [`ScenarioError`] when the scenario makes no sense.
pub fn simulate(
    scenario: &Scenario,
    seed: u64,
    record: Option<&mut dyn std::io::Write>,
) -> Result<Run, ScenarioError> {
    let mut world = setup::world(Plan::of(scenario, seed)?, seed, record);
    world.run();
    Ok(world.finish())
}

/// As [`simulate`], for many seeds: a panic of the simulated code becomes a violation of this seed, and ends no other.
///
/// # Errors
///
/// As [`simulate`].
pub fn simulate_guarded(scenario: &Scenario, seed: u64) -> Result<Run, ScenarioError> {
    let plan = Plan::of(scenario, seed)?;
    let run = || {
        let mut world = setup::world(plan, seed, None);
        world.run();
        world.finish()
    };
    // Nothing of a world that panicked is used again.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    Ok(outcome.unwrap_or_else(|cause| panicked(scenario, seed, cause.as_ref())))
}

fn panicked(scenario: &Scenario, seed: u64, cause: &(dyn std::any::Any + Send)) -> Run {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
    Run {
        scenario: scenario.name.clone(),
        seed,
        record_hash: String::new(),
        summary: Summary::default(),
        violations: vec![Violation {
            at_us: 0,
            rule: Rule::NoPanic,
            detail: format!("the simulation panicked: {}", text.unwrap_or("no text")),
        }],
        record: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_seed() {
        let text = "name = \"x\"\nnodes = 2\nduration = \"1m\"\nspacing = \"1m\"\n";
        let scenario = Scenario::from_toml(text).unwrap();
        let cause = std::panic::catch_unwind(|| panic!("overflow in {}", "step")).unwrap_err();
        let run = panicked(&scenario, 7, cause.as_ref());
        assert_eq!((run.seed, run.violations[0].rule), (7, Rule::NoPanic));
        assert!(
            run.violations[0]
                .detail
                .ends_with("panicked: overflow in step")
        );
    }
}
