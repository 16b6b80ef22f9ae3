//! [`Entry`]: one address, and when to dial it again.

use std::time::Duration;

use bitcoin::hashes::{Hash, HashEngine, sha256};
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

/// Without any word of it, a dial is lost after this.
const DIAL_PATIENCE: Duration = Duration::from_secs(30);
/// Failures until an address that was right once is tried less often.
const PATIENT_TRIES: u32 = 30;
/// An address that was never reached is forgotten after so many tries ...
const HOPELESS: u32 = 20;
/// ... and one that was reached after so many: about three hours.
const GIVEN_UP: u32 = 200;

/// One address with what happened to it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) address: PeerAddress,
    /// The peer that told it; `None`: found by ourselves, or given by the operator.
    pub(super) source: Option<String>,
    /// Orders addresses in a way that others cannot foresee.
    pub(super) lot: u64,
    /// The last time that a connection to it came about.
    pub(super) last_success: Option<Timestamp>,
    /// Failures since then.
    pub(super) failures: u32,
    /// Not to be dialled before.
    pub(super) not_before: Mono,
    /// When the dial that is under way counts as lost.
    dial_ends: Option<Mono>,
    /// Who was found there, if that is known better than from the address.
    found: Option<String>,
    /// The operator gave it: it is dialled for ever, whatever the number of peers.
    pub(super) fixed: bool,
}

impl Entry {
    /// `seed` is the book's.
    pub(super) fn new(address: PeerAddress, source: Option<String>, seed: u64) -> Entry {
        Entry {
            lot: draw_lot(&address, seed),
            address,
            source,
            last_success: None,
            failures: 0,
            not_before: Mono::ZERO,
            dial_ends: None,
            found: None,
            fixed: false,
        }
    }

    /// Who is there, as far as known.
    pub(super) fn peer_id(&self) -> Option<&String> {
        self.found.as_ref().or(self.address.peer_id.as_ref())
    }

    /// The address with the id of whoever was found there.
    pub(super) fn full_address(&self) -> PeerAddress {
        PeerAddress {
            endpoint: self.address.endpoint.clone(),
            peer_id: self.peer_id().cloned(),
        }
    }

    pub(super) fn is_dialling(&self, now: Mono) -> bool {
        self.dial_ends.is_some_and(|ends| now < ends)
    }

    /// A dial is under way, or was lost.
    pub(super) fn was_dialled(&self) -> bool {
        self.dial_ends.is_some()
    }

    pub(super) fn dial(&mut self, now: Mono) {
        self.dial_ends = Some(now + DIAL_PATIENCE);
    }

    pub(super) fn stop_dialling(&mut self) {
        self.dial_ends = None;
    }

    /// When it may be dialled, as far as time is concerned.
    pub(super) fn due(&self) -> Mono {
        self.not_before.max(self.dial_ends.unwrap_or(Mono::ZERO))
    }

    pub(super) fn failed(&mut self, now: Mono) {
        self.dial_ends = None;
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + self.pause();
    }

    pub(super) fn succeeded(&mut self, peer_id: &str, clock: Timestamp) {
        self.dial_ends = None;
        self.found = Some(peer_id.to_owned());
        self.failures = 0;
        self.last_success = Some(clock);
    }

    /// Someone was found there who is connected already: while that lasts, this address is not dialled.
    pub(super) fn met(&mut self, peer_id: &str) {
        self.found = Some(peer_id.to_owned());
    }

    /// The connection ended: it is tried again at once, as after a healed partition.
    pub(super) fn lost(&mut self, now: Mono) {
        self.dial_ends = None;
        self.not_before = now + SHORT_PAUSE;
    }

    /// Not worth its place any more.
    pub(super) fn is_hopeless(&self) -> bool {
        let most = if self.last_success.is_some() {
            GIVEN_UP
        } else {
            HOPELESS
        };
        !self.fixed && self.failures >= most
    }

    fn pause(&self) -> Duration {
        let local = self.address.reach() == Reach::Loopback;
        let proven = self.last_success.is_some() && self.failures < PATIENT_TRIES;
        let (first, longest) = match (local, self.fixed || proven) {
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

fn draw_lot(address: &PeerAddress, seed: u64) -> u64 {
    let mut engine = sha256::Hash::engine();
    engine.input(&seed.to_le_bytes());
    engine.input(address.endpoint.to_string().as_bytes());
    let hash = sha256::Hash::from_engine(engine).to_byte_array();
    hash.iter()
        .take(8)
        .fold(0, |lot, byte| lot << 8 | u64::from(*byte))
}
