//! Faults: what is done to a network, from when to when.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::link::Lane;
use crate::scenario::Groups;

/// Something that is done to the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// When it begins.
    pub at_us: u64,
    /// When it is taken back; absent: never, or there is nothing to take back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<u64>,
    /// What it is.
    pub what: FaultKind,
}

/// A kind of fault, with all it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum FaultKind {
    /// No link between groups passes anything. A node that is in no group keeps all its links.
    Partition {
        /// The groups.
        groups: Groups,
        /// Bytes just stop, and nobody is told: connections stay until the nodes end them.
        #[serde(default)]
        silent: bool,
    },
    /// What the first nodes send does not reach the second; the other way is open.
    OneWay {
        /// Who is not heard.
        from: BTreeSet<usize>,
        /// Who does not hear.
        to: BTreeSet<usize>,
    },
    /// A node hears only the attacker's nodes.
    Eclipse {
        /// Who.
        victim: usize,
        /// The attacker's nodes.
        attackers: BTreeSet<usize>,
    },
    /// A node is killed; it starts again when the fault is over.
    Kill {
        /// Which.
        node: usize,
    },
    /// A node is stopped in order; it starts again when the fault is over.
    Stop {
        /// Which.
        node: usize,
    },
    /// A node that is down starts: with [`Plan::down`](super::Plan::down), how a node joins.
    Start {
        /// Which.
        node: usize,
    },
    /// A node is frozen.
    Pause {
        /// Which.
        node: usize,
    },
    /// A link does something else.
    Link {
        /// Its ends.
        between: (usize, usize),
        /// What it does.
        lane: Lane,
        /// Only from the first to the second.
        #[serde(default)]
        one_way: bool,
    },
    /// All connections of a link end, once.
    Sever {
        /// Its ends.
        between: (usize, usize),
    },
    /// A share of gossip is lost.
    GossipLoss {
        /// From 0 to 1.
        share: f64,
    },
    /// A node's wall clock is off.
    Clock {
        /// Which.
        node: usize,
        /// Seconds ahead; negative: behind.
        offset_s: i64,
    },
    /// A node's weight among all miners is another.
    Mining {
        /// Which.
        node: usize,
        /// Its weight.
        share: f64,
    },
    /// A node's disk takes no more than so many bytes.
    DiskFull {
        /// Which.
        node: usize,
        /// Bytes that still fit.
        bytes: u64,
    },
}

/// Who is kept apart from whom by a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// The groups; no node is in two.
    pub groups: Vec<BTreeSet<usize>>,
    /// Nodes in no group: they keep their links.
    pub between: BTreeSet<usize>,
}

impl Fault {
    /// Whether it lasts at a time: its begin is in it, its end is not.
    pub fn lasts_at(&self, at_us: u64) -> bool {
        self.at_us <= at_us && self.until_us.is_none_or(|until_us| at_us < until_us)
    }
}

impl FaultKind {
    /// Its name, as in files.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::Partition { .. } => "partition",
            FaultKind::OneWay { .. } => "one-way",
            FaultKind::Eclipse { .. } => "eclipse",
            FaultKind::Kill { .. } => "kill",
            FaultKind::Stop { .. } => "stop",
            FaultKind::Start { .. } => "start",
            FaultKind::Pause { .. } => "pause",
            FaultKind::Link { .. } => "link",
            FaultKind::Sever { .. } => "sever",
            FaultKind::GossipLoss { .. } => "gossip-loss",
            FaultKind::Clock { .. } => "clock",
            FaultKind::Mining { .. } => "mining",
            FaultKind::DiskFull { .. } => "disk-full",
        }
    }

    /// The groups that it keeps apart, in a network of so many nodes; none for what is no split. The end of such a fault is a
    /// healing.
    pub fn keeps_apart(&self, nodes: usize) -> Option<Apart> {
        let groups: Vec<BTreeSet<usize>> = match self {
            FaultKind::Partition { groups, .. } => groups.iter().cloned().collect(),
            FaultKind::OneWay { from, to } => vec![from.clone(), to - from],
            FaultKind::Eclipse { victim, attackers } => {
                let others = (0..nodes).filter(|node| node != victim && !attackers.contains(node));
                vec![BTreeSet::from([*victim]), others.collect()]
            }
            _ => return None,
        };
        let between = (0..nodes).filter(|node| !groups.iter().any(|group| group.contains(node)));
        Some(Apart {
            between: between.collect(),
            groups,
        })
    }
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |nodes: &BTreeSet<usize>| {
            let nodes: Vec<String> = nodes.iter().map(usize::to_string).collect();
            nodes.join(",")
        };
        let name = self.name();
        match self {
            FaultKind::Partition { groups, silent } => {
                write!(
                    f,
                    "{}partition {groups}",
                    if *silent { "silent " } else { "" }
                )
            }
            FaultKind::OneWay { from, to } => write!(f, "{name} {} to {}", list(from), list(to)),
            FaultKind::Eclipse { victim, attackers } => {
                write!(f, "{name} of node {victim} by {}", list(attackers))
            }
            FaultKind::Kill { node }
            | FaultKind::Stop { node }
            | FaultKind::Start { node }
            | FaultKind::Pause { node } => write!(f, "{name} node {node}"),
            FaultKind::Link {
                between: (a, b),
                lane,
                one_way,
            } => {
                let way = if *one_way { "to" } else { "and" };
                let lane = serde_json::to_string(lane).unwrap_or_default();
                write!(f, "{name} {a} {way} {b}: {lane}")
            }
            FaultKind::Sever { between: (a, b) } => write!(f, "{name} {a} and {b}"),
            FaultKind::GossipLoss { share } => write!(f, "{name} {share}"),
            FaultKind::Clock { node, offset_s } => write!(f, "{name} node {node}: {offset_s} s"),
            FaultKind::Mining { node, share } => write!(f, "{name} node {node}: weight {share}"),
            FaultKind::DiskFull { node, bytes } => write!(f, "{name} node {node}: {bytes} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_in_no_group_stand_between() {
        let what = FaultKind::Partition {
            groups: "0,1/3".parse().unwrap(),
            silent: false,
        };
        let apart = what.keeps_apart(5).unwrap();
        assert_eq!(apart.groups.len(), 2);
        assert_eq!(apart.between, BTreeSet::from([2, 4]));
        let eclipse = FaultKind::Eclipse {
            victim: 1,
            attackers: BTreeSet::from([0]),
        };
        let apart = eclipse.keeps_apart(4).unwrap();
        assert_eq!(apart.groups, [BTreeSet::from([1]), BTreeSet::from([2, 3])]);
        assert_eq!(apart.between, BTreeSet::from([0]));
        assert_eq!(FaultKind::Kill { node: 0 }.keeps_apart(4), None);
    }

    #[test]
    fn faults_are_read_as_they_are_written() {
        let fault = Fault {
            at_us: 5,
            until_us: Some(9),
            what: FaultKind::Link {
                between: (0, 1),
                lane: Lane::delayed(20),
                one_way: true,
            },
        };
        let text = serde_json::to_string(&fault).unwrap();
        assert!(text.contains(r#""do":"link""#), "{text}");
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
        assert!(fault.lasts_at(5) && fault.lasts_at(8) && !fault.lasts_at(9));
    }
}
