//! `mend lab compare`: two recorded runs side by side.

use std::path::PathBuf;

use clap::Args;

use super::runs;
use crate::tell::Report;
use crate::tell::compare::{Row, compare};

/// Show the figures of two recorded runs side by side; what differs has a mark.
///
/// Example: mend lab compare runs/clean-split-sim-1-1 runs/clean-split-real-1-1
#[derive(Args, Debug)]
pub(super) struct CompareArgs {
    /// The folder of a run, or its record.
    #[arg(value_name = "A")]
    a: PathBuf,
    /// Another.
    #[arg(value_name = "B")]
    b: PathBuf,
    /// Take records without an end too.
    #[arg(long)]
    broken_off: bool,
}

pub(super) fn run(args: &CompareArgs, json: bool) -> anyhow::Result<()> {
    let report = |path| anyhow::Ok(Report::of(&runs::read(path, args.broken_off)?));
    let rows = compare(&report(&args.a)?, &report(&args.b)?);
    if json {
        terminal::line(serde_json::json!(rows))?;
        return Ok(());
    }
    let shown = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "-".to_owned());
    let width = |of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let names = width(&|row| row.name.chars().count());
    // A long line of one run must not push the other out of sight.
    let first = width(&|row| shown(&row.a).chars().count()).min(40);
    for row in &rows {
        let mark = if row.a == row.b { ' ' } else { '*' };
        let (a, b) = (shown(&row.a), shown(&row.b));
        terminal::line(format_args!(
            "{mark} {:<names$}  {a:<first$}  {b}",
            row.name
        ))?;
    }
    Ok(())
}
