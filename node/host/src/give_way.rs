//! Giving way: work on a block that was just announced lets threads that wait for a core go first, now and then.
//!
//! A kernel leaves the core to whoever has it for some milliseconds, also while others wait. Where many nodes share a machine, each of
//! them rebuilding the block at once, such turns add up, and a node whose turn comes last hears of the block when the others
//! are done with it. What waits meanwhile is short: a message to read, one to pass on.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Work goes on for this long before it gives way.
const STRETCH: Duration = Duration::from_micros(100);
/// One piece of work waits for this long in all, then it goes on: beside programs that never rest, giving way would not end.
const PATIENCE: Duration = Duration::from_millis(20);

/// Runs `work`, which gives way wherever it may pause. Where a core is free, that takes no time.
pub(crate) fn giving_way<T>(work: impl FnOnce() -> T) -> T {
    let turns = Turns::new(Instant::now());
    let pause = move || {
        let asked = Instant::now();
        if turns.is_over(asked) {
            std::thread::yield_now();
            turns.begin_again(asked, Instant::now());
        }
    };
    chain::pause::with(pause, work)
}

/// When a turn is over, as long as there is patience.
struct Turns {
    began: Cell<Instant>,
    patience: Cell<Duration>,
}

impl Turns {
    fn new(now: Instant) -> Turns {
        Turns {
            began: Cell::new(now),
            patience: Cell::new(PATIENCE),
        }
    }

    /// Whether it is time to give way.
    fn is_over(&self, now: Instant) -> bool {
        !self.patience.get().is_zero() && now.duration_since(self.began.get()) >= STRETCH
    }

    /// It was given way from `left` until `now`.
    fn begin_again(&self, left: Instant, now: Instant) {
        let waited = now.duration_since(left);
        self.patience
            .set(self.patience.get().saturating_sub(waited));
        self.began.set(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_after_its_stretch_and_begins_with_the_return() {
        let start = Instant::now();
        let turns = Turns::new(start);
        assert!(!turns.is_over(start + STRETCH / 2));
        let left = start + STRETCH;
        assert!(turns.is_over(left));
        let back = left + PATIENCE / 2;
        turns.begin_again(left, back);
        assert!(!turns.is_over(back + STRETCH / 2));
        assert!(turns.is_over(back + STRETCH));
    }

    #[test]
    fn patience_ends() {
        let start = Instant::now();
        let turns = Turns::new(start);
        let mut now = start;
        for _ in 0..4 {
            let left = now + STRETCH;
            assert!(turns.is_over(left));
            now = left + PATIENCE / 4;
            turns.begin_again(left, now);
        }
        assert!(!turns.is_over(now + 10 * STRETCH));
    }

    #[test]
    fn work_on_a_quiet_machine_gets_through() {
        let sum = giving_way(|| {
            (0..10_000_u64)
                .inspect(|_| chain::pause::point())
                .sum::<u64>()
        });
        assert_eq!(sum, 49_995_000);
    }
}
