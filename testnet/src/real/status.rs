//! How a testnet stands: who is up, on which tip, and who agrees with whom.

use std::fmt::Write as _;

use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};

use super::network::Network;
use super::{LabError, Probe};
use crate::link::LinkSettings;
use crate::link::proxy::LinkTraffic;

/// Whether a node works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// It runs.
    Up,
    /// It is frozen.
    Paused,
    /// It has no process.
    Down,
}

/// A testnet at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Every node.
    pub nodes: Vec<NodeStatus>,
    /// Nodes on the same tip, the one with the most work first.
    pub groups: Vec<TipGroup>,
    /// The partition that was ordered, if one is.
    pub partition: Option<String>,
    /// Every link.
    pub links: Vec<LinkStatus>,
}

/// One node at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its number.
    pub node: usize,
    /// Up, paused or down.
    pub state: NodeState,
    /// What it says, if it answers.
    pub tip: Option<TipStatus>,
    /// Hashes per second of its own miner.
    pub mining: u64,
    /// Why it does not answer.
    pub problem: Option<String>,
}

/// What a node says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TipStatus {
    /// Its tip.
    pub hash: BlockHash,
    /// The tip's height.
    pub height: u32,
    /// Work of its chain, big-endian hex.
    pub work: String,
    /// Its connections.
    pub peers: usize,
    /// Transactions in its mempool.
    pub mempool: usize,
}

/// Nodes that agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TipGroup {
    /// Their tip.
    pub tip: BlockHash,
    /// Its height.
    pub height: u32,
    /// Work of the chain, big-endian hex.
    pub work: String,
    /// Who they are.
    pub nodes: Vec<usize>,
}

/// One link at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// The node that dials.
    pub from: usize,
    /// The node that is dialled.
    pub to: usize,
    /// Whether the partition cuts it.
    pub cut: bool,
    /// What it does when it is not cut.
    pub settings: LinkSettings,
    /// Connections that are open through it.
    pub open: u64,
    /// Bytes from the dialling node.
    pub forward_bytes: u64,
    /// Bytes to the dialling node.
    pub backward_bytes: u64,
}

/// A status that still lacks what the nodes say: they are asked while nobody else waits.
pub(super) struct Question {
    nodes: Vec<Asked>,
    partition: Option<String>,
    links: Vec<LinkStatus>,
}

struct Asked {
    node: usize,
    state: NodeState,
    mining: u64,
    /// Whom to ask, if it can answer.
    probe: Option<Probe>,
    /// How it ended, if nobody had asked it to.
    died: Option<String>,
}

impl Network {
    /// Asks all nodes at the same time.
    pub fn status(&mut self) -> Status {
        self.question().answer()
    }

    /// What is known without the nodes.
    pub(super) fn question(&mut self) -> Question {
        let nodes = self.nodes.iter_mut().map(|slot| {
            let state = slot.state();
            Asked {
                node: slot.index,
                state,
                mining: slot.rate,
                probe: slot.probe().filter(|_| state == NodeState::Up),
                died: slot.died.as_ref().map(|how| format!("died: {how}")),
            }
        });
        let nodes = nodes.collect();
        let links = self.links.iter().map(|link| {
            let LinkTraffic {
                open,
                forward_bytes,
                backward_bytes,
                ..
            } = link.proxy.traffic();
            LinkStatus {
                from: link.from,
                to: link.to,
                cut: link.cut,
                settings: link.settings,
                open,
                forward_bytes,
                backward_bytes,
            }
        });
        Question {
            nodes,
            links: links.collect(),
            partition: self.partition.as_ref().map(ToString::to_string),
        }
    }
}

impl Question {
    /// Asks all nodes at the same time.
    pub(super) fn answer(self) -> Status {
        let nodes: Vec<NodeStatus> = std::thread::scope(|scope| {
            let asking = self.nodes.into_iter();
            let asking: Vec<_> = asking
                .map(|asked| scope.spawn(move || asked.answer()))
                .collect();
            asking
                .into_iter()
                .map(|thread| thread.join().expect("asking a node does not panic"))
                .collect()
        });
        Status {
            groups: group_by_tip(&nodes),
            links: self.links,
            partition: self.partition,
            nodes,
        }
    }
}

impl Asked {
    fn answer(self) -> NodeStatus {
        let answer = self.probe.map(|probe| ask(&probe)).transpose();
        let (tip, problem) = match answer {
            Ok(tip) => (tip, self.died),
            Err(error) => (None, Some(error.to_string())),
        };
        NodeStatus {
            node: self.node,
            state: self.state,
            tip,
            mining: self.mining,
            problem,
        }
    }
}

fn ask(probe: &Probe) -> Result<TipStatus, LabError> {
    let chain = probe.chain()?;
    Ok(TipStatus {
        hash: chain.tip,
        height: chain.blocks,
        work: chain.work,
        peers: probe.connections()?,
        mempool: probe.mempool()?.len(),
    })
}

/// Who agrees with whom, the group with the most work first.
fn group_by_tip(nodes: &[NodeStatus]) -> Vec<TipGroup> {
    let mut groups: Vec<TipGroup> = Vec::new();
    for node in nodes {
        let Some(tip) = &node.tip else { continue };
        match groups.iter_mut().find(|group| group.tip == tip.hash) {
            Some(group) => group.nodes.push(node.node),
            None => groups.push(TipGroup {
                tip: tip.hash,
                height: tip.height,
                work: tip.work.clone(),
                nodes: vec![node.node],
            }),
        }
    }
    // Hex of equal length compares as numbers do.
    groups.sort_by(|a, b| {
        (b.work.len(), &b.work)
            .cmp(&(a.work.len(), &a.work))
            .then(b.nodes.len().cmp(&a.nodes.len()))
    });
    groups
}

impl Status {
    /// Whether all nodes that answer are on one tip.
    pub fn is_agreed(&self) -> bool {
        self.groups.len() == 1
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:>4}  {:<6}  {:>6}  {:<12}  {:>14}  {:>5}  {:>7}  {:>9}",
            "node", "state", "height", "tip", "work", "peers", "mempool", "mining"
        );
        for node in &self.nodes {
            let state = match node.state {
                NodeState::Up => "up",
                NodeState::Paused => "paused",
                NodeState::Down => "down",
            };
            let mining = match node.mining {
                0 => "-".to_owned(),
                rate => format!("{rate} H/s"),
            };
            let _ = match (&node.tip, &node.problem) {
                (Some(tip), _) => writeln!(
                    text,
                    "{:>4}  {state:<6}  {:>6}  {:<12}  {:>14}  {:>5}  {:>7}  {mining:>9}",
                    node.node,
                    tip.height,
                    short(&tip.hash),
                    tip.work.trim_start_matches('0'),
                    tip.peers,
                    tip.mempool
                ),
                (None, Some(problem)) => {
                    writeln!(text, "{:>4}  {state:<6}  {problem}", node.node)
                }
                (None, None) => writeln!(text, "{:>4}  {state:<6}", node.node),
            };
        }
        let _ = match self.groups.as_slice() {
            [] => writeln!(text, "nobody answers"),
            [only] => writeln!(
                text,
                "all agree on {} at height {}",
                short(&only.tip),
                only.height
            ),
            several => {
                for (rank, group) in several.iter().enumerate() {
                    let nodes: Vec<String> = group.nodes.iter().map(usize::to_string).collect();
                    let _ = writeln!(
                        text,
                        "nodes {} agree on {} at height {}{}",
                        nodes.join(", "),
                        short(&group.tip),
                        group.height,
                        if rank == 0 { " (most work)" } else { "" }
                    );
                }
                Ok(())
            }
        };
        if let Some(partition) = &self.partition {
            let cut = self.links.iter().filter(|link| link.cut).count();
            let _ = writeln!(
                text,
                "partition {partition}: {cut} of {} links cut",
                self.links.len()
            );
        }
        for link in &self.links {
            if link.settings != LinkSettings::default() {
                let _ = writeln!(
                    text,
                    "link {}-{}: {}",
                    link.from,
                    link.to,
                    json(&link.settings)
                );
            }
        }
        text
    }
}

fn json(settings: &LinkSettings) -> String {
    serde_json::to_string(settings).unwrap_or_default()
}

/// The end of a hash that people can tell apart: the start is all zeros.
pub(crate) fn short(hash: &BlockHash) -> String {
    let text = hash.to_string();
    format!("..{}", &text[text.len() - 10..])
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    fn node(node: usize, tip: u8, work: &str) -> NodeStatus {
        NodeStatus {
            node,
            state: NodeState::Up,
            tip: Some(TipStatus {
                hash: BlockHash::from_byte_array([tip; 32]),
                height: u32::from(tip),
                work: work.to_owned(),
                peers: 4,
                mempool: 2,
            }),
            mining: 0,
            problem: None,
        }
    }

    #[test]
    fn groups_are_those_on_one_tip_and_most_work_comes_first() {
        let nodes = [node(0, 1, "00ff"), node(1, 2, "0100"), node(2, 1, "00ff")];
        let groups = group_by_tip(&nodes);
        assert_eq!(groups[0].nodes, [1]);
        assert_eq!(groups[1].nodes, [0, 2]);
    }

    #[test]
    fn the_table_says_who_agrees() {
        let status = Status {
            nodes: vec![
                node(0, 1, "00ff"),
                node(1, 2, "0100"),
                NodeStatus {
                    state: NodeState::Down,
                    tip: None,
                    ..node(2, 1, "00ff")
                },
            ],
            groups: group_by_tip(&[node(0, 1, "00ff"), node(1, 2, "0100")]),
            partition: Some("0/1".to_owned()),
            links: vec![],
        };
        let table = status.table();
        assert!(table.contains("nodes 1 agree on ..0202020202 at height 2 (most work)"));
        assert!(table.contains("down"));
        assert!(!status.is_agreed());
    }
}
