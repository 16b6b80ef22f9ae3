//! What is due when. Nothing ticks: the driver sleeps until the first of these.

use std::collections::BTreeMap;
use std::time::Instant;

/// Things to do, by time.
#[derive(Debug)]
pub(super) struct Timers<T> {
    count: u64,
    due: BTreeMap<(Instant, u64), T>,
}

impl<T> Default for Timers<T> {
    fn default() -> Timers<T> {
        Timers {
            count: 0,
            due: BTreeMap::new(),
        }
    }
}

impl<T> Timers<T> {
    pub(super) fn set(&mut self, at: Instant, timer: T) {
        self.count += 1;
        self.due.insert((at, self.count), timer);
    }

    /// The earliest time at which something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Option<T> {
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
