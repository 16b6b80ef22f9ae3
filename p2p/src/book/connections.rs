//! [`Connections`]: who is connected, and what that says about addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::address::{Endpoint, Host};
use super::known::Entry;
use super::named::Named;
use crate::budget::AddressGroup;
use crate::{Mono, PeerNum};

/// A peer is worth being dialled first after a restart once it has been connected so long.
const ANCHOR_AFTER: Duration = Duration::from_secs(60);

/// A connected peer.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) id: String,
    /// Where it was dialled, if it was we who dialled.
    pub(super) dialled: Option<Endpoint>,
    /// The host that it came from, or that was dialled.
    pub(super) host: Option<Host>,
    pub(super) since: Mono,
    /// We mean to part from it for a reason that will not pass soon.
    pub(super) given_up: bool,
}

/// All connected peers.
#[derive(Debug, Default)]
pub(super) struct Connections(BTreeMap<PeerNum, Seen>);

impl Connections {
    pub(super) fn get(&self, peer: PeerNum) -> Option<&Seen> {
        self.0.get(&peer)
    }

    pub(super) fn insert(&mut self, peer: PeerNum, seen: Seen) {
        self.0.insert(peer, seen);
    }

    pub(super) fn remove(&mut self, peer: PeerNum) -> Option<Seen> {
        self.0.remove(&peer)
    }

    /// We are about to part from a peer for a reason that will not pass soon.
    pub(super) fn give_up(&mut self, peer: PeerNum) {
        if let Some(seen) = self.0.get_mut(&peer) {
            seen.given_up = true;
        }
    }

    /// The peer with this id.
    pub(super) fn with_id(&self, id: &str) -> Option<PeerNum> {
        let mut all = self.0.iter();
        all.find(|(_, seen)| seen.id == id).map(|(peer, _)| *peer)
    }

    /// Who is connected at an address of the operator's: dialled there, or with the id that he gave, or found there.
    pub(super) fn at(&self, named: &Named) -> Option<PeerNum> {
        let here = |(_, seen): &(&PeerNum, &Seen)| {
            let dialled = seen.dialled.as_ref() == Some(&named.address.endpoint);
            dialled || named.address.peer_id.as_ref() == Some(&seen.id)
        };
        let met = named.met.filter(|met| self.0.contains_key(met));
        let found = self.0.iter().find(here);
        found.map(|(peer, _)| *peer).or(met)
    }

    /// Whether whoever was last at an address is connected.
    pub(super) fn has_occupant_of(&self, entry: &Entry) -> bool {
        let mut all = self.0.values();
        all.any(|seen| entry.occupant.as_ref() == Some(&seen.id))
    }

    /// Whether that peer is connected from the host that the address names.
    pub(super) fn vouches_for(&self, entry: &Entry) -> bool {
        let mut all = self.0.values();
        all.any(|seen| {
            entry.occupant.as_ref() == Some(&seen.id)
                && seen.host.as_ref() == Some(&entry.endpoint.host)
        })
    }

    /// The groups of the addresses that were dialled.
    pub(super) fn dialled_groups(&self) -> impl Iterator<Item = AddressGroup> {
        let dialled = self.0.values().filter_map(|seen| seen.dialled.as_ref());
        dialled.filter_map(Endpoint::group)
    }

    /// Where those were dialled that have lasted, the longest first.
    pub(super) fn lasting(&self, now: Mono) -> Vec<Endpoint> {
        let lasts = |seen: &&Seen| now.since(seen.since) >= ANCHOR_AFTER && !seen.given_up;
        let lasting = self.0.values().filter(lasts);
        let mut lasting: Vec<_> = lasting
            .filter_map(|seen| Some((seen.since, seen.dialled.clone()?)))
            .collect();
        lasting.sort();
        lasting.into_iter().map(|(_, endpoint)| endpoint).collect()
    }

    /// To look many addresses up.
    pub(super) fn index(&self) -> Here<'_> {
        Here {
            ids: self.0.values().map(|seen| &seen.id).collect(),
            dialled: self
                .0
                .values()
                .filter_map(|seen| seen.dialled.as_ref())
                .collect(),
        }
    }
}

/// Who is connected, to look many addresses up.
pub(super) struct Here<'a> {
    ids: BTreeSet<&'a String>,
    dialled: BTreeSet<&'a Endpoint>,
}

impl Here<'_> {
    /// One peer a connection: an address counts as connected if whoever is there is, whichever side dialled.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        let by_id = entry.occupant.as_ref();
        by_id.is_some_and(|id| self.ids.contains(id)) || self.dialled.contains(&entry.endpoint)
    }
}
