//! Who takes part: the bare loops of kernels, and the engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::BenchOptions;
use super::table::Row;
use crate::kernel::{self, Kernel, NonceRange, Work, race_job, race_work};
use crate::search::{SearchError, SearchOptions, Searcher};
use crate::stop::StopFlag;

/// Length of a bare scan: long against the cost of the call, short against a slice.
const SCAN_NONCES: u64 = 4_096;

/// All who take part, and their rows.
pub(super) struct Contest {
    /// Of the kernels, and last of the engine.
    pub(super) rows: Vec<Row>,
    /// Bare loops, the reference first.
    pub(super) kernels: Vec<Runner>,
    pub(super) engine: Runner,
    /// Which of the kernels the engine uses.
    pub(super) engine_kernel: usize,
}

/// Something that hashes.
pub(super) enum Runner {
    Bare { kernel: Arc<dyn Kernel>, work: Work },
    Engine(Box<Searcher>),
}

impl Runner {
    /// Computes for about `time` on all threads; gives the hashes, and the rate by the clock on the wall.
    fn run(&self, threads: usize, time: Duration) -> (u64, f64) {
        match self {
            Runner::Bare { kernel, work } => run_bare(kernel.as_ref(), work, threads, time),
            Runner::Engine(searcher) => run_engine(searcher, time),
        }
    }

    /// Hashes per second by the clock on the wall.
    pub(super) fn rate(&self, threads: usize, time: Duration) -> f64 {
        self.run(threads, time).1
    }

    /// Hashes per second of CPU time, and by the clock on the wall.
    pub(super) fn rates(&self, threads: usize, time: Duration) -> [f64; 2] {
        let before = cpu_seconds();
        let (hashes, rate) = self.run(threads, time);
        [hashes as f64 / (cpu_seconds() - before).max(1e-9), rate]
    }
}

/// CPU time of all threads of this process.
#[cfg(unix)]
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Where CPU time is not known, the clock on the wall must do.
#[cfg(not(unix))]
fn cpu_seconds() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// All kernels that run here, or the one asked for beside the reference; and the engine.
///
/// # Errors
///
/// When the kernel asked for does not run here, or one computes wrong hashes.
pub(super) fn contestants(options: &BenchOptions) -> Result<Contest, SearchError> {
    let mut kernels = kernel::supported();
    if let Some(name) = &options.kernel {
        let wanted = kernel::by_name(name)?;
        kernels.retain(|kernel| kernel.name() == "portable");
        if wanted.name() != "portable" {
            kernels.push(wanted);
        }
    }
    let (mut rows, mut runners) = (Vec::new(), Vec::new());
    for kernel in kernels {
        kernel::self_test(kernel.as_ref()).map_err(kernel::ByNameError::from)?;
        let shared = kernel.versions_shared();
        for versions in if shared > 1 { vec![1, shared] } else { vec![1] } {
            rows.push(Row::new(kernel.name(), versions, false));
            runners.push(Runner::Bare {
                kernel: kernel.clone(),
                work: race_work(versions),
            });
        }
    }
    let searcher = Searcher::new(SearchOptions {
        threads: options.threads,
        kernel: options.kernel.clone(),
        ..SearchOptions::default()
    })?;
    let of_the_engine = |row: &Row| row.kernel == searcher.kernel_name();
    // The last of the kernel's rows: the engine rolls versions.
    let engine_kernel = rows.iter().rposition(of_the_engine);
    let versions = engine_kernel.map_or(1, |row| rows[row].versions);
    rows.push(Row::new(searcher.kernel_name(), versions, true));
    Ok(Contest {
        rows,
        kernels: runners,
        engine: Runner::Engine(Box::new(searcher)),
        engine_kernel: engine_kernel.unwrap_or(0),
    })
}

fn run_bare(kernel: &dyn Kernel, work: &Work, threads: usize, time: Duration) -> (u64, f64) {
    let one = || {
        let start = Instant::now();
        let (mut nonces, mut first) = (0, 0);
        while start.elapsed() < time {
            if let Some(range) = NonceRange::starting_at(first, SCAN_NONCES) {
                std::hint::black_box(kernel.scan(work, range));
                nonces += range.count();
                first = range.last().wrapping_add(1);
            }
        }
        let hashes = nonces * work.version_count() as u64;
        (hashes, hashes as f64 / start.elapsed().as_secs_f64())
    };
    if threads <= 1 {
        return one();
    }
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let results = handles.into_iter().filter_map(|handle| handle.join().ok());
        results.fold((0, 0.0), |(hashes, rate), (more, faster)| {
            (hashes + more, rate + faster)
        })
    })
}

fn run_engine(searcher: &Searcher, time: Duration) -> (u64, f64) {
    let stop = StopFlag::new();
    let before = searcher.hashes();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(time);
            stop.stop();
        });
        searcher.search(&race_job(), &stop);
    });
    let hashes = searcher.hashes() - before;
    (hashes, hashes as f64 / start.elapsed().as_secs_f64())
}
