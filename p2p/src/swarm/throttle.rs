//! [`Throttle`]: lets one log line through per interval, so that a peer cannot fill the log.

use std::time::{Duration, Instant};

/// One line per this time.
const INTERVAL: Duration = Duration::from_secs(5);

/// Lets one line through per interval and counts the others.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    next: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    /// How many lines were held back since the last one, if this one may pass.
    pub(super) fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.next.is_some_and(|next| now < next) {
            self.held_back += 1;
            return None;
        }
        self.next = Some(now + INTERVAL);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_per_interval_and_tells_of_the_others() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.pass(start), Some(0));
        assert_eq!(throttle.pass(start), None);
        assert_eq!(throttle.pass(start + INTERVAL / 2), None);
        assert_eq!(throttle.pass(start + INTERVAL), Some(2));
    }
}
