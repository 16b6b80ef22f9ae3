//! [`Handshakes`]: inbound connections that have not said yet who they are, bounded: the oldest of the group of addresses that has
//! most goes when there are too many.
//!
//! The library can only refuse the newest, so that a few dozen silent sockets would keep everyone out; and whoever opens sockets
//! without end pushes out its own.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures::task::AtomicWaker;
use libp2p::Multiaddr;
use libp2p::core::ConnectedPoint;

use super::address;
use crate::budget::AddressGroup;

// A handshake under way is in stage 0.
const DONE: u8 = 1;
const PUSHED_OUT: u8 = 2;

/// Handshakes under way, oldest first.
#[derive(Debug)]
pub(super) struct Handshakes {
    most: usize,
    pending: Mutex<VecDeque<Arc<Ticket>>>,
}

/// One handshake: held by the byte stream that it goes over.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    /// Where the connection comes from; no two have the same port at a time.
    from: String,
    /// `None` for this machine.
    group: Option<AddressGroup>,
    stage: AtomicU8,
    waker: AtomicWaker,
}

impl Ticket {
    /// Fails once this handshake was pushed out; until then `cx` is woken when that happens.
    pub(super) fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        match self.stage.load(Ordering::Acquire) {
            DONE => Ok(()),
            PUSHED_OUT => Err(pushed_out()),
            _ => {
                self.waker.register(cx.waker());
                match self.stage.load(Ordering::Acquire) {
                    PUSHED_OUT => Err(pushed_out()),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn pushed_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "too many handshakes are under way, and this one is the oldest of its network",
    )
}

impl Handshakes {
    /// At most `most` at a time.
    pub(super) fn new(most: usize) -> Handshakes {
        Handshakes {
            most,
            pending: Mutex::default(),
        }
    }

    /// A connection was made; if it came from outside, its handshake is counted, and another one goes if there are too many.
    pub(super) fn begin(&self, point: &ConnectedPoint) -> Option<Arc<Ticket>> {
        inbound(point).map(|from| self.begin_from(from))
    }

    /// A handshake succeeded.
    pub(super) fn end(&self, point: &ConnectedPoint) {
        if let Some(from) = inbound(point) {
            self.end_from(&from.to_string());
        }
    }

    fn begin_from(&self, from: &Multiaddr) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket {
            from: from.to_string(),
            group: address::ip_of(from).and_then(AddressGroup::of),
            ..Ticket::default()
        });
        let mut pending = self.lock();
        // Those that failed are held by nobody else any more.
        pending.retain(|other| Arc::strong_count(other) > 1);
        pending.push_back(Arc::clone(&ticket));
        if pending.len() > self.most
            && let Some(place) = to_push_out(&pending)
            && let Some(oldest) = pending.remove(place)
        {
            oldest.stage.store(PUSHED_OUT, Ordering::Release);
            oldest.waker.wake();
        }
        ticket
    }

    fn end_from(&self, from: &str) {
        self.lock().retain(|ticket| {
            let done = ticket.from == from;
            if done {
                ticket.stage.store(DONE, Ordering::Release);
            }
            !done
        });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Ticket>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of the oldest one of the group that has most.
fn to_push_out(pending: &VecDeque<Arc<Ticket>>) -> Option<usize> {
    let mut counts: BTreeMap<Option<AddressGroup>, usize> = BTreeMap::new();
    for ticket in pending {
        *counts.entry(ticket.group).or_default() += 1;
    }
    let most = counts.values().max()?;
    pending
        .iter()
        .position(|ticket| counts.get(&ticket.group) == Some(most))
}

/// Where an inbound connection comes from.
fn inbound(point: &ConnectedPoint) -> Option<&Multiaddr> {
    match point {
        ConnectedPoint::Listener { send_back_addr, .. } => Some(send_back_addr),
        ConnectedPoint::Dialer { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn is_well(ticket: &Ticket) -> bool {
        ticket.check(&Context::from_waker(Waker::noop())).is_ok()
    }

    fn place(host: &str, port: usize) -> Multiaddr {
        format!("/ip4/{host}/tcp/{port}").parse().unwrap()
    }

    fn here(port: usize) -> Multiaddr {
        place("127.0.0.1", port)
    }

    #[test]
    fn the_oldest_handshake_makes_room_and_those_that_are_done_are_left_alone() {
        let handshakes = Handshakes::new(3);
        let first: Vec<_> = (0..3).map(|n| handshakes.begin_from(&here(n))).collect();
        handshakes.end_from(&here(0).to_string());
        assert!(first.iter().all(|ticket| is_well(ticket)));
        let _fourth = handshakes.begin_from(&here(3));
        assert!(is_well(&first[1]), "three are under way");
        let fifth = handshakes.begin_from(&here(4));
        assert!(is_well(&first[0]), "it was done");
        assert!(!is_well(&first[1]), "it is the oldest");
        assert!(is_well(&first[2]) && is_well(&fifth));
    }

    /// The oldest of all went, so that whoever opened sockets faster than others shake hands kept them out.
    #[test]
    fn sockets_without_end_of_one_network_push_out_their_own() {
        let handshakes = Handshakes::new(64);
        let newcomer = handshakes.begin_from(&place("9.9.1.1", 1));
        let local = handshakes.begin_from(&here(1));
        let silent: Vec<_> = (0..1_000)
            .map(|n| handshakes.begin_from(&place(&format!("8.8.{}.1", n % 250), n + 2)))
            .collect();
        assert!(is_well(&newcomer) && is_well(&local));
        let left = silent.iter().filter(|ticket| is_well(ticket)).count();
        assert_eq!(left, 62, "they have what the others leave");
        assert!(is_well(&silent[999]) && !is_well(&silent[0]));
    }

    #[test]
    fn a_handshake_that_failed_takes_no_place() {
        let handshakes = Handshakes::new(2);
        let kept = handshakes.begin_from(&here(1));
        for n in 0..10 {
            drop(handshakes.begin_from(&here(n + 2)));
        }
        assert!(is_well(&kept));
    }
}
