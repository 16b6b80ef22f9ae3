//! How often one place in the code may write to the log, so that no state a node gets stuck in fills the disk.

use std::collections::BTreeMap;
use std::time::Duration;

/// Lines of one place that are written in a window; further ones are counted.
pub(super) const MOST_LINES: u32 = 20;
/// The length of a window.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// What was left out of one place's lines in a window that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut<K> {
    pub(super) place: K,
    pub(super) lines: u64,
    /// The message of the first of them.
    pub(super) first: String,
}

/// Counts lines by place. Time is passed in: since any fixed moment, never going back.
#[derive(Debug)]
pub(super) struct Repeats<K> {
    windows: BTreeMap<K, Window>,
    next_look: Duration,
}

#[derive(Debug)]
struct Window {
    began: Duration,
    written: u32,
    left_out: u64,
    first: String,
}

impl<K: Ord + Clone> Repeats<K> {
    pub(super) fn new() -> Repeats<K> {
        Repeats {
            windows: BTreeMap::new(),
            next_look: Duration::ZERO,
        }
    }

    /// Whether a line of `place` is written. `message` is asked for once a window.
    pub(super) fn may_write(
        &mut self,
        place: &K,
        now: Duration,
        message: impl FnOnce() -> String,
    ) -> bool {
        let window = self.windows.entry(place.clone()).or_insert(Window {
            began: now,
            written: 0,
            left_out: 0,
            first: String::new(),
        });
        if window.written < MOST_LINES {
            window.written += 1;
            return true;
        }
        if window.left_out == 0 {
            window.first = message();
        }
        window.left_out += 1;
        false
    }

    /// What was left out in windows that are over; they begin anew with the next line. Looks once a second at most.
    pub(super) fn due(&mut self, now: Duration) -> Vec<LeftOut<K>> {
        if now < self.next_look {
            return Vec::new();
        }
        self.next_look = now + Duration::from_secs(1);
        self.end_windows(|window| window.began + WINDOW <= now)
    }

    /// What was left out and not told yet, when no more lines follow.
    pub(super) fn finish(&mut self) -> Vec<LeftOut<K>> {
        self.end_windows(|_| true)
    }

    fn end_windows(&mut self, is_over: impl Fn(&Window) -> bool) -> Vec<LeftOut<K>> {
        let mut left_out = Vec::new();
        self.windows.retain(|place, window| {
            if !is_over(window) {
                return true;
            }
            if window.left_out > 0 {
                left_out.push(LeftOut {
                    place: place.clone(),
                    lines: window.left_out,
                    first: std::mem::take(&mut window.first),
                });
            }
            false
        });
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `count` lines of a place at a time; gives how many were written.
    fn write(
        repeats: &mut Repeats<&'static str>,
        place: &'static str,
        count: u32,
        now_s: u64,
    ) -> u32 {
        let now = Duration::from_secs(now_s);
        let lines = (0..count)
            .filter(|n| repeats.may_write(&place, now, || format!("line {n} of {place}")));
        u32::try_from(lines.count()).expect("few")
    }

    #[test]
    fn a_flood_is_cut_counted_and_told_once() {
        let mut repeats = Repeats::new();
        assert_eq!(write(&mut repeats, "a", 25_000, 0), MOST_LINES);
        assert_eq!(write(&mut repeats, "a", 5, 9), 0);
        assert_eq!(repeats.due(Duration::from_secs(9)), []);
        let told = repeats.due(Duration::from_secs(10));
        let first = format!("line {MOST_LINES} of a");
        let lines = u64::from(25_005 - MOST_LINES);
        assert_eq!(
            told,
            [LeftOut {
                place: "a",
                lines,
                first
            }]
        );
        assert_eq!(repeats.due(Duration::from_secs(30)), []);
        assert_eq!(write(&mut repeats, "a", 30, 30), MOST_LINES, "a new window");
    }

    #[test]
    fn places_do_not_count_for_each_other() {
        let mut repeats = Repeats::new();
        assert_eq!(write(&mut repeats, "a", 100, 0), MOST_LINES);
        assert_eq!(write(&mut repeats, "b", 3, 0), 3);
    }

    #[test]
    fn what_comes_now_and_then_is_never_cut_and_not_remembered() {
        let mut repeats = Repeats::new();
        for second in 0..1_000 {
            assert_eq!(repeats.due(Duration::from_secs(second)), []);
            assert_eq!(write(&mut repeats, "a", 1, second), 1);
        }
        assert_eq!(repeats.due(Duration::from_secs(2_000)), []);
        assert!(repeats.windows.is_empty());
    }

    #[test]
    fn what_is_left_is_told_at_the_end() {
        let mut repeats = Repeats::new();
        write(&mut repeats, "a", MOST_LINES + 1, 0);
        let told = repeats.finish();
        assert_eq!((told[0].place, told[0].lines), ("a", 1));
        assert_eq!(repeats.finish(), []);
    }
}
