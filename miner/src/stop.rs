//! [`StopFlag`]: ends a search from another thread, and tells when it began.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Ends a search from another thread, even one that sleeps. Clones are the same flag, and it is never lowered:
/// every search gets a new one.
#[derive(Clone, Debug, Default)]
pub struct StopFlag {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    raised: AtomicBool,
    begun: OnceLock<Instant>,
    gate: Mutex<()>,
    changed: Condvar,
}

impl StopFlag {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag for good.
    pub fn stop(&self) {
        self.shared.raised.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether it has been raised.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.shared.raised.load(Ordering::Acquire)
    }

    /// When the first thread of the search took it up; `None` before, and for good if the flag was raised first.
    #[must_use]
    pub fn begun_at(&self) -> Option<Instant> {
        self.shared.begun.get().copied()
    }

    /// A thread takes the search up. The first one counts.
    pub(crate) fn note_begun(&self) {
        // The clock before the flag: who raises it and reads the clock afterwards sees a later time, or no beginning.
        let now = Instant::now();
        if !self.is_stopped() {
            self.shared.begun.get_or_init(|| now);
        }
    }

    /// Lets sleepers look around.
    pub(crate) fn wake(&self) {
        // Whoever is about to sleep holds the gate from its last look on, so it cannot miss this.
        drop(
            self.shared
                .gate
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.shared.changed.notify_all();
    }

    /// Sleeps until `deadline`, the flag, or `over` said at a [`StopFlag::wake`]. Uses no CPU meanwhile.
    pub(crate) fn sleep_until(&self, deadline: Instant, over: impl Fn() -> bool) {
        let mut gate = self
            .shared
            .gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while !self.is_stopped() && !over() {
            let Some(left) = deadline
                .checked_duration_since(Instant::now())
                .filter(|d| !d.is_zero())
            else {
                return;
            };
            let waited = self.shared.changed.wait_timeout(gate, left);
            gate = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sleeps for `time` or until the flag is raised.
    pub fn sleep(&self, time: Duration) {
        self.sleep_until(Instant::now() + time, || false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_wakes_when_the_flag_is_raised() {
        let flag = StopFlag::new();
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| flag.sleep(Duration::from_secs(60)));
            std::thread::sleep(Duration::from_millis(20));
            flag.clone().stop();
        });
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(flag.is_stopped());
    }

    #[test]
    fn the_first_thread_tells_the_beginning_unless_the_flag_was_up_before() {
        let (flag, late) = (StopFlag::new(), StopFlag::new());
        assert_eq!(flag.begun_at(), None);
        flag.note_begun();
        let begun = flag.begun_at();
        assert!(begun.is_some_and(|at| at <= Instant::now()));
        flag.stop();
        flag.note_begun();
        assert_eq!(flag.begun_at(), begun);
        late.stop();
        late.note_begun();
        assert_eq!(late.begun_at(), None);
    }
}
