//! [`Entry`]: one address, and when to dial it again.

use std::time::Duration;

use chain::Timestamp;

use super::address::{PeerAddress, Reach};
use crate::Mono;

/// First pause on loopback and for whom we just lost; doubles with each failure.
const SHORT_PAUSE: Duration = Duration::from_millis(100);
/// First pause elsewhere.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause on loopback, for an address that was ever right or that the operator gave.
const LONGEST_ON_LOOPBACK: Duration = Duration::from_secs(2);
/// Longest pause otherwise.
const LONGEST: Duration = Duration::from_secs(60);

/// One address with what happened to it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) address: PeerAddress,
    /// The peer that told it; `None`: found by ourselves, or given by the operator.
    pub(super) source: Option<String>,
    /// The last time that a connection to it came about.
    pub(super) last_success: Option<Timestamp>,
    /// Failures since then.
    pub(super) failures: u32,
    /// Not to be dialled before.
    pub(super) not_before: Mono,
    /// A dial is under way.
    pub(super) dialling: bool,
    /// The operator gave it: it is dialled for ever, whatever the number of peers.
    pub(super) fixed: bool,
}

impl Entry {
    pub(super) fn new(address: PeerAddress, source: Option<String>) -> Entry {
        Entry {
            address,
            source,
            last_success: None,
            failures: 0,
            not_before: Mono::ZERO,
            dialling: false,
            fixed: false,
        }
    }

    pub(super) fn failed(&mut self, now: Mono) {
        self.dialling = false;
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + self.pause();
    }

    pub(super) fn succeeded(&mut self, clock: Timestamp) {
        self.dialling = false;
        self.failures = 0;
        self.last_success = Some(clock);
    }

    /// The connection ended: it is tried again at once, as after a healed partition.
    pub(super) fn lost(&mut self, now: Mono) {
        self.dialling = false;
        self.not_before = now + SHORT_PAUSE;
    }

    fn pause(&self) -> Duration {
        let local = self.address.reach() == Reach::Loopback;
        let (first, longest) = match (local, self.fixed || self.last_success.is_some()) {
            (true, true) => (SHORT_PAUSE, LONGEST_ON_LOOPBACK),
            (true, false) => (SHORT_PAUSE, LONGEST),
            (false, _) => (LONG_PAUSE, LONGEST),
        };
        let doublings = self.failures.saturating_sub(1).min(16);
        first.saturating_mul(1 << doublings).min(longest)
    }

    /// How little would be lost with it: never reached and failed often is worth least.
    pub(super) fn worth(&self) -> (bool, Option<Timestamp>, std::cmp::Reverse<u32>) {
        (
            self.fixed,
            self.last_success,
            std::cmp::Reverse(self.failures),
        )
    }
}
