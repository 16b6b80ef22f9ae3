//! What is due when. Nothing ticks: the driver sleeps until the first of these.

use std::collections::BTreeMap;
use std::time::Instant;

use libp2p::swarm::ConnectionId;

use super::dials::Dial;

/// What is due.
#[derive(Debug)]
pub(super) enum Timer {
    /// A peer must have said its network by now.
    Introduction(ConnectionId),
    /// Something must have come over a connection whose peer came back by another one: more than was heard by then, in bytes.
    SignOfLife {
        /// The old connection.
        connection: ConnectionId,
        /// Bytes that had come over it.
        heard: u64,
    },
    /// A dial that met a dial from the other side is tried again.
    Redial(Dial),
}

/// Things to do, by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    count: u64,
    due: BTreeMap<(Instant, u64), Timer>,
}

impl Timers {
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.count += 1;
        self.due.insert((at, self.count), timer);
    }

    /// The earliest time at which something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Waits for a time, or for ever.
pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
