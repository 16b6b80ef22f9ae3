//! Scenario files: TOML with a checked schema. `docs/TESTNET.md` describes every field.

use serde::{Deserialize, Serialize};

use super::action::EventEntry;
use super::{Action, Change, Span, Topology};
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
    /// How gossip spreads.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gossip: GossipPlan,
    /// Payments between accounts, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payments: Option<PaymentPlan>,
    /// Nodes that are down at the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down: Vec<usize>,
    /// Timed events.
    #[serde(default, rename = "event", skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventEntry>,
    /// Random faults, made from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chaos: Option<super::chaos::Chaos>,
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

/// What must hold in the end; what is absent is not checked. The invariants are checked always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectations {
    /// All nodes that are up agree at some instant within this time after the last event.
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
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> ScenarioError {
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
    /// [`ScenarioError`] names the field (or the line, where the text is no TOML).
    pub fn from_toml(text: &str) -> Result<Scenario, ScenarioError> {
        let scenario: Scenario = toml::from_str(text).map_err(no_toml)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// As [`Scenario::from_toml`], with some fields changed.
    ///
    /// # Errors
    ///
    /// As [`Scenario::from_toml`], for the file as well as for the changes.
    pub fn from_toml_with(text: &str, changes: &[Change]) -> Result<Scenario, ScenarioError> {
        if changes.is_empty() {
            return Scenario::from_toml(text);
        }
        let mut table: toml::Table = toml::from_str(text).map_err(no_toml)?;
        for change in changes {
            change.apply(&mut table)?;
        }
        let scenario: Scenario = table.try_into().map_err(no_toml)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The file, for runs that are to be repeated.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field has a TOML form")
    }

    /// The events of the file as actions, in order of time.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] for the first that makes no sense.
    pub fn actions(&self) -> Result<Vec<(Span, Action)>, ScenarioError> {
        let mut actions = self
            .events
            .iter()
            .enumerate()
            .map(|(index, entry)| Ok((entry.at, entry.read(&format!("event[{index}]"))?)))
            .collect::<Result<Vec<_>, ScenarioError>>()?;
        actions.sort_by_key(|(at, _)| *at);
        Ok(actions)
    }

    /// Checks everything that TOML cannot.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] for the first field that makes no sense.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let error = |field: &str, problem: String| Err(ScenarioError::new(field, problem));
        if !(1..=MAX_NODES).contains(&self.nodes) {
            return error(
                "nodes",
                format!("is {}, expected 1 to {MAX_NODES}", self.nodes),
            );
        }
        if self.duration.0 == 0 {
            return error("duration", "is 0, expected some time, as in 1h".to_owned());
        }
        if self.spacing.0 < 1_000 {
            return error(
                "spacing",
                format!("is {}, expected 1ms or more", self.spacing),
            );
        }
        check_lane("link", &self.link)?;
        self.check_regions()?;
        for (index, miner) in self.miners.iter().enumerate() {
            self.check_node(&format!("miner[{index}].node"), miner.node)?;
            check_weight(&format!("miner[{index}].share"), miner.share)?;
        }
        if self.gossip.degree == 0 {
            return error("gossip.degree", "is 0, expected 1 or more".to_owned());
        }
        check_share("gossip.loss", self.gossip.loss)?;
        if let Some(payments) = &self.payments {
            if payments.every.0 == 0 {
                return error("payments.every", "is 0, expected some time".to_owned());
            }
            if !(1..=10_000).contains(&payments.accounts) {
                let problem = format!("is {}, expected 1 to 10000", payments.accounts);
                return error("payments.accounts", problem);
            }
        }
        for (index, node) in self.down.iter().enumerate() {
            self.check_node(&format!("down[{index}]"), *node)?;
        }
        if let Some(chaos) = &self.chaos {
            chaos.check()?;
        }
        self.check_events()
    }

    fn check_events(&self) -> Result<(), ScenarioError> {
        for (index, entry) in self.events.iter().enumerate() {
            let field = format!("event[{index}]");
            let action = entry.read(&field)?;
            if entry.at > self.duration {
                let problem = format!("is {}, after the end at {}", entry.at, self.duration);
                return Err(ScenarioError::new(format!("{field}.at"), problem));
            }
            self.check_node(&field, action.highest_node())?;
            match &action {
                Action::Link { lane, .. } => check_lane(&format!("{field}.lane"), lane)?,
                Action::GossipLoss(share) => check_share(&format!("{field}.share"), *share)?,
                Action::Mining { share, .. } => check_weight(&format!("{field}.share"), *share)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn check_regions(&self) -> Result<(), ScenarioError> {
        let Some(regions) = &self.regions else {
            return Ok(());
        };
        let count = regions.shares.len();
        for (index, share) in regions.shares.iter().enumerate() {
            check_weight(&format!("regions.shares[{index}]"), *share)?;
        }
        if count == 0 || regions.shares.iter().sum::<f64>() <= 0.0 {
            return Err(ScenarioError::new("regions.shares", "has no weight at all"));
        }
        let square = regions.delay_ms.len() == count
            && regions.delay_ms.iter().all(|row| row.len() == count);
        if !square {
            let problem = format!("is not {count} rows of {count} delays");
            return Err(ScenarioError::new("regions.delay_ms", problem));
        }
        Ok(())
    }

    fn check_node(&self, field: &str, node: usize) -> Result<(), ScenarioError> {
        if node < self.nodes {
            return Ok(());
        }
        let problem = format!(
            "names node {node}; there are the nodes 0 to {}",
            self.nodes - 1
        );
        Err(ScenarioError::new(field, problem))
    }
}

fn no_toml(error: toml::de::Error) -> ScenarioError {
    ScenarioError::new("file", error.to_string().trim().to_owned())
}

fn check_lane(field: &str, lane: &Lane) -> Result<(), ScenarioError> {
    lane.check()
        .map_err(|problem| ScenarioError::new(field, problem.to_string()))
}

fn check_share(field: &str, share: f64) -> Result<(), ScenarioError> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(ScenarioError::new(
        field,
        format!("is {share}, expected 0 to 1"),
    ))
}

fn check_weight(field: &str, weight: f64) -> Result<(), ScenarioError> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(());
    }
    Err(ScenarioError::new(
        field,
        format!("is {weight}, expected 0 or more"),
    ))
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
        let actions = scenario.actions().unwrap();
        assert_eq!(actions[0].0, Span::from_secs(600));
        assert_eq!(actions[1].1, Action::Heal);
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
        assert_eq!(error.field, "regions.delay_ms");
    }
}
