//! [`Entry`]: one transaction of the mempool with all that is known of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{Amount, Transaction, Txid, Weight, Wtxid};
use chain::{Height, Timestamp};

use super::rate::FeeRate;

/// Bytes of memory that an entry takes beside its transaction: itself and its places in six indexes.
const ENTRY_OVERHEAD: usize = 1_000;
/// Bytes of memory beside the encoded ones for each input and output: vectors, and the index of spent outpoints.
const INPUT_OVERHEAD: usize = 160;
const OUTPUT_OVERHEAD: usize = 32;

/// Sums over a set of transactions, the one that they belong to included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Transactions.
    pub count: u64,
    /// Virtual bytes.
    pub vsize: u64,
    /// Fees.
    pub fee: Amount,
    /// Weight.
    pub weight: Weight,
    /// Signature operation cost (BIP 141).
    pub sigops: u64,
}

impl Default for Sums {
    fn default() -> Sums {
        Sums {
            count: 0,
            vsize: 0,
            fee: Amount::ZERO,
            weight: Weight::ZERO,
            sigops: 0,
        }
    }
}

impl Sums {
    /// These and those.
    #[must_use]
    pub fn plus(self, other: Sums) -> Sums {
        Sums {
            count: self.count + other.count,
            vsize: self.vsize + other.vsize,
            fee: self.fee + other.fee,
            weight: self.weight + other.weight,
            sigops: self.sigops + other.sigops,
        }
    }

    /// These without those, which must be a part of these.
    #[must_use]
    pub fn minus(self, other: Sums) -> Sums {
        Sums {
            count: self.count - other.count,
            vsize: self.vsize - other.vsize,
            fee: self.fee - other.fee,
            weight: self.weight - other.weight,
            sigops: self.sigops - other.sigops,
        }
    }

    /// Fees over size.
    #[must_use]
    pub fn rate(self) -> FeeRate {
        FeeRate {
            fee: self.fee,
            vsize: self.vsize,
        }
    }
}

/// What an entry's validity depends on beside its signatures: what a reorg may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footing {
    /// Height of the youngest confirmed coin that it spends.
    pub youngest_coin: Option<Height>,
    /// Height of the youngest coinbase that it spends.
    pub youngest_coinbase: Option<Height>,
    /// Whether an input has a relative lock (BIP 68).
    pub relative_lock: bool,
}

impl Footing {
    /// A transaction that it spends was confirmed at `height`.
    pub(super) fn note_coin(&mut self, height: Height) {
        self.youngest_coin = self.youngest_coin.max(Some(height));
    }
}

/// One transaction of the mempool.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The transaction.
    pub transaction: Arc<Transaction>,
    /// Its id.
    pub txid: Txid,
    /// Its witness id.
    pub wtxid: Wtxid,
    /// What it pays.
    pub fee: Amount,
    /// Its weight (BIP 141).
    pub weight: Weight,
    /// Virtual bytes: a quarter of the weight, or more where signature operations are dense.
    pub vsize: u64,
    /// Signature operation cost (BIP 141).
    pub sigops: u64,
    /// Bytes of memory (about) that it takes.
    pub memory_bytes: usize,
    /// When it came, by the wall clock.
    pub time: Timestamp,
    /// The active height when it came.
    pub height: Height,
    /// The mempool's sequence number when it came.
    pub sequence: u64,
    /// What a reorg may change.
    pub footing: Footing,
    /// Transactions of the mempool that it spends.
    pub parents: BTreeSet<Txid>,
    /// Transactions of the mempool that spend it.
    pub children: BTreeSet<Txid>,
    /// Sums over it and all that it depends on in the mempool.
    pub ancestors: Sums,
    /// Sums over it and all that depends on it in the mempool.
    pub descendants: Sums,
}

impl Entry {
    /// Sums over the entry alone.
    #[must_use]
    pub fn own(&self) -> Sums {
        Sums {
            count: 1,
            vsize: self.vsize,
            fee: self.fee,
            weight: self.weight,
            sigops: self.sigops,
        }
    }

    /// What makes it worth keeping: its own rate, or that of all that depends on it if better.
    pub(super) fn worth_keeping(&self) -> FeeRate {
        self.own().rate().max(self.descendants.rate())
    }

    /// What makes it worth mining: its own rate, or that with all that it depends on if worse.
    pub(super) fn worth_mining(&self) -> FeeRate {
        self.own().rate().min(self.ancestors.rate())
    }
}

/// Bytes of memory (about) that a transaction takes in the mempool.
pub(super) fn memory_bytes(transaction: &Transaction) -> usize {
    ENTRY_OVERHEAD
        + transaction.total_size()
        + INPUT_OVERHEAD * transaction.input.len()
        + OUTPUT_OVERHEAD * transaction.output.len()
}
