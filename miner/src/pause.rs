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

impl PauseGate {
    /// An open gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Closes the gate: threads stop within about two milliseconds. Every close needs its open.
    pub fn close(&self) {
        self.closed_by.fetch_add(1, Ordering::Release);
    }

    /// Takes a close back. The gate is open when all are.
    pub fn open(&self) {
        let before = self.closed_by.fetch_sub(1, Ordering::Release);
        debug_assert!(before > 0, "opened more often than closed");
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
