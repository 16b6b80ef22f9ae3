//! Counters of bytes and messages, by kind and direction.

use std::sync::atomic::{AtomicU64, Ordering};

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
