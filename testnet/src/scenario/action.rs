//! What can be done to a network at a given time, as it stands in files.

use serde::{Deserialize, Serialize};

use super::file::ScenarioError;
use super::{Groups, Span};
use crate::link::Lane;

/// The names of actions, for errors.
const NAMES: &str = "partition, one-way, eclipse, heal, crash, stop, restart, pause, resume, link, sever, gossip-loss, clock or mining";

/// One thing that is done to the network.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Cuts all links between groups.
    Partition {
        /// The groups.
        groups: Groups,
        /// Bytes just stop: nobody is told.
        silent: bool,
    },
    /// What the first nodes send does not reach the second.
    OneWay {
        /// Who is not heard.
        from: Vec<usize>,
        /// Who does not hear.
        to: Vec<usize>,
    },
    /// A node hears only the attacker's nodes.
    Eclipse {
        /// Who.
        victim: usize,
        /// The attacker's nodes.
        attackers: Vec<usize>,
    },
    /// Ends partitions, one-way cuts and eclipses.
    Heal,
    /// Ends a node as a power cut would; what it had not committed is lost.
    Crash(usize),
    /// Stops a node in order.
    Stop(usize),
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
        /// What it does from now on; absent: what it did at the start.
        lane: Option<Lane>,
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
    /// What: partition, one-way, eclipse, heal, crash, stop, restart, pause, resume, link, sever, gossip-loss, clock, mining.
    #[serde(rename = "do")]
    pub action: String,
    /// After so long it is taken back, without an event of its own for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Span>,
    /// It comes again and again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// For partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Groups>,
    /// For partition: bytes just stop, and nobody is told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// For one-way: who is not heard.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<usize>,
    /// For one-way: who does not hear.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<usize>,
    /// For eclipse, with the victim as `node`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attackers: Vec<usize>,
    /// For eclipse, crash, stop, restart, pause, resume, clock, mining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<usize>,
    /// For link and sever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<(usize, usize)>,
    /// For link; absent: what the link did at the start.
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

/// How often something comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Time from one to the next.
    pub every: Span,
    /// How often in all, the first included.
    pub times: u32,
}

impl EventEntry {
    /// The action, with everything it needs; `field` names the entry in errors, as in `event[2]`.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] names what is missing, unknown, or not for this action.
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
        let nodes = |list: &[usize], what: &str| match list {
            [] => Err(needs(what)),
            some => Ok(some.to_vec()),
        };
        let action = match self.action.as_str() {
            "partition" => Action::Partition {
                groups: self.groups.clone().ok_or_else(|| needs("groups"))?,
                silent: self.silent,
            },
            "one-way" => Action::OneWay {
                from: nodes(&self.from, "from")?,
                to: nodes(&self.to, "to")?,
            },
            "eclipse" => Action::Eclipse {
                victim: node()?,
                attackers: nodes(&self.attackers, "attackers")?,
            },
            "heal" => Action::Heal,
            "crash" => Action::Crash(node()?),
            "stop" => Action::Stop(node()?),
            "restart" => Action::Restart(node()?),
            "pause" => Action::Pause(node()?),
            "resume" => Action::Resume(node()?),
            "link" => Action::Link {
                between: between()?,
                lane: self.lane,
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
                let problem = format!("is {other:?}; expected {NAMES}");
                return Err(ScenarioError::new(format!("{field}.do"), problem));
            }
        };
        self.check_times(field, &action)?;
        Ok(action)
    }

    fn check_times(&self, field: &str, action: &Action) -> Result<(), ScenarioError> {
        if self.lasting.is_some() && !action.can_last() {
            let problem = format!("is not for do = {:?}, which has no end", self.action);
            return Err(ScenarioError::new(format!("{field}.lasting"), problem));
        }
        if self.lasting == Some(Span(0)) {
            let problem = "is 0, expected some time";
            return Err(ScenarioError::new(format!("{field}.lasting"), problem));
        }
        match self.repeat {
            Some(Repeat { every, times }) if every.0 == 0 || times == 0 => {
                let problem =
                    "has no time or no number of times; write { every = \"10m\", times = 3 }";
                Err(ScenarioError::new(format!("{field}.repeat"), problem))
            }
            _ => Ok(()),
        }
    }

    /// All times at which it comes.
    pub fn times(&self) -> impl Iterator<Item = Span> {
        let (first, repeat) = (self.at, self.repeat);
        let times = repeat.map_or(1, |repeat| u64::from(repeat.times));
        let every = repeat.map_or(0, |repeat| repeat.every.0);
        (0..times).map(move |turn| Span(first.0.saturating_add(every.saturating_mul(turn))))
    }
}

impl Action {
    /// Whether it begins something that can be taken back.
    fn can_last(&self) -> bool {
        !matches!(
            self,
            Action::Heal | Action::Restart(_) | Action::Resume(_) | Action::Sever(_)
        )
    }

    /// The highest node number it names.
    pub fn highest_node(&self) -> usize {
        match self {
            Action::Partition { groups, .. } => groups.highest(),
            Action::Heal | Action::GossipLoss(_) => 0,
            Action::OneWay { from, to } => from.iter().chain(to).copied().max().unwrap_or(0),
            Action::Eclipse { victim, attackers } => {
                attackers.iter().copied().fold(*victim, usize::max)
            }
            Action::Crash(node)
            | Action::Stop(node)
            | Action::Restart(node)
            | Action::Pause(node)
            | Action::Resume(node)
            | Action::Clock { node, .. }
            | Action::Mining { node, .. } => *node,
            Action::Link { between, .. } | Action::Sever(between) => between.0.max(between.1),
        }
    }
}
