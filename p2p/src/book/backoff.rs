//! [`Backoff`]: when an address may be dialled again.

use std::time::Duration;

use crate::Mono;

/// First pause on loopback and for whom we just lost; doubles with each failure.
const SHORT_PAUSE: Duration = Duration::from_millis(100);
/// First pause elsewhere.
const LONG_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause on loopback, for an address that was ever good or that the operator gave.
const LONGEST_ON_LOOPBACK: Duration = Duration::from_secs(2);
/// Longest pause otherwise.
const LONGEST: Duration = Duration::from_secs(60);
/// First pause when the reason will not pass by itself: someone else lives there, it is ourselves, we gave its peer up.
const LASTING_PAUSE: Duration = Duration::from_secs(15);
/// Longest pause then, for what the operator gave ...
const LONGEST_LASTING_NAMED: Duration = Duration::from_secs(60);
/// ... and for the rest.
const LONGEST_LASTING: Duration = Duration::from_secs(1_800);
/// First pause for a learnt address whose peer parted from us right after we met: it has no use for us.
const PARTED_PAUSE: Duration = Duration::from_secs(10);
/// A connection is good once it has lasted so long; one that ends sooner was a failure, however friendly its beginning.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// Without any word of it, a dial is lost after this.
const DIAL_PATIENCE: Duration = Duration::from_secs(30);

/// What there is to know of an address for its pauses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// It is on this machine.
    pub(super) is_loopback: bool,
    /// The operator gave it.
    pub(super) is_named: bool,
}

/// Failures and pauses of one address.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    /// Failures since the last good connection.
    pub(super) failures: u32,
    /// Failures for a reason that lasts, since then.
    lasting: u32,
    /// It had a good connection once.
    was_good: bool,
    not_before: Mono,
    /// When the dial that is under way counts as lost.
    dial_ends: Option<Mono>,
}

impl Backoff {
    /// Of an address from an earlier run.
    pub(super) fn remembered(failures: u32, was_good: bool) -> Backoff {
        Backoff {
            failures,
            was_good,
            ..Backoff::default()
        }
    }

    pub(super) fn is_dialling(&self, now: Mono) -> bool {
        self.dial_ends.is_some_and(|ends| now < ends)
    }

    /// When it may be dialled.
    pub(super) fn due(&self) -> Mono {
        self.not_before.max(self.dial_ends.unwrap_or(Mono::ZERO))
    }

    pub(super) fn dial(&mut self, now: Mono) {
        self.dial_ends = Some(now + DIAL_PATIENCE);
    }

    /// Someone answered. Whether that is good shows when the connection ends.
    pub(super) fn answered(&mut self) {
        self.dial_ends = None;
    }

    /// It may be dialled at once, whatever was before.
    pub(super) fn forgive(&mut self, now: Mono) {
        self.dial_ends = None;
        self.not_before = self.not_before.min(now);
    }

    /// A dial failed. `lasting`: for a reason that will not pass by itself.
    pub(super) fn failed(&mut self, now: Mono, place: Place, lasting: bool) {
        self.dial_ends = None;
        self.failures = self.failures.saturating_add(1);
        let pause = if lasting {
            self.lasting = self.lasting.saturating_add(1);
            let longest = if place.is_named {
                LONGEST_LASTING_NAMED
            } else {
                LONGEST_LASTING
            };
            doubled(LASTING_PAUSE, self.lasting, longest)
        } else {
            self.pause(place)
        };
        self.not_before = now + pause;
    }

    /// A connection that lasted for `lasted` has ended. A good one is made anew at once, as after a healed partition.
    pub(super) fn ended(&mut self, now: Mono, place: Place, lasted: Duration, given_up: bool) {
        self.dial_ends = None;
        if lasted >= GOOD_AFTER && !given_up {
            self.failures = 0;
            self.lasting = 0;
            self.was_good = true;
            self.not_before = now + SHORT_PAUSE;
        } else {
            self.failed(now, place, given_up);
            if !place.is_named && !given_up {
                self.not_before = now + doubled(PARTED_PAUSE, self.failures, LONGEST);
            }
        }
    }

    fn pause(&self, place: Place) -> Duration {
        let (first, longest) = match (place.is_loopback, place.is_named || self.was_good) {
            (true, true) => (SHORT_PAUSE, LONGEST_ON_LOOPBACK),
            (true, false) => (SHORT_PAUSE, LONGEST),
            (false, _) => (LONG_PAUSE, LONGEST),
        };
        doubled(first, self.failures, longest)
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    let doublings = times.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(longest)
}
