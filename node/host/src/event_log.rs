//! [`EventLog`]: the last events of a node, numbered, to be read from any number on.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::clock::unix_millis;
use node_core::events::NodeEvent;

/// How many events are kept: some MB at most.
pub const KEPT_EVENTS: usize = 50_000;

/// Tells runs of a node apart: numbers of events mean something only within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(pub u32);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The number of an event, and the run that it belongs to as far as that is told: `RUN-NUMBER` or `NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// `None`: the present run is meant.
    pub run: Option<RunId>,
    /// See [`NumberedEvent::number`].
    pub number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.run {
            Some(run) => write!(f, "{run}-{}", self.number),
            None => write!(f, "{}", self.number),
        }
    }
}

/// A text that names no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is named by RUN-NUMBER or NUMBER, as in 1b2c3d4e-17 or 17")]
pub struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<EventId, NoEventId> {
        let (run, number) = match text.split_once('-') {
            Some((run, number)) => {
                let run = u32::from_str_radix(run, 16).map_err(|_| NoEventId)?;
                (Some(RunId(run)), number)
            }
            None => (None, text),
        };
        let number = number.parse().map_err(|_| NoEventId)?;
        Ok(EventId { run, number })
    }
}

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

/// The events that a listener wants are not here: it must read the state anew and go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// Some of them are not kept any more.
    #[error("too old: the oldest event kept is {oldest}; read the state anew and go on from there")]
    TooOld {
        /// The oldest event that is there.
        oldest: u64,
    },
    /// They are of an earlier run of the node.
    #[error(
        "of another run: the node was started again, as {run}; read the state anew and go on from there"
    )]
    OtherRun {
        /// The present run.
        run: RunId,
    },
    /// They are further ahead than any that comes next, so they are of an earlier run.
    #[error(
        "not yet there: the last event is {latest}, so the node was started again; read the state anew and go on from there"
    )]
    Ahead {
        /// The last event.
        latest: u64,
    },
}

/// The last events of a node.
#[derive(Debug)]
pub struct EventLog {
    run: RunId,
    kept: Mutex<VecDeque<NumberedEvent>>,
    capacity: usize,
    latest: watch::Sender<u64>,
}

impl EventLog {
    /// An empty log of a run, that keeps `capacity` events.
    pub fn new(run: RunId, capacity: usize) -> EventLog {
        EventLog {
            run,
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

    /// The run whose events these are.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Up to `limit` events from `from` on, oldest first; empty when they are yet to come.
    ///
    /// # Errors
    ///
    /// [`Gone`] when some of them are not here and will never be.
    pub fn since(&self, from: EventId, limit: usize) -> Result<Vec<NumberedEvent>, Gone> {
        if from.run.is_some_and(|run| run != self.run) {
            return Err(Gone::OtherRun { run: self.run });
        }
        let kept = self.lock();
        let from = from.number.max(1);
        let latest = *self.latest.borrow();
        if from > latest + 1 {
            return Err(Gone::Ahead { latest });
        }
        let Some(oldest) = kept.front().map(|event| event.number) else {
            return Ok(Vec::new());
        };
        if from < oldest {
            return Err(Gone::TooOld { oldest });
        }
        let skip = usize::try_from(from - oldest).unwrap_or(usize::MAX);
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
        let log = EventLog::new(RunId(7), capacity);
        for _ in 0..events {
            log.push(NodeEvent::ModeChanged {
                mode: Mode::Healthy,
            });
        }
        log
    }

    fn numbers(log: &EventLog, from: &str, limit: usize) -> Result<Vec<u64>, Gone> {
        let events = log.since(from.parse().expect("an id"), limit)?;
        Ok(events.iter().map(|event| event.number).collect())
    }

    #[test]
    fn a_listener_goes_on_from_its_last_number() {
        let log = log(10, 5);
        assert_eq!(numbers(&log, "0", 10), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(numbers(&log, "00000007-4", 10), Ok(vec![4, 5]));
        assert_eq!(numbers(&log, "2", 2), Ok(vec![2, 3]));
        assert_eq!(numbers(&log, "6", 10), Ok(vec![]));
        assert_eq!(*log.latest().borrow(), 5);
    }

    #[test]
    fn a_listener_that_was_away_too_long_is_told_so() {
        let log = log(10, 25);
        assert_eq!(numbers(&log, "15", 10), Err(Gone::TooOld { oldest: 16 }));
        assert_eq!(numbers(&log, "16", 1), Ok(vec![16]));
        assert_eq!(numbers(&self::log(10, 0), "1", 1), Ok(vec![]));
    }

    #[test]
    fn a_listener_of_an_earlier_run_is_told_so() {
        let log = log(10, 5);
        let other = Err(Gone::OtherRun { run: RunId(7) });
        assert_eq!(numbers(&log, "1b2c3d4e-3", 10), other);
        assert_eq!(numbers(&log, "7", 10), Err(Gone::Ahead { latest: 5 }));
    }

    #[test]
    fn events_are_named_by_run_and_number() {
        let id = EventId {
            run: Some(RunId(0x1b2c_3d4e)),
            number: 17,
        };
        assert_eq!(id.to_string(), "1b2c3d4e-17");
        assert_eq!("1b2c3d4e-17".parse(), Ok(id));
        assert_eq!(
            "17".parse(),
            Ok(EventId {
                run: None,
                number: 17
            })
        );
        for wrong in ["", "x", "x-1", "1-", "-1", "1-2-3"] {
            assert_eq!(wrong.parse::<EventId>(), Err(NoEventId), "{wrong}");
        }
    }
}
