//! `mend testnet`: one file for each kind of command; the only place that prints.

mod banner;
mod demo;
mod faults;
mod lab;
mod life;
mod money;
mod scratch;
mod story;
mod units;
mod up;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::real::{Layout, Order, control};

pub use lab::{LabArgs, run_lab};

/// Run a network of real nodes on this machine, split it, heal it.
///
/// Start with `mend testnet demo`, or by hand:
///
///   mend testnet up --detach
///   mend testnet partition 0,1,2/3,4
///   mend testnet mine 3 5
///   mend testnet heal
///   mend testnet down
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct TestnetArgs {
    /// Directory of the testnet: data, logs, testnet.json.
    #[arg(
        long,
        global = true,
        default_value = ".mend-testnet",
        value_name = "DIR"
    )]
    dir: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Up(up::UpArgs),
    Demo(demo::DemoArgs),
    Status(life::StatusArgs),
    Partition(faults::PartitionArgs),
    Heal(faults::HealArgs),
    Link(faults::LinkArgs),
    Kill(faults::KillArgs),
    Stop(faults::StopArgs),
    Restart(faults::RestartArgs),
    Pause(faults::PauseArgs),
    Resume(faults::ResumeArgs),
    Mine(money::MineArgs),
    Mining(money::MiningArgs),
    Pay(money::PayArgs),
    Accounts(money::AccountsArgs),
    Logs(life::LogsArgs),
    Down(life::DownArgs),
}

/// What every command knows.
struct Context {
    layout: Layout,
    json: bool,
}

impl Context {
    fn order<T: DeserializeOwned>(&self, order: &Order) -> anyhow::Result<T> {
        Ok(control::order(&self.layout, order)?)
    }

    /// Prints JSON if it is wanted, text otherwise.
    fn print<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), terminal::PrintError> {
        if self.json {
            terminal::line(serde_json::json!(value))
        } else {
            terminal::line(text(value).trim_end())
        }
    }
}

/// Runs a `mend testnet` command.
///
/// # Errors
///
/// One line with the cause and the remedy.
pub fn run(args: TestnetArgs) -> anyhow::Result<()> {
    let context = Context {
        layout: Layout::new(args.dir),
        json: args.json,
    };
    match args.command {
        Command::Up(args) => up::run(&context, &args),
        Command::Demo(args) => demo::run(&context, &args),
        Command::Status(args) => life::status(&context, &args),
        Command::Partition(args) => faults::partition(&context, args),
        Command::Heal(args) => faults::heal(&context, &args),
        Command::Link(args) => faults::link(&context, &args),
        Command::Kill(args) => faults::kill(&context, &args),
        Command::Stop(args) => faults::stop(&context, &args),
        Command::Restart(args) => faults::restart(&context, &args),
        Command::Pause(args) => faults::pause(&context, &args),
        Command::Resume(args) => faults::resume(&context, &args),
        Command::Mine(args) => money::mine(&context, &args),
        Command::Mining(args) => money::mining(&context, &args),
        Command::Pay(args) => money::pay(&context, args),
        Command::Accounts(args) => money::accounts(&context, &args),
        Command::Logs(args) => life::logs(&context, &args),
        Command::Down(args) => life::down(&context, &args),
    }
}
