//! Many seeds of one scenario, on all cores.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::stats::MinerFigures;
use super::{Run, simulate_guarded};
use crate::invariants::Rule;
use crate::scenario::{Scenario, ScenarioError};

/// What a sweep found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// Name of the scenario.
    pub scenario: String,
    /// Seeds that were run.
    pub runs: u64,
    /// Seeds with violations, lowest first.
    pub failed: Vec<Failure>,
    /// Blocks of all runs.
    pub blocks: u64,
    /// Virtual seconds of all runs.
    pub virtual_seconds: f64,
    /// Events of all runs.
    pub events: u64,
    /// The deepest reorg of any run, in blocks.
    pub deepest_reorg: u32,
    /// The longest time from the last event to one tip, in milliseconds, and its seed.
    pub slowest_agreement: Option<(f64, u64)>,
    /// Faults of all runs, by name.
    pub actions: BTreeMap<String, u64>,
    /// Blocks found and stale in all runs, for each miner.
    pub miners: Vec<MinerFigures>,
}

/// A seed with violations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The rules that were broken.
    pub rules: Vec<Rule>,
    /// The first violation in words.
    pub first: String,
}

/// Runs seeds `from..to` and tells progress as it goes.
///
/// # Errors
///
/// [`ScenarioError`] when the scenario makes no sense.
pub fn sweep(
    scenario: &Scenario,
    seeds: std::ops::Range<u64>,
    progress: impl Fn(u64) + Sync,
) -> Result<Sweep, ScenarioError> {
    scenario.check()?;
    let done = AtomicU64::new(0);
    let parts: Vec<Sweep> = seeds
        .into_par_iter()
        .map(|seed| {
            let run = simulate_guarded(scenario, seed)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(Sweep::of(&run))
        })
        .collect::<Result<_, ScenarioError>>()?;
    let empty = Sweep {
        scenario: scenario.name.clone(),
        runs: 0,
        failed: Vec::new(),
        blocks: 0,
        virtual_seconds: 0.0,
        events: 0,
        deepest_reorg: 0,
        slowest_agreement: None,
        actions: BTreeMap::new(),
        miners: Vec::new(),
    };
    Ok(parts.into_iter().fold(empty, Sweep::plus))
}

impl Sweep {
    fn of(run: &Run) -> Sweep {
        let mut rules: Vec<Rule> = run
            .violations
            .iter()
            .map(|violation| violation.rule)
            .collect();
        rules.dedup();
        let failed = run.violations.first().map(|first| Failure {
            seed: run.seed,
            rules,
            first: first.to_string(),
        });
        let summary = &run.summary;
        Sweep {
            scenario: run.scenario.clone(),
            runs: 1,
            failed: failed.into_iter().collect(),
            blocks: summary.blocks,
            virtual_seconds: summary.seconds,
            events: summary.events,
            deepest_reorg: summary.reorgs.keys().next_back().copied().unwrap_or(0),
            slowest_agreement: summary.one_tip_after_ms.map(|ms| (ms, run.seed)),
            actions: summary.actions.clone(),
            miners: summary.miners.clone(),
        }
    }

    fn plus(mut self, other: Sweep) -> Sweep {
        self.runs += other.runs;
        self.failed.extend(other.failed);
        self.blocks += other.blocks;
        self.virtual_seconds += other.virtual_seconds;
        self.events += other.events;
        self.deepest_reorg = self.deepest_reorg.max(other.deepest_reorg);
        self.slowest_agreement = match (self.slowest_agreement, other.slowest_agreement) {
            (Some(a), Some(b)) => Some(if b.0 > a.0 { b } else { a }),
            (a, b) => a.or(b),
        };
        for (name, count) in other.actions {
            *self.actions.entry(name).or_default() += count;
        }
        self.miners = summed(&self.miners, &other.miners);
        self
    }
}

/// The figures of each miner, from both.
fn summed(some: &[MinerFigures], others: &[MinerFigures]) -> Vec<MinerFigures> {
    let mut miners: BTreeMap<usize, MinerFigures> = BTreeMap::new();
    for figures in some.iter().chain(others) {
        let sum = miners.entry(figures.node).or_default();
        sum.node = figures.node;
        sum.found += figures.found;
        sum.stale += figures.stale;
    }
    miners.into_values().collect()
}

/// Miners whose figures are shown to people.
const MINERS_SHOWN: usize = 16;

impl std::fmt::Display for Sweep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} runs of {}: {:.1} h of virtual time, {} blocks, {} events",
            self.runs,
            self.scenario,
            self.virtual_seconds / 3_600.0,
            self.blocks,
            self.events
        )?;
        let actions: Vec<String> = self
            .actions
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        writeln!(f, "faults           {}", actions.join(", "))?;
        writeln!(f, "deepest reorg    {} blocks", self.deepest_reorg)?;
        if let Some((ms, seed)) = self.slowest_agreement {
            writeln!(f, "slowest one tip  {:.1} s (seed {seed})", ms / 1e3)?;
        }
        let stale: u64 = self.miners.iter().map(|miner| miner.stale).sum();
        let share = stale as f64 / self.blocks.max(1) as f64;
        writeln!(f, "stale            {stale} ({:.3}%)", share * 100.0)?;
        if self.miners.len() <= MINERS_SHOWN {
            for MinerFigures { node, found, stale } in &self.miners {
                let kept = (found - stale).max(1);
                let rate = *stale as f64 / kept as f64 * 100.0;
                writeln!(
                    f,
                    "  node {node}: {found} found, {stale} stale for {kept} in the chain ({rate:.3}%)"
                )?;
            }
        }
        writeln!(f, "violations       {} runs", self.failed.len())?;
        for failure in self.failed.iter().take(20) {
            writeln!(f, "  seed {}: {}", failure.seed, failure.first)?;
        }
        Ok(())
    }
}
