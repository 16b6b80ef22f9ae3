//! Where every payment stands at some time, as the chain with the most work has it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid};

use crate::record::{BlockId, Handed, Record};

/// The final chain of a span of time, and what else is known of payments in it.
pub struct Ledger<'a> {
    pub(super) record: &'a Record,
    /// The final tip.
    pub tip: BlockId,
    /// The span: mempools are those that were told last in it.
    pub(super) from: u64,
    pub(super) to: u64,
    chain: BTreeSet<BlockId>,
    /// Transactions of the final chain, coinbases too.
    pub(super) confirmed: BTreeMap<Txid, BlockId>,
    /// Coins that the final chain spends.
    pub(super) spent: BTreeMap<OutPoint, Txid>,
    /// Nodes that have a transaction in their mempool.
    pub(super) waiting: BTreeMap<Txid, Vec<usize>>,
    /// Nodes that keep it for another change of their chain.
    pub(super) aside: BTreeMap<Txid, Vec<usize>>,
    /// Coins that are spent in mempools.
    pub(super) spent_in_mempools: BTreeMap<OutPoint, BTreeSet<Txid>>,
    /// Whether any mempool was told in the span.
    pub(super) mempools_are_known: bool,
    /// All blocks with a payment.
    pub(super) blocks_of: BTreeMap<Txid, Vec<BlockId>>,
    /// Rewards of blocks that are not in the final chain.
    pub(super) lost_rewards: BTreeSet<Txid>,
    /// Where in the record a payment was handed to nodes.
    pub(super) handed: BTreeMap<Txid, Vec<&'a Handed>>,
    /// When a block was first taken back.
    taken_back: BTreeMap<BlockId, u64>,
}

impl<'a> Ledger<'a> {
    /// For the span `from` to `to`, both included: the final chain is the one that [`best_tip`] gives at its end.
    pub fn new(record: &'a Record, from: u64, to: u64) -> Ledger<'a> {
        let tip = best_tip(record, to);
        let mut ledger = Ledger {
            record,
            tip,
            from,
            to,
            chain: record.blocks.ancestors(tip).collect(),
            confirmed: BTreeMap::new(),
            spent: BTreeMap::new(),
            waiting: BTreeMap::new(),
            aside: BTreeMap::new(),
            spent_in_mempools: BTreeMap::new(),
            mempools_are_known: false,
            blocks_of: BTreeMap::new(),
            lost_rewards: BTreeSet::new(),
            handed: BTreeMap::new(),
            taken_back: taken_back(record, to),
        };
        ledger.read_blocks();
        ledger.read_payments();
        ledger
    }

    /// Whether a block is in the final chain.
    pub fn holds(&self, block: BlockId) -> bool {
        self.chain.contains(&block)
    }

    /// When a block was first taken back by a node, in the span or before.
    pub fn taken_back(&self, block: BlockId) -> Option<u64> {
        self.taken_back.get(&block).copied()
    }

    fn read_blocks(&mut self) {
        let record = self.record;
        for (id, block) in record.blocks.iter().filter(|(_, block)| block.t <= self.to) {
            let is_final = self.chain.contains(&id);
            match block.coinbase {
                Some(coinbase) if is_final => _ = self.confirmed.insert(coinbase, id),
                Some(coinbase) => _ = self.lost_rewards.insert(coinbase),
                None => {}
            }
            for txid in &block.payments {
                self.blocks_of.entry(*txid).or_default().push(id);
                if is_final {
                    self.confirmed.insert(*txid, id);
                    for coin in &record.transactions[txid].spends {
                        self.spent.insert(*coin, *txid);
                    }
                }
            }
        }
    }

    fn read_payments(&mut self) {
        let record = self.record;
        for handed in record.handed.iter().filter(|handed| handed.t <= self.to) {
            self.handed.entry(handed.txid).or_default().push(handed);
        }
        for node in 0..record.nodes.len() {
            let Some(told) = record.last_mempool(node, self.from, self.to) else {
                continue;
            };
            // A mempool lives in memory: what a node had before it went down says nothing.
            let mut exits = record.nodes[node].exits.iter();
            if exits.any(|(exit, _)| (told.t..=self.to).contains(exit)) {
                continue;
            }
            self.mempools_are_known = true;
            for txid in &told.txids {
                self.waiting.entry(*txid).or_default().push(node);
                for coin in &record.transactions[txid].spends {
                    self.spent_in_mempools
                        .entry(*coin)
                        .or_default()
                        .insert(*txid);
                }
            }
            for txid in &told.aside {
                self.aside.entry(*txid).or_default().push(node);
            }
        }
    }
}

/// The tip with the most work of all nodes that are up and not frozen at a time; of equal ones that of more nodes, then the one
/// that was known first. If no node is up, the best that any had.
pub fn best_tip(record: &Record, t: u64) -> BlockId {
    let mut on_tip: BTreeMap<BlockId, usize> = BTreeMap::new();
    for (node, history) in record.nodes.iter().enumerate() {
        if let Some(tip) = history.tip_at(t).filter(|_| !record.is_frozen_at(node, t)) {
            *on_tip.entry(tip).or_default() += 1;
        }
    }
    if on_tip.is_empty() {
        let last = record.nodes.iter().filter_map(|node| node.last_tip_at(t));
        on_tip.extend(last.map(|tip| (tip, 1)));
    }
    let best = on_tip.into_iter().max_by_key(|(tip, nodes)| {
        let work = record.blocks.get(*tip).chain_work;
        (work, *nodes, Reverse(*tip))
    });
    best.map_or(BlockId::GENESIS, |(tip, _)| tip)
}

/// When each block was first taken back by a node, up to a time.
fn taken_back(record: &Record, to: u64) -> BTreeMap<BlockId, u64> {
    let mut first: BTreeMap<BlockId, u64> = BTreeMap::new();
    let reorgs = record.nodes.iter().flat_map(|node| &node.reorgs);
    for reorg in reorgs.filter(|reorg| reorg.t <= to) {
        for block in record
            .blocks
            .ancestors(reorg.from)
            .take(reorg.depth as usize)
        {
            let t = first.entry(block).or_insert(reorg.t);
            *t = reorg.t.min(*t);
        }
    }
    first
}
