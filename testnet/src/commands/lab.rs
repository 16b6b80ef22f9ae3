//! `mend lab`: what is told of recorded runs.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::page;
use crate::record::{self, Record, RunFolder};
use crate::tell::{Report, Tree, tree};

/// Look at runs that were recorded.
#[derive(Args, Debug)]
pub struct LabArgs {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Report(ReportArgs),
    Tree(TreeArgs),
}

/// Tell what came of a recorded run: checks, figures, heal reports, fates of payments. Writes report.json and report.html, one page
/// with plots and the fork tree that opens without a network.
///
/// Example: mend lab report runs/clean-split-sim-1-1
#[derive(Args, Debug)]
struct ReportArgs {
    #[command(flatten)]
    run: Run,
    /// Write the two files here [default: beside the record].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Draw the fork tree of a recorded run: time goes down, a column for each branch, hollow blocks are lost.
///
/// Example: mend lab tree runs/clean-split-sim-1-1
#[derive(Args, Debug)]
struct TreeArgs {
    #[command(flatten)]
    run: Run,
}

/// A recorded run.
#[derive(Args, Debug)]
struct Run {
    /// The folder of a run, or a record by itself.
    #[arg(value_name = "RUN")]
    path: PathBuf,
    /// Take a record without an end too: of a run that goes on, or was broken off.
    #[arg(long)]
    broken_off: bool,
}

/// Runs a `mend lab` command.
///
/// # Errors
///
/// One line with the cause and the remedy.
pub fn run_lab(args: LabArgs) -> anyhow::Result<()> {
    match args.command {
        Command::Report(report) => write_report(&report, args.json),
        Command::Tree(tree) => draw_tree(&tree, args.json),
    }
}

impl Run {
    /// Where the record is.
    fn record_path(&self) -> anyhow::Result<PathBuf> {
        match self.path.is_dir() {
            true => Ok(RunFolder::open(&self.path)?.record()),
            false => Ok(self.path.clone()),
        }
    }

    fn read(&self) -> anyhow::Result<Record> {
        let path = self.record_path()?;
        let shown = path.display();
        let file = File::open(&path).with_context(|| {
            format!("cannot open {shown}; give the folder of a run, or its record.jsonl")
        })?;
        let lines = BufReader::new(file);
        let record = match self.broken_off {
            true => record::read_so_far(lines),
            false => record::read(lines),
        };
        record.with_context(|| match self.broken_off {
            true => shown.to_string(),
            false => format!("{shown} (for a run that goes on or was broken off add --broken-off)"),
        })
    }

    /// Where the two files of a report go.
    fn outputs(&self, out: Option<&Path>) -> anyhow::Result<(PathBuf, PathBuf)> {
        if let Some(out) = out {
            std::fs::create_dir_all(out)
                .with_context(|| format!("cannot make {}", out.display()))?;
            return Ok((out.join("report.json"), out.join("report.html")));
        }
        if self.path.is_dir() {
            let folder = RunFolder::open(&self.path)?;
            return Ok((folder.report_json(), folder.report_html()));
        }
        // A record by itself may lie among others.
        let named = |end: &str| self.path.with_extension(end);
        Ok((named("report.json"), named("report.html")))
    }
}

fn write_report(args: &ReportArgs, json: bool) -> anyhow::Result<()> {
    let record = args.run.read()?;
    let (as_json, as_html) = args.run.outputs(args.out.as_deref())?;
    let report = Report::of(&record);
    let text = serde_json::to_string(&report)?;
    for (path, content) in [(&as_json, &text), (&as_html, &page::html(&record, &report))] {
        std::fs::write(path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if json {
        terminal::line(&text)?;
    } else {
        terminal::line(report.to_string().trim_end())?;
        let (as_html, as_json) = (as_html.display(), as_json.display());
        terminal::line(format_args!("\nwritten: {as_html}, {as_json}"))?;
    }
    Ok(())
}

fn draw_tree(args: &TreeArgs, json: bool) -> anyhow::Result<()> {
    let record = args.run.read()?;
    let tree = Tree::of(&record);
    if json {
        let block = |at: &tree::TreeBlock| {
            let block = record.blocks.get(at.id);
            let parent = record.blocks.get(block.parent).hash;
            serde_json::json!({
                "hash": block.hash,
                "parent": parent,
                "height": block.height,
                "t": at.t,
                "lane": at.lane,
                "final": at.is_final,
                "found_by": block.found_by,
            })
        };
        let blocks: Vec<serde_json::Value> = tree.blocks.iter().map(block).collect();
        terminal::line(serde_json::json!({ "lanes": tree.lanes, "blocks": blocks }))?;
    } else {
        terminal::line(tree::text::draw(&record, &tree).trim_end())?;
    }
    Ok(())
}
