//! Working less than possible: a bucket of hashes that fills with time, and rests that follow work.

use std::time::{Duration, Instant};

/// How much of the rate a bucket holds at most. Short, so that a pause is not followed by a burst.
const CAPACITY: Duration = Duration::from_millis(20);

/// A bucket of hashes. It fills at the rate and holds at least one hash, so that one hash a second works as well as
/// millions. Time is passed in.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    rate: f64,
    capacity: f64,
    level: f64,
    at: Instant,
}

/// What a bucket gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// So many hashes may be computed now.
    Hashes(u64),
    /// Nothing before then.
    NotBefore(Instant),
}

impl Bucket {
    /// An empty bucket that fills with `rate` hashes a second.
    pub(crate) fn new(rate: u64, now: Instant) -> Self {
        let rate = (rate as f64).max(f64::MIN_POSITIVE);
        // Room for two, so that a late sleeper does not lose the fraction that came in meanwhile.
        let capacity = (rate * CAPACITY.as_secs_f64()).max(2.0);
        Self {
            rate,
            capacity,
            level: 0.0,
            at: now,
        }
    }

    /// Takes up to `wanted` whole hashes.
    pub(crate) fn take(&mut self, wanted: u64, now: Instant) -> Grant {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(self.capacity);
        self.at = self.at.max(now);
        let whole = self.level.floor().min(wanted as f64);
        if whole >= 1.0 {
            self.level -= whole;
            return Grant::Hashes(whole as u64);
        }
        // At high rates wait for a batch that is worth waking up for, at low ones for the next hash.
        let batch = (self.rate * CAPACITY.as_secs_f64() / 4.0)
            .max(1.0)
            .min(wanted as f64);
        let wait = ((batch - self.level) / self.rate).min(86_400.0);
        Grant::NotBefore(now + Duration::from_secs_f64(wait))
    }

    /// Puts back what was taken but not used.
    pub(crate) fn give_back(&mut self, hashes: u64) {
        self.level = (self.level + hashes as f64).min(self.capacity);
    }
}

/// A rest is saved up until it is worth the wake-up.
const SHORTEST_REST: Duration = Duration::from_millis(5);

/// Rests after work, so that a thread works for a share of the time.
#[derive(Clone, Debug)]
pub(crate) struct Duty {
    rest_per_work: f64,
    owed: Duration,
}

impl Duty {
    /// Works for `percent` of the time, 1 to 100.
    pub(crate) fn new(percent: u8) -> Self {
        Self {
            rest_per_work: f64::from(100 - percent.min(100)) / f64::from(percent.max(1)),
            owed: Duration::ZERO,
        }
    }

    /// The rest that is due after `worked` more processor time; `None` while it is too short.
    pub(crate) fn rest_after(&mut self, worked: Duration) -> Option<Duration> {
        self.owed += worked.mul_f64(self.rest_per_work);
        (self.owed >= SHORTEST_REST).then(|| std::mem::take(&mut self.owed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes from the bucket as a diligent worker would; gives the hashes of the first `seconds`.
    fn run(rate: u64, seconds: u64, oversleep: Duration) -> (u64, u64) {
        let start = Instant::now();
        let (mut now, mut hashes, mut wakes) = (start, 0, 0);
        let mut bucket = Bucket::new(rate, start);
        while now < start + Duration::from_secs(seconds) {
            match bucket.take(1 << 20, now) {
                Grant::Hashes(n) => hashes += n,
                Grant::NotBefore(then) => {
                    now = then + oversleep;
                    wakes += 1;
                }
            }
        }
        (hashes, wakes)
    }

    #[test]
    fn it_holds_every_rate_with_few_wakes() {
        for rate in [1, 2, 7, 100, 200_000, 5_000_000] {
            let (hashes, wakes) = run(rate, 60, Duration::from_micros(100));
            let expected = rate * 60;
            let ratio = hashes as f64 / expected as f64;
            assert!(
                (0.95..=1.01).contains(&ratio) || hashes + 1 == expected,
                "{rate}: {ratio}"
            );
            assert!(wakes <= 60 * 201, "{rate}: {wakes} wakes");
        }
    }

    #[test]
    fn a_pause_is_not_followed_by_a_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1_000, start);
        let later = start + Duration::from_secs(3_600);
        assert_eq!(bucket.take(1_000_000, later), Grant::Hashes(20));
        assert!(matches!(bucket.take(1, later), Grant::NotBefore(_)));
    }

    #[test]
    fn what_comes_back_can_be_taken_again() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1_000, start);
        let later = start + Duration::from_millis(10);
        assert_eq!(bucket.take(5, later), Grant::Hashes(5));
        bucket.give_back(5);
        assert_eq!(bucket.take(100, later), Grant::Hashes(10));
    }

    #[test]
    fn rests_are_saved_up_and_add_up_to_the_rest_of_the_time() {
        let ms = Duration::from_millis;
        let mut half = Duty::new(50);
        assert_eq!(half.rest_after(ms(3)), None);
        assert_eq!(half.rest_after(ms(3)), Some(ms(6)));
        assert_eq!(half.rest_after(ms(1)), None);
        assert_eq!(Duty::new(1).rest_after(ms(2)), Some(ms(198)));
        assert_eq!(Duty::new(100).rest_after(Duration::from_secs(60)), None);
    }
}
