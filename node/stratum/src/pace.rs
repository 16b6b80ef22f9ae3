//! [`Pace`]: how fast lines of one connection are read.

use std::time::Duration;

use p2p::Mono;

use super::limits::{LINES_AT_ONCE, LINES_PER_SECOND};

/// A bucket of lines that may be read. An overfull connection is not read for a while, which the miner's own socket feels.
#[derive(Debug)]
pub struct Pace {
    left: f64,
    at: Mono,
}

impl Pace {
    /// A full bucket.
    #[must_use]
    pub fn new(now: Mono) -> Pace {
        Pace {
            left: f64::from(LINES_AT_ONCE),
            at: now,
        }
    }

    /// A line was read. Gives how long to wait before the next.
    pub fn line(&mut self, now: Mono) -> Duration {
        let rate = f64::from(LINES_PER_SECOND);
        let gained = now.since(self.at).as_secs_f64() * rate;
        self.left = (self.left + gained).min(f64::from(LINES_AT_ONCE)) - 1.0;
        self.at = now;
        Duration::from_secs_f64((-self.left / rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_a_flood_is_slowed_to_the_rate() {
        let mut pace = Pace::new(Mono::ZERO);
        let mut now = Mono::ZERO;
        for _ in 0..LINES_AT_ONCE {
            assert_eq!(pace.line(now), Duration::ZERO);
        }
        for _ in 0..5 * LINES_PER_SECOND {
            now = now + pace.line(now);
        }
        assert!((4.9..5.1).contains(&now.since(Mono::ZERO).as_secs_f64()));
    }
}
