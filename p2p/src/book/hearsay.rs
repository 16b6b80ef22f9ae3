//! Addresses from peers and for peers: what is believed, and what is passed on.

use super::known::Entry;
use super::named::Named;
use super::{AddressesOf, Endpoint, Host, PeerAddress, PeerBook, Reach};
use crate::{Mono, PeerNum};

impl PeerBook {
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
