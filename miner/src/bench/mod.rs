//! `mend mine --bench`: how fast the kernels are on this machine.
//!
//! Clocks drift and neighbours disturb, so all contestants take turns in short rounds and are judged by the median of
//! the rounds and by ratios within a round. A slice of a millisecond mostly fits between two preemptions, so the
//! median holds even on a busy machine; several threads need longer ones to get going. The engine is compared with the
//! bare loop by hashes per second of CPU time, since its waking up competes with the neighbours for a core.
//!
//! The time is divided into [`RUNS`] runs; what is told is the middle of their medians, and how far apart they are.

mod contest;
mod table;

use std::time::{Duration, Instant};

use crate::kernel::{self, median};
use crate::search::SearchError;
use contest::{Contest, Runner, contestants};
pub(crate) use table::BenchResult;
use table::Spread;

/// Runs, each with all contestants in turn.
const RUNS: usize = 5;
/// Fewest rounds of a run.
const FEWEST_ROUNDS: usize = 3;
/// Slice of a bare loop on one thread.
const SHORT_SLICE: Duration = Duration::from_millis(1);
/// Slice of bare loops on several threads.
const LONG_SLICE: Duration = Duration::from_millis(20);
/// Slice of the engine and of what it is compared with: short against a search, long against starting one.
const ENGINE_SLICE: Duration = Duration::from_millis(100);

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

/// The medians of one run.
struct Run {
    core_hz: Option<f64>,
    /// Of each kernel's bare loop: hashes per second, and the ratio to the reference in the same round.
    kernels: Vec<[f64; 2]>,
    engine_rate: f64,
    /// Hashes per second of CPU time, of the engine against the bare loop of its kernel.
    engine_share: f64,
    /// Hashes per second on all threads against one.
    scaling: Option<f64>,
}

/// Measures.
///
/// # Errors
///
/// When the kernel asked for does not run here.
pub(crate) fn run(
    options: &BenchOptions,
    mut progress: impl FnMut(f64),
) -> Result<BenchResult, SearchError> {
    let Contest {
        mut rows,
        kernels,
        engine,
        engine_kernel,
    } = contestants(options)?;
    let threads = options.threads;
    let time = options.time / RUNS as u32;
    let runs: Vec<Run> = (0..RUNS)
        .map(|i| {
            let run = one_run(&kernels, &engine, engine_kernel, threads, time);
            progress((i + 1) as f64 / RUNS as f64);
            run
        })
        .collect();
    let clocks: Vec<f64> = runs.iter().filter_map(|run| run.core_hz).collect();
    let core_hz = (!clocks.is_empty()).then(|| median(clocks));
    let of = |pick: &dyn Fn(&Run) -> f64| Spread::of(runs.iter().map(pick).collect());
    for (i, row) in rows[..kernels.len()].iter_mut().enumerate() {
        let (rate, ratio) = (of(&|run| run.kernels[i][0]), of(&|run| run.kernels[i][1]));
        row.fill_in(rate.middle, core_hz, threads, ratio);
    }
    let (rate, share) = (of(&|run| run.engine_rate), of(&|run| run.engine_share));
    let ratio = of(&|run| run.kernels[engine_kernel][1] * run.engine_share);
    let last = rows.len() - 1;
    rows[last].fill_in(rate.middle, core_hz, threads, ratio);
    let scaling: Vec<f64> = runs.iter().filter_map(|run| run.scaling).collect();
    Ok(BenchResult {
        threads,
        runs: RUNS,
        core_hz,
        rows,
        engine_overhead_percent: share.map(|share| (1.0 - share) * 100.0),
        threads_against_one: (!scaling.is_empty()).then(|| Spread::of(scaling)),
    })
}

/// Kernels take turns in the first part of the time, the engine and its kernel's bare loop in the second; with several threads
/// these and one of them in the third.
fn one_run(
    kernels: &[Runner],
    engine: &Runner,
    engine_kernel: usize,
    threads: usize,
    time: Duration,
) -> Run {
    let part = time / if threads > 1 { 3 } else { 2 };
    let slice = if threads > 1 { LONG_SLICE } else { SHORT_SLICE };
    // All together shall not take much longer than was asked for.
    let engine_slice = ENGINE_SLICE.min(part / FEWEST_ROUNDS as u32);
    let bare = &kernels[engine_kernel];
    let mut clocks = Vec::new();
    let rates = rounds(part, || {
        clocks.extend(kernel::core_hz());
        kernels.iter().map(|r| r.rate(threads, slice)).collect()
    });
    let engines = rounds(part, || {
        let [by_cpu, by_wall] = engine.rates(threads, engine_slice);
        let [bare_by_cpu, _] = bare.rates(threads, engine_slice);
        vec![by_cpu, bare_by_cpu, by_wall]
    });
    let scaling = (threads > 1).then(|| {
        let pairs = rounds(part, || {
            vec![bare.rate(threads, engine_slice), bare.rate(1, engine_slice)]
        });
        median(quotients(&pairs, 0, 1))
    });
    Run {
        core_hz: (!clocks.is_empty()).then(|| median(clocks)),
        kernels: (0..kernels.len())
            .map(|i| [median(column(&rates, i)), median(quotients(&rates, i, 0))])
            .collect(),
        engine_rate: median(column(&engines, 2)),
        engine_share: median(quotients(&engines, 0, 1)),
        scaling,
    }
}

/// What rounds gave, until `time` has passed, and at least [`FEWEST_ROUNDS`].
fn rounds(time: Duration, mut round: impl FnMut() -> Vec<f64>) -> Vec<Vec<f64>> {
    let start = Instant::now();
    let mut given = Vec::new();
    while given.len() < FEWEST_ROUNDS || start.elapsed() < time {
        given.push(round());
    }
    given
}

fn column(rounds: &[Vec<f64>], i: usize) -> Vec<f64> {
    rounds.iter().map(|rates| rates[i]).collect()
}

fn quotients(rounds: &[Vec<f64>], of: usize, by: usize) -> Vec<f64> {
    rounds.iter().map(|rates| rates[of] / rates[by]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_kernel_gets_a_row_and_the_engine_comes_last() {
        let options = BenchOptions {
            kernel: None,
            threads: 1,
            time: Duration::from_millis(500),
        };
        let mut parts = Vec::new();
        let result = run(&options, |part| parts.push(part)).expect("measures");
        assert_eq!(parts, [0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(result.rows[0].kernel, "portable");
        assert_eq!(result.rows[0].ratio_to_portable.middle, 1.0);
        assert!(result.rows.iter().all(|row| row.mhps > 0.0));
        for kernel in kernel::supported() {
            assert!(result.rows.iter().any(|row| row.kernel == kernel.name()));
        }
        assert!(result.rows.last().is_some_and(|row| row.engine));
        assert!(result.threads_against_one.is_none());
        assert!(result.table().contains("x portable"));
    }

    #[test]
    fn several_threads_are_compared_with_one() {
        let options = BenchOptions {
            kernel: Some("portable".to_owned()),
            threads: 2,
            time: Duration::from_millis(500),
        };
        let result = run(&options, |_| {}).expect("measures");
        assert_eq!(result.rows.len(), 2, "the reference and the engine");
        let gain = result.threads_against_one.expect("two threads");
        assert!(gain.lowest > 0.0 && gain.lowest <= gain.middle && gain.middle <= gain.highest);
        assert!(result.table().contains("2 threads against one"));
    }
}
