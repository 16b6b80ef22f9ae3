//! `mend`: one binary, one subcommand for each part.

mod config;
mod manual;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// A minimal proof-of-work blockchain node that is made to be split apart and to mend itself.
#[derive(Parser)]
#[command(name = "mend", version, propagate_version = true)]
struct Mend {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Node(Box<node::NodeArgs>),
    Bitcoind(node::bitcoind::BitcoindArgs),
    Mine(miner::MineArgs),
    Cli(rpc_client::cli::CliArgs),
    Compare(rpc_client::compare::CompareArgs),
    Wallet(wallet_cli::WalletArgs),
    Testnet(testnet::TestnetArgs),
    Lab(testnet::LabArgs),
    Import(node::offline::ImportArgs),
    Export(node::offline::ExportArgs),
    Verify(node::offline::VerifyArgs),
    Backup(node::offline::BackupArgs),
    Restore(node::offline::RestoreArgs),
    Genesis(node::offline::GenesisArgs),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

fn main() -> ExitCode {
    let command = match config::apply(Mend::command()) {
        Ok(command) => command,
        Err(error) => return terminal::end(error.chain()),
    };
    let mend = Mend::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    let result = match mend.command {
        Command::Node(args) => node::run(*args),
        Command::Bitcoind(args) => node::bitcoind::run(&args),
        Command::Mine(args) => miner::run(args),
        // Its exit code is the error code, as bitcoin-cli's.
        Command::Cli(args) => return rpc_client::cli::run(&args),
        // 0 the same, 1 different, 2 trouble, as diff.
        Command::Compare(args) => return rpc_client::compare::run(&args),
        Command::Wallet(args) => wallet_cli::run(args),
        Command::Testnet(args) => testnet::run(args),
        Command::Lab(args) => testnet::run_lab(args),
        Command::Import(args) => node::offline::import(args),
        Command::Export(args) => node::offline::export(args),
        Command::Verify(args) => node::offline::verify(args),
        Command::Backup(args) => node::offline::backup(args),
        Command::Restore(args) => node::offline::restore(args),
        Command::Genesis(args) => node::offline::genesis(args),
        Command::Completions(args) => manual::completions(&args, Mend::command()),
        Command::Man(args) => manual::man(&args, Mend::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => terminal::end(error.chain()),
    }
}
