//! [`Graph`]: the entries, how they hang together, and their indexes. It knows no rules.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{OutPoint, Txid, Wtxid};
use chain::{Height, Timestamp, pause};

#[cfg(test)]
use super::entry::memory_bytes;
use super::entry::{Entry, Sums};
use super::rate::FeeRate;

/// A block that confirms at least one in so many entries has them taken out together: then it costs less to make the indexes
/// anew for what stays than to search each of them for each entry.
const SHARE_TAKEN_TOGETHER: usize = 3;

/// Entries with their indexes, kept in step.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Boxed: trees move what they hold when they change.
    entries: BTreeMap<Txid, Box<Entry>>,
    by_wtxid: BTreeMap<Wtxid, Txid>,
    spenders: BTreeMap<OutPoint, Txid>,
    by_time: BTreeSet<(Timestamp, Txid)>,
    worth_keeping: BTreeSet<(FeeRate, Txid)>,
    worth_mining: BTreeSet<(FeeRate, Txid)>,
    memory_bytes: usize,
    own: Sums,
}

impl Graph {
    pub(super) fn get(&self, txid: &Txid) -> Option<&Entry> {
        self.entries.get(txid).map(Box::as_ref)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(Box::as_ref)
    }

    pub(super) fn txid_of(&self, wtxid: &Wtxid) -> Option<Txid> {
        self.by_wtxid.get(wtxid).copied()
    }

    pub(super) fn spender(&self, outpoint: &OutPoint) -> Option<Txid> {
        self.spenders.get(outpoint).copied()
    }

    /// Oldest first.
    pub(super) fn by_time(&self) -> impl Iterator<Item = (Timestamp, Txid)> {
        self.by_time.iter().copied()
    }

    /// The one to drop first, with the rate that makes it worth so little.
    pub(super) fn least_worth_keeping(&self) -> Option<(FeeRate, Txid)> {
        self.worth_keeping.first().copied()
    }

    /// The one to mine first comes first.
    pub(super) fn by_worth_mining(&self) -> impl Iterator<Item = (FeeRate, Txid)> {
        self.worth_mining.iter().rev().copied()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Sums over all entries.
    pub(super) fn own(&self) -> Sums {
        self.own
    }

    /// All that `txid` depends on, without itself.
    pub(super) fn ancestors(&self, txid: &Txid) -> BTreeSet<Txid> {
        let parents = self.entries.get(txid).map(|entry| &entry.parents);
        self.closure(parents.into_iter().flatten().copied(), |entry| {
            &entry.parents
        })
    }

    /// All that depends on `txid`, without itself.
    pub(super) fn descendants(&self, txid: &Txid) -> BTreeSet<Txid> {
        let children = self.entries.get(txid).map(|entry| &entry.children);
        self.closure(children.into_iter().flatten().copied(), |entry| {
            &entry.children
        })
    }

    /// `start` with all that it depends on.
    pub(super) fn with_ancestors(&self, start: impl IntoIterator<Item = Txid>) -> BTreeSet<Txid> {
        self.closure(start, |entry| &entry.parents)
    }

    /// `start` with all that depends on it.
    pub(super) fn with_descendants(&self, start: impl IntoIterator<Item = Txid>) -> BTreeSet<Txid> {
        self.closure(start, |entry| &entry.children)
    }

    fn closure<'a>(
        &'a self,
        start: impl IntoIterator<Item = Txid>,
        next: impl Fn(&'a Entry) -> &'a BTreeSet<Txid>,
    ) -> BTreeSet<Txid> {
        let mut found: BTreeSet<Txid> = BTreeSet::new();
        let mut open: Vec<Txid> = start
            .into_iter()
            .filter(|txid| found.insert(*txid))
            .collect();
        while let Some(txid) = open.pop() {
            if let Some(entry) = self.entries.get(&txid) {
                open.extend(next(entry).iter().filter(|txid| found.insert(**txid)));
            }
        }
        found
    }

    /// Adds an entry whose inputs nothing else here spends. Links and sums are filled in here.
    pub(super) fn insert(&mut self, mut entry: Entry) {
        let txid = entry.txid;
        debug_assert!(!self.entries.contains_key(&txid), "it is here already");
        let outputs = 0..entry.transaction.output.len() as u32;
        let outpoints = outputs.map(|vout| OutPoint { txid, vout });
        entry.children = outpoints
            .filter_map(|outpoint| self.spender(&outpoint))
            .collect();
        let spent = entry
            .transaction
            .input
            .iter()
            .map(|input| input.previous_output);
        entry.parents = spent
            .map(|o| o.txid)
            .filter(|id| self.entries.contains_key(id))
            .collect();
        entry.ancestors = entry.own();
        entry.descendants = entry.own();

        for input in &entry.transaction.input {
            self.spenders.insert(input.previous_output, txid);
        }
        self.by_wtxid.insert(entry.wtxid, txid);
        self.by_time.insert((entry.time, txid));
        self.memory_bytes += entry.memory_bytes;
        self.own = self.own.plus(entry.own());
        for parent in &entry.parents {
            self.update_links(parent, |entry| _ = entry.children.insert(txid));
        }
        for child in &entry.children {
            self.update_links(child, |entry| _ = entry.parents.insert(txid));
        }
        self.worth_keeping.insert((entry.worth_keeping(), txid));
        self.worth_mining.insert((entry.worth_mining(), txid));
        let (own, has_children) = (entry.own(), !entry.children.is_empty());
        self.entries.insert(txid, Box::new(entry));

        if has_children {
            // It came after what spends it (a reorg gave it back): paths through it are new on both sides.
            let mut touched = self.ancestors(&txid);
            touched.extend(self.descendants(&txid));
            touched.insert(txid);
            touched.iter().for_each(|txid| self.recompute_sums(txid));
        } else {
            let mut ancestors = own;
            for ancestor in self.ancestors(&txid) {
                ancestors = ancestors.plus(self.entries[&ancestor].own());
                self.update_sums(&ancestor, |entry| {
                    entry.descendants = entry.descendants.plus(own);
                });
            }
            self.update_sums(&txid, |entry| entry.ancestors = ancestors);
        }
    }

    /// Takes an entry out. Either nothing that it depends on is here any more, or nothing that depends on it.
    pub(super) fn remove(&mut self, txid: &Txid) -> Option<Box<Entry>> {
        let entry = self.entries.remove(txid)?;
        let ancestors = self.with_ancestors(entry.parents.iter().copied());
        let descendants = self.with_descendants(entry.children.iter().copied());
        debug_assert!(
            ancestors.is_empty() || descendants.is_empty(),
            "taken out of the middle"
        );
        let own = entry.own();
        for ancestor in ancestors {
            self.update_sums(&ancestor, |entry| {
                entry.descendants = entry.descendants.minus(own)
            });
        }
        for descendant in descendants {
            self.update_sums(&descendant, |entry| {
                entry.ancestors = entry.ancestors.minus(own)
            });
        }
        for parent in &entry.parents {
            self.update_links(parent, |entry| _ = entry.children.remove(txid));
        }
        for child in &entry.children {
            self.update_links(child, |entry| _ = entry.parents.remove(txid));
        }
        for input in &entry.transaction.input {
            self.spenders.remove(&input.previous_output);
        }
        self.by_wtxid.remove(&entry.wtxid);
        self.by_time.remove(&(entry.time, *txid));
        self.worth_keeping.remove(&(entry.worth_keeping(), *txid));
        self.worth_mining.remove(&(entry.worth_mining(), *txid));
        self.memory_bytes -= entry.memory_bytes;
        self.own = self.own.minus(own);
        Some(entry)
    }

    /// Takes out entries that the block at `height` confirms: each after all that it depends on here. What depends on them may
    /// stay.
    pub(super) fn take_out_confirmed(&mut self, txids: &[Txid], height: Height) {
        if txids.len() * SHARE_TAKEN_TOGETHER >= self.entries.len() {
            self.take_out_many(txids, height);
            return;
        }
        for txid in txids {
            pause::point();
            let entry = self.remove(txid);
            for child in entry.iter().flat_map(|entry| &entry.children) {
                self.update_links(child, |child| child.footing.note_coin(height));
            }
        }
    }

    /// As [`Graph::take_out_confirmed`]: makes the indexes anew for what stays.
    fn take_out_many(&mut self, txids: &[Txid], height: Height) {
        let gone: BTreeSet<Txid> = txids.iter().copied().collect();
        let entries = std::mem::take(self).entries.into_iter();
        let (gone, stay): (Vec<_>, Vec<_>) = entries.partition(|(txid, _)| gone.contains(txid));
        self.entries = stay.into_iter().collect();
        let mut orphaned = Vec::new();
        for (txid, entry) in &gone {
            pause::point();
            for id in &entry.children {
                self.update_links(id, |child| {
                    child.parents.remove(txid);
                    child.footing.note_coin(height);
                    orphaned.push(*id);
                });
            }
        }
        for txid in self.with_descendants(orphaned) {
            let ancestors = self.sum_with(&txid, &self.ancestors(&txid));
            self.update_links(&txid, |entry| entry.ancestors = ancestors);
        }
        self.index_all();
    }

    /// Makes all indexes and totals from the entries.
    fn index_all(&mut self) {
        let entries = || self.entries.values();
        let inputs = entries().flat_map(|entry| {
            let inputs = entry.transaction.input.iter();
            inputs.map(|input| (input.previous_output, entry.txid))
        });
        self.spenders = inputs.collect();
        self.by_wtxid = entries().map(|e| (e.wtxid, e.txid)).collect();
        self.by_time = entries().map(|e| (e.time, e.txid)).collect();
        self.worth_keeping = entries().map(|e| (e.worth_keeping(), e.txid)).collect();
        self.worth_mining = entries().map(|e| (e.worth_mining(), e.txid)).collect();
        self.memory_bytes = entries().map(|entry| entry.memory_bytes).sum();
        self.own = entries().fold(Sums::default(), |sum, entry| sum.plus(entry.own()));
    }

    /// The members of `set` in an order in which each can be taken out: descendants first.
    pub(super) fn descendants_first(&self, set: &BTreeSet<Txid>) -> Vec<Txid> {
        let mut order: Vec<(u64, Txid)> = set
            .iter()
            .filter_map(|txid| self.entries.get(txid))
            .map(|entry| (entry.ancestors.count, entry.txid))
            .collect();
        order.sort_unstable();
        order.into_iter().rev().map(|(_, txid)| txid).collect()
    }

    /// The members of `set` in an order in which a block can hold them: ancestors first.
    pub(super) fn ancestors_first(&self, set: &BTreeSet<Txid>) -> Vec<Txid> {
        let mut order = self.descendants_first(set);
        order.reverse();
        order
    }

    /// Notes on what an entry stands after a reorg.
    pub(super) fn set_footing(&mut self, txid: &Txid, footing: super::entry::Footing) {
        if let Some(entry) = self.entries.get_mut(txid) {
            entry.footing = footing;
        }
    }

    /// Changes what no index depends on, or what is not in an index yet.
    fn update_links(&mut self, txid: &Txid, update: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(txid) {
            update(entry);
        }
    }

    fn update_sums(&mut self, txid: &Txid, update: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(txid) else {
            return;
        };
        let (keeping, mining) = (entry.worth_keeping(), entry.worth_mining());
        update(entry);
        if entry.worth_keeping() != keeping {
            self.worth_keeping.remove(&(keeping, *txid));
            self.worth_keeping.insert((entry.worth_keeping(), *txid));
        }
        if entry.worth_mining() != mining {
            self.worth_mining.remove(&(mining, *txid));
            self.worth_mining.insert((entry.worth_mining(), *txid));
        }
    }

    fn recompute_sums(&mut self, txid: &Txid) {
        let ancestors = self.sum_with(txid, &self.ancestors(txid));
        let descendants = self.sum_with(txid, &self.descendants(txid));
        self.update_sums(txid, |entry| {
            entry.ancestors = ancestors;
            entry.descendants = descendants;
        });
    }

    fn sum_with(&self, txid: &Txid, others: &BTreeSet<Txid>) -> Sums {
        let own = |txid| self.entries[txid].own();
        others
            .iter()
            .fold(own(txid), |sum, other| sum.plus(own(other)))
    }

    /// Recomputes everything that is kept incrementally and compares.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        let mut own = Sums::default();
        let mut bytes = 0;
        let mut spent = 0;
        for (txid, entry) in &self.entries {
            own = own.plus(entry.own());
            bytes += memory_bytes(&entry.transaction);
            spent += entry.transaction.input.len();
            let sum = |set: BTreeSet<Txid>| {
                set.iter()
                    .fold(entry.own(), |sum, id| sum.plus(self.entries[id].own()))
            };
            assert_eq!(entry.ancestors, sum(self.ancestors(txid)));
            assert_eq!(entry.descendants, sum(self.descendants(txid)));
            for input in &entry.transaction.input {
                assert_eq!(self.spender(&input.previous_output), Some(*txid));
                let parent = input.previous_output.txid;
                assert_eq!(
                    entry.parents.contains(&parent),
                    self.entries.contains_key(&parent)
                );
            }
            assert!(
                entry
                    .children
                    .iter()
                    .all(|id| self.entries[id].parents.contains(txid))
            );
            assert!(self.worth_keeping.contains(&(entry.worth_keeping(), *txid)));
            assert!(self.worth_mining.contains(&(entry.worth_mining(), *txid)));
            assert!(self.by_time.contains(&(entry.time, *txid)));
            assert_eq!(self.txid_of(&entry.wtxid), Some(*txid));
        }
        let count = self.entries.len();
        assert_eq!((self.own, self.memory_bytes), (own, bytes));
        assert_eq!(self.spenders.len(), spent);
        assert_eq!(self.by_wtxid.len(), count);
        assert_eq!(self.by_time.len(), count);
        assert_eq!(self.worth_keeping.len(), count);
        assert_eq!(self.worth_mining.len(), count);
    }
}
