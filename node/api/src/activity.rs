//! [`Activity`]: the calls that are being carried out, and how many there were.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use p2p::Mono;

/// The calls that are being carried out, and how many there were.
#[derive(Debug, Default)]
pub struct Activity {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, (&'static str, Mono)>,
    done: BTreeMap<&'static str, CallCount>,
}

/// How often a call was made, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallCount {
    /// Calls that ended.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Time that they took in all.
    pub time: Duration,
}

/// Names a running call.
#[derive(Debug)]
pub struct Running(u64);

impl Activity {
    /// A call begins.
    pub fn begin(&self, method: &'static str, now: Mono) -> Running {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.running.insert(number, (method, now));
        Running(number)
    }

    /// A call ended.
    pub fn end(&self, call: &Running, failed: bool, now: Mono) {
        let mut state = self.lock();
        if let Some((method, since)) = state.running.remove(&call.0) {
            let count = state.done.entry(method).or_default();
            count.calls += 1;
            count.failures += u64::from(failed);
            count.time += now.since(since);
        }
    }

    /// Calls that run, with the time they run already, oldest first.
    pub fn running(&self, now: Mono) -> Vec<(&'static str, Duration)> {
        let state = self.lock();
        let running = state.running.values();
        running
            .map(|(method, since)| (*method, now.since(*since)))
            .collect()
    }

    /// Counts by call.
    pub fn counts(&self) -> Vec<(&'static str, CallCount)> {
        let state = self.lock();
        state.done.iter().map(|(m, count)| (*m, *count)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_when_they_end() {
        let activity = Activity::default();
        let at = Mono::from_micros;
        let call = activity.begin("help", at(10));
        assert_eq!(
            activity.running(at(15)),
            [("help", Duration::from_micros(5))]
        );
        activity.end(&call, true, at(30));
        assert!(activity.running(at(30)).is_empty());
        let wanted = CallCount {
            calls: 1,
            failures: 1,
            time: Duration::from_micros(20),
        };
        assert_eq!(activity.counts(), [("help", wanted)]);
    }
}
