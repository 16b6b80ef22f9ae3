//! [`Known`]: addresses that were learnt. Those that were reached are kept apart from those that were only told, so that no
//! amount of telling pushes a good address out (Heilman et al. 2015; Bitcoin Core's address manager).

use std::collections::{BTreeMap, BTreeSet};

use chain::Timestamp;

use super::address::{Endpoint, PeerAddress, Reach};
use super::backoff::{Backoff, Place};
use super::lots::Lots;
use crate::Mono;
use crate::budget::AddressGroup;

/// Addresses that were told and not reached yet.
pub const MAX_NEW: usize = 1_000;
/// Of them, those that one source brought: a group of addresses, or a peer of this machine.
pub const MAX_PER_SOURCE: usize = 100;
/// Of them, those that lie in one group of addresses.
pub const MAX_NEW_PER_GROUP: usize = 32;
/// Addresses that were reached.
pub const MAX_TRIED: usize = 256;
/// Of them, those that lie in one group of addresses.
pub const MAX_TRIED_PER_GROUP: usize = 8;

/// An address that was never reached is forgotten after so many tries ...
const HOPELESS: u32 = 20;
/// ... and one that was reached after so many.
const GIVEN_UP: u32 = 200;

/// One address with what happened to it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) endpoint: Endpoint,
    /// Who is there, as it was found, or else as it was told first.
    pub(super) occupant: Option<String>,
    /// Who told it.
    pub(super) source: Option<String>,
    /// The last time that someone of our network answered there.
    pub(super) last_success: Option<Timestamp>,
    pub(super) backoff: Backoff,
    /// The dial that is under way only looks whether someone is there.
    pub(super) is_feeler: bool,
}

impl Entry {
    pub(super) fn new(address: PeerAddress, source: Option<String>) -> Entry {
        Entry {
            endpoint: address.endpoint,
            occupant: address.peer_id,
            source,
            last_success: None,
            backoff: Backoff::default(),
            is_feeler: false,
        }
    }

    pub(super) fn group(&self) -> Option<AddressGroup> {
        self.endpoint.group()
    }

    pub(super) fn is_tried(&self) -> bool {
        self.last_success.is_some()
    }

    pub(super) fn place(&self) -> Place {
        Place {
            is_loopback: self.endpoint.reach() == Reach::Loopback,
            is_named: false,
        }
    }

    /// The address with the id of whoever is there, as far as known.
    pub(super) fn full_address(&self) -> PeerAddress {
        PeerAddress {
            endpoint: self.endpoint.clone(),
            peer_id: self.occupant.clone(),
        }
    }

    fn is_hopeless(&self) -> bool {
        let most = if self.is_tried() { GIVEN_UP } else { HOPELESS };
        self.backoff.failures >= most
    }
}

/// Addresses that were learnt, tried and new.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: BTreeMap<Endpoint, Entry>,
}

impl Known {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.values_mut()
    }

    pub(super) fn get_mut(&mut self, endpoint: &Endpoint) -> Option<&mut Entry> {
        self.entries.get_mut(endpoint)
    }

    pub(super) fn contains(&self, endpoint: &Endpoint) -> bool {
        self.entries.contains_key(endpoint)
    }

    pub(super) fn remove(&mut self, endpoint: &Endpoint) -> bool {
        self.entries.remove(endpoint).is_some()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.entries.retain(|_, entry| keep(entry));
    }

    /// Puts back what was stored, within the limits.
    pub(super) fn restore(&mut self, entry: Entry) {
        let table = self.iter().filter(|e| e.is_tried() == entry.is_tried());
        let room = if entry.is_tried() { MAX_TRIED } else { MAX_NEW };
        if table.count() < room {
            self.entries.insert(entry.endpoint.clone(), entry);
        }
    }

    /// Learns a new address, unless its source or its group has its share. When there is no room, one goes of the source that
    /// has brought most; `in_use` says which have to stay.
    pub(super) fn learn(
        &mut self,
        address: PeerAddress,
        source: &str,
        lots: &mut Lots,
        in_use: impl Fn(&Entry) -> bool,
    ) -> bool {
        let new = || self.iter().filter(|entry| !entry.is_tried());
        let of_source = |entry: &&Entry| entry.source.as_deref() == Some(source);
        let group = address.endpoint.group();
        let of_group = |entry: &&Entry| group.is_some() && entry.group() == group;
        let brought = new().filter(of_source).count();
        if brought >= MAX_PER_SOURCE || new().filter(of_group).count() >= MAX_NEW_PER_GROUP {
            return false;
        }
        if new().count() >= MAX_NEW && !self.make_room(brought, lots, in_use) {
            return false;
        }
        let entry = Entry::new(address, Some(source.to_owned()));
        self.entries.insert(entry.endpoint.clone(), entry);
        true
    }

    /// Takes one address of the source that brought most, if that is more than `brought`.
    fn make_room(
        &mut self,
        brought: usize,
        lots: &mut Lots,
        in_use: impl Fn(&Entry) -> bool,
    ) -> bool {
        let mut by_source: BTreeMap<Option<&str>, Vec<&Entry>> = BTreeMap::new();
        for entry in self.iter().filter(|entry| !entry.is_tried()) {
            by_source
                .entry(entry.source.as_deref())
                .or_default()
                .push(entry);
        }
        let Some(largest) = by_source.into_values().max_by_key(Vec::len) else {
            return false;
        };
        if largest.len() <= brought {
            return false;
        }
        let idle: Vec<Endpoint> = largest
            .into_iter()
            .filter(|entry| !in_use(entry))
            .map(|entry| entry.endpoint.clone())
            .collect();
        match lots.pick(&idle) {
            Some(endpoint) => self.remove(endpoint),
            None => false,
        }
    }

    /// Someone of our network answered at an address. When there are too many like it, the one that was reached longest ago goes.
    pub(super) fn reached(&mut self, endpoint: &Endpoint, peer_id: &str, clock: Timestamp) {
        // Whoever lives there does not live elsewhere, as far as we know.
        for entry in self.entries.values_mut() {
            if entry.occupant.as_deref() == Some(peer_id) && entry.endpoint != *endpoint {
                entry.occupant = None;
            }
        }
        let Some(entry) = self.entries.get_mut(endpoint) else {
            return;
        };
        entry.backoff.answered();
        entry.is_feeler = false;
        entry.occupant = Some(peer_id.to_owned());
        entry.last_success = Some(clock);
        let group = entry.group();
        if group.is_some() {
            self.drop_oldest_tried(endpoint, MAX_TRIED_PER_GROUP, |entry| {
                entry.group() == group
            });
        }
        self.drop_oldest_tried(endpoint, MAX_TRIED, |_| true);
    }

    fn drop_oldest_tried(
        &mut self,
        except: &Endpoint,
        most: usize,
        counts: impl Fn(&Entry) -> bool,
    ) {
        let tried = || self.iter().filter(|e| e.is_tried() && counts(e));
        if tried().count() <= most {
            return;
        }
        let others = tried().filter(|entry| entry.endpoint != *except);
        let oldest = others.min_by_key(|entry| (entry.last_success, entry.endpoint.clone()));
        if let Some(endpoint) = oldest.map(|entry| entry.endpoint.clone()) {
            self.remove(&endpoint);
        }
    }

    /// A dial failed; an address that is not worth its place any more is forgotten.
    pub(super) fn failed(&mut self, endpoint: &Endpoint, now: Mono, lasting: bool) {
        let Some(entry) = self.entries.get_mut(endpoint) else {
            return;
        };
        let place = entry.place();
        entry.is_feeler = false;
        entry.backoff.failed(now, place, lasting);
        if entry.is_hopeless() {
            self.remove(endpoint);
        }
    }

    /// One of `candidates`: tried or new with even chances, then a group, then an address of it; of groups that are not `taken`
    /// if there are any. Whoever tells many addresses of one group gains nothing by it.
    pub(super) fn choose(
        candidates: &[&Entry],
        taken: &BTreeSet<AddressGroup>,
        lots: &mut Lots,
    ) -> Option<Endpoint> {
        let is_free = |entry: &&&Entry| entry.group().is_none_or(|group| !taken.contains(&group));
        let free: Vec<&Entry> = candidates.iter().filter(is_free).copied().collect();
        let candidates = if free.is_empty() { candidates } else { &free };
        let (tried, new): (Vec<&Entry>, Vec<&Entry>) =
            candidates.iter().partition(|entry| entry.is_tried());
        let table = match (tried.is_empty(), new.is_empty()) {
            (true, _) => new,
            (_, true) => tried,
            _ if lots.draw().is_multiple_of(2) => tried,
            _ => new,
        };
        let mut groups: BTreeMap<Result<AddressGroup, &Endpoint>, Vec<&Entry>> = BTreeMap::new();
        for entry in table {
            let group = entry.group().ok_or(&entry.endpoint);
            groups.entry(group).or_default().push(entry);
        }
        let groups: Vec<Vec<&Entry>> = groups.into_values().collect();
        let group = lots.pick(&groups)?;
        let entry = lots.pick(group)?;
        Some(entry.endpoint.clone())
    }
}
