//! Transactions that a change of the chain contradicted, in case the chain changes again.
//!
//! A block that confirms one of two payments of the same coin sends the other away. If that block is lost later, on a branch
//! where neither is confirmed, the other is good again, and perhaps nobody has it any more: it would be lost although no coin
//! of it is spent. So it is set aside, and tried again when the chain gives something back. (Bitcoin Core leaves this to the
//! wallet of whoever pays.)

use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::{Transaction, Txid};
use chain::Timestamp;

use super::entry::memory_bytes;

/// Bytes of memory of all that is set aside: about 3,000 payments. The oldest goes first.
const MAX_ASIDE_BYTES: usize = 5_000_000;

/// Transactions that are not valid on this branch, and may be on another.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// By the order in which they were set aside: parents before children of one change.
    kept: BTreeMap<u64, Kept>,
    by_txid: BTreeMap<Txid, u64>,
    memory_bytes: usize,
    added: u64,
}

#[derive(Debug)]
struct Kept {
    transaction: Arc<Transaction>,
    txid: Txid,
    since: Timestamp,
}

impl Aside {
    /// Keeps a transaction, until newer ones need its room. One that is here keeps its place.
    pub(super) fn add(&mut self, transaction: Arc<Transaction>, txid: Txid, now: Timestamp) {
        if self.by_txid.contains_key(&txid) {
            return;
        }
        self.added += 1;
        self.memory_bytes += memory_bytes(&transaction);
        self.by_txid.insert(txid, self.added);
        let kept = Kept {
            transaction,
            txid,
            since: now,
        };
        self.kept.insert(self.added, kept);
        while self.memory_bytes > MAX_ASIDE_BYTES {
            self.forget_oldest();
        }
    }

    /// Forgets a transaction, if it is here.
    pub(super) fn remove(&mut self, txid: &Txid) {
        if let Some(number) = self.by_txid.remove(txid)
            && let Some(kept) = self.kept.remove(&number)
        {
            self.memory_bytes -= memory_bytes(&kept.transaction);
        }
    }

    /// Forgets what was set aside before `before`.
    pub(super) fn expire(&mut self, before: Timestamp) {
        while let Some(oldest) = self.kept.first_entry()
            && oldest.get().since < before
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, kept)) = self.kept.pop_first() {
            self.by_txid.remove(&kept.txid);
            self.memory_bytes -= memory_bytes(&kept.transaction);
        }
    }

    pub(super) fn contains(&self, txid: &Txid) -> bool {
        self.by_txid.contains_key(txid)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many were ever added: tells whether there are new ones.
    pub(super) fn added(&self) -> u64 {
        self.added
    }

    pub(super) fn oldest_first(&self) -> Vec<(Txid, Arc<Transaction>)> {
        let kept = self.kept.values();
        kept.map(|kept| (kept.txid, Arc::clone(&kept.transaction)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::absolute::LockTime;
    use bitcoin::{Amount, ScriptBuf, TxOut, transaction};

    use super::*;

    fn carrying(number: u32, bytes: usize) -> (Arc<Transaction>, Txid) {
        let transaction = Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::from_consensus(number),
            input: vec![],
            output: vec![TxOut {
                value: Amount::ZERO,
                script_pubkey: ScriptBuf::from_bytes(vec![0x6a; bytes]),
            }],
        };
        let txid = transaction.compute_txid();
        (Arc::new(transaction), txid)
    }

    fn txids(aside: &Aside) -> Vec<Txid> {
        aside
            .oldest_first()
            .into_iter()
            .map(|(txid, _)| txid)
            .collect()
    }

    #[test]
    fn the_oldest_go_when_room_or_time_is_over() {
        let mut aside = Aside::default();
        let many: Vec<_> = (0..10).map(|n| carrying(n, MAX_ASIDE_BYTES / 9)).collect();
        for (number, (transaction, txid)) in many.iter().enumerate() {
            let since = Timestamp(100 + number as u32);
            aside.add(Arc::clone(transaction), *txid, since);
            aside.add(Arc::clone(transaction), *txid, since);
        }
        let expected: Vec<Txid> = many[2..].iter().map(|(_, txid)| *txid).collect();
        assert_eq!(txids(&aside), expected);
        assert!(aside.memory_bytes <= MAX_ASIDE_BYTES);
        aside.expire(Timestamp(105));
        assert_eq!(txids(&aside), expected[3..]);
        for txid in &expected {
            aside.remove(txid);
        }
        assert!(aside.is_empty() && aside.by_txid.is_empty());
        assert_eq!((aside.memory_bytes, aside.added()), (0, 10));
    }
}
