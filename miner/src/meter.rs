//! [`RateWindow`]: hashes per second, from how many were counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Hash rate over the last seconds, from readings of a counter. Time is passed in.
#[derive(Clone, Debug)]
pub(crate) struct RateWindow {
    span: Duration,
    readings: VecDeque<(Instant, u64)>,
}

impl RateWindow {
    /// A rate over the last `span`.
    #[must_use]
    pub(crate) fn new(span: Duration) -> Self {
        Self {
            span,
            readings: VecDeque::new(),
        }
    }

    /// Notes a reading and gives the hashes per second since the oldest one in the window; 0 for the first.
    pub(crate) fn note(&mut self, now: Instant, hashes: u64) -> f64 {
        self.readings.push_back((now, hashes));
        while self.readings.len() > 2 && now.duration_since(self.readings[1].0) >= self.span {
            self.readings.pop_front();
        }
        let (first, before) = self.readings[0];
        let seconds = now.duration_since(first).as_secs_f64();
        if seconds > 0.0 {
            hashes.saturating_sub(before) as f64 / seconds
        } else {
            0.0
        }
    }
}

/// A hash rate for people: `1.24 MH/s`.
#[must_use]
pub(crate) fn format_rate(hashes_per_second: f64) -> String {
    let mut value = hashes_per_second;
    for unit in ["H/s", "kH/s", "MH/s"] {
        if value < 1_000.0 {
            return format!("{value:.2} {unit}");
        }
        value /= 1_000.0;
    }
    format!("{value:.2} GH/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_forgets_what_is_old() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut window = RateWindow::new(Duration::from_secs(10));
        assert_eq!(window.note(at(0), 0), 0.0);
        assert_eq!(window.note(at(10), 1_000), 100.0);
        assert_eq!(window.note(at(20), 1_500), 50.0);
        assert_eq!(window.note(at(30), 1_500), 0.0);
    }

    #[test]
    fn rates_have_units() {
        assert_eq!(format_rate(0.0), "0.00 H/s");
        assert_eq!(format_rate(1_500.0), "1.50 kH/s");
        assert_eq!(format_rate(20.94e6), "20.94 MH/s");
        assert_eq!(format_rate(1.2e10), "12.00 GH/s");
    }
}
