//! `mend testnet partition|heal|link|kill|stop|restart|pause|resume`.

use clap::Args;
use serde_json::{Value, json};

use super::{Context, units};
use crate::link::{Flow, LinkSettings};
use crate::real::Order;
use crate::real::orders::LaneChange;
use crate::report::HealReport;
use crate::scenario::Groups;

/// Cut all links between groups of nodes.
///
/// Connections end and new ones are refused, as if a cable were pulled at both ends. A node in no group keeps its links.
///
/// Example: mend testnet partition 0,1,2/3,4
#[derive(Args, Debug)]
pub(super) struct PartitionArgs {
    /// Who stays together.
    groups: Groups,
    /// Bytes just stop: connections stay open and neither side is told.
    #[arg(long)]
    silent: bool,
}

pub(super) fn partition(context: &Context, args: PartitionArgs) -> anyhow::Result<()> {
    let text = args.groups.to_string();
    let cut: usize = context.order(&Order::Partition {
        groups: args.groups,
        silent: args.silent,
    })?;
    context.print(&json!({ "groups": text, "links_cut": cut }), |_| {
        format!("{text}: {cut} links are cut.")
    })?;
    Ok(())
}

/// Open all cut links, wait for one tip, and report what became of every block and payment.
///
/// Example: mend testnet heal
#[derive(Args, Debug)]
pub(super) struct HealArgs {
    /// Seconds to wait for one tip.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=500))]
    wait: u64,
}

pub(super) fn heal(context: &Context, args: &HealArgs) -> anyhow::Result<()> {
    let report: HealReport = context.order(&Order::Heal { wait_s: args.wait })?;
    context.print(&report, HealReport::to_string)?;
    Ok(())
}

/// Make a link slow, thin, unsteady or silent.
///
/// Example: mend testnet link 0-3 --delay 50ms --jitter 10ms --rate 1mbit
#[derive(Args, Debug)]
pub(super) struct LinkArgs {
    /// The two nodes, as 0-3.
    #[arg(value_parser = units::pair)]
    link: (usize, usize),
    /// How long everything travels.
    #[arg(long, value_parser = units::millis)]
    delay: Option<u32>,
    /// Up to that much more, at random.
    #[arg(long, value_parser = units::millis)]
    jitter: Option<u32>,
    /// Bits per second: 64kbit, 10mbit.
    #[arg(long, value_parser = units::kbit)]
    rate: Option<u32>,
    /// Share of chunks that have to be sent again: 5%.
    #[arg(long, value_parser = units::share)]
    loss: Option<f64>,
    /// Nothing arrives until --resume; neither side is told.
    #[arg(long, conflicts_with = "resume")]
    stall: bool,
    /// What was stalled goes on.
    #[arg(long)]
    resume: bool,
    /// Start from a clean link.
    #[arg(long)]
    clear: bool,
    /// Only from the first node to the second.
    #[arg(long)]
    one_way: bool,
}

pub(super) fn link(context: &Context, args: &LinkArgs) -> anyhow::Result<()> {
    let flow = match (args.stall, args.resume) {
        (true, _) => Some(Flow::Stalled),
        (_, true) => Some(Flow::Open),
        _ => None,
    };
    let (a, b) = args.link;
    let settings: LinkSettings = context.order(&Order::Link {
        a,
        b,
        change: LaneChange {
            clear: args.clear,
            delay_ms: args.delay,
            jitter_ms: args.jitter,
            rate_kbit: args.rate,
            loss: args.loss,
            flow,
        },
        one_way: args.one_way,
    })?;
    context.print(&settings, |settings| {
        format!("link {a}-{b}: {}", json!(settings))
    })?;
    Ok(())
}

/// End nodes as a crash would (SIGKILL).
///
/// Example: mend testnet kill 2
#[derive(Args, Debug)]
pub(super) struct KillArgs {
    /// The nodes.
    #[arg(required = true, value_delimiter = ',')]
    nodes: Vec<usize>,
}

pub(super) fn kill(context: &Context, args: &KillArgs) -> anyhow::Result<()> {
    each(context, &args.nodes, "was killed", |node| Order::Kill {
        node,
    })
}

/// Stop nodes cleanly.
///
/// Example: mend testnet stop 2
#[derive(Args, Debug)]
pub(super) struct StopArgs {
    /// The nodes.
    #[arg(required = true, value_delimiter = ',')]
    nodes: Vec<usize>,
}

pub(super) fn stop(context: &Context, args: &StopArgs) -> anyhow::Result<()> {
    each(context, &args.nodes, "is stopped", |node| Order::Stop {
        node,
    })
}

/// Start nodes on the data they had; those that are up are stopped first.
///
/// Example: mend testnet restart 2
#[derive(Args, Debug)]
pub(super) struct RestartArgs {
    /// The nodes.
    #[arg(required = true, value_delimiter = ',')]
    nodes: Vec<usize>,
}

pub(super) fn restart(context: &Context, args: &RestartArgs) -> anyhow::Result<()> {
    each(context, &args.nodes, "is up", |node| Order::Restart {
        node,
    })
}

/// Freeze nodes: their processes get no time until they are resumed.
///
/// Example: mend testnet pause 2
#[derive(Args, Debug)]
pub(super) struct PauseArgs {
    /// The nodes.
    #[arg(required = true, value_delimiter = ',')]
    nodes: Vec<usize>,
}

pub(super) fn pause(context: &Context, args: &PauseArgs) -> anyhow::Result<()> {
    each(context, &args.nodes, "is frozen", |node| Order::Pause {
        node,
        paused: true,
    })
}

/// Let frozen nodes go on.
///
/// Example: mend testnet resume 2
#[derive(Args, Debug)]
pub(super) struct ResumeArgs {
    /// The nodes.
    #[arg(required = true, value_delimiter = ',')]
    nodes: Vec<usize>,
}

pub(super) fn resume(context: &Context, args: &ResumeArgs) -> anyhow::Result<()> {
    each(context, &args.nodes, "goes on", |node| Order::Pause {
        node,
        paused: false,
    })
}

fn each(
    context: &Context,
    nodes: &[usize],
    done: &str,
    order: impl Fn(usize) -> Order,
) -> anyhow::Result<()> {
    for node in nodes {
        let _: Value = context.order(&order(*node))?;
        context.print(&json!({ "node": node, "done": done }), |_| {
            format!("Node {node} {done}.")
        })?;
    }
    Ok(())
}
