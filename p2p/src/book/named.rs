//! [`Named`]: an address that the operator gave. Nothing that others tell changes it.

use std::time::Duration;

use chain::Timestamp;

use super::address::{PeerAddress, Reach};
use super::backoff::{Backoff, Place};
use super::known::Entry;
use crate::{Mono, PeerNum};

/// A failure that may pass by itself (the other node is being started) is complained about when it has lasted so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// After the first complaint about an address, the next comes after this; then ever more seldom ...
const FIRST_SILENCE: Duration = Duration::from_secs(60);
/// ... up to this.
const LONGEST_SILENCE: Duration = Duration::from_secs(3_600);

/// Something that the operator should hear of an address that he gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The address as it was given.
    pub address: String,
    /// Why nobody is connected there.
    pub reason: String,
}

/// One address of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPeer {
    /// As it was given.
    pub address: String,
    /// The peer that is connected there.
    pub peer: Option<PeerNum>,
    /// Why nobody is, as far as known.
    pub problem: Option<String>,
}

/// What is known of one address of the operator's.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// As it was given, with the id if there was one.
    pub(super) address: PeerAddress,
    pub(super) backoff: Backoff,
    /// Who was found there though it is connected by another way: true for as long as that connection lives.
    pub(super) met: Option<PeerNum>,
    /// Who answered there last, and when.
    pub(super) found: Option<(String, Timestamp)>,
    /// Why it is not connected.
    pub(super) problem: Option<String>,
    /// When it began to fail.
    failing_since: Option<Mono>,
    next_complaint: Mono,
    silence: Duration,
}

impl Named {
    pub(super) fn new(address: PeerAddress) -> Named {
        Named {
            address,
            backoff: Backoff::default(),
            met: None,
            found: None,
            problem: None,
            failing_since: None,
            next_complaint: Mono::ZERO,
            silence: FIRST_SILENCE,
        }
    }

    pub(super) fn place(&self) -> Place {
        Place {
            is_loopback: self.address.reach() == Reach::Loopback,
            is_named: true,
        }
    }

    /// A dial failed. Tells whether the operator should hear of it.
    pub(super) fn failed(&mut self, now: Mono, reason: &str, lasting: bool) -> bool {
        let place = self.place();
        self.backoff.failed(now, place, lasting);
        self.problem = Some(reason.to_owned());
        let since = *self.failing_since.get_or_insert(now);
        let is_told = (lasting || now.since(since) >= PATIENCE) && now >= self.next_complaint;
        if is_told {
            self.next_complaint = now + self.silence;
            self.silence = (self.silence * 2).min(LONGEST_SILENCE);
        }
        is_told
    }

    /// Someone answers there.
    pub(super) fn answered(&mut self) {
        self.backoff.answered();
        self.problem = None;
        self.failing_since = None;
    }

    /// What is worth remembering of it: where it is, and who was there when.
    pub(super) fn remembered(&self) -> Option<Entry> {
        let (peer_id, at) = self.found.clone()?;
        let address = PeerAddress {
            endpoint: self.address.endpoint.clone(),
            peer_id: Some(peer_id),
        };
        let mut entry = Entry::new(address, None);
        entry.last_success = Some(at);
        entry.backoff = Backoff::remembered(self.backoff.failures, true);
        Some(entry)
    }

    /// A connection to it has ended. A good one makes the next failure news again.
    pub(super) fn ended(&mut self, now: Mono, lasted: Duration, given_up: bool, reason: &str) {
        let place = self.place();
        self.backoff.ended(now, place, lasted, given_up);
        self.problem = Some(reason.to_owned());
        if self.backoff.failures == 0 {
            self.next_complaint = now;
            self.silence = FIRST_SILENCE;
        }
    }
}
