//! `mend lab report` and `mend lab tree`.

use std::path::PathBuf;

use clap::Args;

use super::runs::Run;
use crate::record::Record;
use crate::tell::{Report, Tree, tree};

/// Tell what came of a recorded run: checks, figures, heal reports, fates of payments. Writes report.json and report.html, one page
/// with plots and the fork tree that opens without a network.
///
/// Example: mend lab report runs/clean-split-sim-1-1
#[derive(Args, Debug)]
pub(super) struct ReportArgs {
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
pub(super) struct TreeArgs {
    #[command(flatten)]
    run: Run,
}

pub(super) fn report(args: &ReportArgs, json: bool) -> anyhow::Result<()> {
    let record = args.run.read()?;
    let outputs = args.run.outputs(args.out.as_deref())?;
    let report = Report::of(&record);
    outputs.write(&record, &report)?;
    if json {
        terminal::line(serde_json::json!(report))?;
    } else {
        terminal::line(report.to_string().trim_end())?;
        let (html, json) = (outputs.html.display(), outputs.json.display());
        terminal::line(format_args!("\nwritten: {html}, {json}"))?;
    }
    Ok(())
}

pub(super) fn tree(args: &TreeArgs, json: bool) -> anyhow::Result<()> {
    let record = args.run.read()?;
    let tree = Tree::of(&record);
    if json {
        terminal::line(as_json(&record, &tree))?;
    } else {
        terminal::line(tree::text::draw(&record, &tree).trim_end())?;
    }
    Ok(())
}

fn as_json(record: &Record, tree: &Tree) -> serde_json::Value {
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
    serde_json::json!({ "lanes": tree.lanes, "blocks": blocks })
}
