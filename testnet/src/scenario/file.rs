//! Scenario files: TOML with a checked schema. `docs/TESTNET.md` describes every field.

use serde::{Deserialize, Serialize};

use super::action::EventEntry;
use super::{Change, FileError, Span, Topology};
use crate::link::Lane;

/// Most nodes of a simulation: about 1 MB each.
pub const MAX_NODES: usize = 5_000;

/// An experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows, in a sentence.
    #[serde(default)]
    pub about: String,
    /// Number of nodes.
    pub nodes: usize,
    /// Who dials whom: complete, line, ring, star, regular:N.
    #[serde(default = "default_topology")]
    pub topology: Topology,
    /// How long it runs.
    pub duration: Span,
    /// Mean time between blocks of all miners together.
    #[serde(default = "default_spacing")]
    pub spacing: Span,
    /// What every link does, both ways.
    #[serde(default, skip_serializing_if = "is_default")]
    pub link: Lane,
    /// Delays between regions of the world instead of one for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<Regions>,
    /// Who mines how much. Absent: all nodes the same.
    #[serde(default, rename = "miner", skip_serializing_if = "Vec::is_empty")]
    pub miners: Vec<MinerEntry>,
    /// How hard the next block is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub difficulty: Difficulty,
    /// How gossip spreads.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gossip: GossipPlan,
    /// Payments between accounts, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payments: Option<PaymentPlan>,
    /// Payments that are named one by one.
    #[serde(default, rename = "payment", skip_serializing_if = "Vec::is_empty")]
    pub single_payments: Vec<PaymentEntry>,
    /// Accounts that wait for confirmations before they take a payment for done.
    #[serde(default, rename = "merchant", skip_serializing_if = "Vec::is_empty")]
    pub merchants: Vec<MerchantEntry>,
    /// Nodes that are down at the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down: Vec<usize>,
    /// Timed events.
    #[serde(default, rename = "event", skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventEntry>,
    /// Random faults, made from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chaos: Option<super::chaos::Chaos>,
    /// Nodes that leave and come back all the time, made from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<super::chaos::Churn>,
    /// What must hold in the end.
    #[serde(default, skip_serializing_if = "is_default")]
    pub expect: Expectations,
}

/// A miner and its weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinerEntry {
    /// The node.
    pub node: usize,
    /// Its weight among all miners.
    pub share: f64,
}

/// Regions of the world: each node is in one, and delays depend on both ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regions {
    /// Share of the nodes in each region.
    pub shares: Vec<f64>,
    /// One-way delay in milliseconds from region to region: a full square.
    pub delay_ms: Vec<Vec<u32>>,
}

/// How hard the next block is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difficulty {
    /// It follows the blocks, by the rule of the built-in network: when hash power leaves, blocks come later until it has
    /// followed.
    #[default]
    Shipped,
    /// It stays: what published models assume.
    Fixed,
}

/// How gossip spreads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GossipPlan {
    /// Mesh neighbours of each node, as gossipsub's D.
    pub degree: usize,
    /// Share of gossip messages that are lost.
    pub loss: f64,
}

impl Default for GossipPlan {
    fn default() -> GossipPlan {
        GossipPlan {
            degree: 6,
            loss: 0.0,
        }
    }
}

/// Payments between random accounts, handed to random nodes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentPlan {
    /// Mean time between two.
    pub every: Span,
    /// Number of accounts.
    #[serde(default = "default_accounts")]
    pub accounts: u32,
    /// No payments are made after this time, so that all can be confirmed. Absent: until the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
}

/// A payment that is named by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentEntry {
    /// When.
    pub at: Span,
    /// The account that pays.
    pub from: u32,
    /// The account that is paid.
    pub to: u32,
    /// How much.
    pub amount_sat: u64,
    /// The node that it is handed to.
    pub node: usize,
    /// It spends the same coins as this one of the file's payments: a double spend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<usize>,
}

/// An account that waits for confirmations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MerchantEntry {
    /// The account.
    pub account: u32,
    /// It takes a payment for done after so many confirmations.
    pub accepts_after: u32,
}

/// What must hold in the end; what is absent is not checked. The invariants are checked always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectations {
    /// After the last event, all nodes that are up come to one tip within this time, and never disagree for longer again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_tip_within: Option<Span>,
    /// Some node takes back at least so many blocks at once: the faults really happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorg_of_at_least: Option<u32>,
    /// No node takes back more blocks at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorg_of_at_most: Option<u32>,
    /// Share of blocks that are not in the final chain: from, to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_share: Option<(f64, f64)>,
    /// Share of the time in which nodes that are up are on different tips: from, to. Without its faults a scenario is below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart_share: Option<(f64, f64)>,
}

/// What is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scenario: {field}: {problem}")]
pub struct ScenarioError {
    /// Path of the field, as in `event[2].node`.
    pub field: String,
    /// Got and expected.
    pub problem: String,
}

impl ScenarioError {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> ScenarioError {
        ScenarioError {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

impl Scenario {
    /// Parses and checks a file.
    ///
    /// # Errors
    ///
    /// [`FileError`] names the line and the field.
    pub fn from_toml(text: &str) -> Result<Scenario, FileError> {
        Scenario::from_toml_with(text, &[])
    }

    /// As [`Scenario::from_toml`], with some fields changed.
    ///
    /// # Errors
    ///
    /// As [`Scenario::from_toml`], for the file as well as for the changes.
    pub fn from_toml_with(text: &str, changes: &[Change]) -> Result<Scenario, FileError> {
        let no_toml = |error: toml::de::Error| FileError::of_toml(text, &error);
        let scenario: Scenario = if changes.is_empty() {
            toml::from_str(text).map_err(no_toml)?
        } else {
            let mut table: toml::Table = toml::from_str(text).map_err(no_toml)?;
            for change in changes {
                let applied = change.apply(&mut table);
                applied.map_err(|error| FileError { line: None, error })?;
            }
            let read = table.try_into();
            read.map_err(|error| FileError::of_changes(&error))?
        };
        scenario.check().map_err(|error| {
            // What was changed stands in no line of the file.
            match changes.iter().any(|change| change.is_about(&error.field)) {
                true => FileError { line: None, error },
                false => FileError::of_field(text, error),
            }
        })?;
        Ok(scenario)
    }

    /// The file, for runs that are to be repeated.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field has a TOML form")
    }
}

fn default_topology() -> Topology {
    Topology::Regular(8)
}

fn default_spacing() -> Span {
    Span::from_secs(600)
}

fn default_accounts() -> u32 {
    10
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLIT: &str = r#"
        name = "split"
        nodes = 4
        topology = "complete"
        duration = "1h"
        spacing = "1m"

        [link]
        delay_ms = 50

        [[miner]]
        node = 0
        share = 0.6

        [[event]]
        at = "20m"
        do = "heal"

        [[event]]
        at = "10m"
        do = "partition"
        groups = "0,1/2,3"

        [expect]
        one_tip_within = "2m"
    "#;

    fn error(change: (&str, &str)) -> String {
        let text = SPLIT.replacen(change.0, change.1, 1);
        assert_ne!(text, SPLIT, "{change:?} changes nothing");
        Scenario::from_toml(&text).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_checked_and_written_again() {
        let scenario = Scenario::from_toml(SPLIT).unwrap();
        assert_eq!(Scenario::from_toml(&scenario.to_toml()).unwrap(), scenario);
    }

    #[test]
    fn mistakes_are_named_with_their_field() {
        for (change, parts) in [
            (("nodes = 4", "nodes = 0"), ["nodes", "expected 1 to"]),
            (("nodes = 4", "nodes = 3"), ["event[1]", "names node 3"]),
            (
                ("share = 0.6", "share = -1"),
                ["miner[0].share", "0 or more"],
            ),
            (
                ("groups = \"0,1/2,3\"", ""),
                ["event[1].groups", "is missing"],
            ),
            (
                ("do = \"heal\"", "do = \"explode\""),
                ["event[0].do", "expected partition"],
            ),
            (
                ("at = \"20m\"", "at = \"2d\""),
                ["event[0].at", "after the end"],
            ),
            (
                ("duration = \"1h\"", "duration = \"soon\""),
                ["soon", "1.5s"],
            ),
            (("spacing", "spacign"), ["spacign", "expected one of"]),
            (("complete", "mesh"), ["mesh", "choose complete"]),
            (
                ("delay_ms = 50", "loss = 2.0"),
                ["link", "share from 0 to 1"],
            ),
        ] {
            let text = error(change);
            for part in parts {
                assert!(text.contains(part), "{part:?} is not in {text:?}");
            }
        }
    }

    #[test]
    fn regions_need_a_square_of_delays() {
        let text = format!("{SPLIT}\n[regions]\nshares = [0.5, 0.5]\ndelay_ms = [[1, 2]]\n");
        let error = Scenario::from_toml(&text).unwrap_err();
        assert_eq!(error.error.field, "regions.delay_ms");
    }
}
