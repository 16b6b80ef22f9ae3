//! Transactions that were refused lately, so that the same bytes are not checked again for every peer that offers them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bitcoin::{Txid, Wtxid};

/// Most that are remembered; 64 bytes each, about twice that in the index.
const MAX_REFUSED: usize = 5_000;

/// A bounded memory of refusals; the oldest goes first.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// How often a txid is in `order`: several witnesses of one transaction may have been refused.
    by_txid: BTreeMap<Txid, u32>,
    by_wtxid: BTreeSet<Wtxid>,
    order: VecDeque<(Wtxid, Option<Txid>)>,
}

impl Refused {
    /// Remembers a refusal. `txid` is given if other witnesses could not have changed it: a bad witness must not shadow
    /// the transaction that it was stripped from.
    pub(super) fn insert(&mut self, wtxid: Wtxid, txid: Option<Txid>) {
        if !self.by_wtxid.insert(wtxid) {
            return;
        }
        if let Some(txid) = txid {
            *self.by_txid.entry(txid).or_default() += 1;
        }
        self.order.push_back((wtxid, txid));
        if self.order.len() > MAX_REFUSED {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((wtxid, txid)) = self.order.pop_front() else {
            return;
        };
        self.by_wtxid.remove(&wtxid);
        let Some(txid) = txid else { return };
        if let Some(count) = self.by_txid.get_mut(&txid) {
            *count -= 1;
            if *count == 0 {
                self.by_txid.remove(&txid);
            }
        }
    }

    pub(super) fn contains(&self, wtxid: &Wtxid) -> bool {
        self.by_wtxid.contains(wtxid)
    }

    pub(super) fn contains_txid(&self, txid: &Txid) -> bool {
        self.by_txid.contains_key(txid)
    }

    /// The tip moved: what was invalid may be valid now.
    pub(super) fn clear(&mut self) {
        *self = Refused::default();
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    #[test]
    fn the_oldest_refusal_is_forgotten_first() {
        let mut refused = Refused::default();
        let ids = |n: usize| {
            (
                Wtxid::hash(&n.to_le_bytes()),
                Txid::hash(&(n / 2).to_le_bytes()),
            )
        };
        for n in 0..=MAX_REFUSED + 1 {
            let (wtxid, txid) = ids(n);
            refused.insert(wtxid, Some(txid));
            refused.insert(wtxid, Some(txid));
        }
        assert!(!refused.contains(&ids(0).0) && !refused.contains_txid(&ids(0).1));
        assert!(refused.contains(&ids(2).0) && refused.contains_txid(&ids(3).1));
        assert_eq!(refused.order.len(), MAX_REFUSED);
    }
}
