//! [`Turns`]: who may change the core next, and that those who read it come in between.
//!
//! The core's lock alone would not do. A thread that waits to change the core would keep readers out while another only writes to
//! disk. And a thread that makes one step after another would take the lock again before those who wait for it have woken up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a change waits for those who want to read before it: they need it to wake up, where cores are few.
const PATIENCE: Duration = Duration::from_millis(10);

/// How long it sleeps before it looks again.
const NAP: Duration = Duration::from_micros(50);

/// The order in which threads come to the core.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    changing: Mutex<()>,
    /// Times that a thread asked to read.
    asked: AtomicU64,
    /// How many of them began to read.
    begun: AtomicU64,
}

/// Held by the one thread that may change the core.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _changing: MutexGuard<'a, ()>,
}

/// A wish to read. It ends when reading begins.
#[derive(Debug)]
pub(crate) struct Asks<'a>(&'a Turns);

impl Turns {
    /// Tells that this thread wants to read, as long as the result lives.
    pub(crate) fn ask(&self) -> Asks<'_> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Asks(self)
    }

    /// Waits until this thread may change the core, and lets those read who asked before it.
    pub(crate) fn wait(&self) -> Turn<'_> {
        // It protects no data: the core's own lock tells of a panic.
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = self.asked.load(Ordering::Relaxed);
        let began = Instant::now();
        // Those who ask later do not count: there may be no end of them.
        while self.begun.load(Ordering::Relaxed) < asked && began.elapsed() < PATIENCE {
            std::thread::sleep(NAP);
        }
        Turn {
            _changing: changing,
        }
    }
}

impl Drop for Asks<'_> {
    fn drop(&mut self) {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_waits_for_who_asked_to_read_but_not_for_ever() {
        let turns = Turns::default();
        let asks = turns.ask();
        let began = Instant::now();
        drop(turns.wait());
        assert!(began.elapsed() >= PATIENCE);
        drop(asks);
        assert_eq!(turns.begun.load(Ordering::Relaxed), 1);
    }
}
