//! [`Hunt`]: one search, as its threads work on it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::block::Header;

use super::job::{NONCES, ROLLED_VERSIONS, rolled};
use super::{Job, SearchOutcome, Searcher};
use crate::kernel::{Hit, NonceRange, Work};
use crate::stop::StopFlag;
use crate::throttle::Grant;

/// What a thread aims to do between two looks at the flags.
const SLICE: Duration = Duration::from_millis(2);
/// Nonces of a thread's first slice, before it knows its speed.
const FIRST_SLICE: u64 = 512;
/// Sleeps for `duty` are saved up until they are worth the wake-up.
const SHORTEST_REST: Duration = Duration::from_millis(5);

/// One search: what its threads share.
pub(super) struct Hunt<'a> {
    searcher: &'a Searcher,
    job: &'a Job,
    stop: &'a StopFlag,
    /// Versions that are tested side by side.
    group: u64,
    /// All groups of versions times all nonces.
    end: u64,
    /// The next candidate nobody has taken: group of versions times 2^32 plus nonce.
    next: AtomicU64,
    over: AtomicBool,
    found: Mutex<Option<Header>>,
}

impl<'a> Hunt<'a> {
    pub(super) fn new(searcher: &'a Searcher, job: &'a Job, stop: &'a StopFlag) -> Self {
        let versions = if job.roll_version { ROLLED_VERSIONS } else { 1 };
        // A limited rate has no use for speed, and one nonce in four versions would be four hashes at once.
        let shared = if searcher.bucket.is_some() {
            1
        } else {
            searcher.kernel.versions_shared()
        };
        let group = versions.min(shared as u64);
        Self {
            searcher,
            job,
            stop,
            group,
            end: versions / group * NONCES,
            next: AtomicU64::new(0),
            over: AtomicBool::new(false),
            found: Mutex::new(None),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire) || self.stop.is_stopped()
    }

    /// How it ended; asked when all threads have left.
    pub(super) fn outcome(self) -> SearchOutcome {
        match self
            .found
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            Some(header) => SearchOutcome::Found(header),
            None if self.stop.is_stopped() => SearchOutcome::Stopped,
            None => SearchOutcome::Exhausted,
        }
    }

    /// What each thread does.
    pub(super) fn work(&self) {
        self.stop.note_begun();
        let mut slice = FIRST_SLICE;
        let mut prepared: Option<(u64, Work)> = None;
        let mut rest = Duration::ZERO;
        while !self.is_over() {
            if self.searcher.pause.is_closed() {
                self.searcher.pause.wait_open(|| self.is_over());
                continue;
            }
            let Some(granted) = self.allowance(slice) else {
                continue;
            };
            let started = Instant::now();
            let done = self.scan_next(granted, &mut prepared);
            let Some(done) = done else { return };
            let busy = started.elapsed();
            slice = next_slice(slice, done, busy);
            rest += self.rest_after(busy);
            if rest >= SHORTEST_REST {
                self.stop
                    .sleep_until(Instant::now() + rest, || self.is_over());
                rest = Duration::ZERO;
            }
        }
    }

    /// How many nonces may be tested now, at most `wanted`; `None` after having slept for lack of any.
    fn allowance(&self, wanted: u64) -> Option<u64> {
        let Some(bucket) = &self.searcher.bucket else {
            return Some(wanted);
        };
        let grant = bucket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(wanted, Instant::now());
        match grant {
            Grant::Hashes(hashes) => Some(hashes),
            Grant::NotBefore(then) => {
                self.stop.sleep_until(then, || self.is_over());
                None
            }
        }
    }

    /// Tests the next `count` nonces that nobody has taken and gives how many it tested. `None` when there are none
    /// left.
    fn scan_next(&self, count: u64, prepared: &mut Option<(u64, Work)>) -> Option<u64> {
        let mut at = self.next.fetch_add(count, Ordering::Relaxed);
        let to = at.saturating_add(count).min(self.end);
        let mut tested = 0;
        while at < to {
            let (group, first) = (at / NONCES, (at % NONCES) as u32);
            let range = NonceRange::starting_at(first, to - at)?;
            at += range.count();
            if prepared.as_ref().is_none_or(|(known, _)| *known != group) {
                *prepared = Some((group, self.prepare(group)));
            }
            let (_, work) = prepared.as_ref()?;
            let hit = self.searcher.kernel.scan(work, range);
            tested += hit.map_or(range.count(), |hit| {
                u64::from(hit.nonce - range.first()) + 1
            });
            if let Some(hit) = hit {
                self.finish(work, hit);
                break;
            }
        }
        self.searcher.meter.add(tested * self.group);
        self.give_back(count - tested);
        (tested > 0).then_some(tested)
    }

    fn prepare(&self, group: u64) -> Work {
        let first = group * self.group;
        let versions: Vec<_> = (first..first + self.group)
            .map(|i| rolled(self.job.header.version, i))
            .collect();
        Work::new(&self.job.header, self.job.target, &versions)
    }

    fn finish(&self, work: &Work, hit: Hit) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get_or_insert(work.header(hit));
        drop(found);
        self.over.store(true, Ordering::Release);
        self.stop.wake();
    }

    fn give_back(&self, nonces: u64) {
        if nonces > 0
            && let Some(bucket) = &self.searcher.bucket
        {
            bucket
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .give_back(nonces);
        }
    }

    fn rest_after(&self, busy: Duration) -> Duration {
        match self.searcher.duty {
            Some(duty) => busy.mul_f64(f64::from(100 - duty) / f64::from(duty)),
            None => Duration::ZERO,
        }
    }
}

/// The size of a thread's next slice, so that it takes about [`SLICE`]; it at most doubles.
fn next_slice(slice: u64, done: u64, busy: Duration) -> u64 {
    let per_second = done as f64 / busy.as_secs_f64().max(1e-9);
    let ideal = per_second * SLICE.as_secs_f64();
    (ideal as u64).clamp(1, slice.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rayon::ThreadPoolBuilder;

    use super::*;
    use crate::kernel::{self, Kernel};
    use crate::meter::Meter;
    use crate::pause::PauseGate;

    /// Computes nothing and notes what it was asked to search.
    #[derive(Debug, Default)]
    struct Recorder {
        shared: usize,
        asked: Mutex<Vec<(i32, NonceRange)>>,
    }

    impl Kernel for Recorder {
        fn name(&self) -> &'static str {
            "recorder"
        }
        fn versions_shared(&self) -> usize {
            self.shared
        }
        fn scan(&self, work: &Work, range: NonceRange) -> Option<Hit> {
            let mut asked = self.asked.lock().expect("no panics");
            for version in 0..work.version_count() {
                let header = work.header(Hit { nonce: 0, version });
                asked.push((header.version.to_consensus(), range));
            }
            None
        }
        fn digests(&self, _: &Work, _: u32) -> Vec<kernel::LaneDigest> {
            Vec::new()
        }
    }

    fn everything_asked(
        threads: usize,
        shared: usize,
        roll_version: bool,
    ) -> (u64, Vec<(i32, NonceRange)>) {
        let recorder = Arc::new(Recorder {
            shared,
            ..Recorder::default()
        });
        let searcher = Searcher {
            pool: ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("threads"),
            kernel: recorder.clone(),
            bucket: None,
            duty: None,
            meter: Meter::default(),
            pause: PauseGate::new(),
            one_at_a_time: Mutex::new(()),
        };
        let job = Job {
            roll_version,
            ..kernel::race_job()
        };
        assert_eq!(
            searcher.search(&job, &StopFlag::new()),
            SearchOutcome::Exhausted
        );
        let mut asked = std::mem::take(&mut *recorder.asked.lock().expect("no panics"));
        asked.sort_unstable_by_key(|(version, range)| (*version, range.first()));
        (searcher.hashes(), asked)
    }

    #[test]
    fn every_candidate_is_searched_exactly_once() {
        for (threads, shared, roll) in [(1, 1, false), (3, 1, false), (2, 4, false), (3, 4, true)] {
            let (hashes, asked) = everything_asked(threads, shared, roll);
            let versions = if roll { ROLLED_VERSIONS } else { 1 };
            assert_eq!(hashes, versions * NONCES);
            let mut seen = 0;
            for of_version in asked.chunk_by(|a, b| a.0 == b.0) {
                let mut next = 0;
                for (_, range) in of_version {
                    assert_eq!(u64::from(range.first()), next, "a gap or an overlap");
                    next = u64::from(range.last()) + 1;
                }
                assert_eq!(next, NONCES);
                seen += 1;
            }
            assert_eq!(seen, versions);
        }
    }

    #[test]
    fn slices_grow_to_two_milliseconds_and_shrink_at_once() {
        assert_eq!(next_slice(512, 512, Duration::from_micros(50)), 1_024);
        assert_eq!(next_slice(40_000, 40_000, Duration::from_millis(2)), 40_000);
        assert_eq!(next_slice(40_000, 40_000, Duration::from_millis(200)), 400);
        assert_eq!(next_slice(1, 1, Duration::from_secs(1)), 1);
    }
}
