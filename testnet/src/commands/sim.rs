//! `mend sim`: scenarios in virtual time.

mod table;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::record::{Engine, RunFolder};
use crate::scenario::{Change, Scenario};
use crate::sim::{self, Run};

use table::{TableArgs, run_table};

/// Run scenarios in virtual time: many nodes, hours in seconds, the same again from the same seed.
///
///   mend sim run scenarios/clean-split.toml --seed 1
///   mend sim sweep scenarios/mixed-faults.toml --seeds 0..1000
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct SimArgs {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(RunArgs),
    Table(TableArgs),
    Sweep(SweepArgs),
    Shrink(ShrinkArgs),
    DoubleSpend(DoubleSpendArgs),
    Check(CheckArgs),
}

/// A scenario, perhaps with some fields changed.
#[derive(Args, Debug)]
struct ScenarioFile {
    /// The scenario file.
    #[arg(value_name = "SCENARIO")]
    path: PathBuf,
    /// Change a field of the file, as in --set spacing=10s or --set link.delay_ms=200.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    changes: Vec<Change>,
}

/// Run a scenario once.
///
/// Example: mend sim run scenarios/clean-split.toml --seed 7 --keep
#[derive(Args, Debug)]
struct RunArgs {
    #[command(flatten)]
    scenario: ScenarioFile,
    /// Decides everything that is random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the record in a folder of its own below this one, for `mend lab report`.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "runs")]
    keep: Option<PathBuf>,
}

/// Run a scenario with many seeds, on all cores, and shrink the first seed that fails.
///
/// Example: mend sim sweep scenarios/mixed-faults.toml --seeds 0..10000
#[derive(Args, Debug)]
struct SweepArgs {
    #[command(flatten)]
    scenario: ScenarioFile,
    /// From (included) and to (not included).
    #[arg(long, value_parser = seeds, default_value = "0..100")]
    seeds: std::ops::Range<u64>,
    /// Write the shrunk scenario here [default: NAME-seed-N.toml in the present directory].
    #[arg(long, value_name = "FILE")]
    shrunk: Option<PathBuf>,
}

/// Cut a failing scenario down to a smaller one that still fails.
///
/// Example: mend sim shrink scenarios/mixed-faults.toml --seed 17 --out small.toml
#[derive(Args, Debug)]
struct ShrinkArgs {
    #[command(flatten)]
    scenario: ScenarioFile,
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
/// Example: mend sim double-spend --share 0.1 --confirmations 6 --seeds 0..10000
#[derive(Args, Debug)]
struct DoubleSpendArgs {
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

/// Check scenario files without running them.
///
/// Example: mend sim check scenarios/*.toml
#[derive(Args, Debug)]
struct CheckArgs {
    /// The files.
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
}

/// Runs a `mend sim` command.
///
/// # Errors
///
/// One line with the cause and the remedy; also when a run breaks an invariant or misses what its scenario expects.
pub fn run_sim(args: SimArgs) -> anyhow::Result<()> {
    match args.command {
        Command::Run(run) => run_once(&run, args.json),
        Command::Table(table) => run_table(&table, args.json),
        Command::Sweep(sweep) => run_sweep(&sweep, args.json),
        Command::Shrink(shrink) => run_shrink(&shrink),
        Command::DoubleSpend(attack) => run_double_spend(&attack, args.json),
        Command::Check(check) => {
            for path in &check.scenarios {
                let scenario = read_with(path, &[])?;
                terminal::line(format_args!(
                    "{}: {} ({} nodes)",
                    path.display(),
                    scenario.name,
                    scenario.nodes
                ))?;
            }
            Ok(())
        }
    }
}

fn read(file: &ScenarioFile) -> anyhow::Result<Scenario> {
    read_with(&file.path, &file.changes)
}

fn read_with(path: &Path, changes: &[Change]) -> anyhow::Result<Scenario> {
    let text = std::fs::read_to_string(path).with_context(|| {
        let path = path.display();
        format!("cannot read {path}; give a scenario file, as those in scenarios/")
    })?;
    Scenario::from_toml_with(&text, changes).with_context(|| path.display().to_string())
}

/// A run, and how long it took.
#[derive(Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    run: &'a Run,
    wall_seconds: f64,
}

fn run_once(args: &RunArgs, json: bool) -> anyhow::Result<()> {
    let scenario = read(&args.scenario)?;
    let began = Instant::now();
    let (run, kept) = match &args.keep {
        None => (sim::simulate(&scenario, args.seed, None)?, None),
        Some(runs) => {
            let folder = RunFolder::create(runs, &scenario.name, Engine::Sim, args.seed)?;
            let path = folder.record();
            let cannot = || format!("cannot write {}", path.display());
            let mut file = std::io::BufWriter::new(File::create(&path).with_context(cannot)?);
            let run = sim::simulate(&scenario, args.seed, Some(&mut file))?;
            file.flush().with_context(cannot)?;
            (run, Some(folder))
        }
    };
    let wall_seconds = began.elapsed().as_secs_f64();
    if json {
        terminal::line(serde_json::json!(Timed {
            run: &run,
            wall_seconds
        }))?;
    } else {
        terminal::line(format_args!(
            "{} (seed {}), in {wall_seconds:.2} s\n{}record       {}",
            run.scenario, run.seed, run.summary, run.record_hash
        ))?;
        for violation in &run.violations {
            terminal::line(format_args!("VIOLATION    {violation}"))?;
        }
    }
    if let Some(folder) = kept.filter(|_| !json) {
        let path = folder.path().display();
        terminal::line(format_args!("mend lab report {path}   # tells more of it"))?;
    }
    match run.violations.first() {
        None => Ok(()),
        Some(first) => bail!("{first}"),
    }
}

fn run_double_spend(args: &DoubleSpendArgs, json: bool) -> anyhow::Result<()> {
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

fn run_sweep(args: &SweepArgs, json: bool) -> anyhow::Result<()> {
    let scenario = read(&args.scenario)?;
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

fn run_shrink(args: &ShrinkArgs) -> anyhow::Result<()> {
    let scenario = read(&args.scenario)?;
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
        "# Fails: mend sim run {} --seed {seed}\n{}",
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
