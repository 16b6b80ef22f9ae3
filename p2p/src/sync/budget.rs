//! [`Budget`]: an allowance that refills with time.

use crate::Mono;

/// So many units at once, and one more each second.
#[derive(Debug)]
pub(super) struct Budget {
    most: u32,
    left: u32,
    counted_at: Mono,
}

impl Budget {
    pub(super) fn new(most: u32) -> Budget {
        Budget {
            most,
            left: most,
            counted_at: Mono::ZERO,
        }
    }

    /// Takes `wanted` units where `room` are free anyway: only what is beyond them is spent.
    pub(super) fn spend_beyond(&mut self, room: usize, wanted: usize, now: Mono) -> bool {
        match wanted.checked_sub(room) {
            None | Some(0) => true,
            Some(beyond) => self.spend(u32::try_from(beyond).unwrap_or(u32::MAX), now),
        }
    }

    /// Units that may be spent now.
    pub(super) fn left(&mut self, now: Mono) -> u32 {
        let seconds = u32::try_from(now.since(self.counted_at).as_secs()).unwrap_or(u32::MAX);
        if seconds > 0 {
            self.left = self.left.saturating_add(seconds).min(self.most);
            self.counted_at = now;
        }
        self.left
    }

    /// Spends `units`, all or nothing.
    pub(super) fn spend(&mut self, units: u32, now: Mono) -> bool {
        let enough = units <= self.left(now);
        if enough {
            self.left -= units;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn spent_units_come_back_one_a_second() {
        let mut budget = Budget::new(10);
        let start = Mono::ZERO;
        assert!(budget.spend(10, start));
        assert!(!budget.spend(1, start));
        assert!(budget.spend(3, start + Duration::from_secs(3)));
        assert!(!budget.spend(11, start + Duration::from_secs(300)));
        assert!(budget.spend(10, start + Duration::from_secs(300)));
    }
}
