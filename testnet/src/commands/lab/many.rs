//! `mend lab sweep`, `shrink` and `double-spend`: many runs in virtual time, of which nothing is kept but what they show.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::scenario::ScenarioArgs;
use crate::scenario::Scenario;
use crate::sim;

/// Run a scenario with many seeds, on all cores, and shrink the first seed that fails.
///
/// Example: mend lab sweep mixed-faults --seeds 0..10000
#[derive(Args, Debug)]
pub(super) struct SweepArgs {
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// From (included) and to (not included).
    #[arg(long, value_parser = seeds, default_value = "0..100")]
    seeds: std::ops::Range<u64>,
    /// Write the shrunk scenario here [default: NAME-seed-N.toml in the present directory].
    #[arg(long, value_name = "FILE")]
    shrunk: Option<PathBuf>,
}

/// Cut a failing scenario down to a smaller one that still fails.
///
/// Example: mend lab shrink mixed-faults --seed 17 --out small.toml
#[derive(Args, Debug)]
pub(super) struct ShrinkArgs {
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// The seed that fails.
    #[arg(long)]
    seed: u64,
    /// Write the smaller scenario here.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// How often an attacker with a share of the hash power takes back a payment that was confirmed: a race of real blocks, and a
/// real reorg, once for each seed.
///
/// Example: mend lab double-spend --share 0.1 --confirmations 6 --seeds 0..10000
#[derive(Args, Debug)]
pub(super) struct DoubleSpendArgs {
    /// The attacker's share of the hash power.
    #[arg(long, value_parser = attacker_share)]
    share: f64,
    /// Confirmations that the merchant waits for.
    #[arg(long)]
    confirmations: u32,
    /// From (included) and to (not included).
    #[arg(long, value_parser = seeds, default_value = "0..1000")]
    seeds: std::ops::Range<u64>,
}

pub(super) fn double_spend(args: &DoubleSpendArgs, json: bool) -> anyhow::Result<()> {
    let DoubleSpendArgs {
        share,
        confirmations,
        ..
    } = *args;
    let tries = args.seeds.end - args.seeds.start;
    let won = sim::attack::successes(share, confirmations, args.seeds.clone())?;
    let rate = won as f64 / tries as f64;
    if json {
        terminal::line(serde_json::json!({
            "share": share,
            "confirmations": confirmations,
            "tries": tries,
            "won": won,
            "rate": rate,
        }))?;
    } else {
        let error = (rate * (1.0 - rate) / tries as f64).sqrt();
        terminal::line(format_args!(
            "{won} of {tries} payments with {confirmations} confirmations were taken back: {:.3}% +- {:.3}% (one standard error)",
            rate * 100.0,
            error * 100.0
        ))?;
    }
    Ok(())
}

pub(super) fn sweep(args: &SweepArgs, json: bool) -> anyhow::Result<()> {
    let scenario = args.scenario.read()?;
    let count = args.seeds.end - args.seeds.start;
    let bar = ProgressBar::new(count).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left")
            .expect("the template is right"),
    );
    let began = Instant::now();
    let sweep = sim::sweep::sweep(&scenario, args.seeds.clone(), |done| bar.set_position(done))?;
    bar.finish_and_clear();
    if json {
        terminal::line(serde_json::json!(sweep))?;
    } else {
        terminal::line(format_args!(
            "{sweep}in {:.1} s",
            began.elapsed().as_secs_f64()
        ))?;
    }
    let Some(first) = sweep.failed.first() else {
        return Ok(());
    };
    let name = format!("{}-seed-{}.toml", scenario.name, first.seed);
    let out = args.shrunk.clone().unwrap_or_else(|| name.into());
    shrink_to(&scenario, first.seed, &out)?;
    bail!(
        "{} of {count} seeds fail; seed {} is shrunk to {}: {}",
        sweep.failed.len(),
        first.seed,
        out.display(),
        first.first
    )
}

pub(super) fn shrink(args: &ShrinkArgs) -> anyhow::Result<()> {
    let scenario = args.scenario.read()?;
    let Some(runs) = shrink_to(&scenario, args.seed, &args.out)? else {
        bail!(
            "{} holds with seed {}: there is nothing to shrink",
            scenario.name,
            args.seed
        );
    };
    terminal::line(format_args!(
        "{} fails in the same way, after {runs} runs",
        args.out.display()
    ))?;
    Ok(())
}

/// Shrinks, and writes a file that reproduces the failure. Gives the number of runs that took; `None` if nothing fails.
fn shrink_to(scenario: &Scenario, seed: u64, out: &Path) -> anyhow::Result<Option<u32>> {
    let Some((small, runs)) = sim::shrink::shrink(scenario, seed)? else {
        return Ok(None);
    };
    let text = format!(
        "# Fails: mend lab run {} --seed {seed}\n{}",
        out.display(),
        small.to_toml()
    );
    std::fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(Some(runs))
}

/// From 0 to below a half: with more, every attack succeeds in the end.
fn attacker_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    share
        .filter(|share| (0.0..0.5).contains(share))
        .ok_or_else(|| format!("{text:?} is no share of an attacker; expected 0 to below 0.5"))
}

/// `0..10000`.
fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let range = text
        .split_once("..")
        .and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range
        .filter(|range: &std::ops::Range<u64>| range.start < range.end)
        .ok_or_else(|| format!("{text:?} is no range of seeds; write 0..100"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds_are_read() {
        assert_eq!(seeds("3..7"), Ok(3..7));
        for text in ["7..3", "5", "a..b", "0..0"] {
            assert!(seeds(text).is_err(), "{text}");
        }
    }
}
