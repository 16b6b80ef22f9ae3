//! `mend mine --bench`: how fast the kernels are on this machine.
//!
//! Clocks drift and neighbours disturb, so all contestants take turns in short rounds and are judged by the median of
//! the rounds and by ratios within a round. A slice of a millisecond mostly fits between two preemptions, so the
//! median holds even on a busy machine; several threads need longer ones to get going. The engine is compared with the
//! bare loop by hashes per second of CPU time, since its waking up competes with the neighbours for a core.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::kernel::{self, Kernel, NonceRange, Work};
use crate::kernel::{median, race_job, race_work};
use crate::search::{SearchError, SearchOptions, Searcher};
use crate::stop::StopFlag;

/// Fewest rounds: enough for a median that a few disturbed rounds do not move.
const FEWEST_ROUNDS: usize = 9;
/// Slice of a bare loop on one thread.
const SHORT_SLICE: Duration = Duration::from_millis(1);
/// Slice of bare loops on several threads.
const LONG_SLICE: Duration = Duration::from_millis(20);
/// Slice of the engine and of what it is compared with: short against a search, long against starting one.
const ENGINE_SLICE: Duration = Duration::from_millis(100);
/// Length of a bare scan: long against the cost of the call, short against a slice.
const SCAN_NONCES: u64 = 4_096;

/// What to measure.
#[derive(Clone, Debug)]
pub(crate) struct BenchOptions {
    /// One kernel beside the reference; `None` for all.
    pub(crate) kernel: Option<String>,
    /// Threads.
    pub(crate) threads: usize,
    /// Time for the whole benchmark.
    pub(crate) time: Duration,
}

/// All results.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BenchResult {
    /// Threads.
    pub(crate) threads: usize,
    /// Clock of a core in Hz, where it can be inferred: median over the rounds.
    pub(crate) core_hz: Option<f64>,
    /// One row a contestant.
    pub(crate) rows: Vec<Row>,
    /// By how much the search engine is slower than the bare loop of its kernel, in percent. Noise may make it
    /// negative.
    pub(crate) engine_overhead_percent: f64,
}

/// One contestant.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Name of the kernel.
    pub(crate) kernel: &'static str,
    /// Versions that share a message schedule; 1 is plain search.
    pub(crate) versions: usize,
    /// The kernel's bare loop, or the whole engine around it.
    pub(crate) engine: bool,
    /// Median of the rounds, all threads together, in millions a second.
    pub(crate) mhps: f64,
    /// Core cycles per hash.
    pub(crate) cycles_per_hash: Option<f64>,
    /// Median of the ratios to the reference in the same round.
    pub(crate) ratio_to_portable: f64,
}

enum Runner {
    Bare {
        kernel: std::sync::Arc<dyn Kernel>,
        work: Work,
    },
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
    fn rate(&self, threads: usize, time: Duration) -> f64 {
        self.run(threads, time).1
    }

    /// Hashes per second of CPU time, and by the clock on the wall.
    fn rates(&self, threads: usize, time: Duration) -> [f64; 2] {
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

/// Measures. Kernels take turns in the first half of the time; the engine and its kernel's bare loop in the second.
///
/// # Errors
///
/// When the kernel asked for does not run here.
pub(crate) fn run(
    options: &BenchOptions,
    mut progress: impl FnMut(f64),
) -> Result<BenchResult, SearchError> {
    let (mut rows, runners) = contestants(options)?;
    let engine = runners.len() - 1;
    let bare = rows[..engine]
        .iter()
        .position(|row| row.kernel == rows[engine].kernel && row.versions == 1)
        .unwrap_or(0);
    let half = options.time / 2;
    let threads = options.threads;
    let slice = if threads == 1 {
        SHORT_SLICE
    } else {
        LONG_SLICE
    };
    let (mut clocks, mut kernels, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    take_turns(half, |part| {
        clocks.extend(kernel::core_hz());
        kernels.push(
            runners[..engine]
                .iter()
                .map(|r| r.rate(threads, slice))
                .collect(),
        );
        progress(part / 2.0);
    });
    take_turns(half, |part| {
        let [by_cpu, by_wall] = runners[engine].rates(threads, ENGINE_SLICE);
        let [bare_by_cpu, _] = runners[bare].rates(threads, ENGINE_SLICE);
        pairs.push(vec![by_cpu, bare_by_cpu, by_wall]);
        progress(0.5 + part / 2.0);
    });
    let core_hz = (!clocks.is_empty()).then(|| median(clocks));
    for (i, row) in rows[..engine].iter_mut().enumerate() {
        row.fill_in(median(column(&kernels, i)), core_hz, threads);
        row.ratio_to_portable = median(quotients(&kernels, i, 0));
    }
    let share = median(quotients(&pairs, 0, 1));
    let ratio = rows[bare].ratio_to_portable * share;
    rows[engine].fill_in(median(column(&pairs, 2)), core_hz, threads);
    rows[engine].ratio_to_portable = ratio;
    Ok(BenchResult {
        threads,
        core_hz,
        rows,
        engine_overhead_percent: (1.0 - share) * 100.0,
    })
}

/// Calls `round` with the part of `time` that has passed, until all has, at least [`FEWEST_ROUNDS`] times.
fn take_turns(time: Duration, mut round: impl FnMut(f64)) {
    let start = Instant::now();
    let mut rounds = 0;
    while rounds < FEWEST_ROUNDS || start.elapsed() < time {
        let part = start.elapsed().as_secs_f64() / time.as_secs_f64().max(1e-9);
        round(part.min(1.0));
        rounds += 1;
    }
}

fn column(rounds: &[Vec<f64>], i: usize) -> Vec<f64> {
    rounds.iter().map(|rates| rates[i]).collect()
}

fn quotients(rounds: &[Vec<f64>], of: usize, by: usize) -> Vec<f64> {
    rounds.iter().map(|rates| rates[of] / rates[by]).collect()
}

/// The reference, then the others, the engine last.
fn contestants(options: &BenchOptions) -> Result<(Vec<Row>, Vec<Runner>), SearchError> {
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
            rows.push(row(kernel.name(), versions, false));
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
    rows.push(row(searcher.kernel_name(), 1, true));
    runners.push(Runner::Engine(Box::new(searcher)));
    Ok((rows, runners))
}

fn row(kernel: &'static str, versions: usize, engine: bool) -> Row {
    Row {
        kernel,
        versions,
        engine,
        mhps: 0.0,
        cycles_per_hash: None,
        ratio_to_portable: 0.0,
    }
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

impl Row {
    fn fill_in(&mut self, rate: f64, core_hz: Option<f64>, threads: usize) {
        self.mhps = rate / 1e6;
        self.cycles_per_hash = core_hz.map(|hz| hz * threads as f64 / rate);
    }
}

impl BenchResult {
    /// A table for people.
    pub(crate) fn table(&self) -> String {
        let clock = self
            .core_hz
            .map_or("unknown".to_owned(), |hz| format!("{:.2} GHz", hz / 1e9));
        let mut lines = vec![
            format!("{} thread(s), core clock {clock}", self.threads),
            format!(
                "{:<28} {:>9} {:>12} {:>12}",
                "kernel", "MH/s", "cycles/hash", "x portable"
            ),
        ];
        for row in &self.rows {
            let name = match (row.engine, row.versions) {
                (true, _) => format!("{}, whole engine", row.kernel),
                (false, 1) => row.kernel.to_owned(),
                (false, n) => format!("{}, {n} versions", row.kernel),
            };
            let cycles = row
                .cycles_per_hash
                .map_or("-".to_owned(), |c| format!("{c:.1}"));
            let ratio = row.ratio_to_portable;
            lines.push(format!(
                "{name:<28} {:>9.2} {cycles:>12} {ratio:>12.2}",
                row.mhps
            ));
        }
        lines.push(format!(
            "the engine costs {:.2} % against the bare loop of its kernel",
            self.engine_overhead_percent
        ));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_kernel_gets_a_row_and_the_engine_comes_last() {
        let time = Duration::from_millis(200);
        let options = BenchOptions {
            kernel: None,
            threads: 1,
            time,
        };
        let result = run(&options, |_| {}).expect("measures");
        assert_eq!(result.rows[0].kernel, "portable");
        assert_eq!(result.rows[0].ratio_to_portable, 1.0);
        assert!(result.rows.iter().all(|row| row.mhps > 0.0));
        for kernel in kernel::supported() {
            assert!(result.rows.iter().any(|row| row.kernel == kernel.name()));
        }
        assert!(result.rows.last().is_some_and(|row| row.engine));
        assert!(result.table().contains("x portable"));
    }
}
