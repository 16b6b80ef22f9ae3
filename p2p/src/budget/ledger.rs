//! [`Ledger`]: who holds how many bytes of something that is bounded.

use std::collections::BTreeMap;

use super::AddressGroup;
use crate::PeerNum;

/// Who pays: a connection, and the group of addresses that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payer {
    /// The connection.
    pub peer: PeerNum,
    /// Where it comes from; `None` for this machine, which is in no group.
    pub group: Option<AddressGroup>,
}

/// Bytes that are held, by connection, by group and altogether.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    all: usize,
    peers: BTreeMap<PeerNum, usize>,
    groups: BTreeMap<AddressGroup, usize>,
}

impl Ledger {
    /// Bytes of everyone.
    pub(super) fn all(&self) -> usize {
        self.all
    }

    /// Bytes of one connection.
    pub(super) fn of_peer(&self, peer: PeerNum) -> usize {
        self.peers.get(&peer).copied().unwrap_or(0)
    }

    /// Bytes of the group of a payer; 0 for who is in none.
    pub(super) fn of_group(&self, payer: &Payer) -> usize {
        let held = payer.group.and_then(|group| self.groups.get(&group));
        held.copied().unwrap_or(0)
    }

    pub(super) fn charge(&mut self, payer: &Payer, bytes: usize) {
        self.all += bytes;
        *self.peers.entry(payer.peer).or_default() += bytes;
        if let Some(group) = payer.group {
            *self.groups.entry(group).or_default() += bytes;
        }
    }

    pub(super) fn credit(&mut self, payer: &Payer, bytes: usize) {
        self.all -= bytes;
        take(&mut self.peers, payer.peer, bytes);
        if let Some(group) = payer.group {
            take(&mut self.groups, group, bytes);
        }
    }
}

fn take<K: Ord>(held: &mut BTreeMap<K, usize>, who: K, bytes: usize) {
    if let Some(left) = held.get_mut(&who) {
        *left -= bytes;
        if *left == 0 {
            held.remove(&who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_charged_is_credited_everywhere() {
        let group = AddressGroup::of("8.8.8.8".parse().unwrap());
        let payers = [1, 2].map(|number| Payer {
            peer: PeerNum(number),
            group,
        });
        let mut ledger = Ledger::default();
        ledger.charge(&payers[0], 10);
        ledger.charge(&payers[1], 5);
        assert_eq!(ledger.of_peer(PeerNum(1)), 10);
        assert_eq!((ledger.of_group(&payers[0]), ledger.all()), (15, 15));
        ledger.credit(&payers[0], 10);
        assert_eq!(ledger.of_peer(PeerNum(1)), 0);
        assert_eq!((ledger.of_group(&payers[1]), ledger.all()), (5, 5));
        ledger.credit(&payers[1], 5);
        assert!(ledger.peers.is_empty() && ledger.groups.is_empty());
    }
}
