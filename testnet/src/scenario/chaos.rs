//! Random faults: what of them stands in files. The plan draws the faults themselves.

use serde::{Deserialize, Serialize};

use super::Span;
use super::file::ScenarioError;

/// A plan of random faults. All of them are over at `until`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// Mean time between two faults.
    pub every: Span,
    /// How long a fault lasts, at most.
    pub lasting: Span,
    /// When everything is whole again.
    pub until: Span,
    /// Which kinds: partition, crash, pause, link, stall, sever, gossip-loss, clock.
    pub kinds: Vec<Kind>,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The network falls into two groups.
    Partition,
    /// A node dies, and starts again later.
    Crash,
    /// A node freezes for a while.
    Pause,
    /// A link becomes slow, lossy, and unsteady.
    Link,
    /// One lane of a link passes nothing for a while.
    Stall,
    /// A link's connections end.
    Sever,
    /// Half of all gossip is lost for a while.
    GossipLoss,
    /// A node's clock goes wrong by up to three hours: two is what a block's time may lie ahead.
    Clock,
}

impl Chaos {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        if self.every.0 == 0 {
            return Err(ScenarioError::new(
                "chaos.every",
                "is 0, expected some time",
            ));
        }
        if self.kinds.is_empty() {
            return Err(ScenarioError::new(
                "chaos.kinds",
                "is empty: no kind of fault",
            ));
        }
        Ok(())
    }
}

/// Nodes that leave and come back all the time, each by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Mean time that a node stays up.
    pub up: Span,
    /// Mean time that it is away.
    pub down: Span,
    /// When the first may leave.
    #[serde(default)]
    pub from: Span,
    /// When all are back.
    pub until: Span,
    /// Which nodes; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<usize>>,
    /// Share of those that leave by a crash; the others stop in order.
    #[serde(default)]
    pub crash_share: f64,
}

impl Churn {
    pub(super) fn check(&self, nodes: usize) -> Result<(), ScenarioError> {
        for (field, span) in [("churn.up", self.up), ("churn.down", self.down)] {
            if span.0 == 0 {
                return Err(ScenarioError::new(field, "is 0, expected some time"));
            }
        }
        if !(0.0..=1.0).contains(&self.crash_share) {
            let problem = format!("is {}, expected 0 to 1", self.crash_share);
            return Err(ScenarioError::new("churn.crash_share", problem));
        }
        let mut named = self.nodes.iter().flatten();
        if let Some(node) = named.find(|node| **node >= nodes) {
            let problem = format!("names node {node}; there are the nodes 0 to {}", nodes - 1);
            return Err(ScenarioError::new("churn.nodes", problem));
        }
        Ok(())
    }
}
