//! `mend lab table`: scenarios one after the other, perhaps over ranges of values, as a table for documents.

use std::str::FromStr;
use std::time::Instant;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::scenario::read;
use crate::scenario::{Change, Scenario};
use crate::sim::{self, Run};

/// Run scenarios one after the other, each with every combination of the given values, and print a table in Markdown.
///
///   mend lab table scenarios/*.toml
///   mend lab table thousand-nodes --over nodes=100,300,1000 --over duration=6h,12h,24h
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct TableArgs {
    /// Scenario files, or names of scenarios of the program.
    #[arg(required = true, value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Change a field of the files, as in --set spacing=10s.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    changes: Vec<Change>,
    /// Run with each of these values of a field. Given twice: with every pair of values.
    #[arg(long, value_name = "FIELD=VALUE,VALUE...")]
    over: Vec<Over>,
    /// Decides everything that is random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A field and the values that it takes, one after the other.
#[derive(Clone, Debug, PartialEq)]
struct Over {
    field: String,
    values: Vec<(String, Change)>,
}

impl FromStr for Over {
    type Err = String;

    fn from_str(text: &str) -> Result<Over, String> {
        let (field, values) = text.split_once('=').ok_or_else(|| {
            format!("{text:?} is no range; write FIELD=VALUE,VALUE, as nodes=100,300")
        })?;
        let field = field.trim().to_owned();
        let values = values.split(',').map(|value| {
            let value = value.trim().to_owned();
            let change = format!("{field}={value}").parse()?;
            Ok((value, change))
        });
        let values = values.collect::<Result<_, String>>()?;
        Ok(Over { field, values })
    }
}

/// One choice of a value for each range.
type Choice<'a> = Vec<&'a (String, Change)>;

/// All combinations, the last range changing fastest.
fn combinations(ranges: &[Over]) -> Vec<Choice<'_>> {
    let mut choices: Vec<Choice<'_>> = vec![Vec::new()];
    for range in ranges {
        choices = choices
            .iter()
            .flat_map(|choice| {
                range.values.iter().map(|value| {
                    let mut longer = choice.clone();
                    longer.push(value);
                    longer
                })
            })
            .collect();
    }
    choices
}

/// A run as a row.
#[derive(Serialize)]
struct Row<'a> {
    /// Values of the ranges.
    over: Vec<&'a str>,
    nodes: usize,
    wall_seconds: f64,
    /// Wall time for each node and block.
    micros_per_node_and_block: f64,
    #[serde(flatten)]
    run: &'a Run,
}

/// Runs all, and fails if one run fails.
pub(super) fn run(args: &TableArgs, json: bool) -> anyhow::Result<()> {
    if !json {
        print_head(&args.over)?;
    }
    let mut failed = Vec::new();
    for source in &args.scenarios {
        for choice in combinations(&args.over) {
            let mut changes = args.changes.clone();
            changes.extend(choice.iter().map(|(_, change)| change.clone()));
            let scenario = read(source, &changes)?;
            let began = Instant::now();
            let run = sim::simulate(&scenario, args.seed, None)?;
            let row = Row::new(&choice, &scenario, &run, began.elapsed().as_secs_f64());
            if json {
                terminal::line(serde_json::json!(row))?;
            } else {
                terminal::line(row.markdown())?;
            }
            if let Some(first) = run.violations.first() {
                failed.push(format!("{}: {first}", scenario.name));
            }
        }
    }
    match failed.first() {
        None => Ok(()),
        Some(first) => bail!("{} runs fail; {first}", failed.len()),
    }
}

fn print_head(ranges: &[Over]) -> Result<(), terminal::PrintError> {
    let mut columns = vec!["scenario"];
    columns.extend(ranges.iter().map(|range| range.field.as_str()));
    columns.extend([
        "nodes",
        "virtual time",
        "blocks",
        "stale",
        "p50, p90 of blocks",
        "deepest reorg",
        "one tip after",
        "wall time",
        "per node and block",
        "",
    ]);
    terminal::line(format_args!(
        "| {} |\n|{}",
        columns.join(" | "),
        " --- |".repeat(columns.len())
    ))
}

impl<'a> Row<'a> {
    fn new(
        choice: &[&'a (String, Change)],
        scenario: &Scenario,
        run: &'a Run,
        wall_seconds: f64,
    ) -> Row<'a> {
        let steps = (scenario.nodes as u64 * run.summary.blocks).max(1);
        Row {
            over: choice.iter().map(|(value, _)| value.as_str()).collect(),
            nodes: scenario.nodes,
            wall_seconds,
            micros_per_node_and_block: wall_seconds * 1e6 / steps as f64,
            run,
        }
    }

    fn markdown(&self) -> String {
        let summary = &self.run.summary;
        let mut cells = vec![format!("`{}`", self.run.scenario)];
        cells.extend(self.over.iter().map(|value| (*value).to_owned()));
        let deepest = summary.reorgs.keys().next_back().copied().unwrap_or(0);
        let after = summary.one_tip_after_ms;
        let propagation = summary.propagation_ms;
        cells.extend([
            self.nodes.to_string(),
            format!("{:.1} h", summary.seconds / 3_600.0),
            summary.blocks.to_string(),
            format!("{:.2}%", summary.stale_share * 100.0),
            format!("{:.0} ms, {:.0} ms", propagation.p50, propagation.p90),
            deepest.to_string(),
            after.map_or("never".to_owned(), |ms| format!("{:.1} s", ms / 1e3)),
            format!("{:.2} s", self.wall_seconds),
            format!("{:.0} us", self.micros_per_node_and_block),
            match self.run.violations.len() {
                0 => "holds".to_owned(),
                count => format!("{count} violations"),
            },
        ]);
        format!("| {} |", cells.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_combined() {
        let ranges: Vec<Over> = ["nodes=1,2", "link.delay_ms = 50, 60 ,70"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(ranges[1].field, "link.delay_ms");
        let texts: Vec<String> = combinations(&ranges)
            .iter()
            .map(|choice| {
                let values: Vec<&str> = choice.iter().map(|(value, _)| value.as_str()).collect();
                values.join(" ")
            })
            .collect();
        assert_eq!(texts, ["1 50", "1 60", "1 70", "2 50", "2 60", "2 70"]);
        assert_eq!(combinations(&[]).len(), 1, "no range: one run");
        assert!("nodes".parse::<Over>().is_err());
    }
}
