//! [`Timings`]: how long the stages of blocks take, as histograms.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use chain::probe::{Probe, Stage};

/// Upper bounds of the buckets, in seconds. One more has no bound.
pub const BUCKET_BOUNDS_S: [f64; 12] = [
    0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0,
];

/// How long the stages of blocks took since the start.
#[derive(Debug)]
pub struct Timings {
    start: Instant,
    stages: [Histogram; Stage::ALL.len()],
}

#[derive(Debug, Default)]
struct Histogram {
    /// Not cumulative.
    buckets: [AtomicU64; BUCKET_BOUNDS_S.len() + 1],
    nanos: AtomicU64,
}

/// What a histogram holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageTimes {
    /// How many took no longer than each of [`BUCKET_BOUNDS_S`].
    pub within: [u64; BUCKET_BOUNDS_S.len()],
    /// How many there were.
    pub count: u64,
    /// Seconds in all.
    pub sum_s: f64,
}

impl Default for Timings {
    fn default() -> Timings {
        Timings {
            start: Instant::now(),
            stages: Default::default(),
        }
    }
}

impl Timings {
    /// Each stage with its times.
    pub fn stages(&self) -> impl Iterator<Item = (Stage, StageTimes)> {
        Stage::ALL
            .into_iter()
            .zip(&self.stages)
            .map(|(stage, histogram)| (stage, histogram.times()))
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Probe for Timings {
    fn begun(&self, _: Stage) -> u64 {
        self.nanos()
    }

    fn ended(&self, stage: Stage, begun: u64) {
        let nanos = self.nanos().saturating_sub(begun);
        self.stages[stage as usize].add(nanos);
    }
}

impl Histogram {
    fn add(&self, nanos: u64) {
        let seconds = seconds(nanos);
        let bucket = BUCKET_BOUNDS_S.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn times(&self) -> StageTimes {
        let mut times = StageTimes {
            sum_s: seconds(self.nanos.load(Ordering::Relaxed)),
            ..StageTimes::default()
        };
        for (index, bucket) in self.buckets.iter().enumerate() {
            times.count += bucket.load(Ordering::Relaxed);
            if let Some(within) = times.within.get_mut(index) {
                *within = times.count;
            }
        }
        times
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time for people")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_counted_by_how_long_they_took() {
        let timings = Timings::default();
        for (stage, nanos) in [
            (Stage::Check, 50_000),
            (Stage::Check, 100_000),
            (Stage::Check, 2_000_000),
            (Stage::Commit, 60_000_000_000),
        ] {
            timings.stages[stage as usize].add(nanos);
        }
        let found: Vec<(Stage, StageTimes)> = timings.stages().collect();
        let names: Vec<Stage> = found.iter().map(|(stage, _)| *stage).collect();
        assert_eq!(names, Stage::ALL);
        let check = &found[0].1;
        assert_eq!(check.within[..4], [2, 2, 2, 3]);
        assert_eq!(check.count, 3);
        assert!((check.sum_s - 0.00215).abs() < 1e-9);
        let commit = &found[4].1;
        assert_eq!((commit.within, commit.count), ([0; 12], 1));
    }
}
