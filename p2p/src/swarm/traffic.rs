//! [`Traffic`]: bytes and messages so far, by kind and direction.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use libp2p::PeerId;

use super::counters::{Channel, KindCounters, KindTraffic, Way, WireCounters, WireTraffic};
use super::meter::{Meter, PeerTraffic};

/// Bytes and messages since the start, shared with metrics. Reading it costs nothing to the network.
#[derive(Debug, Default)]
pub struct Traffic {
    wire: WireCounters,
    kinds: KindCounters,
    /// Who counts for a peer holds its meter; here it is only found.
    peers: Mutex<BTreeMap<PeerId, Weak<Meter>>>,
}

impl Traffic {
    /// Nothing counted yet.
    pub fn new() -> Traffic {
        Traffic::default()
    }

    /// What the sockets carried.
    pub fn wire(&self) -> WireTraffic {
        self.wire.read()
    }

    /// Every kind of message, in a fixed order.
    pub fn kinds(&self) -> impl Iterator<Item = KindTraffic> + '_ {
        self.kinds.read()
    }

    /// What was exchanged with a connected peer (its id in text form).
    pub fn peer(&self, peer_id: &str) -> Option<PeerTraffic> {
        let meter = self.meter_of(&peer_id.parse().ok()?)?;
        Some(meter.read())
    }

    pub(super) fn count(&self, channel: Channel, kind: &str, way: Way, bytes: usize) {
        self.kinds.count(channel, kind, way, bytes);
    }

    pub(super) fn count_wire(&self, way: Way, bytes: usize) {
        self.wire.count(way, bytes);
    }

    /// The meter of a peer that is being connected. It counts until the last who holds it lets it go.
    pub(super) fn new_meter(&self, peer: PeerId) -> Arc<Meter> {
        let mut peers = self.lock();
        if let Some(meter) = peers.get(&peer).and_then(Weak::upgrade) {
            return meter;
        }
        peers.retain(|_, meter| meter.strong_count() > 0);
        let meter = Arc::new(Meter::default());
        peers.insert(peer, Arc::downgrade(&meter));
        meter
    }

    /// The meter of a connected peer.
    pub(super) fn meter_of(&self, peer: &PeerId) -> Option<Arc<Meter>> {
        self.lock().get(peer)?.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PeerId, Weak<Meter>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_apart_and_by_direction() {
        let traffic = Traffic::new();
        traffic.count(Channel::Request, "blocks", Way::Sent, 33);
        traffic.count(Channel::Request, "blocks", Way::Sent, 34);
        traffic.count(Channel::Response, "blocks", Way::Received, 1_000);
        let asked = traffic
            .kinds()
            .find(|k| (k.channel, k.kind) == (Channel::Request, "blocks"));
        let asked = asked.unwrap();
        assert_eq!((asked.sent_messages, asked.sent_bytes), (2, 67));
        assert_eq!((asked.received_messages, asked.received_bytes), (0, 0));
        assert_eq!(
            traffic.kinds().map(|k| k.received_bytes).sum::<u64>(),
            1_000
        );
    }
    #[test]
    fn a_peer_is_counted_while_someone_holds_its_meter() {
        let traffic = Traffic::new();
        let peer = PeerId::random();
        assert!(traffic.peer(&peer.to_string()).is_none());
        let meter = traffic.new_meter(peer);
        meter.count(Channel::Request, "status", Way::Sent, 9);
        let again = traffic.new_meter(peer);
        assert!(Arc::ptr_eq(&meter, &again), "one peer, one meter");
        let seen = traffic.peer(&peer.to_string()).expect("it is connected");
        assert_eq!(
            seen.kinds.iter().map(|kind| kind.sent_bytes).sum::<u64>(),
            9
        );
        drop((meter, again));
        assert!(traffic.peer(&peer.to_string()).is_none());
        // Those that are gone are not remembered for ever.
        let other = traffic.new_meter(PeerId::random());
        assert_eq!(traffic.lock().len(), 1);
        drop(other);
        assert!(traffic.peer("no peer id").is_none());
    }
}
