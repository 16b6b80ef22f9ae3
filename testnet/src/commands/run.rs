//! `mend testnet run`: a scenario file on real processes.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use super::Context;
use super::scratch::Scratch;
use super::story::Story;
use crate::real::play::outcome::Outcome;
use crate::real::play::{Player, Schedule, options};
use crate::real::{Layout, Network, Supervisor};
use crate::scenario::{Change, Scenario};

/// Play a scenario file on real processes: the same file as `mend sim run`, with real time, sockets and proof of work.
///
/// Times of the file are divided by the speed; delays of links stay as they are. Exits with 0 only if the nodes agree in the
/// end and everything is as the file expects.
///
/// Example: mend testnet run scenarios/clean-split.toml --speed 60
#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// The scenario file.
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// Change a field of the file, as in --set nodes=4 or --set link.delay_ms=200.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    changes: Vec<Change>,
    /// How many times as fast as the file says [default: so fast that a block comes each second].
    #[arg(long, value_name = "FACTOR")]
    speed: Option<f64>,
    /// Decides topology, random faults and payments; what real processes make of them differs from run to run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep data and logs.
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(context: &Context, args: &RunArgs) -> anyhow::Result<()> {
    let path = args.scenario.display();
    let text = std::fs::read_to_string(&args.scenario)
        .with_context(|| format!("cannot read {path}; give the path of a scenario file"))?;
    let scenario = Scenario::from_toml_with(&text, &args.changes)
        .with_context(|| format!("{path} cannot be played"))?;
    let schedule = Schedule::new(&scenario, args.speed, args.seed)
        .with_context(|| format!("{path} cannot be played on real processes"))?;
    let directory = Scratch::new("run", args.keep)?;
    let outcome = play(context, &schedule, args.seed, &directory);
    let logs = directory.path().display();
    let outcome = outcome.inspect_err(|_| directory.keep_for_the_curious());
    let outcome = outcome.with_context(|| format!("logs are in {logs}"))?;
    context.print(&outcome, ToString::to_string)?;
    if !outcome.ok {
        directory.keep_for_the_curious();
        bail!("not what {path} expects; logs are in {logs}");
    }
    if args.keep && !context.json {
        terminal::line(format_args!(
            "data, logs and the record are in {logs}; `mend lab report {logs}/record.jsonl` tells more of it"
        ))?;
    }
    Ok(())
}

fn play(
    context: &Context,
    schedule: &Schedule,
    seed: u64,
    directory: &Scratch,
) -> anyhow::Result<Outcome> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let story = Story::begin(!context.json);
    story.tell(&format!(
        "{}: {} nodes for {:.0} s, a block every {} s",
        schedule.plan.name,
        schedule.plan.nodes,
        schedule.duration.as_secs_f64(),
        schedule.spacing_s
    ))?;
    let options = options(program, schedule, seed);
    let network = Network::start(Layout::new(directory.path()), &options)?;
    let supervisor = Supervisor::new(network)?;
    let path = directory.path().to_owned();
    supervisor.network().on_end(move || {
        // The nodes stop by themselves when this process is gone.
        let _ = std::fs::remove_dir_all(path);
        std::process::exit(130);
    });
    let record = directory.path().join("record.jsonl");
    let player = Player::new(&supervisor, schedule, seed, &record)?;
    let outcome = player.play(|what| {
        // An experiment that was begun is played to its end, whoever reads about it.
        let _ = story.tell(what);
    });
    supervisor.end();
    Ok(outcome?)
}
