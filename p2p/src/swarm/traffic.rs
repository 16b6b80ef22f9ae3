//! [`Traffic`]: bytes and messages so far, by kind and direction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use libp2p::PeerId;

use super::meter::{Meter, PeerTraffic};

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A question to one peer.
    Request,
    /// Its answer.
    Response,
    /// Spread to everyone.
    Gossip,
}

impl Channel {
    /// A word for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Channel::Request => "request",
            Channel::Response => "response",
            Channel::Gossip => "gossip",
        }
    }
}

/// To us or from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Received,
    Sent,
}

/// The kinds of messages, in the words of their `kind()`. Whatever is not listed counts as the last.
const KINDS: [(Channel, &str); 18] = [
    (Channel::Request, "status"),
    (Channel::Request, "headers"),
    (Channel::Request, "blocks"),
    (Channel::Request, "block_transactions"),
    (Channel::Request, "mempool_ids"),
    (Channel::Request, "transactions"),
    (Channel::Request, "peers"),
    (Channel::Response, "status"),
    (Channel::Response, "headers"),
    (Channel::Response, "blocks"),
    (Channel::Response, "block_transactions"),
    (Channel::Response, "mempool_ids"),
    (Channel::Response, "transactions"),
    (Channel::Response, "peers"),
    (Channel::Gossip, "block"),
    (Channel::Gossip, "header"),
    (Channel::Gossip, "transaction"),
    (Channel::Gossip, "malformed"),
];

/// Bytes and messages since the start, shared with metrics. Reading it costs nothing to the network.
#[derive(Debug, Default)]
pub struct Traffic {
    wire: WireCounters,
    kinds: KindCounters,
    /// Who counts for a peer holds its meter; here it is only found.
    peers: Mutex<BTreeMap<PeerId, Weak<Meter>>>,
}

/// Bytes by direction.
#[derive(Debug, Default)]
pub(super) struct WireCounters(Counters);

/// Messages and bytes by kind and direction.
#[derive(Debug, Default)]
pub(super) struct KindCounters([Counters; KINDS.len()]);

#[derive(Debug, Default)]
struct Counters {
    received: Counter,
    sent: Counter,
}

#[derive(Debug, Default)]
struct Counter {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// What was counted for one kind of message. Bytes are those of the message itself, without framing and encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindTraffic {
    /// How it travels.
    pub channel: Channel,
    /// Which kind, as in `Request::kind` and its like.
    pub kind: &'static str,
    /// Messages that came in.
    pub received_messages: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Messages that went out. Gossip counts once when it is published or forwarded, to however many peers.
    pub sent_messages: u64,
    /// Their bytes.
    pub sent_bytes: u64,
}

/// Bytes of all connections together, with framing and encryption: what the sockets carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireTraffic {
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
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

impl WireCounters {
    pub(super) fn count(&self, way: Way, bytes: usize) {
        self.0.way(way).add(bytes);
    }

    pub(super) fn read(&self) -> WireTraffic {
        WireTraffic {
            received_bytes: self.0.received.bytes.load(Ordering::Relaxed),
            sent_bytes: self.0.sent.bytes.load(Ordering::Relaxed),
        }
    }
}

impl KindCounters {
    pub(super) fn count(&self, channel: Channel, kind: &str, way: Way, bytes: usize) {
        let slot = KINDS.iter().position(|known| *known == (channel, kind));
        self.0[slot.unwrap_or(KINDS.len() - 1)].way(way).add(bytes);
    }

    pub(super) fn read(&self) -> impl Iterator<Item = KindTraffic> + '_ {
        KINDS
            .iter()
            .zip(&self.0)
            .map(|(&(channel, kind), counters)| KindTraffic {
                channel,
                kind,
                received_messages: counters.received.messages.load(Ordering::Relaxed),
                received_bytes: counters.received.bytes.load(Ordering::Relaxed),
                sent_messages: counters.sent.messages.load(Ordering::Relaxed),
                sent_bytes: counters.sent.bytes.load(Ordering::Relaxed),
            })
    }
}

impl Counters {
    fn way(&self, way: Way) -> &Counter {
        match way {
            Way::Received => &self.received,
            Way::Sent => &self.sent,
        }
    }
}

impl Counter {
    fn add(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
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
