//! [`Searcher`]: looks for a nonce on several threads.
//!
//! All threads take their next candidates from one counter, so no two ever test the same nonce and version, and an
//! idle thread never waits for a busy one. A thread takes about two milliseconds of work at a time and looks at the
//! flags in between: that bounds how late it notices a stop, and makes the counter's cost vanish.

mod clock;
mod hunt;
mod job;
mod priority;
mod turns;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rayon::{ThreadPool, ThreadPoolBuilder};
use thiserror::Error;

use crate::kernel::{self, ByNameError, Kernel};
use crate::pause::PauseGate;
use crate::stop::StopFlag;
use crate::throttle::Bucket;
use clock::{Clock, SystemClock};
use hunt::Hunt;
pub use job::{Job, ROLLING_MASK, SearchOutcome};
use priority::give_way;
use turns::Turns;

/// How a [`Searcher`] works.
#[derive(Clone, Debug, Default)]
pub struct SearchOptions {
    /// Threads; 0 for one per core.
    pub threads: usize,
    /// Name of the kernel, as `kernel::by_name` takes it; `None` for the fastest.
    pub kernel: Option<String>,
    /// Hashes per second at most, over all threads; `None` for as many as possible.
    pub rate: Option<u64>,
    /// Share of the time that each thread works, in percent, 1 to 100; `None` for all of it. Counted by processor time: a thread
    /// that others keep from working does not rest for that.
    pub duty: Option<u8>,
    /// Give way to everything else on the machine: the threads run at the lowest priority, where the system has any.
    pub background: bool,
    /// While it is closed, the threads rest.
    pub pause: PauseGate,
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
    hashes: AtomicU64,
    pause: PauseGate,
    turns: Turns,
    clock: Arc<dyn Clock>,
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
            pause,
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
            hashes: AtomicU64::new(0),
            pause,
            turns: Turns::default(),
            clock: Arc::new(SystemClock),
        })
    }

    /// Tries all candidates of `job` until one meets the target or `stop` is raised, whichever is first. Blocks; it
    /// returns within 20 ms of the stop (a few at full speed).
    ///
    /// Tells candidates apart by nonce and version only, and starts from the same ones each time: a header that was
    /// searched before must come with another extra nonce or time. Searches of one searcher run one after the other.
    pub fn search(&self, job: &Job, stop: &StopFlag) -> SearchOutcome {
        let Some(_turn) = self.turns.take(stop) else {
            return SearchOutcome::Stopped;
        };
        let hunt = Hunt::new(self, job, stop);
        self.pool.broadcast(|_| hunt.work());
        hunt.outcome()
    }

    /// Hashes computed for candidates over all searches so far. Lanes that a vector kernel computes beyond the end of a range, and
    /// hashes of self-tests and of calibration do not count.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.hashes.load(Ordering::Relaxed)
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
