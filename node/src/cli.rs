//! `mend node`: arguments and start.
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use bitcoin::Address;
use chain::{ChainOptions, OnDamage, Params};
use clap::{Args, ValueEnum};
use serde_json::json;

use node_core::CoreOptions;
use node_host::{DataDir, MiningSettings};

use crate::logging;
use crate::start::{self, StartOptions, Started};
use node_api::auth::Users;
use node_core::mempool::policy::OutputKinds;
use node_stratum::StratumOptions;

/// Memory for the chain unless something else is said, in MB.
const DEFAULT_CACHE_MB: &str = "64";

const EXAMPLES: &str = "\
Examples:
  mend node
  mend node --mine bcrt1q... --rate 200k
  mend node --data-dir b --connect /ip4/127.0.0.1/tcp/18444
  mend cli getblockchaininfo";

/// Run a node.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct NodeArgs {
    /// The network: a genesis.json, or one that is built in (mend-local, bitcoin-regtest).
    #[arg(
        long,
        value_name = "FILE|NAME",
        default_value = "mend-local",
        env = "MEND_GENESIS"
    )]
    genesis: String,
    /// The node's folder [default: ~/.mend/NETWORK].
    #[arg(long, value_name = "DIR", env = "MEND_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Listen for peers here; may be repeated [default: /ip4/127.0.0.1/tcp/18444, or the next free port].
    #[arg(long, value_name = "MULTIADDR", value_parser = parse_peer)]
    listen: Vec<String>,
    /// Dial this node and no others; may be repeated.
    #[arg(long, value_name = "MULTIADDR", value_parser = parse_peer)]
    connect: Vec<String>,
    /// Dial this node beside others; may be repeated.
    #[arg(long, value_name = "MULTIADDR", conflicts_with = "connect", value_parser = parse_peer)]
    peer: Vec<String>,
    /// Neither learn addresses of other nodes nor tell them.
    #[arg(long)]
    no_discovery: bool,
    /// Most connections that others make to this node.
    #[arg(long, value_name = "N", default_value_t = 125)]
    max_inbound: u32,
    /// Most connections that this node makes.
    #[arg(long, value_name = "N", default_value_t = 32)]
    max_outbound: u32,
    /// Serve RPC here [default: 127.0.0.1:18443, or the next free port].
    #[arg(long, value_name = "HOST:PORT")]
    rpc: Option<String>,
    /// A user who may call, beside the one of the cookie file; needs --rpcpassword.
    #[arg(long, value_name = "USER", requires = "rpcpassword")]
    rpcuser: Option<String>,
    /// That user's password.
    #[arg(long, value_name = "PASSWORD", requires = "rpcuser")]
    rpcpassword: Option<String>,
    /// A user with a salted password, as Bitcoin Core's rpcauth.py makes it; may be repeated.
    #[arg(long, value_name = "USER:SALT$HASH")]
    rpcauth: Vec<String>,
    /// Let a user make these calls only; may be repeated. Users without one may then call nothing.
    #[arg(long, value_name = "USER:CALL,CALL")]
    rpcwhitelist: Vec<String>,
    /// Whether users without a whitelist may call nothing [default: true if there is any whitelist].
    #[arg(long, value_name = "BOOL")]
    rpcwhitelistdefault: Option<bool>,
    /// Answer calls that name the node by this host, beside its IP addresses and localhost; may be repeated.
    #[arg(long, value_name = "NAME")]
    rpcallowhost: Vec<String>,
    /// Serve /rest/ too, to everybody who can reach the RPC port.
    #[arg(long)]
    rest: bool,
    /// Index all confirmed transactions, so that getrawtransaction finds them without their block.
    #[arg(long)]
    txindex: bool,
    /// Bytes of what is stored that are looked at in a second, in the background, to find damage early; or off.
    #[arg(long, value_name = "RATE|off", default_value = "1M", value_parser = parse_scrub)]
    scrub: ScrubArg,
    /// What to do when stored data turn out to be damaged: heal them, or stop and say what is damaged.
    #[arg(long, value_name = "WHAT", default_value = "mend")]
    on_damage: OnDamageArg,
    /// Mine blocks that pay this address.
    #[arg(long, value_name = "ADDRESS")]
    mine: Option<String>,
    /// Threads for mining.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_threads)]
    threads: usize,
    /// Hashes per second at most, as in 200k or 1.5M.
    #[arg(long, value_name = "RATE", value_parser = terminal::rate)]
    rate: Option<u64>,
    /// Serve miners by Stratum V1 here, such as cpuminer and Bitaxe.
    #[arg(long, value_name = "HOST:PORT")]
    stratum: Option<String>,
    /// Whom their blocks pay if a worker's name is no address [default: the address of --mine].
    #[arg(long, value_name = "ADDRESS", requires = "stratum")]
    stratum_address: Option<String>,
    /// Mine also while blocks of peers are being fetched.
    #[arg(long)]
    mine_while_syncing: bool,
    /// Memory for coins and database pages, in MB.
    #[arg(long, value_name = "MB", default_value = DEFAULT_CACHE_MB, value_parser = parse_megabytes)]
    dbcache: usize,
    /// Memory for unconfirmed transactions, in MB.
    #[arg(long, value_name = "MB", default_value = "50", value_parser = parse_megabytes)]
    mempool: usize,
    /// Save unconfirmed transactions every minute and at the end, and read them at the start.
    #[arg(
        long,
        alias = "persistmempool",
        value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    persist_mempool: bool,
    /// Take payments to outputs that can never be spent on this network (P2PKH, P2SH, ...), as tests for other chains make them.
    #[arg(long)]
    any_outputs: bool,
    /// Move the node's clock by so many seconds, for experiments.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    clock_offset: i64,
    /// How logs are written, to standard error.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// How much is logged: error, warn, info, debug, or by part as in info,chain=debug. RUST_LOG goes before it.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
    /// Tell the addresses as one line of JSON.
    #[arg(long)]
    json: bool,
    /// Stop when standard input ends, as when the parent process dies.
    #[arg(long)]
    exit_with_stdin: bool,
}

/// Bytes in a second; `None` for off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ScrubArg(Option<u64>);

fn parse_scrub(text: &str) -> Result<ScrubArg, String> {
    match text {
        "off" => Ok(ScrubArg(None)),
        rate => terminal::rate(rate).map(|rate| ScrubArg(Some(rate))),
    }
}

/// What is done about damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnDamageArg {
    /// Heal it by the smallest cure, and tell.
    Mend,
    /// Stop, and leave everything as it is.
    Stop,
}

impl From<OnDamageArg> for OnDamage {
    fn from(arg: OnDamageArg) -> OnDamage {
        match arg {
            OnDamageArg::Mend => OnDamage::Mend,
            OnDamageArg::Stop => OnDamage::Stop,
        }
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Runs `mend node` until it is stopped.
///
/// # Errors
///
/// One line with the cause and the remedy.
pub fn run(args: NodeArgs) -> anyhow::Result<()> {
    logging::start(&args.log, args.log_format == LogFormat::Json)?;
    let json = args.json;
    let options = start_options(args)?;
    let ended = start::run(options, |started| {
        let told = if json {
            terminal::line(json!(started))
        } else {
            terminal::line(for_people(started))
        };
        if let Err(error) = told {
            tracing::warn!(%error, "the node runs all the same");
        }
    });
    logging::finish();
    ended
}

fn start_options(args: NodeArgs) -> anyhow::Result<StartOptions> {
    let params = load_params(&args.genesis)?;
    let mut users = Users::default();
    if let (Some(user), Some(password)) = (&args.rpcuser, &args.rpcpassword) {
        users.add_password(user, password, password.as_bytes());
    }
    args.rpcauth
        .iter()
        .try_for_each(|line| users.add_rpcauth(line))?;
    args.rpcwhitelist
        .iter()
        .try_for_each(|line| users.add_whitelist(line))?;
    if let Some(binds_all) = args.rpcwhitelistdefault {
        users.bind_all(binds_all);
    }
    let address = parse_address("--mine", args.mine.as_deref())?;
    let stratum = match &args.stratum {
        None => None,
        Some(listen) => Some(StratumOptions {
            listen: parse_socket("--stratum", listen, "127.0.0.1:3333")?,
            address: parse_address("--stratum-address", args.stratum_address.as_deref())?,
        }),
    };
    let data_dir = args
        .data_dir
        .unwrap_or_else(|| DataDir::default_path(&params.name));
    Ok(StartOptions {
        chain: ChainOptions {
            cache_bytes: args.dbcache,
        },
        on_damage: args.on_damage.into(),
        scrub: args.scrub.0,
        txindex: args.txindex,
        persist_mempool: args.persist_mempool,
        core: CoreOptions {
            no_discovery: args.no_discovery,
            connect: args.connect,
            peers: args.peer,
            seed: node_host::random_seed(),
            mempool_bytes: args.mempool,
            outputs: match args.any_outputs {
                true => OutputKinds::Any,
                false => OutputKinds::Spendable,
            },
            ..CoreOptions::default()
        },
        listen: args.listen,
        max_inbound: args.max_inbound,
        max_outbound: args.max_outbound,
        rpc: match &args.rpc {
            None => None,
            Some(listen) => Some(parse_socket("--rpc", listen, "127.0.0.1:18443")?),
        },
        users,
        rest: args.rest,
        rpc_hosts: args.rpcallowhost.clone(),
        mining: MiningSettings {
            active: address.is_some(),
            address,
            rate: args.rate,
            threads: args.threads,
            while_syncing: args.mine_while_syncing,
        },
        stratum,
        clock_offset_s: args.clock_offset,
        exit_with_stdin: args.exit_with_stdin,
        data_dir,
        params,
    })
}

/// An address of a node, as it was typed.
fn parse_peer(text: &str) -> Result<String, String> {
    p2p::swarm::check_address(text).map(|()| text.to_owned())
}

fn parse_threads(text: &str) -> Result<usize, String> {
    let threads = text
        .parse()
        .ok()
        .filter(|threads| (1..=1_024).contains(threads));
    threads.ok_or_else(|| "threads are a whole number from 1 to 1024".to_owned())
}

/// Megabytes, as bytes.
pub(crate) fn parse_megabytes(text: &str) -> Result<usize, String> {
    let count = text.parse::<usize>().ok();
    let count = count.filter(|count| (1..=1 << 20).contains(count));
    let count = count.ok_or("this is a whole number of megabytes, from 1 to 1048576")?;
    Ok(count << 20)
}

/// The network that `--genesis` means: a built-in one by name, or a file.
///
/// # Errors
///
/// Names the file and the field that is wrong.
pub fn load_params(genesis: &str) -> anyhow::Result<Params> {
    if let Some(params) = Params::built_in(genesis) {
        return Ok(params);
    }
    let text = std::fs::read_to_string(genesis).map_err(|error| {
        anyhow!(
            "cannot read the genesis file {genesis}: {error}; give a file, or one of the built-in networks mend-local and bitcoin-regtest"
        )
    })?;
    Params::from_json(&text).with_context(|| format!("{genesis} is not a network"))
}

fn parse_address(option: &str, text: Option<&str>) -> anyhow::Result<Option<Address>> {
    let Some(text) = text else {
        return Ok(None);
    };
    let remedy = "give one that begins with bcrt1; mend wallet address makes one";
    chain::address::parse_address(text)
        .map(Some)
        .map_err(|error| anyhow!("{option} {text}: {error}; {remedy}"))
}

fn parse_socket(option: &str, text: &str, example: &str) -> anyhow::Result<SocketAddr> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|_| anyhow!("{option} {text} is not HOST:PORT; write it as {example}"))?;
    match found.next() {
        Some(address) => Ok(address),
        None => bail!("{option} {text}: no such host; write it as {example}"),
    }
}

/// What people want to know of a node that started.
fn for_people(started: &Started) -> String {
    let mut lines = vec![
        format!("network  {} (genesis {})", started.network, started.genesis),
        format!("rpc      {}", started.rpc),
        format!("cookie   {}", started.cookie.display()),
    ];
    lines.extend(started.stratum.iter().map(|url| format!("stratum  {url}")));
    lines.extend(started.listen.iter().map(|at| format!("listen   {at}")));
    let dir = started.data_dir.display();
    lines.push(format!(
        "try      mend cli -datadir={dir} getblockchaininfo"
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_are_told_with_a_remedy() {
        let error = load_params("/nowhere/genesis.json").expect_err("absent");
        assert!(error.to_string().contains("bitcoin-regtest"));
        let mainnet = parse_address("--mine", Some("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"));
        assert!(
            mainnet
                .expect_err("wrong")
                .to_string()
                .contains("another network")
        );
        assert!(parse_socket("--rpc", "x", "127.0.0.1:1").is_err());
    }
}
