//! `mend lab`: experiments in files, on either engine, and what is told of them.

mod compare;
mod library;
mod list;
mod many;
mod new;
mod run;
mod runs;
mod scenario;
mod table;
mod told;

use clap::{Args, Subcommand};

/// Run experiments, and look at what came of them.
///
///   mend lab list                              scenarios of this program, and recorded runs
///   mend lab run clean-split                   in virtual time
///   mend lab run clean-split --real            on real processes
///   mend lab report runs/clean-split-sim-1-1   again, and a page with plots
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct LabArgs {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(run::RunArgs),
    Report(told::ReportArgs),
    Tree(told::TreeArgs),
    Compare(compare::CompareArgs),
    List(list::ListArgs),
    New(new::NewArgs),
    Check(list::CheckArgs),
    Sweep(many::SweepArgs),
    Shrink(many::ShrinkArgs),
    Table(table::TableArgs),
    DoubleSpend(many::DoubleSpendArgs),
}

/// Runs a `mend lab` command.
///
/// # Errors
///
/// One line with the cause and the remedy; also when something that must hold of a run does not.
pub fn run_lab(args: LabArgs) -> anyhow::Result<()> {
    let json = args.json;
    match args.command {
        Command::Run(args) => run::run(&args, json),
        Command::Report(args) => told::report(&args, json),
        Command::Tree(args) => told::tree(&args, json),
        Command::Compare(args) => compare::run(&args, json),
        Command::List(args) => list::list(&args, json),
        Command::New(args) => new::run(&args),
        Command::Check(args) => list::check(&args),
        Command::Sweep(args) => many::sweep(&args, json),
        Command::Shrink(args) => many::shrink(&args),
        Command::Table(args) => table::run(&args, json),
        Command::DoubleSpend(args) => many::double_spend(&args, json),
    }
}
