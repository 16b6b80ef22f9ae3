//! `mend lab run`: a scenario once, on either engine, into a folder of its own.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;

use super::runs::{self, Outputs, RUNS};
use super::scenario::ScenarioArgs;
use crate::commands::story::Story;
use crate::real::play::{Player, Schedule, options};
use crate::real::{Layout, Network, Supervisor};
use crate::record::{Engine, Record, RunFolder};
use crate::sim;
use crate::tell::{Check, Report};

/// Run a scenario once: in virtual time, or with --real on real processes. Its folder, `runs/NAME-ENGINE-SEED-N`, keeps the record and
/// the report.
///
/// Prints the figures, a heal report for each healing, and what must hold with the number seen. Exits with 0 only if all of it
/// holds.
///
///   mend lab run clean-split --seed 7
///   mend lab run my.toml --real --speed 60
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct RunArgs {
    #[command(flatten)]
    scenario: ScenarioArgs,
    /// With real processes, sockets and proof of work.
    #[arg(long)]
    real: bool,
    /// Decides everything that is random; of real processes topology, random faults and payments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many times as fast as the file says [default: so fast that a block comes each second]. Delays of links stay as they
    /// are.
    #[arg(long, value_name = "FACTOR", requires = "real")]
    speed: Option<f64>,
    /// Keep data and logs of the nodes even if all went well.
    #[arg(long, requires = "real")]
    keep_nodes: bool,
    /// Make the folder of the run below this one.
    #[arg(long, value_name = "DIR", default_value = RUNS)]
    runs: PathBuf,
}

/// A run that is over.
#[derive(Serialize)]
struct Ran<'a> {
    /// Where it is kept.
    folder: String,
    wall_seconds: f64,
    #[serde(flatten)]
    report: &'a Report,
}

pub(super) fn run(args: &RunArgs, json: bool) -> anyhow::Result<()> {
    let began = Instant::now();
    let (folder, record, trouble) = match args.real {
        true => play(args, json)?,
        false => simulate(args)?,
    };
    let report = Report::of(&record);
    Outputs::of(&folder).write(&record, &report)?;
    let wall_seconds = began.elapsed().as_secs_f64();
    let path = folder.path().display();
    if json {
        terminal::line(serde_json::json!(Ran {
            folder: path.to_string(),
            wall_seconds,
            report: &report,
        }))?;
    } else {
        terminal::line(report.to_string().trim_end())?;
        terminal::line(format_args!(
            "\n{path}/report.html shows it ({wall_seconds:.1} s)"
        ))?;
    }
    if let Some(error) = trouble {
        return Err(error.context(format!("the run is in {path}")));
    }
    verdict(&report)?;
    if args.real && !args.keep_nodes {
        folder.delete_nodes()?;
    }
    Ok(())
}

/// Fails with the first check that fails.
fn verdict(report: &Report) -> anyhow::Result<()> {
    let mut failed = report.checks.iter().filter(|check| check.fails());
    let Some(first) = failed.next() else {
        return Ok(());
    };
    let Check {
        name, seen, bound, ..
    } = first;
    let more = match failed.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    bail!(
        "{} fails: {name}: {seen}; expected {bound}{more}",
        report.scenario
    )
}

/// The folder of a run, what happened, and why it could not go on.
type Over = (RunFolder, Record, Option<anyhow::Error>);

fn simulate(args: &RunArgs) -> anyhow::Result<Over> {
    let scenario = args.scenario.read()?;
    let folder = RunFolder::create(&args.runs, &scenario.name, Engine::Sim, args.seed)?;
    let path = folder.record();
    let cannot = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(&path).with_context(cannot)?);
    let run = sim::simulate(&scenario, args.seed, Some(&mut file))?;
    file.flush().with_context(cannot)?;
    let first = run.violations.first();
    let record = run.record.with_context(|| match first {
        Some(violation) => violation.to_string(),
        None => cannot(),
    })?;
    Ok((folder, record, None))
}

fn play(args: &RunArgs, json: bool) -> anyhow::Result<Over> {
    let scenario = args.scenario.read()?;
    let schedule = Schedule::new(&scenario, args.speed, args.seed).with_context(|| {
        let source = args.scenario.source();
        format!("{source} cannot be played on real processes")
    })?;
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let folder = RunFolder::create(&args.runs, &scenario.name, Engine::Real, args.seed)?;
    let story = Story::begin(!json);
    story.tell(&format!(
        "{}: {} nodes for {:.0} s, a block every {} s",
        schedule.plan.name,
        schedule.plan.nodes,
        schedule.duration.as_secs_f64(),
        schedule.spacing_s
    ))?;
    let network = Network::start(
        Layout::new(folder.nodes()),
        &options(program, &schedule, args.seed),
    )?;
    let supervisor = Supervisor::new(network)?;
    // The nodes stop by themselves when this process is gone.
    supervisor.network().on_end(|| std::process::exit(130));
    let player = Player::new(&supervisor, &schedule, args.seed, &folder.record())?;
    let played = player.play(|what| {
        // An experiment that was begun is played to its end, whoever reads about it.
        let _ = story.tell(what);
    });
    supervisor.end();
    match played {
        Ok(record) => Ok((folder, record, None)),
        // What was recorded until then is told all the same.
        Err(error) => match runs::read(folder.path(), true) {
            Ok(record) => Ok((folder, record, Some(error.into()))),
            Err(_) => Err(error.into()),
        },
    }
}
