//! [`PeerTable`]: who is connected.

use std::collections::BTreeMap;

use chain::Timestamp;
use p2p::{Direction, Mono, PeerNum};

use crate::now::Now;

/// One connected peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Its number.
    pub num: PeerNum,
    /// Its identity in text form.
    pub peer_id: String,
    /// Its address, as dialled or seen.
    pub address: String,
    /// Who dialled.
    pub direction: Direction,
    /// What it calls itself.
    pub agent: String,
    /// When it was connected, by the wall clock.
    pub connected_at: Timestamp,
    /// When it was connected.
    pub connected_mono: Mono,
    /// The last round-trip time, in microseconds.
    pub ping_micros: Option<u64>,
    /// The shortest round-trip time, in microseconds.
    pub min_ping_micros: Option<u64>,
    /// Where it says it listens.
    pub listens: Vec<String>,
    /// When it last told or asked something.
    pub last_message: Option<Timestamp>,
    /// When it last gave a block that was new.
    pub last_block: Option<Timestamp>,
    /// When it last gave a transaction that was new.
    pub last_transaction: Option<Timestamp>,
}

/// Connected peers, by number.
#[derive(Debug, Default)]
pub struct PeerTable {
    peers: BTreeMap<PeerNum, PeerInfo>,
    outbound: usize,
}

impl PeerTable {
    /// In order of their numbers, which is that of their coming.
    pub fn iter(&self) -> impl Iterator<Item = &PeerInfo> {
        self.peers.values()
    }

    /// One peer.
    #[must_use]
    pub fn get(&self, peer: PeerNum) -> Option<&PeerInfo> {
        self.peers.get(&peer)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// How many of them we dialled.
    #[must_use]
    pub fn outbound(&self) -> usize {
        self.outbound
    }

    pub(super) fn insert(&mut self, info: PeerInfo) {
        self.remove(info.num);
        self.outbound += usize::from(info.direction == Direction::Outbound);
        self.peers.insert(info.num, info);
    }

    pub(super) fn remove(&mut self, peer: PeerNum) -> Option<PeerInfo> {
        let info = self.peers.remove(&peer)?;
        self.outbound -= usize::from(info.direction == Direction::Outbound);
        Some(info)
    }

    fn with(&mut self, peer: PeerNum, update: impl FnOnce(&mut PeerInfo)) {
        if let Some(info) = self.peers.get_mut(&peer) {
            update(info);
        }
    }

    pub(super) fn note_listens(&mut self, peer: PeerNum, addresses: Vec<String>) {
        self.with(peer, |info| info.listens = addresses);
    }

    pub(super) fn note_message(&mut self, peer: PeerNum, now: Now) {
        self.with(peer, |info| info.last_message = Some(now.wall));
    }

    pub(super) fn note_block(&mut self, peer: PeerNum, now: Now) {
        self.with(peer, |info| info.last_block = Some(now.wall));
    }

    pub(super) fn note_transaction(&mut self, peer: PeerNum, now: Now) {
        self.with(peer, |info| info.last_transaction = Some(now.wall));
    }

    pub(super) fn note_ping(&mut self, peer: PeerNum, micros: u64) {
        self.with(peer, |info| {
            info.ping_micros = Some(micros);
            info.min_ping_micros = Some(info.min_ping_micros.map_or(micros, |m| m.min(micros)));
        });
    }
}
