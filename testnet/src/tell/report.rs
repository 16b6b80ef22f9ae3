//! All that is told of a run, in one value: `report.json`.

use bitcoin::Txid;
use serde::{Deserialize, Serialize};

use super::checks::{Check, checks};
use super::fate::Fate;
use super::figures::{Figures, payments};
use super::heal::{self, HealReport};
use crate::record::{Engine, Record};

/// All that is told of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: String,
    /// What carried the plan out.
    pub engine: Engine,
    /// The seed.
    pub seed: u64,
    /// Version of the program.
    pub version: String,
    /// SHA-256 of the program that the nodes ran.
    pub program: Option<String>,
    /// What the plan asked for and the engine could not do.
    pub left_out: Vec<String>,
    /// Whether no check fails.
    pub ok: bool,
    /// What must hold.
    pub checks: Vec<Check>,
    /// Figures.
    pub figures: Figures,
    /// One for each time that a split network was made whole.
    pub heals: Vec<HealReport>,
    /// What became of every payment that was handed to a node or mined.
    pub payments: Vec<PaymentEnd>,
}

/// What became of a payment in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentEnd {
    /// Its id.
    pub txid: Txid,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

impl Report {
    /// Of a run.
    pub fn of(record: &Record) -> Report {
        let start = &record.start;
        let figures = Figures::of(record);
        let checks = checks(record, &figures);
        let payments = payments(record).into_iter();
        Report {
            scenario: start.plan.name.clone(),
            engine: start.engine,
            seed: start.seed,
            version: start.version.clone(),
            program: start.program.clone(),
            left_out: start.left_out.clone(),
            ok: !checks.iter().any(Check::fails),
            checks,
            figures,
            heals: heal::reports(record),
            payments: payments
                .map(|(txid, fate)| PaymentEnd { txid, fate })
                .collect(),
        }
    }

    /// `simulated`, `real processes`.
    pub fn engine_words(&self) -> &'static str {
        match self.engine {
            Engine::Sim => "simulated",
            Engine::Real => "on real processes",
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let engine = self.engine_words();
        writeln!(f, "{}, {engine}, seed {}", self.scenario, self.seed)?;
        for left_out in &self.left_out {
            writeln!(f, "left out     {left_out}")?;
        }
        write!(f, "{}", self.figures)?;
        for heal in &self.heals {
            write!(f, "\n{heal}")?;
        }
        writeln!(f)?;
        for check in &self.checks {
            writeln!(f, "{check}")?;
        }
        Ok(())
    }
}
