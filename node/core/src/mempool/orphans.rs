//! Transactions whose parents are not here yet: kept for a while, and tried again when a parent comes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bitcoin::{Transaction, Txid, Wtxid};
use p2p::{PeerGroup, PeerNum};

use super::entry::memory_bytes;

/// Most orphans, and bytes of memory of all of them. The oldest of the group of peers that sent most goes first.
const MAX_ORPHANS: usize = 100;
const MAX_ORPHAN_BYTES: usize = 2_000_000;

/// Who gave a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The connection, which may have ended since.
    pub peer: PeerNum,
    /// Where it came from.
    pub group: PeerGroup,
}

/// Transactions that wait for parents.
#[derive(Debug, Default)]
pub struct Orphans {
    by_wtxid: BTreeMap<Wtxid, (Arc<Transaction>, Sender)>,
    by_parent: BTreeMap<Txid, BTreeSet<Wtxid>>,
    order: VecDeque<Wtxid>,
    memory_bytes: usize,
}

impl Orphans {
    /// Keeps a transaction until a parent comes, or others need its room more: those of senders that have less of it.
    pub fn add(&mut self, transaction: Arc<Transaction>, sender: Sender) {
        let wtxid = transaction.compute_wtxid();
        if self.by_wtxid.contains_key(&wtxid) {
            return;
        }
        for input in &transaction.input {
            self.by_parent
                .entry(input.previous_output.txid)
                .or_default()
                .insert(wtxid);
        }
        self.memory_bytes += memory_bytes(&transaction);
        self.by_wtxid.insert(wtxid, (transaction, sender));
        self.order.push_back(wtxid);
        while self.by_wtxid.len() > MAX_ORPHANS || self.memory_bytes > MAX_ORPHAN_BYTES {
            let Some(least) = self.least_entitled() else {
                break;
            };
            self.order.retain(|wtxid| *wtxid != least);
            self.remove(&least);
        }
    }

    /// Takes out those that spend an output of `parent`, with their senders.
    pub fn take_children(&mut self, parent: &Txid) -> Vec<(Arc<Transaction>, Sender)> {
        let children = self.by_parent.get(parent).cloned().unwrap_or_default();
        let taken = children
            .iter()
            .filter_map(|wtxid| self.remove(wtxid))
            .collect();
        self.order.retain(|wtxid| !children.contains(wtxid));
        taken
    }

    /// Whether a transaction waits here.
    #[must_use]
    pub fn contains(&self, wtxid: &Wtxid) -> bool {
        self.by_wtxid.contains_key(wtxid)
    }

    /// Number of those that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_wtxid.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_wtxid.is_empty()
    }

    /// The oldest of the group that takes most room.
    fn least_entitled(&self) -> Option<Wtxid> {
        let mut shares: BTreeMap<PeerGroup, usize> = BTreeMap::new();
        for (transaction, sender) in self.by_wtxid.values() {
            *shares.entry(sender.group).or_default() += memory_bytes(transaction);
        }
        let (largest, _) = shares.into_iter().max_by_key(|(_, bytes)| *bytes)?;
        let of_largest = |wtxid: &&Wtxid| {
            let kept = self.by_wtxid.get(*wtxid);
            kept.is_some_and(|(_, sender)| sender.group == largest)
        };
        self.order.iter().find(of_largest).copied()
    }

    fn remove(&mut self, wtxid: &Wtxid) -> Option<(Arc<Transaction>, Sender)> {
        let (transaction, sender) = self.by_wtxid.remove(wtxid)?;
        self.memory_bytes -= memory_bytes(&transaction);
        for input in &transaction.input {
            let parent = input.previous_output.txid;
            if let Some(children) = self.by_parent.get_mut(&parent) {
                children.remove(wtxid);
                if children.is_empty() {
                    self.by_parent.remove(&parent);
                }
            }
        }
        Some((transaction, sender))
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::absolute::LockTime;
    use bitcoin::hashes::Hash;
    use bitcoin::{OutPoint, TxIn, transaction};

    use super::*;

    fn spending(parents: &[u8]) -> Arc<Transaction> {
        let input = |parent: &u8| TxIn {
            previous_output: OutPoint {
                txid: Txid::hash(&[*parent]),
                vout: 0,
            },
            ..TxIn::default()
        };
        Arc::new(Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: parents.iter().map(input).collect(),
            output: vec![],
        })
    }

    fn from_group(group: u64) -> Sender {
        Sender {
            peer: PeerNum(1),
            group: PeerGroup(group),
        }
    }

    #[test]
    fn children_are_taken_once() {
        let mut orphans = Orphans::default();
        orphans.add(spending(&[1, 2]), from_group(1));
        orphans.add(spending(&[1, 2]), from_group(1));
        orphans.add(spending(&[2, 3]), from_group(1));
        assert_eq!(orphans.len(), 2);
        assert_eq!(orphans.take_children(&Txid::hash(&[1])).len(), 1);
        assert_eq!(orphans.take_children(&Txid::hash(&[2])).len(), 1);
        assert!(orphans.is_empty() && orphans.by_parent.is_empty());
        assert_eq!((orphans.memory_bytes, orphans.order.len()), (0, 0));
    }

    #[test]
    fn a_flood_pushes_out_the_oldest() {
        let mut orphans = Orphans::default();
        for parent in 0..=255 {
            orphans.add(spending(&[parent]), from_group(1));
        }
        assert_eq!(orphans.len(), MAX_ORPHANS);
        assert_eq!(orphans.by_parent.len(), MAX_ORPHANS);
        assert!(orphans.contains(&spending(&[255]).compute_wtxid()));
        assert!(!orphans.contains(&spending(&[0]).compute_wtxid()));
    }

    #[test]
    fn a_flood_pushes_out_its_own() {
        let mut orphans = Orphans::default();
        orphans.add(spending(&[7]), from_group(2));
        for parent in 0..=255 {
            orphans.add(spending(&[parent, parent]), from_group(1));
        }
        assert_eq!(orphans.len(), MAX_ORPHANS);
        assert!(orphans.contains(&spending(&[7]).compute_wtxid()));
    }
}
