//! [`PeerBook`]: addresses worth dialling, with back-off; sans-IO, stored as JSON by its owner.
//!
//! Bounded, and no single peer can fill it: that is what keeps an attacker from surrounding a node with its own
//! addresses (Heilman et al. 2015). Of the same source: anchors, which are dialled first after a restart; a choice among the
//! learnt addresses that others cannot foresee (`seed`); and nothing that an inbound peer says of itself takes an
//! outbound slot.

mod address;
mod entry;
mod stored;

use std::collections::{BTreeMap, VecDeque};

use chain::Timestamp;

pub use address::{AddressError, Endpoint, Host, PeerAddress, Reach};
pub use stored::BookError;

use entry::Entry;
use stored::{FORMAT, StoredBook, StoredPeer};

use crate::{Direction, Mono};

/// Addresses in the book.
pub const MAX_ADDRESSES: usize = 1_000;
/// Addresses that one peer may bring into it.
pub const MAX_PER_SOURCE: usize = 100;
/// Outbound peers that are remembered to be dialled first.
pub const MAX_ANCHORS: usize = 2;
/// Dials at once.
const MAX_DIALS: usize = 8;

/// How a book is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct BookOptions {
    /// Dial the fixed addresses only (`--connect`). Implies no discovery.
    pub fixed_only: bool,
    /// Neither learn nor tell addresses.
    pub no_discovery: bool,
    /// Orders learnt addresses in a way that others cannot foresee.
    pub seed: u64,
}

/// Where a connected peer is.
#[derive(Debug)]
struct Seen {
    /// Where it was dialled, if it was we who dialled.
    dialled: Option<Endpoint>,
    /// The host that it came from, or that was dialled.
    host: Option<Host>,
}

/// Addresses worth dialling.
#[derive(Debug)]
pub struct PeerBook {
    options: BookOptions,
    entries: BTreeMap<Endpoint, Entry>,
    /// Connected peers, by id.
    connected: BTreeMap<String, Seen>,
    anchors: VecDeque<Endpoint>,
    own_id: Option<String>,
    changes: u64,
}

impl PeerBook {
    /// An empty book.
    pub fn new(options: BookOptions) -> PeerBook {
        PeerBook {
            options,
            entries: BTreeMap::new(),
            connected: BTreeMap::new(),
            anchors: VecDeque::new(),
            own_id: None,
            changes: 0,
        }
    }

    /// A book from what [`PeerBook::to_json`] wrote. Addresses that are no longer acceptable are left out.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the text is something else; an empty book will do then.
    pub fn from_json(text: &str, options: BookOptions) -> Result<PeerBook, BookError> {
        let stored: StoredBook = serde_json::from_str(text)?;
        if stored.format > FORMAT {
            return Err(BookError::NewerFormat {
                found: stored.format,
            });
        }
        let mut book = PeerBook::new(options);
        for peer in stored.peers.into_iter().take(MAX_ADDRESSES) {
            let Ok(address) = peer.address.parse::<PeerAddress>() else {
                continue;
            };
            let mut entry = Entry::new(address, peer.source, options.seed);
            entry.last_success = peer.last_success;
            entry.failures = peer.failures;
            book.entries.insert(entry.address.endpoint.clone(), entry);
        }
        for anchor in stored.anchors.iter().take(MAX_ANCHORS) {
            if let Ok(address) = anchor.parse::<PeerAddress>() {
                book.anchors.push_back(address.endpoint);
            }
        }
        Ok(book)
    }

    /// The book as JSON. What the operator gave is not in it: it is given again.
    pub fn to_json(&self) -> String {
        let worth_keeping = |entry: &&Entry| !entry.fixed || entry.last_success.is_some();
        let peers = self
            .entries
            .values()
            .filter(worth_keeping)
            .map(|entry| StoredPeer {
                address: entry.address.to_string(),
                last_success: entry.last_success,
                failures: entry.failures,
                source: entry.source.clone(),
            });
        let book = StoredBook {
            format: FORMAT,
            peers: peers.collect(),
            anchors: self.anchors.iter().map(Endpoint::to_string).collect(),
        };
        serde_json::to_string_pretty(&book).expect("texts and numbers are always written")
    }

    /// Grows with every change that is worth storing.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Number of addresses.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no addresses.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Our own peer id: its addresses are not dialled.
    pub fn set_own_id(&mut self, peer_id: &str) {
        self.own_id = Some(peer_id.to_owned());
        self.entries
            .retain(|_, entry| entry.address.peer_id.as_deref() != Some(peer_id));
    }

    /// Adds an address that the operator gave: dialled for ever, whatever the number of peers.
    ///
    /// # Errors
    ///
    /// [`AddressError`] when it cannot be dialled.
    pub fn add_fixed(&mut self, address: &str) -> Result<(), AddressError> {
        let address: PeerAddress = address.parse()?;
        let endpoint = address.endpoint.clone();
        let seed = self.options.seed;
        let entry = self
            .entries
            .entry(endpoint)
            .or_insert_with(|| Entry::new(address.clone(), None, seed));
        entry.fixed = true;
        entry.not_before = Mono::ZERO;
        entry.address = address;
        Ok(())
    }

    /// Takes back [`PeerBook::add_fixed`]. Returns whether it was there.
    pub fn remove_fixed(&mut self, address: &str) -> bool {
        let Ok(address) = address.parse::<PeerAddress>() else {
            return false;
        };
        match self.entries.get_mut(&address.endpoint) {
            Some(entry) if entry.fixed => {
                entry.fixed = false;
                true
            }
            _ => false,
        }
    }

    /// The addresses that the operator gave.
    pub fn fixed(&self) -> impl Iterator<Item = &PeerAddress> {
        self.entries
            .values()
            .filter(|entry| entry.fixed)
            .map(|entry| &entry.address)
    }

    /// Learns addresses from a connected peer: its own, or others that it knows. `from` is where that peer is: who is
    /// further away cannot know what is reachable nearer. Returns how many were new.
    pub fn learn(&mut self, source: &str, from: Reach, addresses: &[String]) -> usize {
        if self.options.no_discovery || self.options.fixed_only {
            return 0;
        }
        let of_source = |entry: &&Entry| entry.source.as_deref() == Some(source);
        let mut room =
            MAX_PER_SOURCE.saturating_sub(self.entries.values().filter(of_source).count());
        let mut new = 0;
        for text in addresses {
            let Ok(address) = text.parse::<PeerAddress>() else {
                continue;
            };
            if address.reach() < from || address.peer_id.is_none() || self.is_own(&address) {
                continue;
            }
            if let Some(entry) = self.entries.get_mut(&address.endpoint) {
                // Whoever listens there now may be someone else; a proven id is not overwritten by hearsay.
                if entry.last_success.is_none() {
                    entry.address = address;
                }
                continue;
            }
            if room == 0 || !self.make_room() {
                break;
            }
            room -= 1;
            new += 1;
            let entry = Entry::new(address, Some(source.to_owned()), self.options.seed);
            self.entries.insert(entry.address.endpoint.clone(), entry);
        }
        self.changes += u64::from(new > 0);
        new
    }

    /// Makes room for a new address: the one worth least goes, unless all were reached before.
    fn make_room(&mut self) -> bool {
        if self.entries.len() < MAX_ADDRESSES {
            return true;
        }
        let idle = self
            .entries
            .values()
            .filter(|entry| !entry.was_dialled() && !self.is_connected(entry));
        let least = idle.min_by_key(|entry| (entry.worth(), entry.lot));
        let Some(least) = least.filter(|entry| entry.last_success.is_none() && !entry.fixed) else {
            return false;
        };
        let endpoint = least.address.endpoint.clone();
        self.entries.remove(&endpoint).is_some()
    }

    /// What to dial now: fixed addresses always; anchors, then the others as far as outbound peers are `missing`. What is given is
    /// held to be dialled; tell the result by [`PeerBook::connected`] or [`PeerBook::failed`].
    pub fn due(&mut self, now: Mono, missing: usize) -> Vec<String> {
        let mut candidates: Vec<(&Endpoint, &Entry)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.fixed || !self.options.fixed_only)
            .filter(|(_, entry)| entry.due() <= now)
            .filter(|(_, entry)| !self.is_connected(entry))
            .collect();
        candidates.sort_by_cached_key(|(endpoint, entry)| {
            let anchor = self.anchors.contains(*endpoint);
            (!entry.fixed, !anchor, entry.failures.min(3), entry.lot)
        });
        let dialling = self
            .entries
            .values()
            .filter(|entry| entry.is_dialling(now) && !entry.fixed)
            .count();
        let mut room = missing.min(MAX_DIALS).saturating_sub(dialling);
        let mut chosen = Vec::new();
        for (endpoint, entry) in candidates {
            if !entry.fixed {
                if room == 0 {
                    break;
                }
                room -= 1;
            }
            chosen.push(endpoint.clone());
        }
        let mut addresses = Vec::new();
        for endpoint in chosen {
            if let Some(entry) = self.entries.get_mut(&endpoint) {
                entry.dial(now);
                addresses.push(entry.address.to_string());
            }
        }
        addresses
    }

    /// When [`PeerBook::due`] may have something to say again; `None` while nothing waits.
    pub fn next_due(&self, missing: usize) -> Option<Mono> {
        self.entries
            .values()
            .filter(|entry| entry.fixed || (missing > 0 && !self.options.fixed_only))
            .filter(|entry| !self.is_connected(entry))
            .map(Entry::due)
            .min()
    }

    /// A peer is connected. `address` is where we dialled it; of a peer that dialled us only the id is noted.
    pub fn connected(
        &mut self,
        peer_id: &str,
        address: &str,
        direction: Direction,
        clock: Timestamp,
    ) {
        let at = address.parse::<PeerAddress>().ok();
        let at = at.map(|address| address.endpoint);
        let host = at.as_ref().map(|endpoint| endpoint.host.clone());
        let dialled = at.filter(|_| direction == Direction::Outbound);
        let seen = Seen {
            dialled: dialled.clone(),
            host,
        };
        self.connected.insert(peer_id.to_owned(), seen);
        let Some(endpoint) = dialled else { return };
        let Some(entry) = self.entries.get_mut(&endpoint) else {
            return;
        };
        entry.succeeded(peer_id, clock);
        self.anchors.retain(|anchor| *anchor != endpoint);
        self.anchors.push_back(endpoint);
        if self.anchors.len() > MAX_ANCHORS {
            self.anchors.pop_front();
        }
        self.changes += 1;
    }

    /// A peer is gone. It is dialled again soon if its address is known.
    pub fn disconnected(&mut self, peer_id: &str, now: Mono) {
        let seen = self.connected.remove(peer_id);
        let endpoint = seen.and_then(|seen| seen.dialled);
        for (at, entry) in &mut self.entries {
            if Some(at) == endpoint.as_ref() || entry.peer_id().is_some_and(|id| id == peer_id) {
                entry.lost(now);
            }
        }
    }

    /// A dial reached a peer that is connected already, by another way. Tell [`PeerBook::failed`] next.
    pub fn met(&mut self, address: &str, peer_id: &str) {
        let Ok(address) = address.parse::<PeerAddress>() else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&address.endpoint) {
            entry.met(peer_id);
        }
    }

    /// A dial failed. `address` as it came from [`PeerBook::due`].
    pub fn failed(&mut self, address: &str, now: Mono) {
        let Ok(address) = address.parse::<PeerAddress>() else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&address.endpoint) else {
            return;
        };
        entry.failed(now);
        if entry.is_hopeless() {
            self.entries.remove(&address.endpoint);
            self.changes += 1;
        }
    }

    /// Forgets an address unless the operator gave it: it leads to ourselves, to another network, or to a banned peer.
    pub fn forget(&mut self, address: &str, now: Mono) {
        let Ok(address) = address.parse::<PeerAddress>() else {
            return;
        };
        match self.entries.get_mut(&address.endpoint) {
            Some(entry) if entry.fixed => entry.failed(now),
            Some(_) => {
                self.entries.remove(&address.endpoint);
                self.changes += 1;
            }
            None => {}
        }
    }

    /// Networking was switched on again, or a partition healed: everything may be dialled at once.
    pub fn retry_all(&mut self, now: Mono) {
        for entry in self.entries.values_mut() {
            entry.stop_dialling();
            entry.not_before = entry.not_before.min(now);
        }
    }

    /// Addresses worth telling to a peer that is `to` away, best first: reached before, or of peers that are here and come from
    /// where they say that they listen. Without the latter nobody would ever hear of those who only dialled a first node.
    pub fn to_tell(&self, to: Reach, limit: usize) -> Vec<String> {
        if self.options.no_discovery || self.options.fixed_only {
            return Vec::new();
        }
        let mut known: Vec<&Entry> = self
            .entries
            .values()
            .filter(|entry| entry.last_success.is_some() || self.is_vouched_for(entry))
            .filter(|entry| entry.failures < 3)
            .filter(|entry| entry.address.reach() >= to)
            .collect();
        known.sort_by_cached_key(|entry| (std::cmp::Reverse(entry.last_success), entry.lot));
        known
            .into_iter()
            .take(limit)
            .map(|entry| entry.full_address().to_string())
            .collect()
    }

    /// The peer is connected, and from the host that the address names.
    fn is_vouched_for(&self, entry: &Entry) -> bool {
        let seen = entry.peer_id().and_then(|id| self.connected.get(id));
        seen.is_some_and(|seen| seen.host.as_ref() == Some(&entry.address.endpoint.host))
    }

    fn is_own(&self, address: &PeerAddress) -> bool {
        self.own_id.is_some() && address.peer_id == self.own_id
    }

    /// One peer a connection: an address counts as connected if whoever is there is, whichever side dialled.
    fn is_connected(&self, entry: &Entry) -> bool {
        let by_id = entry
            .peer_id()
            .is_some_and(|id| self.connected.contains_key(id));
        by_id
            || self
                .connected
                .values()
                .any(|seen| seen.dialled.as_ref() == Some(&entry.address.endpoint))
    }
}

#[cfg(test)]
mod tests;
