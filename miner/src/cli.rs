//! `mend mine`: the command line of the external miner and of the benchmark.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network};
use clap::Args;
use rpc_client::place::{self, DEFAULT_URL, PlaceArgs};
use rpc_client::{Auth, Client};
use serde_json::Value;

use crate::bench::{self, BenchOptions};
use crate::client::{self, CALL_TIMEOUT, Event, Order, Report, Style};
use crate::search::{SearchOptions, Searcher};
use crate::signals;
use crate::stop::StopFlag;

/// Mine blocks for an address, on templates from one or more nodes; or measure this machine.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    mend mine --rpc http://127.0.0.1:18443 --cookie-file ~/.mend/mend-local/.cookie --address bcrt1q...\n  \
    mend mine --address bcrt1q... --rate 200k --threads 1 --blocks 3\n  \
    mend mine --bench --seconds 10")]
pub struct MineArgs {
    /// A node's RPC address. May be given several times: the first that answers is used, the others are for when it
    /// fails. Left out, it is the node that runs on the default data directory.
    #[arg(long, value_name = "URL", env = "MEND_RPC")]
    pub rpc: Vec<String>,

    /// Address that blocks pay to.
    #[arg(long)]
    pub address: Option<String>,

    /// Threads. All cores for mining, 1 for the benchmark, unless given.
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<usize>,

    /// Hashes per second at most, as in 50, 200k or 1.5M.
    #[arg(long, value_parser = terminal::rate, conflicts_with = "bench")]
    pub rate: Option<u64>,

    /// Percentage of the time that each thread works.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100),
          conflicts_with = "bench")]
    pub duty: Option<u8>,

    /// Hash kernel; the fastest is found by measuring unless one is named.
    #[arg(long, value_name = "NAME")]
    pub kernel: Option<String>,

    /// Leave the version as it is in the template. Otherwise the bits that BIP 320 sets aside are rolled, which makes vector kernels
    /// faster.
    #[arg(long, conflicts_with = "bench")]
    pub fixed_version: bool,

    /// Cookie file of the node; with several nodes one for all, or one each in the same order.
    #[arg(long, value_name = "FILE", env = "MEND_COOKIE")]
    pub cookie_file: Vec<PathBuf>,

    /// Where the node is.
    #[command(flatten)]
    pub place: PlaceArgs,

    /// RPC user, instead of a cookie.
    #[arg(long, requires = "password", conflicts_with = "cookie_file")]
    pub user: Option<String>,

    /// RPC password.
    #[arg(
        long,
        requires = "user",
        env = "MEND_RPC_PASSWORD",
        hide_env_values = true
    )]
    pub password: Option<String>,

    /// Stop after so many accepted blocks.
    #[arg(long, value_name = "N", conflicts_with = "bench")]
    pub blocks: Option<u64>,

    /// Print JSON, one object a line, even on a terminal.
    #[arg(long)]
    pub json: bool,

    /// Measure how fast the kernels are here, instead of mining.
    #[arg(long)]
    pub bench: bool,

    /// How long the benchmark takes.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "bench",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
}

/// Runs `mend mine`.
///
/// # Errors
///
/// With one sentence that names the cause and the remedy.
pub fn run(args: MineArgs) -> anyhow::Result<()> {
    if args.bench {
        run_bench(&args)
    } else {
        run_miner(args)
    }
}

fn run_bench(args: &MineArgs) -> anyhow::Result<()> {
    let options = BenchOptions {
        kernel: args.kernel.clone(),
        threads: args.threads.unwrap_or(1),
        time: Duration::from_secs(args.seconds),
    };
    let quiet = args.json || !std::io::stdout().is_terminal();
    let bar = if quiet {
        indicatif::ProgressBar::hidden()
    } else {
        indicatif::ProgressBar::new(1_000)
    };
    let result = bench::run(&options, |part| bar.set_position((part * 1_000.0) as u64))?;
    bar.finish_and_clear();
    let text = if args.json {
        serde_json::to_string(&result)?
    } else {
        result.table()
    };
    terminal::line(text)?;
    Ok(())
}

fn run_miner(args: MineArgs) -> anyhow::Result<()> {
    let text = args
        .address
        .as_deref()
        .context("give the address to mine to with --address")?;
    let clients = clients(&args)?;
    let address = check_address(text, &clients)?;
    let searcher = Searcher::new(SearchOptions {
        threads: args.threads.unwrap_or(0),
        kernel: args.kernel,
        rate: args.rate,
        duty: args.duty,
        background: false,
        ..SearchOptions::default()
    })?;
    let terminal = std::io::stdout().is_terminal() && !args.json;
    let style = if terminal {
        Style::Terminal
    } else {
        Style::Json
    };
    let report = Arc::new(Report::new(style, Box::new(std::io::stdout())));
    report.event(&Event::Start {
        kernel: searcher.kernel_name(),
        threads: searcher.threads(),
        address: address.to_string(),
    });
    let order = Order {
        script_pubkey: address.script_pubkey(),
        roll_version: !args.fixed_version,
        blocks: args.blocks,
    };
    let done = StopFlag::new();
    if let Err(error) = signals::watch(done.clone()) {
        tracing::warn!(%error, "signals end the miner without an end line");
    }
    let found = client::mine(clients, &searcher, &order, &report, &done)?;
    match args.blocks {
        Some(blocks) if found < blocks => {
            bail!(
                "stopped by a signal after {found} of {blocks} blocks; start it again for the rest"
            )
        }
        _ => Ok(()),
    }
}

fn clients(args: &MineArgs) -> anyhow::Result<Vec<Client>> {
    let data_dir = args.place.folder();
    let mut urls = args.rpc.clone();
    if urls.is_empty() {
        urls.push(place::published_url(&data_dir).unwrap_or_else(|| DEFAULT_URL.to_owned()));
    }
    let cookies = &args.cookie_file;
    if cookies.len() > 1 && cookies.len() != urls.len() {
        bail!(
            "{} cookie files for {} nodes; give one --cookie-file for all, or one for each --rpc",
            cookies.len(),
            urls.len()
        );
    }
    let auth = |i: usize| match (&args.user, &args.password) {
        (Some(user), Some(password)) => Auth::UserPass(user.clone(), password.clone()),
        _ => match cookies.get(i).or(cookies.first()) {
            Some(cookie) => Auth::Cookie(cookie.clone()),
            // An address with a user in it speaks for itself.
            None if urls[i].contains('@') => Auth::None,
            None if data_dir.is_dir() => Auth::Cookie(place::cookie_file(&data_dir)),
            None => Auth::None,
        },
    };
    let client = |i: usize| Client::new(&urls[i], auth(i)).with_timeout(CALL_TIMEOUT);
    Ok((0..urls.len()).map(client).collect())
}

/// The address, if it belongs to the network of the node; where no node answers yet, to a local network.
fn check_address(text: &str, clients: &[Client]) -> anyhow::Result<Address> {
    let address: Address<NetworkUnchecked> = text.parse().with_context(|| {
        format!("{text} is not an address; give one as `mend wallet address` prints")
    })?;
    let network = clients
        .iter()
        .find_map(network_of)
        .unwrap_or(Network::Regtest);
    address.require_network(network).map_err(|_| {
        anyhow::anyhow!(
            "{text} is not an address of the node's network ({network}); give one that is"
        )
    })
}

fn network_of(client: &Client) -> Option<Network> {
    let info = client
        .call("getblockchaininfo", Value::Array(Vec::new()))
        .ok()?;
    Network::from_core_arg(info.get("chain")?.as_str()?).ok()
}

fn parse_threads(text: &str) -> Result<usize, String> {
    let threads = text.parse::<usize>().ok();
    threads.filter(|threads| *threads > 0).ok_or_else(|| {
        "threads are a whole number of at least 1; leave --threads out for the default".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_network_is_refused_with_a_remedy() {
        let main = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
        let error = check_address(main, &[]).expect_err("mainnet").to_string();
        assert!(
            error.contains("network (regtest); give one that is"),
            "{error}"
        );
        assert!(check_address("hello", &[]).is_err());
        let ours = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        assert!(check_address(ours, &[]).is_ok());
    }

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        mine: MineArgs,
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::{CommandFactory, Parser};
        Command::command().debug_assert();
        let nobody = Command::try_parse_from(["mine"]).expect("a config file may name the address");
        let error = run(nobody.mine).expect_err("nobody to pay");
        assert!(error.to_string().contains("--address"), "{error}");
        let bench = Command::try_parse_from(["mine", "--bench", "--seconds", "2"]).expect("parses");
        assert!(bench.mine.bench && bench.mine.seconds == 2);
        let idle = ["mine", "--address", "x", "--threads", "0"];
        let refused = Command::try_parse_from(idle).expect_err("no thread");
        assert!(refused.to_string().contains("at least 1"), "{refused}");
        let several = [
            "mine",
            "--rpc",
            "a:1",
            "--rpc",
            "b:2",
            "--address",
            "x",
            "--cookie-file",
            "c",
        ];
        let mine = Command::try_parse_from(several).expect("parses").mine;
        assert_eq!(clients(&mine).expect("one cookie for both").len(), 2);
    }
}
