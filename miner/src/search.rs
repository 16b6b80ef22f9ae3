//! [`Searcher`]: looks for a nonce on several threads.
//!
//! All threads take their next candidates from one counter, so no two ever test the same nonce and version, and an
//! idle thread never waits for a busy one. A thread takes about two milliseconds of work at a time and looks at the
//! flags in between: that bounds how late it notices a stop, and makes the counter's cost vanish.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::Target;
use bitcoin::block::{Header, Version};
use rayon::{ThreadPool, ThreadPoolBuilder};
use thiserror::Error;

use crate::kernel::{self, ByNameError, Hit, Kernel, NonceRange, Work};
use crate::meter::Meter;
use crate::stop::StopFlag;
use crate::throttle::{Bucket, Grant};

/// What a thread aims to do between two looks at the flags.
const SLICE: Duration = Duration::from_millis(2);
/// Nonces of a thread's first slice, before it knows its speed.
const FIRST_SLICE: u64 = 512;
/// Sleeps for `duty` are saved up until they are worth the wake-up.
const SHORTEST_REST: Duration = Duration::from_millis(5);
/// The bits that BIP 320 leaves to miners: 13 to 28.
const ROLLING_SHIFT: u32 = 13;
const ROLLED_VERSIONS: u64 = 1 << 16;
const NONCES: u64 = 1 << 32;

/// How a [`Searcher`] works.
#[derive(Clone, Debug, Default)]
pub struct SearchOptions {
    /// Threads; 0 for one per core.
    pub threads: usize,
    /// Name of the kernel, as [`kernel::by_name`] takes it; `None` for the fastest.
    pub kernel: Option<String>,
    /// Hashes per second at most, over all threads; `None` for as many as possible.
    pub rate: Option<u64>,
    /// Share of the time that each thread works, in percent, 1 to 100; `None` for all of it.
    pub duty: Option<u8>,
    /// Give way to everything else on the machine: the threads run at the lowest priority, where the system has any.
    pub background: bool,
}

/// A header to solve.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The header. Its nonce is ignored: all nonces are tried, from 0.
    pub header: Header,
    /// The header's hash must be at most this.
    pub target: Target,
    /// Whether the version bits of BIP 320 (13 to 28) may be changed too: 65,536 times as many candidates.
    pub roll_version: bool,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchOutcome {
    /// This header meets the target.
    Found(Header),
    /// No candidate does: give a header with another extra nonce or time.
    Exhausted,
    /// The flag was raised before one was found.
    Stopped,
}

/// Why there is no searcher.
#[derive(Debug, Error)]
pub enum SearchError {
    /// The kernel asked for does not run here.
    #[error(transparent)]
    Kernel(#[from] ByNameError),
    /// The system gave no threads.
    #[error("cannot start {threads} mining threads: {problem}; use fewer")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        problem: String,
    },
    /// A rate of 0 would never find anything.
    #[error("a hash rate of 0 finds nothing; give at least 1, or leave it out for full speed")]
    ZeroRate,
    /// Not a percentage.
    #[error("duty is a percentage from 1 to 100, got {got}")]
    Duty {
        /// As given.
        got: u8,
    },
}

/// Looks for nonces on threads of its own, so that it never competes with others for a place in their pool.
#[derive(Debug)]
pub struct Searcher {
    pool: ThreadPool,
    kernel: Arc<dyn Kernel>,
    bucket: Option<Mutex<Bucket>>,
    duty: Option<u8>,
    meter: Meter,
    one_at_a_time: Mutex<()>,
}

impl Searcher {
    /// Starts the threads and chooses the kernel.
    ///
    /// # Errors
    ///
    /// See [`SearchError`].
    pub fn new(options: SearchOptions) -> Result<Self, SearchError> {
        let SearchOptions {
            threads,
            kernel,
            rate,
            duty,
            background,
        } = options;
        if rate == Some(0) {
            return Err(SearchError::ZeroRate);
        }
        if let Some(got) = duty.filter(|duty| !(1..=100).contains(duty)) {
            return Err(SearchError::Duty { got });
        }
        let kernel = match kernel {
            Some(name) => kernel::by_name(&name)?,
            None => kernel::fastest(),
        };
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("miner-{i}"))
            .start_handler(move |_| {
                if background {
                    give_way();
                }
            })
            .build()
            .map_err(|error| SearchError::Threads {
                threads,
                problem: error.to_string(),
            })?;
        Ok(Self {
            pool,
            kernel,
            bucket: rate.map(|rate| Mutex::new(Bucket::new(rate, Instant::now()))),
            duty: duty.filter(|&duty| duty < 100),
            meter: Meter::default(),
            one_at_a_time: Mutex::new(()),
        })
    }

    /// Tries all candidates of `job` until one meets the target or `stop` is raised, whichever is first. Blocks; it
    /// returns within 20 ms of the stop (a few at full speed).
    ///
    /// Tells candidates apart by nonce and version only, and starts from the same ones each time: a header that was
    /// searched before must come with another extra nonce or time. Searches of one searcher run one after the other.
    pub fn search(&self, job: &Job, stop: &StopFlag) -> SearchOutcome {
        let _turn = self
            .one_at_a_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let hunt = Hunt::new(self, job, stop);
        if !stop.is_stopped() {
            self.pool.broadcast(|_| hunt.work());
        }
        hunt.outcome()
    }

    /// The counter of hashes, over all searches so far.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Hashes computed over all searches so far.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.meter.hashes()
    }

    /// Name of the kernel.
    #[must_use]
    pub fn kernel_name(&self) -> &'static str {
        self.kernel.name()
    }

    /// Number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }
}

/// Puts the calling thread behind all that is more urgent. On Linux niceness is a thread's own.
#[cfg(target_os = "linux")]
fn give_way() {
    const LOWEST: i32 = 19;
    // Fails nowhere for a lower priority; if it did, mining would merely be as urgent as the rest.
    let _ = rustix::process::nice(LOWEST);
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}

/// One search: what its threads share.
struct Hunt<'a> {
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
    fn new(searcher: &'a Searcher, job: &'a Job, stop: &'a StopFlag) -> Self {
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

    fn outcome(self) -> SearchOutcome {
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
    fn work(&self) {
        let mut slice = FIRST_SLICE;
        let mut prepared: Option<(u64, Work)> = None;
        let mut rest = Duration::ZERO;
        while !self.is_over() {
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

/// The `i`-th version: the job's own with `i` mixed into the bits of BIP 320. The 0th is the job's own.
fn rolled(version: Version, i: u64) -> Version {
    Version::from_consensus(version.to_consensus() ^ ((i as i32) << ROLLING_SHIFT))
}

/// The size of a thread's next slice, so that it takes about [`SLICE`]; it at most doubles.
fn next_slice(slice: u64, done: u64, busy: Duration) -> u64 {
    let per_second = done as f64 / busy.as_secs_f64().max(1e-9);
    let ideal = per_second * SLICE.as_secs_f64();
    (ideal as u64).clamp(1, slice.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolled_versions_differ_only_in_the_bits_of_bip_320() {
        let own = Version::from_consensus(0x2000_0004);
        assert_eq!(rolled(own, 0), own);
        let mut seen: Vec<i32> = (0..ROLLED_VERSIONS)
            .map(|i| rolled(own, i).to_consensus())
            .collect();
        assert!(
            seen.iter()
                .all(|v| (v ^ 0x2000_0004) & !0x1fff_e000 == 0 && *v >= 4)
        );
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 65_536);
    }

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
