//! Whom to dial, and when.

use std::collections::BTreeSet;

use super::known::{Entry, Known};
use super::{Endpoint, FEELER_INTERVAL, MAX_DIALS, PeerBook};
use crate::Mono;
use crate::budget::AddressGroup;

impl PeerBook {
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
}
