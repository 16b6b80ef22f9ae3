//! [`EventLog`]: the last events of a node, numbered, to be read from any number on.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::clock::unix_millis;
use node_core::events::NodeEvent;

/// How many events are kept: some MB at most.
pub const KEPT_EVENTS: usize = 50_000;

/// An event with its number and time.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberedEvent {
    /// Its number: 1 for the first of this run, then one more each.
    pub number: u64,
    /// When it was told, in Unix milliseconds of the machine's clock.
    pub at_ms: u64,
    /// What happened.
    pub event: NodeEvent,
}

/// Events before this number are gone: a listener that wants them must start anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too old: the oldest event kept is {oldest}; read the state anew and go on from there")]
pub struct TooOld {
    /// The oldest event that is there.
    pub oldest: u64,
}

/// The last events of a node.
#[derive(Debug)]
pub struct EventLog {
    kept: Mutex<VecDeque<NumberedEvent>>,
    capacity: usize,
    latest: watch::Sender<u64>,
}

impl EventLog {
    /// An empty log that keeps `capacity` events.
    pub fn new(capacity: usize) -> EventLog {
        EventLog {
            kept: Mutex::default(),
            capacity,
            latest: watch::Sender::new(0),
        }
    }

    /// Appends an event and wakes listeners.
    pub fn push(&self, event: NodeEvent) {
        let mut kept = self.lock();
        let number = *self.latest.borrow() + 1;
        if kept.len() == self.capacity {
            kept.pop_front();
        }
        kept.push_back(NumberedEvent {
            number,
            at_ms: unix_millis(),
            event,
        });
        self.latest.send_replace(number);
    }

    /// Up to `limit` events from number `from` on, oldest first; empty when they are yet to come.
    ///
    /// # Errors
    ///
    /// [`TooOld`] when some of them are not kept any more.
    pub fn since(&self, from: u64, limit: usize) -> Result<Vec<NumberedEvent>, TooOld> {
        let kept = self.lock();
        let Some(oldest) = kept.front().map(|event| event.number) else {
            return Ok(Vec::new());
        };
        if from.max(1) < oldest {
            return Err(TooOld { oldest });
        }
        let skip = usize::try_from(from.max(1) - oldest).unwrap_or(usize::MAX);
        Ok(kept.iter().skip(skip).take(limit).cloned().collect())
    }

    /// The number of the oldest event that is kept, or of the first to come.
    pub fn oldest(&self) -> u64 {
        self.lock().front().map_or(1, |event| event.number)
    }

    /// The number of the last event, 0 before the first; changes wake its holder.
    pub fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<NumberedEvent>> {
        // Nothing that can panic happens under the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use node_core::Mode;

    fn log(capacity: usize, events: usize) -> EventLog {
        let log = EventLog::new(capacity);
        for _ in 0..events {
            log.push(NodeEvent::ModeChanged {
                mode: Mode::Healthy,
            });
        }
        log
    }

    fn numbers(log: &EventLog, from: u64, limit: usize) -> Result<Vec<u64>, TooOld> {
        let events = log.since(from, limit)?;
        Ok(events.iter().map(|event| event.number).collect())
    }

    #[test]
    fn a_listener_goes_on_from_its_last_number() {
        let log = log(10, 5);
        assert_eq!(numbers(&log, 0, 10), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(numbers(&log, 4, 10), Ok(vec![4, 5]));
        assert_eq!(numbers(&log, 2, 2), Ok(vec![2, 3]));
        assert_eq!(numbers(&log, 6, 10), Ok(vec![]));
        assert_eq!(*log.latest().borrow(), 5);
    }

    #[test]
    fn a_listener_that_was_away_too_long_is_told_so() {
        let log = log(10, 25);
        assert_eq!(numbers(&log, 15, 10), Err(TooOld { oldest: 16 }));
        assert_eq!(numbers(&log, 16, 1), Ok(vec![16]));
        assert_eq!(numbers(&self::log(10, 0), 3, 1), Ok(vec![]));
    }
}
