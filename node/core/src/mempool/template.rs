//! What the next block holds: by fee rate with ancestors, parents first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bitcoin::{Amount, Transaction, Txid, Weight, Wtxid};

use super::Mempool;
use super::entry::{Entry, Sums};
use super::rate::FeeRate;

/// After so many packages in a row did not fit into a nearly full block, it is full.
const MAX_MISSES: u32 = 1_000;
/// "Nearly full": less weight left than this.
const NEARLY_FULL: Weight = Weight::from_wu(4_000);

/// Room that a block has beside its coinbase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectionLimits {
    /// Most weight.
    pub weight: Weight,
    /// Most signature operation cost.
    pub sigops: u64,
}

/// One transaction that was selected.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The transaction.
    pub transaction: Arc<Transaction>,
    /// Its id.
    pub txid: Txid,
    /// Its witness id.
    pub wtxid: Wtxid,
    /// What it pays.
    pub fee: Amount,
    /// Its weight.
    pub weight: Weight,
    /// Signature operation cost (BIP 141).
    pub sigops: u64,
    /// Positions (from 1, as in getblocktemplate) of selected transactions that it spends.
    pub depends: Vec<u32>,
}

/// What was selected.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// In an order in which a block can hold them.
    pub transactions: Vec<Selected>,
    /// Sums over them.
    pub sums: Sums,
}

impl Mempool {
    /// Selects transactions by the fee rate that each has together with those of its ancestors that are not selected yet.
    #[must_use]
    pub fn select(&self, limits: SelectionLimits) -> Selection {
        Selector::new(self, limits).run()
    }
}

struct Selector<'a> {
    pool: &'a Mempool,
    limits: SelectionLimits,
    sums: Sums,
    order: Vec<Txid>,
    chosen: BTreeSet<Txid>,
    /// Sums with ancestors, less those that are chosen, where these differ from the entry's own.
    rest: BTreeMap<Txid, Sums>,
    rest_by_worth: BTreeSet<(FeeRate, Txid)>,
    unfit: BTreeSet<Txid>,
}

impl<'a> Selector<'a> {
    fn new(pool: &'a Mempool, limits: SelectionLimits) -> Selector<'a> {
        Selector {
            pool,
            limits,
            sums: Sums::default(),
            order: Vec::new(),
            chosen: BTreeSet::new(),
            rest: BTreeMap::new(),
            rest_by_worth: BTreeSet::new(),
            unfit: BTreeSet::new(),
        }
    }

    fn run(mut self) -> Selection {
        let mut untouched = self.pool.graph.by_worth_mining().peekable();
        let mut misses = 0;
        loop {
            while untouched
                .next_if(|(_, txid)| self.is_settled_or_changed(txid))
                .is_some()
            {}
            let txid = match (untouched.peek(), self.rest_by_worth.last()) {
                (Some(fresh), Some(changed)) if fresh.0 >= changed.0 => fresh.1,
                (_, Some(changed)) => changed.1,
                (Some(fresh), None) => fresh.1,
                (None, None) => break,
            };
            if self.fits(self.sums_with_rest(&txid)) {
                misses = 0;
                self.choose(&txid);
            } else {
                misses += 1;
                self.unfit.insert(txid);
                self.forget_rest(&txid);
                if misses > MAX_MISSES && self.is_nearly_full() {
                    break;
                }
            }
        }
        self.finish()
    }

    fn is_settled_or_changed(&self, txid: &Txid) -> bool {
        self.chosen.contains(txid) || self.rest.contains_key(txid) || self.unfit.contains(txid)
    }

    fn sums_with_rest(&self, txid: &Txid) -> Sums {
        let ancestors = || {
            self.pool
                .get(txid)
                .map(|entry| entry.ancestors)
                .unwrap_or_default()
        };
        self.rest.get(txid).copied().unwrap_or_else(ancestors)
    }

    fn fits(&self, more: Sums) -> bool {
        let sums = self.sums.plus(more);
        sums.weight <= self.limits.weight && sums.sigops <= self.limits.sigops
    }

    fn is_nearly_full(&self) -> bool {
        self.sums.weight + NEARLY_FULL > self.limits.weight
    }

    /// Takes `txid` with those of its ancestors that are not chosen yet.
    fn choose(&mut self, txid: &Txid) {
        let mut package = self.pool.ancestors(txid);
        package.insert(*txid);
        package.retain(|txid| !self.chosen.contains(txid));
        for txid in self.pool.graph.ancestors_first(&package) {
            let Some(entry) = self.pool.get(&txid) else {
                continue;
            };
            self.sums = self.sums.plus(entry.own());
            self.order.push(txid);
            self.chosen.insert(txid);
            self.forget_rest(&txid);
        }
        for txid in &package {
            let Some(entry) = self.pool.get(txid) else {
                continue;
            };
            if !entry.children.is_empty() {
                self.take_off_descendants(entry);
            }
        }
    }

    /// `chosen` need not be paid for by what depends on it any more.
    fn take_off_descendants(&mut self, chosen: &Entry) {
        for txid in self.pool.descendants(&chosen.txid) {
            if self.chosen.contains(&txid) || self.unfit.contains(&txid) {
                continue;
            }
            let Some(entry) = self.pool.get(&txid) else {
                continue;
            };
            let rest = self.sums_with_rest(&txid).minus(chosen.own());
            self.forget_rest(&txid);
            self.rest.insert(txid, rest);
            self.rest_by_worth.insert((worth(entry, rest), txid));
        }
    }

    fn forget_rest(&mut self, txid: &Txid) {
        if let (Some(rest), Some(entry)) = (self.rest.remove(txid), self.pool.get(txid)) {
            self.rest_by_worth.remove(&(worth(entry, rest), *txid));
        }
    }

    fn finish(self) -> Selection {
        let mut places = BTreeMap::new();
        let mut transactions = Vec::with_capacity(self.order.len());
        for (index, txid) in self.order.iter().enumerate() {
            let Some(entry) = self.pool.get(txid) else {
                continue;
            };
            places.insert(*txid, index as u32 + 1);
            let mut depends: Vec<u32> = entry
                .parents
                .iter()
                .filter_map(|parent| places.get(parent).copied())
                .collect();
            depends.sort_unstable();
            transactions.push(Selected {
                transaction: Arc::clone(&entry.transaction),
                txid: *txid,
                wtxid: entry.wtxid,
                fee: entry.fee,
                weight: entry.weight,
                sigops: entry.sigops,
                depends,
            });
        }
        Selection {
            transactions,
            sums: self.sums,
        }
    }
}

/// The own rate, or that with the rest of the ancestors if worse: a rich child does not make its own rate worse by being
/// taken late.
fn worth(entry: &Entry, rest: Sums) -> FeeRate {
    entry.own().rate().min(rest.rate())
}
