//! The sides of a split: groups as planned, and within each the chains that its nodes were on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::healing::Healing;
use crate::record::{BlockId, Blocks, Position, Record};
use crate::tell::ledger::Ledger;

/// Nodes that could talk to each other during the split, and were on one chain when the links were opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Number of the group, in the order of the plan, from 0; none for nodes in no group, which kept their links.
    pub group: Option<usize>,
    /// Who was up, or frozen.
    pub nodes: Vec<usize>,
    /// Their tip when the links were opened: the best, if some were behind on the same chain.
    pub tip: Position,
    /// Blocks of its chain above the fork point.
    pub blocks: u32,
    /// Of these, blocks that are not on the chain of a side before it in the list.
    pub own: u32,
    /// Of all these, blocks that its own nodes found.
    pub found: u32,
    /// Work of its chain above the fork point: expected number of hashes.
    pub work: u64,
    /// Payments in these blocks.
    pub payments: u32,
    /// What these blocks gave to their miners, in satoshi.
    pub reward_sat: u64,
    /// Of these blocks, those that are in the final chain.
    pub stayed: u32,
    /// The side before it in the list that has all its blocks: it followed that side, or found nothing.
    pub within: Option<usize>,
}

/// All sides.
pub(super) struct Split {
    pub(super) fork: BlockId,
    pub(super) sides: Vec<Side>,
    /// The tip of each side.
    pub(super) tips: Vec<BlockId>,
}

struct Chain {
    group: Option<usize>,
    nodes: Vec<usize>,
    tip: BlockId,
}

/// The sides of a split when it was healed.
pub(super) fn sides(record: &Record, ledger: &Ledger<'_>, healing: &Healing) -> Split {
    let blocks = &record.blocks;
    let mut chains = chains(record, healing);
    chains.sort_by_key(|chain| {
        let work = blocks.get(chain.tip).chain_work;
        (
            Reverse(work),
            chain.group.is_none(),
            chain.group,
            chain.nodes.clone(),
        )
    });
    let tips: Vec<BlockId> = chains.iter().map(|chain| chain.tip).collect();
    let fork = tips.iter().copied().reduce(|a, b| blocks.common(a, b));
    let fork = fork.unwrap_or(BlockId::GENESIS);
    let mut counted = BTreeSet::new();
    let mut sides: Vec<Side> = Vec::new();
    for (index, chain) in chains.into_iter().enumerate() {
        let path = blocks.path(fork, chain.tip);
        let sum = |of: fn(&crate::record::Placed) -> u64| -> u64 {
            path.iter().map(|id| of(blocks.get(*id))).sum()
        };
        let number =
            |of: &dyn Fn(BlockId) -> bool| path.iter().filter(|id| of(**id)).count() as u32;
        let found_here = |id: BlockId| {
            let finder = blocks.get(id).found_by;
            finder.is_some_and(|finder| chain.nodes.contains(&finder))
        };
        sides.push(Side {
            group: chain.group,
            tip: blocks.position(chain.tip),
            blocks: path.len() as u32,
            own: number(&|id| !counted.contains(&id)),
            found: number(&found_here),
            work: sum(|block| block.work),
            payments: sum(|block| block.payments.len() as u64) as u32,
            reward_sat: sum(|block| block.reward_sat),
            stayed: number(&|id| ledger.holds(id)),
            within: tips[..index]
                .iter()
                .position(|tip| blocks.is_on_chain(chain.tip, *tip)),
            nodes: chain.nodes,
        });
        counted.extend(path);
    }
    Split { fork, sides, tips }
}

/// Nodes by group and chain.
fn chains(record: &Record, healing: &Healing) -> Vec<Chain> {
    // In the order of the plan, those in no group last.
    let mut groups: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (node, group) in healing.groups_of(record).into_iter().enumerate() {
        let place = group.into_iter().map(|group| group.unwrap_or(usize::MAX));
        groups.entry(place.collect()).or_default().push(node);
    }
    let mut chains = Vec::new();
    for (number, (place, nodes)) in groups.into_iter().enumerate() {
        let is_in_none = place.iter().all(|group| *group == usize::MAX);
        let mut tips: BTreeMap<BlockId, Vec<usize>> = BTreeMap::new();
        for node in nodes {
            if let Some(tip) = record.nodes[node].tip_at(healing.opened) {
                tips.entry(tip).or_default().push(node);
            }
        }
        let number = (!is_in_none).then_some(number);
        chains.extend(by_chain(&record.blocks, number, tips));
    }
    chains
}

/// Nodes of one group: those whose tip is an ancestor of another's are only behind on the same chain.
fn by_chain(
    blocks: &Blocks,
    group: Option<usize>,
    tips: BTreeMap<BlockId, Vec<usize>>,
) -> Vec<Chain> {
    let mut tips: Vec<(BlockId, Vec<usize>)> = tips.into_iter().collect();
    tips.sort_by_key(|(tip, nodes)| (Reverse(blocks.get(*tip).chain_work), nodes.clone()));
    let mut chains: Vec<Chain> = Vec::new();
    for (tip, nodes) in tips {
        match chains
            .iter_mut()
            .find(|chain| blocks.is_on_chain(tip, chain.tip))
        {
            Some(chain) => chain.nodes.extend(nodes),
            None => chains.push(Chain { group, nodes, tip }),
        }
    }
    for chain in &mut chains {
        chain.nodes.sort_unstable();
    }
    chains
}
