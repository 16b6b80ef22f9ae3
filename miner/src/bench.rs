//! `mend mine --bench`: how fast the kernels are on this machine.
//!
//! Clocks drift and neighbours disturb, so all contestants take turns in short rounds and are judged by the median of
//! the rounds and by ratios within a round.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::kernel::{self, Kernel, NonceRange, Work};
use crate::kernel::{median, race_job, race_work};
use crate::search::{SearchError, SearchOptions, Searcher};
use crate::stop::StopFlag;

/// Rounds per benchmark: enough for a median that a few disturbed rounds do not move.
const ROUNDS: usize = 9;
/// Length of a bare scan. Long against the cost of the call, short against a round.
const SCAN_NONCES: u64 = 8_192;

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
    /// Hashes per second over about `time`.
    fn rate(&self, threads: usize, time: Duration) -> f64 {
        match self {
            Runner::Bare { kernel, work } => bare_rate(kernel.as_ref(), work, threads, time),
            Runner::Engine(searcher) => engine_rate(searcher, time),
        }
    }
}

/// Measures.
///
/// # Errors
///
/// When the kernel asked for does not run here.
pub(crate) fn run(
    options: &BenchOptions,
    mut progress: impl FnMut(usize, usize),
) -> Result<BenchResult, SearchError> {
    let contestants = contestants(options)?;
    let slice = options.time / u32::try_from(ROUNDS * contestants.len()).unwrap_or(u32::MAX);
    let mut rates = vec![Vec::with_capacity(ROUNDS); contestants.len()];
    let mut clocks = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        clocks.extend(kernel::core_hz());
        for ((_, runner), rates) in contestants.iter().zip(&mut rates) {
            rates.push(runner.rate(options.threads, slice));
        }
        progress(round + 1, ROUNDS);
    }
    let core_hz = (!clocks.is_empty()).then(|| median(clocks));
    let quotients = |of: usize, by: usize| -> f64 {
        median(
            rates[of]
                .iter()
                .zip(&rates[by])
                .map(|(a, b)| a / b)
                .collect(),
        )
    };
    let rows: Vec<_> = contestants
        .iter()
        .enumerate()
        .map(|(i, (row, _))| {
            let rate = median(rates[i].clone());
            Row {
                mhps: rate / 1e6,
                cycles_per_hash: core_hz.map(|hz| hz * options.threads as f64 / rate),
                ratio_to_portable: quotients(i, 0),
                ..row.clone()
            }
        })
        .collect();
    let engine = rows.len() - 1;
    let bare = rows[..engine]
        .iter()
        .position(|row| row.kernel == rows[engine].kernel && row.versions == 1)
        .unwrap_or(0);
    let engine_overhead_percent = (1.0 - quotients(engine, bare)) * 100.0;
    Ok(BenchResult {
        threads: options.threads,
        core_hz,
        rows,
        engine_overhead_percent,
    })
}

/// The reference, then the others, the engine last.
fn contestants(options: &BenchOptions) -> Result<Vec<(Row, Runner)>, SearchError> {
    let mut kernels = kernel::supported();
    if let Some(name) = &options.kernel {
        let wanted = kernel::by_name(name)?;
        kernels.retain(|kernel| kernel.name() == "portable");
        if wanted.name() != "portable" {
            kernels.push(wanted);
        }
    }
    let mut contestants = Vec::new();
    for kernel in kernels {
        kernel::self_test(kernel.as_ref()).map_err(kernel::ByNameError::from)?;
        let shared = kernel.versions_shared();
        for versions in if shared > 1 { vec![1, shared] } else { vec![1] } {
            let work = race_work(versions);
            contestants.push((
                row(kernel.name(), versions, false),
                Runner::Bare {
                    kernel: kernel.clone(),
                    work,
                },
            ));
        }
    }
    let searcher = Searcher::new(SearchOptions {
        threads: options.threads,
        kernel: options.kernel.clone(),
        ..SearchOptions::default()
    })?;
    contestants.push((
        row(searcher.kernel_name(), 1, true),
        Runner::Engine(Box::new(searcher)),
    ));
    Ok(contestants)
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

fn bare_rate(kernel: &dyn Kernel, work: &Work, threads: usize, time: Duration) -> f64 {
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
        (nonces * work.version_count() as u64) as f64 / start.elapsed().as_secs_f64()
    };
    if threads <= 1 {
        return one();
    }
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        handles
            .into_iter()
            .filter_map(|handle| handle.join().ok())
            .sum()
    })
}

fn engine_rate(searcher: &Searcher, time: Duration) -> f64 {
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
    (searcher.hashes() - before) as f64 / start.elapsed().as_secs_f64()
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
        let result = run(&options, |_, _| {}).expect("measures");
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
