//! `mend mine` without the rest of `mend`: soon built, for measuring and disassembling kernels.

use clap::Parser;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    mine: miner::MineArgs,
}

fn main() -> anyhow::Result<()> {
    miner::run(Command::parse().mine)
}
