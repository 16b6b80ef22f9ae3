//! What was measured, for people and programs.

use serde::Serialize;

use crate::kernel::median;

/// The middle of the runs' medians, and how far apart they are.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Spread {
    pub(crate) middle: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl Spread {
    pub(super) fn of(values: Vec<f64>) -> Self {
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self {
            middle: median(values),
            lowest,
            highest,
        }
    }

    /// The same in another unit; a falling function turns the ends round.
    pub(super) fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let (a, b) = (f(self.lowest), f(self.highest));
        Self {
            middle: f(self.middle),
            lowest: a.min(b),
            highest: a.max(b),
        }
    }
}

/// All results.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BenchResult {
    /// Threads.
    pub(crate) threads: usize,
    /// How many runs the medians are of.
    pub(crate) runs: usize,
    /// Clock of a core in Hz, where it can be inferred.
    pub(crate) core_hz: Option<f64>,
    /// One row a contestant.
    pub(crate) rows: Vec<Row>,
    /// By how much the search engine is slower than the bare loop of its kernel, in percent. Noise may make it
    /// negative.
    pub(crate) engine_overhead_percent: Spread,
    /// How many times as fast all threads are as one, with the engine's kernel; `None` for one thread.
    pub(crate) threads_against_one: Option<Spread>,
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
    /// All threads together, in millions a second.
    pub(crate) mhps: f64,
    /// Core cycles per hash.
    pub(crate) cycles_per_hash: Option<f64>,
    /// Times as fast as the reference in the same round.
    pub(crate) ratio_to_portable: Spread,
}

impl Row {
    /// Not measured yet.
    pub(super) fn new(kernel: &'static str, versions: usize, engine: bool) -> Self {
        Self {
            kernel,
            versions,
            engine,
            mhps: 0.0,
            cycles_per_hash: None,
            ratio_to_portable: Spread::default(),
        }
    }

    pub(super) fn fill_in(
        &mut self,
        rate: f64,
        core_hz: Option<f64>,
        threads: usize,
        ratio: Spread,
    ) {
        self.mhps = rate / 1e6;
        self.cycles_per_hash = core_hz.map(|hz| hz * threads as f64 / rate);
        self.ratio_to_portable = ratio;
    }

    fn line(&self) -> String {
        let name = match (self.engine, self.versions) {
            (true, _) => format!("{}, whole engine", self.kernel),
            (false, 1) => self.kernel.to_owned(),
            (false, n) => format!("{}, {n} versions", self.kernel),
        };
        let cycles = self
            .cycles_per_hash
            .map_or("-".to_owned(), |c| format!("{c:.1}"));
        let Spread {
            middle,
            lowest,
            highest,
        } = self.ratio_to_portable;
        format!(
            "{name:<28} {:>9.2} {cycles:>12} {middle:>12.2}  ({lowest:.2} to {highest:.2})",
            self.mhps
        )
    }
}

impl BenchResult {
    /// A table for people.
    pub(crate) fn table(&self) -> String {
        let clock = self
            .core_hz
            .map_or("unknown".to_owned(), |hz| format!("{:.2} GHz", hz / 1e9));
        let mut lines = vec![
            format!(
                "{} thread(s), core clock {clock}, medians of {} runs",
                self.threads, self.runs
            ),
            format!(
                "{:<28} {:>9} {:>12} {:>12}",
                "kernel", "MH/s", "cycles/hash", "x portable"
            ),
        ];
        lines.extend(self.rows.iter().map(Row::line));
        let cost = self.engine_overhead_percent;
        lines.push(format!(
            "the engine costs {:.2} % against the bare loop of its kernel ({:.2} to {:.2})",
            cost.middle, cost.lowest, cost.highest
        ));
        if let Some(gain) = self.threads_against_one {
            lines.push(format!(
                "{} threads against one: {:.2} times ({:.2} to {:.2})",
                self.threads, gain.middle, gain.lowest, gain.highest
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_function_turns_the_ends_of_a_spread_round() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0, 5.0, 4.0]);
        assert_eq!(
            (spread.lowest, spread.middle, spread.highest),
            (1.0, 3.0, 5.0)
        );
        let fallen = spread.map(|value| 10.0 - value);
        assert_eq!(
            (fallen.lowest, fallen.middle, fallen.highest),
            (5.0, 7.0, 9.0)
        );
    }
}
