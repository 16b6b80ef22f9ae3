//! `mend testnet status|logs|down`.

use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use super::Context;
use crate::real::{Order, Status};

/// How long a testnet may take to end: each node has its time to stop, all at once.
const DOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// Show tips, work, peers, mempools, and who agrees with whom.
///
/// Example: mend testnet status --watch
#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// Show it again every second, until Ctrl-C.
    #[arg(long, short)]
    watch: bool,
}

pub(super) fn status(context: &Context, args: &StatusArgs) -> anyhow::Result<()> {
    loop {
        let status: Status = context.order(&Order::Status)?;
        context.print(&status, Status::table)?;
        if !args.watch {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
        terminal::line("")?;
    }
}

/// Print the end of a node's log.
///
/// Example: mend testnet logs 2 --follow
#[derive(Args, Debug)]
pub(super) struct LogsArgs {
    /// The node.
    node: usize,
    /// How many lines.
    #[arg(long, short = 'n', default_value_t = 50)]
    lines: usize,
    /// Go on with what comes, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
}

pub(super) fn logs(context: &Context, args: &LogsArgs) -> anyhow::Result<()> {
    let path = context.layout.node_log(args.node);
    let mut file = std::fs::File::open(&path).with_context(|| {
        format!(
            "cannot read {}; is there a node {}?",
            path.display(),
            args.node
        )
    })?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(args.lines)..] {
        terminal::line(line)?;
    }
    if args.follow {
        follow(&mut file)?;
    }
    Ok(())
}

/// Prints what comes, until Ctrl-C or until nobody reads it.
fn follow(file: &mut std::fs::File) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let at = file.stream_position()?;
        if file.metadata()?.len() < at {
            // The log was started afresh.
            file.seek(SeekFrom::Start(0))?;
        }
        bytes.clear();
        file.read_to_end(&mut bytes)?;
        terminal::bytes(&bytes)?;
    }
}

/// End all nodes and the testnet; data and logs stay in its directory.
///
/// Example: mend testnet down
#[derive(Args, Debug)]
pub(super) struct DownArgs {}

pub(super) fn down(context: &Context, _args: &DownArgs) -> anyhow::Result<()> {
    let _: Value = context.order(&Order::Down)?;
    let deadline = Instant::now() + DOWN_TIMEOUT;
    while context.layout.control().exists() {
        if Instant::now() > deadline {
            bail!(
                "the testnet did not end within {} s; look into {}",
                DOWN_TIMEOUT.as_secs(),
                context.layout.supervisor_log().display()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    context.print(&Value::Null, |_| "The testnet is down.".to_owned())?;
    Ok(())
}
