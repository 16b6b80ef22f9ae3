//! Unconfirmed transactions: one verb per file.
//!
//! | file | what |
//! |---|---|
//! | `accept` | checks a transaction against the rules and the policy, and keeps it |
//! | `package` | several at once: a child may pay for its parents |
//! | `replace` | a better paying transaction takes the place of those that it conflicts with |
//! | `evict` | what has to go when the mempool is full or a transaction waited too long |
//! | `on_reorg` | follows the active chain: confirmed, conflicting, given back |
//! | `aside` | what the chain contradicted, kept in case it changes again |
//! | `template` | what the next block holds |
//! | `dump` | the mempool as bytes, as Bitcoin Core writes them |
//! | `orphans`, `refused` | transactions whose parents are missing; those that were refused lately |
//!
//! *Invariant*: every entry is valid in the next block together with its ancestors here, and no two entries spend the same
//! coin. The mempool reads no clock; times are passed in.

mod accept;
mod aside;
pub mod dump;
mod entry;
mod error;
mod evict;
mod graph;
#[cfg(test)]
mod model;
mod on_reorg;
mod orphans;
pub mod package;
pub mod policy;
mod rate;
mod refused;
mod replace;
mod template;

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{Amount, OutPoint, Transaction, Txid, Wtxid};
use chain::rules::spend::SignatureCache;
use chain::{Chain, Timestamp};

pub use accept::{Candidate, UncheckedSignatures};
pub use entry::{Entry, Footing, Sums};
pub use error::{ChainLimit, MempoolError};
pub use evict::EXPIRY_S;
pub use on_reorg::Returning;
pub use orphans::{Orphans, Sender};
pub use rate::{FeeRate, SatPerKvb};
pub use template::{Selected, Selection, SelectionLimits};

use aside::Aside;
use graph::Graph;
use policy::OutputKinds;
use refused::Refused;

/// Bytes of memory that the mempool may take unless told otherwise.
pub const DEFAULT_MAX_BYTES: usize = 50_000_000;

/// Why a transaction left the mempool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemovalReason {
    /// It is in a block of the active chain.
    Confirmed,
    /// A block spent one of its inputs another way.
    Conflict,
    /// Another transaction with higher fees took its place.
    Replaced,
    /// It was the cheapest when the mempool was full.
    SizeLimit,
    /// It waited too long.
    Expired,
    /// After a reorg it is not valid any more.
    Reorg,
}

/// One change of the mempool. What a call changed is told in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A transaction came.
    Added(Txid),
    /// A transaction left.
    Removed(Txid, RemovalReason),
}

/// What the mempool may know of the world.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The chain on whose tip transactions must be valid.
    pub chain: &'a Chain,
    /// Where valid signatures are noted, so that a block need not check them again.
    pub signatures: &'a SignatureCache,
    /// The wall clock.
    pub now: Timestamp,
}

/// The mempool.
#[derive(Debug)]
pub struct Mempool {
    graph: Graph,
    max_bytes: usize,
    kinds: OutputKinds,
    floor: evict::Floor,
    refused: Refused,
    aside: Aside,
    sequence: u64,
}

impl Mempool {
    /// An empty mempool of up to `max_bytes` of memory; 0 for [`DEFAULT_MAX_BYTES`].
    #[must_use]
    pub fn new(max_bytes: usize) -> Mempool {
        let max_bytes = if max_bytes == 0 {
            DEFAULT_MAX_BYTES
        } else {
            max_bytes
        };
        Mempool {
            graph: Graph::default(),
            max_bytes,
            kinds: OutputKinds::default(),
            floor: evict::Floor::default(),
            refused: Refused::default(),
            aside: Aside::default(),
            sequence: 1,
        }
    }

    /// The same mempool, taking other kinds of outputs.
    #[must_use]
    pub fn with_outputs(self, kinds: OutputKinds) -> Mempool {
        Mempool { kinds, ..self }
    }

    /// An entry by id.
    #[must_use]
    pub fn get(&self, txid: &Txid) -> Option<&Entry> {
        self.graph.get(txid)
    }

    /// An entry by witness id.
    #[must_use]
    pub fn get_by_wtxid(&self, wtxid: &Wtxid) -> Option<&Entry> {
        self.graph
            .txid_of(wtxid)
            .and_then(|txid| self.graph.get(&txid))
    }

    /// The entry that spends `outpoint`.
    #[must_use]
    pub fn spender(&self, outpoint: &OutPoint) -> Option<&Entry> {
        self.graph
            .spender(outpoint)
            .and_then(|txid| self.graph.get(&txid))
    }

    /// All entries, by id.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.graph.entries()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.graph.own().count as usize
    }

    /// Whether nothing is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sums over all entries.
    #[must_use]
    pub fn totals(&self) -> Sums {
        self.graph.own()
    }

    /// Bytes of memory (about) in use.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.graph.memory_bytes()
    }

    /// Bytes of memory that may be used.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// The least fee rate that is taken: the relay fee, or more while the mempool was full lately.
    #[must_use]
    pub fn min_fee(&self, now: Timestamp) -> SatPerKvb {
        self.floor
            .at(now, self.memory_bytes(), self.max_bytes)
            .max(policy::MIN_RELAY_FEE)
    }

    /// All that an entry depends on here, without itself.
    #[must_use]
    pub fn ancestors(&self, txid: &Txid) -> BTreeSet<Txid> {
        self.graph.ancestors(txid)
    }

    /// All that depends on an entry here, without itself.
    #[must_use]
    pub fn descendants(&self, txid: &Txid) -> BTreeSet<Txid> {
        self.graph.descendants(txid)
    }

    /// Grows with every addition and removal: equal numbers mean equal content within a run.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether a transaction was refused lately, for a reason that cannot have gone since.
    #[must_use]
    pub fn was_refused(&self, wtxid: &Wtxid) -> bool {
        self.refused.contains(wtxid)
    }

    /// Whether a transaction is kept beside the mempool: the chain contradicts it, and may be changed so that it is good again.
    #[must_use]
    pub fn is_set_aside(&self, txid: &Txid) -> bool {
        self.aside.contains(txid)
    }

    /// Sum of all fees.
    #[must_use]
    pub fn total_fee(&self) -> Amount {
        self.graph.own().fee
    }

    /// Removes a set that is closed under descendants.
    fn remove_all(
        &mut self,
        set: &BTreeSet<Txid>,
        reason: RemovalReason,
        changes: &mut Vec<Change>,
    ) {
        for txid in self.graph.descendants_first(set) {
            self.remove_one(&txid, reason, changes);
        }
    }

    fn remove_one(&mut self, txid: &Txid, reason: RemovalReason, changes: &mut Vec<Change>) {
        if self.graph.remove(txid).is_some() {
            self.sequence += 1;
            changes.push(Change::Removed(*txid, reason));
        }
    }

    fn insert(&mut self, entry: Entry, changes: &mut Vec<Change>) {
        self.sequence += 1;
        changes.push(Change::Added(entry.txid));
        self.graph.insert(entry);
    }

    /// As [`Mempool::insert`], for good: it need not be kept beside the mempool as well.
    fn admit(&mut self, entry: Entry, changes: &mut Vec<Change>) {
        self.aside.remove(&entry.txid);
        self.insert(entry, changes);
    }
}

impl p2p::sync::PoolView for Mempool {
    fn for_each(&self, each: &mut dyn FnMut(&Arc<Transaction>, Wtxid)) {
        for entry in self.graph.entries() {
            each(&entry.transaction, entry.wtxid);
        }
    }

    fn knows(&self, txid: &Txid) -> bool {
        self.graph.get(txid).is_some() || self.refused.contains_txid(txid)
    }

    fn transaction(&self, txid: &Txid) -> Option<Arc<Transaction>> {
        self.graph
            .get(txid)
            .map(|entry| Arc::clone(&entry.transaction))
    }

    fn txids(&self, limit: usize) -> Vec<Txid> {
        self.graph
            .entries()
            .take(limit)
            .map(|entry| entry.txid)
            .collect()
    }
}
