//! The fork tree: every block has its time on one axis and a lane on the other. Layout only; [`text`] and the page draw it.

pub mod text;

use std::collections::BTreeMap;

use super::ledger::best_tip;
use crate::record::{BlockId, Record};

/// Where each block is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Blocks in the order in which they became known, the genesis block first.
    pub blocks: Vec<TreeBlock>,
    /// Branches, by the place of their first block; the final chain is the first.
    pub branches: Vec<Branch>,
    /// Number of lanes.
    pub lanes: usize,
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeBlock {
    /// Which.
    pub id: BlockId,
    /// When it became known.
    pub t: u64,
    /// Its branch.
    pub branch: usize,
    /// The lane of its branch: 0 for the final chain.
    pub lane: usize,
    /// Whether it is in the final chain.
    pub is_final: bool,
}

/// A run of blocks on one lane, each the parent of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The block that it springs from; the genesis block for the final chain.
    pub from: BlockId,
    /// Its first block.
    pub first: BlockId,
    /// Its last block.
    pub last: BlockId,
    /// Number of its blocks.
    pub blocks: u32,
    /// Its lane. No two branches that overlap in time have one.
    pub lane: usize,
}

impl Tree {
    /// The tree of a run. The final chain is on lane 0; other branches take the lowest lane that is free from their fork point to
    /// their last block.
    pub fn of(record: &Record) -> Tree {
        let blocks = &record.blocks;
        let main: Vec<BlockId> = {
            let tip = best_tip(record, record.end_t());
            let mut chain: Vec<BlockId> = blocks.ancestors(tip).collect();
            chain.reverse();
            chain
        };
        let mut branches = vec![branch(BlockId::GENESIS, &main)];
        let mut branch_of: BTreeMap<BlockId, usize> = main.iter().map(|id| (*id, 0)).collect();
        let heirs = heirs(record);
        for (id, block) in blocks.iter() {
            if branch_of.contains_key(&id) {
                continue;
            }
            // A block that its parent's branch does not go on with begins one of its own, along the longest of its lines.
            let line: Vec<BlockId> =
                std::iter::successors(Some(id), |id| heirs.get(id).copied()).collect();
            branch_of.extend(line.iter().map(|id| (*id, branches.len())));
            branches.push(branch(block.parent, &line));
        }
        let lanes = assign_lanes(record, &mut branches);
        let all = std::iter::once(BlockId::GENESIS).chain(blocks.iter().map(|(id, _)| id));
        let place = |id: BlockId| {
            let branch = branch_of[&id];
            TreeBlock {
                id,
                t: blocks.get(id).t,
                branch,
                lane: branches[branch].lane,
                is_final: branch == 0,
            }
        };
        Tree {
            blocks: all.map(place).collect(),
            branches,
            lanes,
        }
    }
}

fn branch(from: BlockId, line: &[BlockId]) -> Branch {
    Branch {
        from,
        first: line.first().copied().unwrap_or(from),
        last: line.last().copied().unwrap_or(from),
        blocks: line.len() as u32,
        lane: 0,
    }
}

/// Of each block the child with the highest descendant; of equal ones the one that was known first.
fn heirs(record: &Record) -> BTreeMap<BlockId, BlockId> {
    let mut reach: BTreeMap<BlockId, u32> = BTreeMap::new();
    let mut heirs: BTreeMap<BlockId, BlockId> = BTreeMap::new();
    for (id, block) in record.blocks.iter().rev() {
        let height = *reach.entry(id).or_insert(block.height);
        let parents = reach.entry(block.parent).or_default();
        // From the last to the first: an equal one that was known before takes over.
        if height >= *parents {
            *parents = height;
            heirs.insert(block.parent, id);
        }
    }
    heirs
}

fn assign_lanes(record: &Record, branches: &mut [Branch]) -> usize {
    let t = |id: BlockId| record.blocks.get(id).t;
    // When each lane is free again; the final chain has its own for ever.
    let mut busy_until = vec![u64::MAX];
    let mut order: Vec<usize> = (1..branches.len()).collect();
    order.sort_by_key(|index| (t(branches[*index].from), *index));
    for index in order {
        let Branch { from, last, .. } = branches[index];
        let begins = t(from);
        let free = busy_until.iter().position(|until| *until < begins);
        let lane = free.unwrap_or_else(|| {
            busy_until.push(0);
            busy_until.len() - 1
        });
        busy_until[lane] = t(last).max(begins);
        branches[index].lane = lane;
    }
    busy_until.len()
}

#[cfg(test)]
mod tests;
