//! The heal report: a pure function over what was observed.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Block, BlockHash, OutPoint, Txid, Work};
use serde::{Deserialize, Serialize};

/// What was seen of a network that was split and healed.
#[derive(Clone, Debug)]
pub struct Observations {
    /// Every node that was up.
    pub nodes: Vec<NodeObservation>,
    /// The tip that all nodes are on.
    pub final_tip: BlockHash,
    /// Milliseconds from opening the links to one tip.
    pub one_tip_ms: u64,
    /// The last block that all chains share.
    pub fork: BlockHash,
    /// All blocks from the fork point (included) to every tip, with their heights.
    pub blocks: BTreeMap<BlockHash, SeenBlock>,
    /// The mempool of every node after the heal.
    pub mempools: BTreeMap<usize, BTreeSet<Txid>>,
}

/// One node around a heal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeObservation {
    /// Its number.
    pub node: usize,
    /// Its tip when the links were opened.
    pub tip_before: BlockHash,
    /// Milliseconds from opening the links to its first new tip, if it changed before all agreed.
    pub changed_ms: Option<u64>,
}

/// A block and its height.
#[derive(Clone, Debug)]
pub struct SeenBlock {
    /// Its height.
    pub height: u32,
    /// The block.
    pub block: Block,
}

/// Why no report can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// A block on the way to a tip was not observed.
    #[error("block {0} was not observed: no report can be made")]
    MissingBlock(BlockHash),
}

/// What became of every block and payment when a split network healed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealReport {
    /// The last block that all sides shared.
    pub fork: Position,
    /// The sides, most work first.
    pub sides: Vec<Side>,
    /// Where all nodes are now.
    pub final_tip: Position,
    /// Milliseconds from opening the links to one tip.
    pub one_tip_ms: u64,
    /// Every node.
    pub nodes: Vec<NodeReport>,
    /// Blocks that left the chain, lowest first.
    pub orphaned: Vec<OrphanedBlock>,
    /// Payments of orphaned blocks.
    pub payments: Vec<PaymentReport>,
}

/// A block's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// Nodes that were on one chain during the split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Who they are.
    pub nodes: Vec<usize>,
    /// Their tip when the links were opened.
    pub tip: Position,
    /// Blocks since the fork point.
    pub blocks: u32,
    /// Work since the fork point: expected number of hashes.
    pub work: u64,
    /// Payments (transactions but the coinbase) in these blocks.
    pub payments: u32,
    /// Whether its blocks stayed in the chain.
    pub won: bool,
}

/// One node's reorg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its number.
    pub node: usize,
    /// Blocks that it took back.
    pub reorg_depth: u32,
    /// Blocks that it took in their place (and after).
    pub adopted: u32,
    /// Milliseconds from opening the links to its first new tip.
    pub changed_ms: Option<u64>,
}

/// A block that left the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanedBlock {
    /// Where it was.
    pub at: Position,
    /// What its miner lost, in satoshi.
    pub reward_sat: u64,
    /// Its payments.
    pub payments: u32,
}

/// A payment that was in an orphaned block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentReport {
    /// Its id.
    pub txid: Txid,
    /// The block that confirmed it until the heal.
    pub lost: Position,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a payment whose block was orphaned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// The winning side had confirmed it as well.
    OnBothSides {
        /// Where.
        at: Position,
    },
    /// It was confirmed again after the heal.
    ConfirmedAgain {
        /// Where.
        at: Position,
    },
    /// It waits in mempools.
    InMempool {
        /// Of these nodes.
        nodes: Vec<usize>,
    },
    /// The winning chain spends one of its coins another way.
    DoubleSpent {
        /// By this transaction.
        by: Txid,
        /// Confirmed here.
        at: Position,
    },
    /// It spends an output of a payment that is not there any more.
    ParentLost {
        /// That payment.
        parent: Txid,
    },
    /// Nobody has it.
    Gone,
}

/// Where a block stands, as the report needs it.
struct Chains<'a> {
    blocks: &'a BTreeMap<BlockHash, SeenBlock>,
    fork: BlockHash,
}

impl Chains<'_> {
    fn get(&self, hash: &BlockHash) -> Result<&SeenBlock, ReportError> {
        self.blocks
            .get(hash)
            .ok_or(ReportError::MissingBlock(*hash))
    }

    fn position(&self, hash: &BlockHash) -> Result<Position, ReportError> {
        let height = self.get(hash)?.height;
        Ok(Position {
            height,
            hash: *hash,
        })
    }

    /// Blocks after the fork point up to `tip`, lowest first.
    fn path(&self, tip: BlockHash) -> Result<Vec<BlockHash>, ReportError> {
        let mut path = Vec::new();
        let mut at = tip;
        while at != self.fork {
            path.push(at);
            at = self.get(&at)?.block.header.prev_blockhash;
        }
        path.reverse();
        Ok(path)
    }

    fn work(&self, path: &[BlockHash]) -> Result<u64, ReportError> {
        path.iter().try_fold(0u64, |sum, hash| {
            let work = self.get(hash)?.block.header.work();
            Ok(sum.saturating_add(expected_hashes(work)))
        })
    }

    fn payments(&self, path: &[BlockHash]) -> Result<u32, ReportError> {
        path.iter().try_fold(0, |sum, hash| {
            Ok(sum + count(self.get(hash)?.block.txdata.len()) - 1)
        })
    }
}

impl HealReport {
    /// Makes the report.
    ///
    /// # Errors
    ///
    /// [`ReportError::MissingBlock`] when the observations do not reach the fork point from every tip.
    pub fn new(seen: &Observations) -> Result<HealReport, ReportError> {
        let chains = Chains {
            blocks: &seen.blocks,
            fork: seen.fork,
        };
        let final_path = chains.path(seen.final_tip)?;
        let final_set: BTreeSet<BlockHash> = final_path.iter().copied().collect();
        let mut nodes = Vec::new();
        let mut orphaned_hashes = BTreeSet::new();
        for node in &seen.nodes {
            let path = chains.path(node.tip_before)?;
            let (kept, lost): (Vec<BlockHash>, Vec<BlockHash>) =
                path.into_iter().partition(|hash| final_set.contains(hash));
            nodes.push(NodeReport {
                node: node.node,
                reorg_depth: count(lost.len()),
                adopted: count(final_path.len() - kept.len()),
                changed_ms: node.changed_ms,
            });
            orphaned_hashes.extend(lost);
        }
        let sides = sides(&chains, &seen.nodes, &final_set)?;
        let before: BTreeSet<BlockHash> = sides
            .iter()
            .filter(|side| side.won)
            .map(|side| chains.path(side.tip.hash))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect();
        Ok(HealReport {
            fork: chains.position(&seen.fork)?,
            sides,
            final_tip: chains.position(&seen.final_tip)?,
            one_tip_ms: seen.one_tip_ms,
            nodes,
            orphaned: orphaned(&chains, &orphaned_hashes)?,
            payments: payments(
                &chains,
                &orphaned_hashes,
                &final_path,
                &before,
                &seen.mempools,
            )?,
        })
    }

    /// The deepest reorg of any node, in blocks.
    pub fn deepest_reorg(&self) -> u32 {
        let depths = self.nodes.iter().map(|node| node.reorg_depth);
        depths.max().unwrap_or(0)
    }

    /// Payments that neither are in the chain nor lost to a double spend: they still wait, or nobody has them.
    pub fn open_payments(&self) -> usize {
        self.payments
            .iter()
            .filter(|payment| matches!(payment.fate, Fate::InMempool { .. } | Fate::Gone))
            .count()
    }
}

/// Nodes by chain: a tip that is an ancestor of another belongs to the same side.
fn sides(
    chains: &Chains<'_>,
    nodes: &[NodeObservation],
    final_set: &BTreeSet<BlockHash>,
) -> Result<Vec<Side>, ReportError> {
    let mut by_tip: BTreeMap<BlockHash, Vec<usize>> = BTreeMap::new();
    for node in nodes {
        by_tip.entry(node.tip_before).or_default().push(node.node);
    }
    let mut tips: Vec<(Vec<BlockHash>, BlockHash, Vec<usize>)> = by_tip
        .into_iter()
        .map(|(tip, nodes)| Ok((chains.path(tip)?, tip, nodes)))
        .collect::<Result<_, ReportError>>()?;
    tips.sort_by_key(|(path, tip, _)| (std::cmp::Reverse(path.len()), *tip));
    let mut sides: Vec<(Vec<BlockHash>, BlockHash, Vec<usize>)> = Vec::new();
    for (path, tip, nodes) in tips {
        // Nodes that were still on the fork point may belong anywhere; the first longer side takes them.
        let home = sides
            .iter_mut()
            .find(|(longer, _, _)| tip == chains.fork || longer.contains(&tip));
        match home {
            Some((_, _, members)) => members.extend(nodes),
            None => sides.push((path, tip, nodes)),
        }
    }
    let mut sides: Vec<Side> = sides
        .into_iter()
        .map(|(path, tip, mut nodes)| {
            nodes.sort_unstable();
            Ok(Side {
                nodes,
                tip: chains.position(&tip)?,
                blocks: count(path.len()),
                work: chains.work(&path)?,
                payments: chains.payments(&path)?,
                won: path.iter().all(|hash| final_set.contains(hash)),
            })
        })
        .collect::<Result<_, ReportError>>()?;
    sides.sort_by_key(|side| (std::cmp::Reverse(side.work), side.nodes.clone()));
    Ok(sides)
}

fn orphaned(
    chains: &Chains<'_>,
    hashes: &BTreeSet<BlockHash>,
) -> Result<Vec<OrphanedBlock>, ReportError> {
    let mut blocks = hashes
        .iter()
        .map(|hash| {
            let seen = chains.get(hash)?;
            let coinbase = &seen.block.txdata[0];
            let reward: u64 = coinbase.output.iter().map(|out| out.value.to_sat()).sum();
            Ok(OrphanedBlock {
                at: chains.position(hash)?,
                reward_sat: reward,
                payments: count(seen.block.txdata.len()) - 1,
            })
        })
        .collect::<Result<Vec<_>, ReportError>>()?;
    blocks.sort_by_key(|block| (block.at.height, block.at.hash));
    Ok(blocks)
}

/// The fate of every payment in an orphaned block. `before` holds the blocks that the winners had when the links were opened.
fn payments(
    chains: &Chains<'_>,
    orphaned: &BTreeSet<BlockHash>,
    final_path: &[BlockHash],
    before: &BTreeSet<BlockHash>,
    mempools: &BTreeMap<usize, BTreeSet<Txid>>,
) -> Result<Vec<PaymentReport>, ReportError> {
    let mut confirmed: BTreeMap<Txid, Position> = BTreeMap::new();
    let mut spenders: BTreeMap<OutPoint, (Txid, Position)> = BTreeMap::new();
    for hash in final_path {
        let at = chains.position(hash)?;
        for transaction in &chains.get(hash)?.block.txdata[1..] {
            let txid = transaction.compute_txid();
            confirmed.insert(txid, at);
            for input in &transaction.input {
                spenders.insert(input.previous_output, (txid, at));
            }
        }
    }
    let mut lost: Vec<(Position, &bitcoin::Transaction)> = Vec::new();
    for hash in orphaned {
        let at = chains.position(hash)?;
        let transactions = &chains.get(hash)?.block.txdata[1..];
        lost.extend(transactions.iter().map(|transaction| (at, transaction)));
    }
    // Parents before children: both have a position, and a child is never below its parent.
    lost.sort_by_key(|(at, _)| at.height);
    let mut fates: BTreeMap<Txid, PaymentReport> = BTreeMap::new();
    for (at, transaction) in lost {
        let txid = transaction.compute_txid();
        let inputs = || transaction.input.iter().map(|input| input.previous_output);
        let waiting: Vec<usize> = mempools
            .iter()
            .filter(|(_, pool)| pool.contains(&txid))
            .map(|(node, _)| *node)
            .collect();
        let fate = if let Some(at) = confirmed.get(&txid).copied() {
            if before.contains(&at.hash) {
                Fate::OnBothSides { at }
            } else {
                Fate::ConfirmedAgain { at }
            }
        } else if let Some((by, at)) = inputs().find_map(|coin| spenders.get(&coin).copied()) {
            Fate::DoubleSpent { by, at }
        } else if !waiting.is_empty() {
            Fate::InMempool { nodes: waiting }
        } else if let Some(parent) = inputs().map(|coin| coin.txid).find(|parent| {
            fates
                .get(parent)
                .is_some_and(|known| known.fate.is_final_loss())
        }) {
            Fate::ParentLost { parent }
        } else {
            Fate::Gone
        };
        let report = PaymentReport {
            txid,
            lost: at,
            fate,
        };
        fates.entry(txid).or_insert(report);
    }
    Ok(fates.into_values().collect())
}

impl Fate {
    /// Whether the payment can never be confirmed again on this chain.
    pub fn is_final_loss(&self) -> bool {
        matches!(self, Fate::DoubleSpent { .. } | Fate::ParentLost { .. })
    }
}

/// Work as a number of hashes; enough for any network of a lab, and the largest number above that.
fn expected_hashes(work: Work) -> u64 {
    let bytes = work.to_be_bytes();
    let (high, low) = bytes.split_at(24);
    match high.iter().all(|byte| *byte == 0) {
        true => low
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
        false => u64::MAX,
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
