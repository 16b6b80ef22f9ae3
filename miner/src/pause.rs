//! [`PauseGate`]: holds searches up while the machine is needed for something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often a held-up thread looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_micros(500);

/// Holds searches up for a short while, such as for checking a block. Clones are the same gate.
///
/// Closing and opening only count. Mining threads are the last that the system runs, so nobody must ever wait for a lock that one of
/// them holds: they look at the gate now and then instead of waiting at it.
#[derive(Clone, Debug, Default)]
pub struct PauseGate {
    closed_by: Arc<AtomicUsize>,
}

/// Keeps a [`PauseGate`] closed until it is dropped.
#[derive(Debug)]
#[must_use = "the gate opens when this is dropped"]
pub struct Closed {
    gate: PauseGate,
}

impl PauseGate {
    /// An open gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Closes the gate: threads stop within about two milliseconds. It is open again when all [`Closed`] are dropped.
    pub fn close(&self) -> Closed {
        self.closed_by.fetch_add(1, Ordering::Release);
        Closed { gate: self.clone() }
    }

    /// Whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed_by.load(Ordering::Acquire) > 0
    }

    /// Sleeps until the gate is open, or until it is all over.
    pub(crate) fn wait_open(&self, over: impl Fn() -> bool) {
        while self.is_closed() && !over() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.gate.closed_by.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_opens_when_the_last_that_closed_it_is_gone_even_by_a_panic() {
        let gate = PauseGate::new();
        let first = gate.close();
        let inner = gate.clone();
        let panicked = std::thread::spawn(move || {
            let _closed = inner.close();
            panic!("while it is closed");
        });
        assert!(panicked.join().is_err());
        assert!(gate.is_closed());
        drop(first);
        assert!(!gate.is_closed());
    }
}
