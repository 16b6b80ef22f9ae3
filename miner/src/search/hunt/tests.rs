use std::sync::Arc;

use rayon::ThreadPoolBuilder;

use super::*;
use crate::kernel::{self, Kernel};
use crate::pause::PauseGate;
use crate::search::ROLLING_MASK;
use crate::search::clock::tests::{FakeClock, Times};
use crate::search::clock::{Clock, SystemClock};
use crate::search::turns::Turns;
use crate::throttle::Bucket;

fn searcher_with(threads: usize, kernel: Arc<dyn Kernel>, clock: Arc<dyn Clock>) -> Searcher {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    Searcher {
        pool: pool.expect("threads"),
        kernel,
        bucket: None,
        duty: None,
        hashes: AtomicU64::new(0),
        pause: PauseGate::new(),
        turns: Turns::default(),
        clock,
    }
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
    version_mask: u32,
) -> (u64, Vec<(i32, NonceRange)>) {
    let recorder = Arc::new(Recorder {
        shared,
        ..Recorder::default()
    });
    let searcher = searcher_with(threads, recorder.clone(), Arc::new(SystemClock));
    let job = Job {
        version_mask,
        ..kernel::race_job()
    };
    let outcome = searcher.search(&job, &StopFlag::new());
    assert_eq!(outcome, SearchOutcome::Exhausted);
    let mut asked = std::mem::take(&mut *recorder.asked.lock().expect("no panics"));
    asked.sort_unstable_by_key(|(version, range)| (*version, range.first()));
    (searcher.hashes(), asked)
}

#[test]
fn every_candidate_is_searched_exactly_once() {
    let few = 0x0002_4000;
    for (threads, shared, mask) in [(1, 1, 0), (3, 1, few), (2, 4, 0x2000), (3, 4, ROLLING_MASK)] {
        let (hashes, asked) = everything_asked(threads, shared, mask);
        let versions = 1 << mask.count_ones();
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

/// Takes 100 ns of its thread's time for a nonce, by a clock of its own, and stops the search after a while.
#[derive(Debug)]
struct Timed {
    clock: Arc<FakeClock>,
    /// How long another has the processor during each scan.
    preempted: Duration,
    stop: StopFlag,
    ends: Instant,
    scans: AtomicU64,
}

const PER_NONCE: Duration = Duration::from_nanos(100);

impl Kernel for Timed {
    fn name(&self) -> &'static str {
        "timed"
    }
    fn versions_shared(&self) -> usize {
        1
    }
    fn scan(&self, _: &Work, range: NonceRange) -> Option<Hit> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        let worked = PER_NONCE * range.count() as u32;
        self.clock.work(worked, self.preempted);
        if self.clock.now() >= self.ends {
            self.stop.stop();
        }
        None
    }
    fn digests(&self, _: &Work, _: u32) -> Vec<kernel::LaneDigest> {
        Vec::new()
    }
}

/// A search of ten seconds by the fake clock.
struct TenSeconds {
    duty: Option<u8>,
    rate: Option<u64>,
    preempted: Duration,
}

struct Ran {
    start: Times,
    end: Times,
    hashes: u64,
    scans: u64,
}

impl TenSeconds {
    fn run(self) -> Ran {
        let clock = Arc::new(FakeClock::new());
        let start = clock.times();
        let stop = StopFlag::new();
        let kernel = Arc::new(Timed {
            clock: clock.clone(),
            preempted: self.preempted,
            stop: stop.clone(),
            ends: start.now + Duration::from_secs(10),
            scans: AtomicU64::new(0),
        });
        let searcher = Searcher {
            bucket: self
                .rate
                .map(|rate| Mutex::new(Bucket::new(rate, start.now))),
            duty: self.duty,
            ..searcher_with(1, kernel.clone(), clock.clone())
        };
        let outcome = searcher.search(&kernel::race_job(), &stop);
        assert_eq!(outcome, SearchOutcome::Stopped);
        Ran {
            start,
            end: clock.times(),
            hashes: searcher.hashes(),
            scans: kernel.scans.load(Ordering::Relaxed),
        }
    }
}

#[test]
fn a_thread_works_for_the_share_of_the_time_that_duty_says() {
    for duty in [1, 10, 50, 75, 99] {
        let ran = TenSeconds {
            duty: Some(duty),
            rate: None,
            preempted: Duration::ZERO,
        }
        .run();
        let time = ran.end.now - ran.start.now;
        let share = 100.0 * ran.end.worked.as_secs_f64() / time.as_secs_f64();
        assert!(
            (share - f64::from(duty)).abs() <= 0.03 * f64::from(duty),
            "{duty}: {share}"
        );
    }
}

#[test]
fn a_thread_does_not_rest_for_the_time_in_which_others_had_the_processor() {
    let ran = TenSeconds {
        duty: Some(1),
        rate: None,
        preempted: Duration::from_secs(1),
    }
    .run();
    assert!(ran.scans >= 5, "it was preempted again and again");
    let rest = ran.end.slept.as_secs_f64();
    let owed = 99.0 * ran.end.worked.as_secs_f64();
    assert!(
        rest <= owed && rest > 0.0,
        "{rest} s of rest for {owed} s owed"
    );
}

#[test]
fn a_rate_is_held() {
    for rate in [1, 2, 50, 20_000, 200_000, 5_000_000] {
        let ran = TenSeconds {
            duty: None,
            rate: Some(rate),
            preempted: Duration::ZERO,
        }
        .run();
        let expected = rate as f64 * (ran.end.now - ran.start.now).as_secs_f64();
        let hashes = ran.hashes as f64;
        assert!(
            hashes <= expected + 1.0 && hashes >= expected * 0.97 - 1.0,
            "{rate}: {hashes} of {expected}"
        );
    }
}

#[test]
fn after_a_stop_no_other_slice_is_begun() {
    let ran = TenSeconds {
        duty: None,
        rate: None,
        preempted: Duration::ZERO,
    }
    .run();
    let late = (ran.end.now - ran.start.now) - Duration::from_secs(10);
    assert!(late <= SLICE, "{late:?}");
}
