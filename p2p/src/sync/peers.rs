//! [`Peers`]: who is connected, what they told, and the best chain that each is known to have.

use std::collections::BTreeMap;

use super::KnownHeader;
use crate::wire::TipStatus;
use crate::{Direction, PeerGroup, PeerNum};

/// A connected peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) direction: Direction,
    pub(super) group: PeerGroup,
    /// Its last told tip: a claim.
    pub(super) status: Option<TipStatus>,
    /// The end of the best chain that it told and whose headers we have. It should have the bodies, too: peers tell
    /// and serve their active chain.
    pub(super) best: Option<KnownHeader>,
}

/// All connected peers.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: BTreeMap<PeerNum, Peer>,
}

impl Peers {
    pub(super) fn join(&mut self, peer: PeerNum, direction: Direction, group: PeerGroup) {
        self.peers.insert(
            peer,
            Peer {
                direction,
                group,
                status: None,
                best: None,
            },
        );
    }

    pub(super) fn leave(&mut self, peer: PeerNum) -> bool {
        self.peers.remove(&peer).is_some()
    }

    pub(super) fn get(&self, peer: PeerNum) -> Option<&Peer> {
        self.peers.get(&peer)
    }

    pub(super) fn get_mut(&mut self, peer: PeerNum) -> Option<&mut Peer> {
        self.peers.get_mut(&peer)
    }

    pub(super) fn contains(&self, peer: PeerNum) -> bool {
        self.peers.contains_key(&peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerNum, &Peer)> {
        self.peers.iter().map(|(number, peer)| (*number, peer))
    }

    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// The peer's own word or headers showed that it has this chain. The last word counts: its tip may also have
    /// moved to another branch.
    pub(super) fn has_chain(&mut self, peer: PeerNum, tip: KnownHeader) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.best = Some(tip);
        }
    }

    /// The claim of most work.
    pub(super) fn best_claim(&self) -> Option<TipStatus> {
        self.peers
            .values()
            .filter_map(|peer| peer.status)
            .max_by_key(|status| status.chain_work)
    }
}
