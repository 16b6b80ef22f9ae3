//! [`PeerBook`]: addresses worth dialling, with back-off; sans-IO, stored as JSON by its owner.
//!
//! What keeps an attacker from surrounding a node with its own addresses (Heilman et al. 2015; Bitcoin Core's and nakamoto's
//! address managers): addresses that were reached are apart from those that were only told (`known`); nothing that is known is
//! overwritten by hearsay; every source has a share; what is dialled is drawn by lot, across groups of addresses; new addresses
//! are tried out one at a time; after a restart the peers that lasted longest are dialled first; and an inbound peer is believed
//! no address but one of the host that it comes from.
//!
//! What the operator gave (`named`) is a book of its own that nobody else writes in.

mod address;
mod backoff;
mod connections;
mod due;
mod hearsay;
mod known;
mod lots;
mod named;
mod stored;

use std::collections::BTreeMap;
use std::time::Duration;

use chain::Timestamp;

pub use address::{AddressError, Endpoint, Host, PeerAddress, Reach};
pub use known::{MAX_NEW, MAX_NEW_PER_GROUP, MAX_PER_SOURCE, MAX_TRIED, MAX_TRIED_PER_GROUP};
pub use named::{Complaint, NamedPeer};
pub use stored::BookError;

use connections::{Connections, Seen};
use known::{Entry, Known};
use lots::Lots;
use named::Named;
use stored::StoredBook;

use crate::{Direction, Mono, PeerNum};

/// Outbound peers that are remembered to be dialled first.
pub const MAX_ANCHORS: usize = 2;
/// Dials at once, beside the operator's.
const MAX_DIALS: usize = 8;
/// While no peer is missing, a new address is tried out this often.
const FEELER_INTERVAL: Duration = Duration::from_secs(120);

/// How a book is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct BookOptions {
    /// Dial the operator's addresses only (`--connect`). Implies no discovery.
    pub fixed_only: bool,
    /// Neither learn nor tell addresses.
    pub no_discovery: bool,
    /// Draws lots that others cannot foresee.
    pub seed: u64,
}

/// What a peer told addresses of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressesOf {
    /// Where it listens itself.
    Itself,
    /// Others that it knows.
    Others,
}

/// Whether a connection that came about is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connected {
    /// It is a peer from now on.
    Peer,
    /// It was only looked whether someone is there; end it. It is not noted as connected.
    Feeler,
}

/// Addresses worth dialling.
#[derive(Debug)]
pub struct PeerBook {
    options: BookOptions,
    named: BTreeMap<Endpoint, Named>,
    known: Known,
    connected: Connections,
    /// Of the last run.
    anchors: Vec<Endpoint>,
    own_id: Option<String>,
    lots: Lots,
    next_feeler: Mono,
    changes: u64,
}

impl PeerBook {
    /// An empty book.
    pub fn new(options: BookOptions) -> PeerBook {
        PeerBook {
            options,
            named: BTreeMap::new(),
            known: Known::default(),
            connected: Connections::default(),
            anchors: Vec::new(),
            own_id: None,
            lots: Lots::new(options.seed),
            next_feeler: Mono::ZERO + FEELER_INTERVAL,
            changes: 0,
        }
    }

    /// A book from what [`PeerBook::to_json`] wrote. Addresses that are no longer acceptable are left out.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the text is something else; an empty book will do then.
    pub fn from_json(text: &str, options: BookOptions) -> Result<PeerBook, BookError> {
        let stored = StoredBook::parse(text)?;
        let mut book = PeerBook::new(options);
        for entry in stored.entries(MAX_NEW + MAX_TRIED) {
            book.known.restore(entry);
        }
        book.anchors = stored.anchors(MAX_ANCHORS);
        Ok(book)
    }

    /// The book as JSON. Of what the operator gave, those are in it that were reached: they are known from then on.
    pub fn to_json(&self, now: Mono) -> String {
        let named: Vec<Entry> = self.named.values().filter_map(Named::remembered).collect();
        let entries = self.known.iter().chain(&named);
        StoredBook::of(entries, &self.anchors(now)).to_json()
    }

    /// The outbound peers that have lasted longest; those of the last run while there are none.
    fn anchors(&self, now: Mono) -> Vec<Endpoint> {
        let lasting = self.connected.lasting(now).into_iter();
        let lasting = lasting.filter(|endpoint| self.known.contains(endpoint));
        let first: Vec<Endpoint> = lasting.take(MAX_ANCHORS).collect();
        if first.is_empty() {
            return self.anchors.clone();
        }
        first
    }

    /// Grows with every change that is worth storing.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Number of addresses that were learnt.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no address was learnt.
    pub fn is_empty(&self) -> bool {
        self.known.len() == 0
    }

    /// Our own peer id: its addresses are not dialled.
    pub fn set_own_id(&mut self, peer_id: &str) {
        self.own_id = Some(peer_id.to_owned());
        self.known
            .retain(|entry| entry.occupant.as_deref() != Some(peer_id));
    }

    /// Adds an address that the operator gave: dialled for ever, whatever the number of peers.
    ///
    /// # Errors
    ///
    /// [`AddressError`] when it cannot be dialled.
    pub fn add_fixed(&mut self, address: &str) -> Result<(), AddressError> {
        let address: PeerAddress = address.parse()?;
        self.known.remove(&address.endpoint);
        let endpoint = address.endpoint.clone();
        self.named.insert(endpoint, Named::new(address));
        Ok(())
    }

    /// Takes back [`PeerBook::add_fixed`]. Returns whether it was there.
    pub fn remove_fixed(&mut self, address: &str) -> bool {
        let Ok(address) = address.parse::<PeerAddress>() else {
            return false;
        };
        let named = self.named.remove(&address.endpoint);
        if let Some(entry) = named.as_ref().and_then(Named::remembered) {
            self.known.restore(entry);
        }
        named.is_some()
    }

    /// Whether the operator gave an address there.
    pub fn is_fixed(&self, endpoint: &Endpoint) -> bool {
        self.named.contains_key(endpoint)
    }

    /// Whether the operator gave the address at which a connected peer was dialled, or its id.
    pub fn is_named_peer(&self, peer: PeerNum) -> bool {
        self.named
            .values()
            .any(|named| self.connected.at(named) == Some(peer))
    }

    /// The addresses that the operator gave, and what is known of each.
    pub fn fixed(&self) -> impl Iterator<Item = NamedPeer> {
        self.named.values().map(|named| {
            let peer = self.connected.at(named);
            NamedPeer {
                address: named.address.to_string(),
                peer,
                problem: named.problem.clone().filter(|_| peer.is_none()),
            }
        })
    }

    /// A peer is connected. `address` is where we dialled it; of a peer that dialled us only the host is noted.
    pub fn connected(
        &mut self,
        peer: PeerNum,
        peer_id: &str,
        address: &str,
        direction: Direction,
        (now, clock): (Mono, Timestamp),
    ) -> Connected {
        let at = address.parse::<PeerAddress>().ok();
        let at = at.map(|address| address.endpoint);
        let host = at.as_ref().map(|endpoint| endpoint.host.clone());
        let dialled = at.filter(|_| direction == Direction::Outbound);
        let mut is_feeler = false;
        if let Some(endpoint) = &dialled {
            if let Some(named) = self.named.get_mut(endpoint) {
                named.answered();
                named.found = Some((peer_id.to_owned(), clock));
            }
            let entry = self.known.get_mut(endpoint);
            is_feeler = entry.is_some_and(|entry| entry.is_feeler);
            self.known.reached(endpoint, peer_id, clock);
            self.changes += 1;
        }
        if is_feeler {
            return Connected::Feeler;
        }
        let seen = Seen {
            id: peer_id.to_owned(),
            dialled,
            host,
            since: now,
            given_up: false,
        };
        self.connected.insert(peer, seen);
        Connected::Peer
    }

    /// We are about to part from a peer for a reason that will not pass soon: its address is left alone for a while.
    pub fn gave_up(&mut self, peer: PeerNum) {
        self.connected.give_up(peer);
    }

    /// A peer is gone. If it was good it is dialled again soon.
    pub fn disconnected(&mut self, peer: PeerNum, now: Mono, reason: &str) {
        let Some(seen) = self.connected.remove(peer) else {
            return;
        };
        let lasted = now.since(seen.since);
        for named in self.named.values_mut() {
            let dialled = seen.dialled.as_ref() == Some(&named.address.endpoint);
            if dialled
                || named.met == Some(peer)
                || named.address.peer_id.as_ref() == Some(&seen.id)
            {
                named.met = None;
                named.ended(now, lasted, seen.given_up, reason);
            }
        }
        for entry in self.known.iter_mut() {
            let dialled = seen.dialled.as_ref() == Some(&entry.endpoint);
            if dialled || entry.occupant.as_ref() == Some(&seen.id) {
                let place = entry.place();
                entry.backoff.ended(now, place, lasted, seen.given_up);
            }
        }
    }

    /// A dial reached a peer that is connected already, by another way. Tell [`PeerBook::failed`] next.
    pub fn met(&mut self, address: &str, peer_id: &str) {
        let Ok(address) = address.parse::<PeerAddress>() else {
            return;
        };
        let peer = self.connected.with_id(peer_id);
        if let Some(named) = self.named.get_mut(&address.endpoint) {
            named.met = peer;
        }
        if let Some(entry) = self.known.get_mut(&address.endpoint) {
            entry.occupant = Some(peer_id.to_owned());
        }
    }

    /// A dial failed. `address` as it came from [`PeerBook::due`]; `lasting`: for a reason that will not pass by itself. Gives
    /// what the operator should hear, for an address of his: once, then ever more seldom.
    pub fn failed(
        &mut self,
        address: &str,
        now: Mono,
        reason: &str,
        lasting: bool,
    ) -> Option<Complaint> {
        let address = address.parse::<PeerAddress>().ok()?;
        let before = self.known.len();
        self.known.failed(&address.endpoint, now, lasting);
        self.changes += u64::from(self.known.len() < before);
        let named = self.named.get(&address.endpoint)?;
        let is_met = self.connected.at(named).is_some();
        let named = self.named.get_mut(&address.endpoint)?;
        if is_met {
            // Whoever is there is here already.
            named.answered();
            return None;
        }
        named.failed(now, reason, lasting).then(|| Complaint {
            address: named.address.to_string(),
            reason: reason.to_owned(),
        })
    }

    /// Forgets an address unless the operator gave it: it leads to ourselves, to another network, or to a banned peer.
    pub fn forget(&mut self, address: &str, now: Mono) {
        let Ok(address) = address.parse::<PeerAddress>() else {
            return;
        };
        if let Some(named) = self.named.get_mut(&address.endpoint) {
            let place = named.place();
            named.backoff.failed(now, place, true);
        }
        self.changes += u64::from(self.known.remove(&address.endpoint));
    }

    /// Networking was switched on again, or a partition healed: everything may be dialled at once.
    pub fn retry_all(&mut self, now: Mono) {
        for named in self.named.values_mut() {
            named.backoff.forgive(now);
        }
        for entry in self.known.iter_mut() {
            entry.backoff.forgive(now);
        }
    }
}

#[cfg(test)]
mod tests;
