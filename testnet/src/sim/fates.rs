//! What became of every payment that a node took.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Block, BlockHash, OutPoint, Transaction, Txid};
use chain::{Chain, Height};
use serde::{Deserialize, Serialize};

use super::stats::PaymentFigures;
use super::world::{SimNode, World};
use crate::invariants::Rule;

/// The end of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// In the final chain.
    Confirmed,
    /// In some mempool, or on a branch that some node is on, or set aside by a node whose branch contradicts it for now.
    Waiting,
    /// Its payer spent the same coin at another node, and that payment came through.
    Conflicted,
    /// It spends what a payment gave that came to nothing.
    Void,
    /// Every node that had it crashed before another had it. Mempools live in memory.
    Crashed,
    /// None of these: a node lost it. That is a violation.
    Vanished,
}

/// All payments, and where they were seen.
#[derive(Default)]
pub(super) struct Payments {
    all: BTreeMap<Txid, Paid>,
    by_coin: BTreeMap<OutPoint, Vec<Txid>>,
}

struct Paid {
    inputs: Vec<OutPoint>,
    blocks: Vec<BlockHash>,
    holders_crashed: bool,
}

impl Payments {
    /// A node took a payment.
    pub(super) fn paid(&mut self, transaction: &Transaction) {
        let txid = transaction.compute_txid();
        let inputs: Vec<OutPoint> = transaction
            .input
            .iter()
            .map(|input| input.previous_output)
            .collect();
        for coin in &inputs {
            self.by_coin.entry(*coin).or_default().push(txid);
        }
        self.all.entry(txid).or_insert(Paid {
            inputs,
            blocks: Vec::new(),
            holders_crashed: false,
        });
    }

    /// A block was found; it may hold payments.
    pub(super) fn mined(&mut self, hash: BlockHash, block: &Block) {
        for transaction in &block.txdata[1..] {
            if let Some(paid) = self.all.get_mut(&transaction.compute_txid()) {
                paid.blocks.push(hash);
            }
        }
    }

    /// Payments that a node keeps for another change of its chain.
    pub(super) fn set_aside(&self, mempool: &node_core::mempool::Mempool) -> Vec<Txid> {
        let all = self.all.keys().copied();
        all.filter(|txid| mempool.is_set_aside(txid)).collect()
    }

    /// A node is about to crash: what only it has is lost with it.
    pub(super) fn node_crashes(&mut self, node: usize, nodes: &[SimNode]) {
        for (txid, paid) in &mut self.all {
            let mut holders = (0..nodes.len()).filter(|node| {
                let sim = &nodes[*node];
                holds(sim, txid, paid) || sets_aside(sim, txid)
            });
            if holders.next() == Some(node) && holders.next().is_none() {
                paid.holders_crashed = true;
            }
        }
    }

    /// The fate of each payment, given the final chain.
    fn fates(&self, best: Option<&Chain>, nodes: &[SimNode]) -> BTreeMap<Txid, Fate> {
        let confirmed = Confirmed::of(best);
        let mut fates: BTreeMap<Txid, Fate> = BTreeMap::new();
        for (txid, paid) in &self.all {
            if let Some(fate) = direct_fate(txid, paid, &confirmed, nodes) {
                fates.insert(*txid, fate);
            }
        }
        self.derive_fates(&mut fates);
        // A node on the best chain that sets a payment aside has a reason for it that was found by now; if not, it is lost.
        let elsewhere = |node: &&SimNode| node.tip != best.map(|chain| chain.tip().hash);
        for txid in self.all.keys() {
            if nodes
                .iter()
                .filter(elsewhere)
                .any(|node| sets_aside(node, txid))
            {
                fates.entry(*txid).or_insert(Fate::Waiting);
            }
        }
        self.derive_fates(&mut fates);
        for txid in self.all.keys() {
            fates.entry(*txid).or_insert(Fate::Vanished);
        }
        fates
    }

    /// Adds what follows from the fates of others, until nothing more does.
    fn derive_fates(&self, fates: &mut BTreeMap<Txid, Fate>) {
        loop {
            let before = fates.len();
            for (txid, paid) in &self.all {
                if !fates.contains_key(txid)
                    && let Some(fate) = self.derived_fate(txid, paid, fates)
                {
                    fates.insert(*txid, fate);
                }
            }
            if fates.len() == before {
                return;
            }
        }
    }

    fn derived_fate(&self, txid: &Txid, paid: &Paid, fates: &BTreeMap<Txid, Fate>) -> Option<Fate> {
        let came_to_nothing = |coin: &OutPoint| {
            let parent = fates.get(&coin.txid);
            parent.is_some_and(|fate| !matches!(fate, Fate::Confirmed | Fate::Waiting))
        };
        if paid.inputs.iter().any(came_to_nothing) {
            return Some(Fate::Void);
        }
        let has_settled_rival = |coin: &OutPoint| {
            let rivals = self.by_coin.get(coin).into_iter().flatten();
            rivals
                .filter(|rival| *rival != txid)
                .any(|rival| fates.contains_key(rival))
        };
        let settled = paid.inputs.iter().any(has_settled_rival);
        settled.then_some(Fate::Conflicted)
    }
}

/// Transactions of the final chain, and the coins that they spent.
#[derive(Default)]
struct Confirmed {
    txids: BTreeSet<Txid>,
    spent: BTreeSet<OutPoint>,
}

impl Confirmed {
    fn of(best: Option<&Chain>) -> Confirmed {
        let mut confirmed = Confirmed::default();
        let Some(chain) = best else { return confirmed };
        for height in 1..=chain.tip().height.0 {
            let header = chain.at_height(Height(height));
            let block = header.and_then(|header| chain.block(&header.hash).ok().flatten());
            let Some(block) = block else { continue };
            for transaction in &block.block().txdata[1..] {
                confirmed.txids.insert(transaction.compute_txid());
                let inputs = transaction.input.iter();
                confirmed
                    .spent
                    .extend(inputs.map(|input| input.previous_output));
            }
        }
        confirmed
    }
}

/// Whether a node that is up has a payment in its mempool or chain.
fn holds(node: &SimNode, txid: &Txid, paid: &Paid) -> bool {
    node.core.as_ref().is_some_and(|core| {
        core.mempool().get(txid).is_some()
            || paid.blocks.iter().any(|hash| core.chain().is_active(hash))
    })
}

/// Whether a node that is up keeps a payment for another change of its chain.
fn sets_aside(node: &SimNode, txid: &Txid) -> bool {
    let core = node.core.as_ref();
    core.is_some_and(|core| core.mempool().is_set_aside(txid))
}

/// The fate that can be seen without knowing that of other payments.
fn direct_fate(txid: &Txid, paid: &Paid, confirmed: &Confirmed, nodes: &[SimNode]) -> Option<Fate> {
    let mempools = || {
        let cores = nodes.iter().filter_map(|node| node.core.as_ref());
        cores.map(|core| core.mempool())
    };
    if confirmed.txids.contains(txid) {
        return Some(Fate::Confirmed);
    }
    if mempools().any(|mempool| mempool.get(txid).is_some()) {
        return Some(Fate::Waiting);
    }
    let is_spent = |coin: &OutPoint| {
        confirmed.spent.contains(coin) || mempools().any(|mempool| mempool.spender(coin).is_some())
    };
    if paid.inputs.iter().any(is_spent) {
        return Some(Fate::Conflicted);
    }
    if nodes.iter().any(|node| holds(node, txid, paid)) {
        return Some(Fate::Waiting);
    }
    paid.holders_crashed.then_some(Fate::Crashed)
}

impl World<'_> {
    /// Tells the fate of every payment. One that vanished is a violation.
    pub(super) fn settle_payments(&mut self) -> PaymentFigures {
        let fates = self.payments.fates(self.best_chain(), &self.nodes);
        let mut figures = PaymentFigures::default();
        let mut vanished = Vec::new();
        for (txid, fate) in fates {
            figures.count(fate);
            if fate == Fate::Vanished {
                vanished.push(txid.to_string());
            }
        }
        if let Some(first) = vanished.first() {
            let detail = format!("{} payments are lost, as {first}", vanished.len());
            let now_us = self.now_us;
            self.watch.violate(now_us, Rule::NoPaymentIsLost, detail);
        }
        figures
    }
}
