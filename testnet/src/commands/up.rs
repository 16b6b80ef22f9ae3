//! `mend testnet up`.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;

use super::{Context, banner, units};
use crate::accounts;
use crate::link::{Lane, LinkSettings};
use crate::plan::lay;
use crate::real::http::{self, Http};
use crate::real::{
    Manifest, Network, NetworkOptions, Order, Status, Supervisor, control, last_line,
    own_process_group,
};
use crate::scenario::Topology;

/// How long a testnet may take to start in the background.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Most nodes: beyond that one machine's ports and cores give out, and `mend lab run` does it better.
const MAX_NODES: u64 = 100;

/// Start a fresh network of real nodes; Ctrl-C ends it.
///
/// Example: mend testnet up --nodes 5 --miner 0:200k --miner 3:100k --detach
#[derive(Args, Debug)]
pub(super) struct UpArgs {
    /// Number of nodes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=MAX_NODES))]
    nodes: u64,
    /// A node that mines, with its hashes per second (100k if not given). Nodes 0 and the last one if none is named.
    #[arg(long = "miner", value_name = "NODE[:RATE]", value_parser = units::miner)]
    miners: Vec<(usize, Option<u64>)>,
    /// Nobody mines but by order.
    #[arg(long, conflicts_with = "miners")]
    no_mining: bool,
    /// Who dials whom: complete, line, ring, star or regular:N.
    #[arg(long)]
    topology: Option<Topology>,
    /// Wished time between blocks, as in 2, 30s or 10m.
    #[arg(long, default_value = "2", value_parser = units::spacing)]
    spacing: u32,
    /// Number of funded accounts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    accounts: u32,
    /// BIP 39 phrase of the accounts.
    #[arg(long, default_value = accounts::WORDS)]
    words: String,
    /// Delay of every link, each way.
    #[arg(long, default_value = "0ms", value_parser = units::millis)]
    delay: u32,
    /// Decides jitter, loss and random topologies.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Blocks only by order, each found at once, as on Bitcoin Core's regtest.
    #[arg(long, conflicts_with = "miners")]
    instant: bool,
    /// Serve a faucet (POST /faucet) and the routes of bitcoinjs' regtest-client (/1/...) by HTTP.
    #[arg(
        long,
        value_name = "HOST:PORT",
        num_args = 0..=1,
        default_missing_value = http::DEFAULT_ADDRESS
    )]
    http: Option<SocketAddr>,
    /// Run in the background.
    #[arg(long)]
    detach: bool,
}

pub(super) fn run(context: &Context, args: &UpArgs) -> anyhow::Result<()> {
    let options = options(args)?;
    if args.detach {
        return detach(context);
    }
    let listener = args.http.map(Http::listen).transpose()?;
    let supervisor = Supervisor::new(Network::start(context.layout.clone(), &options)?)?;
    let http = listener.map(|listener| Http::serve(listener, &supervisor));
    // Ends before the nodes do.
    let _http = http.transpose()?;
    let manifest = supervisor.network().manifest();
    supervisor.serve(|| {
        // The network runs whether somebody reads about it or not.
        let _ = print(context, &manifest);
        if !context.json {
            let _ = terminal::line("\nRunning; Ctrl-C ends it.");
        }
    })?;
    Ok(())
}

fn options(args: &UpArgs) -> anyhow::Result<NetworkOptions> {
    /// Two such miners find a block in about 0.7 s at the limit; the difficulty does the rest.
    const DEFAULT_RATE: u64 = 100_000;
    let nodes = usize::try_from(args.nodes)?;
    let miners = match (args.miners.as_slice(), args.no_mining || args.instant) {
        (_, true) => vec![],
        ([], false) if nodes == 1 => vec![(0, DEFAULT_RATE)],
        ([], false) => vec![(0, DEFAULT_RATE), (nodes - 1, DEFAULT_RATE)],
        (named, false) => named
            .iter()
            .map(|(node, rate)| (*node, rate.unwrap_or(DEFAULT_RATE)))
            .collect(),
    };
    if let Some((node, _)) = miners.iter().find(|(node, _)| *node >= nodes) {
        bail!(
            "there is no node {node} to mine; --nodes {nodes} makes the nodes 0 to {}",
            nodes - 1
        );
    }
    let topology = args.topology.unwrap_or(match nodes {
        0..=10 => Topology::Complete,
        _ => Topology::Regular(6),
    });
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let node_arguments = match args.http {
        // Whoever asks by HTTP may ask for any transaction, and pays to P2PKH what is not to be spent again.
        Some(_) => ["--txindex", "--any-outputs"].map(str::to_owned).to_vec(),
        None => vec![],
    };
    Ok(NetworkOptions {
        miners,
        links: lay(
            topology,
            nodes,
            LinkSettings::both(Lane::delayed(args.delay)),
            args.seed,
        ),
        spacing_s: args.spacing,
        accounts: args.accounts,
        words: args.words.clone(),
        seed: args.seed,
        instant: args.instant,
        faucet: args.http.is_some(),
        node_arguments,
        ..NetworkOptions::new(program, nodes)
    })
}

fn print(context: &Context, manifest: &Manifest) -> Result<(), terminal::PrintError> {
    let dir = context.layout.root().display().to_string();
    context.print(manifest, |manifest| banner::banner(manifest, &dir))
}

/// Starts this very command again in the background, without `--detach`, and waits until it answers.
fn detach(context: &Context) -> anyhow::Result<()> {
    let layout = &context.layout;
    layout.mark()?;
    let log = layout.supervisor_log();
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(
            std::env::args_os()
                .skip(1)
                .filter(|argument| argument != "--detach"),
        )
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    own_process_group(&mut command);
    let mut child = command.spawn().context("cannot start in the background")?;
    let deadline = Instant::now() + START_TIMEOUT;
    while control::order::<Status>(layout, &Order::Status).is_err() {
        if let Some(status) = child.try_wait()? {
            match last_line(&log) {
                Some(line) => bail!("{}", line.trim_start_matches("error: ")),
                None => bail!("the testnet ended at its start ({status})"),
            }
        }
        if Instant::now() > deadline {
            // It may be half up: closing it ends its nodes as well.
            let _ = child.kill();
            bail!(
                "the testnet did not start within {} s; look into {}",
                START_TIMEOUT.as_secs(),
                log.display()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    print(context, &Manifest::read(&layout.manifest())?)?;
    Ok(())
}
