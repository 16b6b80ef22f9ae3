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
mod known;
mod lots;
mod named;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
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

use crate::budget::AddressGroup;
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

    /// Learns addresses from a connected peer. Who is further away cannot know what is reachable nearer; names are not
    /// believed, since looking them up would tell others what we do; nothing that is known is changed. Returns how many were new.
    pub fn learn(&mut self, from: PeerNum, of: AddressesOf, addresses: &[String]) -> usize {
        if self.options.no_discovery || self.options.fixed_only {
            return 0;
        }
        let Some(seen) = self.connected.get(from) else {
            return 0;
        };
        let Some(host) = seen.host.clone() else {
            return 0;
        };
        let is_inbound = seen.dialled.is_none();
        let place = Endpoint {
            host: host.clone(),
            port: 1,
        };
        let source = place
            .group()
            .map_or_else(|| seen.id.clone(), |group| group.to_string());
        let mut new = 0;
        for text in addresses {
            let Ok(address) = text.parse::<PeerAddress>() else {
                continue;
            };
            let endpoint = &address.endpoint;
            let is_name = matches!(endpoint.host, Host::Name { .. });
            let is_vouched_for = of == AddressesOf::Others || !is_inbound || endpoint.host == host;
            if is_name
                || !is_vouched_for
                || address.reach() < place.reach()
                || address.peer_id.is_none()
                || self.is_own(&address)
                || self.known.contains(endpoint)
                || self.named.contains_key(endpoint)
            {
                continue;
            }
            let connected = &self.connected;
            let in_use = |entry: &Entry| {
                entry.backoff.due() > Mono::ZERO || connected.has_occupant_of(entry)
            };
            new += usize::from(self.known.learn(address, &source, &mut self.lots, in_use));
        }
        self.changes += u64::from(new > 0);
        new
    }

    /// What to dial now: the operator's addresses always; anchors, then others as far as outbound peers are `missing`. What is
    /// given is held to be dialled; tell the result by [`PeerBook::connected`] or [`PeerBook::failed`].
    pub fn due(&mut self, now: Mono, missing: usize) -> Vec<String> {
        let mut addresses = Vec::new();
        let due: Vec<Endpoint> = self
            .named
            .iter()
            .filter(|(_, named)| named.backoff.due() <= now && self.connected.at(named).is_none())
            .map(|(endpoint, _)| endpoint.clone())
            .collect();
        for endpoint in due {
            if let Some(named) = self.named.get_mut(&endpoint) {
                named.backoff.dial(now);
                addresses.push(named.address.to_string());
            }
        }
        if self.options.fixed_only {
            return addresses;
        }
        let dialling = self.known.iter().filter(|e| e.backoff.is_dialling(now));
        let room = missing.min(MAX_DIALS).saturating_sub(dialling.count());
        for _ in 0..room {
            let Some(endpoint) = self.choose(now, |_| true) else {
                break;
            };
            addresses.extend(self.dial(&endpoint, now, false));
        }
        if missing == 0 && self.next_feeler <= now {
            self.next_feeler = now + FEELER_INTERVAL;
            if let Some(endpoint) = self.choose(now, |entry| !entry.is_tried()) {
                addresses.extend(self.dial(&endpoint, now, true));
            }
        }
        addresses
    }

    /// Without the id of whoever was there: an address is good if anyone of our network answers.
    fn dial(&mut self, endpoint: &Endpoint, now: Mono, is_feeler: bool) -> Option<String> {
        let entry = self.known.get_mut(endpoint)?;
        entry.backoff.dial(now);
        entry.is_feeler = is_feeler;
        Some(endpoint.to_string())
    }

    /// An address to dial among those that `wanted` takes: an anchor, or one drawn by lot.
    fn choose(&mut self, now: Mono, wanted: impl Fn(&Entry) -> bool) -> Option<Endpoint> {
        let here = self.connected.index();
        let is_due = |entry: &&Entry| entry.backoff.due() <= now && !here.has(entry);
        let candidates: Vec<&Entry> = self
            .known
            .iter()
            .filter(is_due)
            .filter(|entry| wanted(entry))
            .collect();
        let is_anchor = |entry: &&&Entry| self.anchors.contains(&entry.endpoint);
        if let Some(anchor) = candidates.iter().find(is_anchor) {
            return Some(anchor.endpoint.clone());
        }
        let dialling = self.known.iter().filter(|e| e.backoff.is_dialling(now));
        let mut taken: BTreeSet<AddressGroup> = dialling.filter_map(Entry::group).collect();
        taken.extend(self.connected.dialled_groups());
        Known::choose(&candidates, &taken, &mut self.lots)
    }

    /// When [`PeerBook::due`] may have something to say again; `None` while nothing waits.
    pub fn next_due(&self, missing: usize) -> Option<Mono> {
        let named = self
            .named
            .values()
            .filter(|named| self.connected.at(named).is_none())
            .map(|named| named.backoff.due());
        if self.options.fixed_only {
            return named.min();
        }
        let here = self.connected.index();
        let idle = self.known.iter().filter(|entry| !here.has(entry));
        let known = if missing > 0 {
            idle.map(|entry| entry.backoff.due()).min()
        } else {
            let mut new = idle.filter(|entry| !entry.is_tried());
            new.next().map(|_| self.next_feeler)
        };
        named.chain(known).min()
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

    /// Addresses worth telling to a peer that is `to` away, best first: reached before, or of peers that are here and come from
    /// where they say that they listen. Without the latter nobody would ever hear of those who only dialled a first node.
    pub fn to_tell(&self, to: Reach, limit: usize) -> Vec<String> {
        if self.options.no_discovery || self.options.fixed_only {
            return Vec::new();
        }
        let named: Vec<Entry> = self.named.values().filter_map(Named::remembered).collect();
        let mut known: Vec<&Entry> = self
            .known
            .iter()
            .chain(&named)
            .filter(|entry| entry.is_tried() || self.connected.vouches_for(entry))
            .filter(|entry| entry.backoff.failures < 3 && entry.occupant.is_some())
            .collect();
        known.sort_by_cached_key(|entry| std::cmp::Reverse(entry.last_success));
        known
            .into_iter()
            .map(Entry::full_address)
            .filter(|address| address.reach() >= to)
            .filter(|address| !matches!(address.endpoint.host, Host::Name { .. }))
            .take(limit)
            .map(|address| address.to_string())
            .collect()
    }

    fn is_own(&self, address: &PeerAddress) -> bool {
        self.own_id.is_some() && address.peer_id == self.own_id
    }
}

#[cfg(test)]
mod tests;
