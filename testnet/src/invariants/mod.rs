//! What must hold in every run, whatever the faults.

mod agreement;
mod coins;
mod conduct;
mod work;

use serde::{Deserialize, Serialize};

/// Something that should not have happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Virtual microseconds since the start.
    pub at_us: u64,
    /// Which invariant or expectation.
    pub rule: Rule,
    /// In words.
    pub detail: String,
}

/// Invariants and expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The work of a node's tip never falls while it runs.
    WorkNeverFalls,
    /// Nodes on one tip have one set of coins.
    OneTipOneSetOfCoins,
    /// The coins are what genesis and the subsidies gave.
    Supply,
    /// No honest node is banned, and none sends what is refused.
    NobodyIsPunished,
    /// Storage does not fail, and opens after a crash.
    StorageHolds,
    /// Every payment is confirmed, waits, was overtaken by another of the same coin, or went down with its node.
    NoPaymentIsLost,
    /// A node's own blocks are valid.
    OwnBlocksAreValid,
    /// A block that a node took for good is there after a power cut.
    AcknowledgedBlocksStay,
    /// All nodes come to one tip in time.
    OneTipInTime,
    /// The run goes on for as long as its expectations need.
    RunsLongEnough,
    /// What was told of the run makes sense, and could be written.
    RecordIsWhole,
    /// The simulated code did not panic.
    NoPanic,
    /// The faults that were asked for happened.
    FaultsHappen,
    /// A figure that the scenario expects.
    Expected,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = serde_json::to_string(self).unwrap_or_default();
        f.write_str(name.trim_matches('"'))
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.at_us as f64 / 1e6;
        write!(f, "{} at {seconds:.3} s: {}", self.rule, self.detail)
    }
}

/// Violations that are told; after that many a run is bad enough.
const MAX_VIOLATIONS: usize = 20;

/// Watches a run.
pub(crate) struct Watch {
    violations: Vec<Violation>,
    work: work::WorkWatch,
    agreement: agreement::AgreementWatch,
}

impl Watch {
    /// For so many nodes and actions, the last of them at that time.
    pub(crate) fn new(nodes: usize, last_act_us: u64, acts: usize) -> Watch {
        Watch {
            violations: Vec::new(),
            work: work::WorkWatch::new(nodes),
            agreement: agreement::AgreementWatch::new(last_act_us, acts),
        }
    }

    pub(crate) fn violate(&mut self, at_us: u64, rule: Rule, detail: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation {
                at_us,
                rule,
                detail,
            });
        }
    }

    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.violations
    }
}
