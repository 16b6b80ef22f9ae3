//! The simulator: many [`node_core::NodeCore`]s, as shipped, in virtual time.
//!
//! One seeded source decides everything that is random, events are ordered by (time, number), and nothing reads a clock: the
//! same scenario and seed give the same trace on every run and machine. Blocks carry real proof of work at the easiest
//! target; who finds one when is drawn from Poisson clocks.

pub mod attack;
mod fates;
mod faults;
mod finish;
mod gossip;
mod host;
mod mining;
mod payments;
mod queue;
mod random;
mod requests;
mod setup;
pub mod shrink;
mod spread;
pub mod stats;
pub mod sweep;
pub mod trace;
mod wires;
mod world;

use serde::{Deserialize, Serialize};

use crate::invariants::Violation;
use crate::scenario::{Scenario, ScenarioError};

pub use fates::Fate;
pub use stats::Summary;

/// What one run gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Name of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// SHA-256 of the trace: equal for equal runs.
    pub trace_hash: String,
    /// Figures.
    pub summary: Summary,
    /// What should not have happened.
    pub violations: Vec<Violation>,
}

/// Runs a scenario once. `trace` gets every line as it is written.
///
/// # Errors
///
/// [`ScenarioError`] when the scenario makes no sense.
pub fn simulate(
    scenario: &Scenario,
    seed: u64,
    trace: Option<&mut dyn std::io::Write>,
) -> Result<Run, ScenarioError> {
    let mut world = setup::world(scenario, seed, trace)?;
    world.run();
    Ok(world.finish())
}
