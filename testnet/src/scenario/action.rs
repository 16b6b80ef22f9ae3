//! What can happen to a network at a given time.

use serde::{Deserialize, Serialize};

use super::file::ScenarioError;
use super::{Groups, Span};
use crate::link::{Flow, Lane};

/// One thing that is done to the network.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Cuts all links between groups.
    Partition(Groups),
    /// Ends the partition.
    Heal,
    /// Ends a node; what it had not committed is lost.
    Crash(usize),
    /// Starts a node that is down.
    Restart(usize),
    /// Freezes a node.
    Pause(usize),
    /// Lets a frozen node go on.
    Resume(usize),
    /// Changes what a link does; only from the first node to the second with `one_way`.
    Link {
        /// Its ends.
        between: (usize, usize),
        /// What it does from now on.
        lane: Lane,
        /// Only from the first to the second.
        one_way: bool,
    },
    /// Ends all connections of a link once.
    Sever((usize, usize)),
    /// This share of gossip is lost from now on.
    GossipLoss(f64),
    /// A node's wall clock is off by that many seconds.
    Clock {
        /// The node.
        node: usize,
        /// Seconds ahead; negative: behind.
        offset_s: i64,
    },
    /// A node's share of the hash power changes.
    Mining {
        /// The node.
        node: usize,
        /// Its weight among all miners.
        share: f64,
    },
}

/// An action as it stands in the file: `do` decides which other fields there must be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventEntry {
    /// When, after the start.
    pub at: Span,
    /// What: partition, heal, crash, restart, pause, resume, link, sever, gossip-loss, clock, mining.
    #[serde(rename = "do")]
    pub action: String,
    /// For partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Groups>,
    /// For crash, restart, pause, resume, clock, mining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<usize>,
    /// For link and sever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<(usize, usize)>,
    /// For link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    /// For link.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
    /// For gossip-loss and mining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// For clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset_s: Option<i64>,
}

impl EventEntry {
    /// The action, with everything it needs; `field` names the entry in errors, as in `event[2]`.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] names what is missing or unknown.
    pub fn read(&self, field: &str) -> Result<Action, ScenarioError> {
        let needs = |what: &str| {
            ScenarioError::new(
                format!("{field}.{what}"),
                format!("is missing; do = {:?} needs it", self.action),
            )
        };
        let node = || self.node.ok_or_else(|| needs("node"));
        let between = || self.between.ok_or_else(|| needs("between"));
        let share = || self.share.ok_or_else(|| needs("share"));
        Ok(match self.action.as_str() {
            "partition" => Action::Partition(self.groups.clone().ok_or_else(|| needs("groups"))?),
            "heal" => Action::Heal,
            "crash" => Action::Crash(node()?),
            "restart" => Action::Restart(node()?),
            "pause" => Action::Pause(node()?),
            "resume" => Action::Resume(node()?),
            "link" => Action::Link {
                between: between()?,
                lane: self.lane.ok_or_else(|| needs("lane"))?,
                one_way: self.one_way,
            },
            "sever" => Action::Sever(between()?),
            "gossip-loss" => Action::GossipLoss(share()?),
            "clock" => Action::Clock {
                node: node()?,
                offset_s: self.offset_s.ok_or_else(|| needs("offset_s"))?,
            },
            "mining" => Action::Mining {
                node: node()?,
                share: share()?,
            },
            other => {
                return Err(ScenarioError::new(
                    format!("{field}.do"),
                    format!(
                        "is {other:?}; expected partition, heal, crash, restart, pause, resume, link, sever, gossip-loss, clock or mining"
                    ),
                ));
            }
        })
    }

    /// The entry that stands for an action.
    pub fn write(at: Span, action: &Action) -> EventEntry {
        let mut entry = EventEntry {
            at,
            action: action.name().to_owned(),
            ..EventEntry::default()
        };
        match action {
            Action::Heal => {}
            Action::Partition(groups) => entry.groups = Some(groups.clone()),
            Action::Crash(node)
            | Action::Restart(node)
            | Action::Pause(node)
            | Action::Resume(node) => entry.node = Some(*node),
            Action::Link {
                between,
                lane,
                one_way,
            } => {
                entry.between = Some(*between);
                entry.lane = Some(*lane);
                entry.one_way = *one_way;
            }
            Action::Sever(between) => entry.between = Some(*between),
            Action::GossipLoss(share) => entry.share = Some(*share),
            Action::Clock { node, offset_s } => {
                entry.node = Some(*node);
                entry.offset_s = Some(*offset_s);
            }
            Action::Mining { node, share } => {
                entry.node = Some(*node);
                entry.share = Some(*share);
            }
        }
        entry
    }
}

impl Action {
    /// Its name in files.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Partition(_) => "partition",
            Action::Heal => "heal",
            Action::Crash(_) => "crash",
            Action::Restart(_) => "restart",
            Action::Pause(_) => "pause",
            Action::Resume(_) => "resume",
            Action::Link { .. } => "link",
            Action::Sever(_) => "sever",
            Action::GossipLoss(_) => "gossip-loss",
            Action::Clock { .. } => "clock",
            Action::Mining { .. } => "mining",
        }
    }

    /// The highest node number it names.
    pub fn highest_node(&self) -> usize {
        match self {
            Action::Partition(groups) => groups.highest(),
            Action::Heal | Action::GossipLoss(_) => 0,
            Action::Crash(node)
            | Action::Restart(node)
            | Action::Pause(node)
            | Action::Resume(node)
            | Action::Clock { node, .. }
            | Action::Mining { node, .. } => *node,
            Action::Link { between, .. } | Action::Sever(between) => between.0.max(between.1),
        }
    }

    /// Whether it makes the network worse; the time to agree counts from the last action of any kind.
    pub fn is_fault(&self) -> bool {
        match self {
            Action::Heal | Action::Restart(_) | Action::Resume(_) | Action::Mining { .. } => false,
            Action::Partition(_) | Action::Crash(_) | Action::Pause(_) | Action::Sever(_) => true,
            Action::Link { lane, .. } => *lane != Lane::default() || lane.flow == Flow::Stalled,
            Action::GossipLoss(share) => *share > 0.0,
            Action::Clock { offset_s, .. } => *offset_s != 0,
        }
    }
}
