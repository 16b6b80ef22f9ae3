//! [`Clock`]: the one place of a running node that knows the time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chain::Timestamp;
use p2p::Mono;

use node_core::Now;

/// The two clocks of a node. The one for rules can be moved, for experiments; the one for timeouts cannot.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    offset_s: i64,
    /// The time that `setmocktime` set, in Unix seconds; 0 for the real time.
    mock: AtomicU32,
}

impl Clock {
    /// A clock that starts now, whose wall clock is `offset_s` seconds ahead of the machine's (behind, if negative).
    pub fn new(offset_s: i64) -> Clock {
        Clock {
            start: Instant::now(),
            offset_s,
            mock: AtomicU32::new(0),
        }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now {
            mono: self.mono(),
            wall: self.wall(),
        }
    }

    /// Time since the start.
    pub fn mono(&self) -> Mono {
        Mono::ZERO + self.start.elapsed()
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    /// The wall clock for rules: the mocked time, or the machine's time moved by the offset.
    pub fn wall(&self) -> Timestamp {
        match self.mock.load(Ordering::Relaxed) {
            0 => {
                let seconds = i64::try_from(unix_millis() / 1000).unwrap_or(i64::MAX);
                let moved = seconds.saturating_add(self.offset_s).max(0);
                Timestamp(u32::try_from(moved).unwrap_or(u32::MAX))
            }
            mocked => Timestamp(mocked),
        }
    }

    /// Fixes the wall clock at `time`; `None` lets it run again.
    pub fn set_mock(&self, time: Option<Timestamp>) {
        self.mock
            .store(time.map_or(0, |time| time.0), Ordering::Relaxed);
    }
}

/// The machine's time in Unix milliseconds, for logs and events.
pub fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_can_be_moved_and_fixed() {
        let (here, ahead) = (Clock::new(0), Clock::new(1_000));
        let difference = ahead.wall().0 - here.wall().0;
        assert!((999..=1_001).contains(&difference));
        here.set_mock(Some(Timestamp(5)));
        assert_eq!(here.wall(), Timestamp(5));
        here.set_mock(None);
        assert!(here.wall().0 > 1_000_000_000);
    }
}
