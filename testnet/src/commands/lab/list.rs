//! `mend lab list` and `mend lab check`.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::library;
use super::runs::RUNS;
use super::scenario;
use crate::plan::Plan;
use crate::real::play::Schedule;
use crate::record::RunFolder;
use crate::scenario::Scenario;

/// List the scenarios of this program, and the runs that were recorded.
///
/// Example: mend lab list
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    /// Where runs are kept.
    #[arg(long, value_name = "DIR", default_value = RUNS)]
    runs: PathBuf,
}

/// Check scenarios without running them; tells what real processes would leave out.
///
/// Example: mend lab check scenarios/*.toml
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// Scenario files, or names of scenarios of the program.
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<String>,
}

#[derive(Serialize)]
struct List {
    scenarios: Vec<ScenarioRow>,
    runs: Vec<RunRow>,
}

#[derive(Serialize)]
struct ScenarioRow {
    name: &'static str,
    about: String,
}

#[derive(Serialize)]
struct RunRow {
    folder: String,
    /// Whether all that must hold does; absent: it goes on, was broken off, or nobody asked yet.
    ok: Option<bool>,
}

/// Of `report.json` what a list needs.
#[derive(Deserialize)]
struct Verdict {
    ok: bool,
}

pub(super) fn list(args: &ListArgs, json: bool) -> anyhow::Result<()> {
    let scenarios = library::SCENARIOS.iter().map(|shipped| {
        let scenario = Scenario::from_toml(shipped.text)?;
        Ok(ScenarioRow {
            name: shipped.name,
            about: scenario.about,
        })
    });
    let scenarios = scenarios.collect::<anyhow::Result<Vec<ScenarioRow>>>()?;
    let runs = RunFolder::list(&args.runs).into_iter().map(|folder| {
        let report = std::fs::read(folder.report_json()).ok();
        let verdict = report.and_then(|text| serde_json::from_slice::<Verdict>(&text).ok());
        RunRow {
            folder: folder.path().display().to_string(),
            ok: verdict.map(|verdict| verdict.ok),
        }
    });
    let list = List {
        scenarios,
        runs: runs.collect(),
    };
    if json {
        terminal::line(serde_json::json!(list))?;
        return Ok(());
    }
    terminal::line("scenarios (mend lab run NAME)")?;
    for row in &list.scenarios {
        terminal::line(format_args!("  {:<26} {}", row.name, row.about))?;
    }
    let below = args.runs.display();
    if list.runs.is_empty() {
        terminal::line(format_args!("\nno runs in {below}"))?;
    } else {
        terminal::line(format_args!("\nruns in {below} (mend lab report RUN)"))?;
    }
    for row in &list.runs {
        let verdict = match row.ok {
            Some(true) => "holds",
            Some(false) => "FAILS",
            None => "no report",
        };
        terminal::line(format_args!("  {verdict:<10} {}", row.folder))?;
    }
    Ok(())
}

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<()> {
    for source in &args.scenarios {
        let scenario = scenario::read(source, &[])?;
        let plan = Plan::of(&scenario, 1)?;
        let faults = plan.faults.len();
        terminal::line(format_args!(
            "{source}: {} ({} nodes, {faults} faults, {} payments)",
            scenario.name,
            plan.nodes,
            plan.payments.len()
        ))?;
        match Schedule::new(&scenario, None, 1) {
            Ok(schedule) => {
                for left_out in schedule.left_out {
                    terminal::line(format_args!("  with --real left out: {left_out}"))?;
                }
            }
            Err(error) => terminal::line(format_args!("  not with --real: {error}"))?,
        }
    }
    Ok(())
}
