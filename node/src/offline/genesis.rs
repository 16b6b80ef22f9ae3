//! `mend genesis`: showing, checking and making networks.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use bitcoin::{Address, Amount, CompactTarget, Denomination, Target};
use chain::Params;
use chain::genesis::{Algorithm, AnchorName, GenesisFile, GenesisSpec, HexBits};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{now, progress};
use crate::cli::load_params;

const EXAMPLES: &str = "\
Examples:
  mend genesis show
  mend genesis new --name lab --spacing 2 --alloc bcrt1q...=100 > genesis.json
  mend genesis check genesis.json";

/// Show, check or make a network.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct GenesisArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Print a built-in network's genesis.json.
    Show {
        /// The network.
        #[arg(default_value = Params::LOCAL_NAME)]
        name: String,
    },
    /// Check a genesis.json: every field, the hash and the proof of work.
    Check {
        /// The file.
        file: String,
        /// Tell the result as one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a network and print its genesis.json.
    New(Box<NewArgs>),
}

/// The rules of `pow.algorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Difficulty {
    /// A moving average by solve time: for networks that rest.
    Ema,
    /// ASERT, which aims at a schedule.
    Asert,
    /// Always the limit.
    Fixed,
}

#[derive(Args, Debug)]
struct NewArgs {
    /// What people call it.
    #[arg(long, default_value = "custom")]
    name: String,
    /// Text in block 0.
    #[arg(long)]
    message: Option<String>,
    /// Wished time between blocks, as in 2, 90s or 10m.
    #[arg(long, value_name = "TIME", value_parser = terminal::seconds)]
    spacing: Option<u32>,
    /// How the difficulty follows the blocks.
    #[arg(long, value_enum, value_name = "RULE", default_value_t = Difficulty::Ema)]
    difficulty: Difficulty,
    /// Time by which the chain must run ahead for the difficulty to double; by default 14 times the spacing, under asert 60 times.
    #[arg(long, value_name = "TIME", value_parser = terminal::seconds)]
    half_life: Option<u32>,
    /// Keep the difficulty at the limit: short for --difficulty fixed.
    #[arg(long, conflicts_with_all = ["half_life", "difficulty"])]
    fixed: bool,
    /// The easiest target, as compact bits in hex.
    #[arg(long, value_name = "BITS")]
    limit: Option<String>,
    /// A coin that exists from the start; may be repeated.
    #[arg(long, value_name = "ADDRESS=BTC")]
    alloc: Vec<String>,
    /// Blocks until a coinbase may be spent.
    #[arg(long, value_name = "BLOCKS")]
    maturity: Option<u32>,
    /// Blocks between halvings; 0 for never.
    #[arg(long, value_name = "BLOCKS")]
    halving: Option<u32>,
    /// Write to this file, which must not be there.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs `mend genesis`.
///
/// # Errors
///
/// Names the field that is wrong.
pub fn run(args: GenesisArgs) -> anyhow::Result<()> {
    match args.what {
        What::Show { name } => show(&name),
        What::Check { file, json } => check(&file, json),
        What::New(args) => make(*args),
    }
}

fn show(name: &str) -> anyhow::Result<()> {
    match name {
        Params::LOCAL_NAME => Ok(terminal::line(Params::local_json().trim_end())?),
        Params::BITCOIN_REGTEST_NAME => bail!(
            "{name} has no genesis.json: it is Bitcoin Core's regtest, whose block 0 has another form; see mend genesis check {name}"
        ),
        file => bail!(
            "{file} is no built-in network; those are mend-local and bitcoin-regtest, and mend genesis check FILE looks at a file"
        ),
    }
}

fn check(file: &str, as_json: bool) -> anyhow::Result<()> {
    let params = load_params(file)?;
    if as_json {
        terminal::line(json!({
            "name": params.name,
            "genesis_hash": params.genesis_hash,
            "digest": params.digest.to_string(),
        }))?;
    } else {
        terminal::line(format_args!(
            "{file} is the network {}\ngenesis  {}\ndigest   {}",
            params.name, params.genesis_hash, params.digest
        ))?;
    }
    Ok(())
}

fn make(args: NewArgs) -> anyhow::Result<()> {
    let mut spec = GenesisSpec {
        name: args.name,
        time: now(),
        ..GenesisSpec::default()
    };
    if let Some(message) = args.message {
        spec.message = message;
    }
    if let Some(spacing) = args.spacing {
        spec.pow.spacing_s = spacing;
    }
    let difficulty = match args.fixed {
        true => Difficulty::Fixed,
        false => args.difficulty,
    };
    if let (Difficulty::Fixed, Some(half_life)) = (difficulty, args.half_life) {
        bail!(
            "--half-life {half_life} means nothing at a fixed difficulty; leave one of the two out"
        );
    }
    let half_life = |spacings: u32| {
        let by_default = spec.pow.spacing_s.saturating_mul(spacings);
        Some(args.half_life.unwrap_or(by_default))
    };
    (spec.pow.algorithm, spec.pow.half_life_s, spec.pow.anchor) = match difficulty {
        Difficulty::Ema => (Algorithm::Ema, half_life(14), None),
        Difficulty::Asert => (
            Algorithm::Asert,
            half_life(60),
            Some(AnchorName::FirstBlock),
        ),
        Difficulty::Fixed => (Algorithm::Fixed, None, None),
    };
    if let Some(bits) = args.limit {
        let bits = CompactTarget::from_unprefixed_hex(bits.trim_start_matches("0x"))
            .map_err(|_| anyhow!("--limit {bits} is not compact bits; write it as 1e7fffff"))?;
        spec.pow.limit = HexBits(bits);
    }
    spec.coinbase_maturity = args.maturity.unwrap_or(spec.coinbase_maturity);
    spec.subsidy.halving_interval = args.halving.unwrap_or(spec.subsidy.halving_interval);
    for allocation in &args.alloc {
        let (address, amount) = allocation_from(allocation)?;
        spec = spec.allocate(&address, amount);
    }
    let text = search(&spec)?.to_json();
    match args.out {
        None => terminal::line(text.trim_end())?,
        Some(path) if path.exists() => {
            bail!("{} is there already; choose another name", path.display())
        }
        Some(path) => std::fs::write(&path, text)
            .with_context(|| format!("cannot write {}; check the path", path.display()))?,
    }
    Ok(())
}

/// Searches block 0's nonce, and tells how far it is if that takes more than moments.
fn search(spec: &GenesisSpec) -> anyhow::Result<GenesisFile> {
    /// A header has 2^32 nonces: with this many hashes expected, seven of eight searches find one.
    const MOST: f64 = 2_147_483_648.0;
    let bits = spec.bits();
    let expected = Target::from_compact(bits).difficulty_float() * 4_295_032_833.0;
    if expected > MOST {
        bail!(
            "--limit {:08x}: block 0 alone would take about {:.1} billion hashes, and a header has 4.3 billion nonces; choose an easier limit, such as 1e00ffff",
            bits.to_consensus(),
            expected / 1e9
        );
    }
    let template =
        "searching block 0 {bar:30} {human_pos} of about {human_len} hashes, {per_sec}, ETA {eta}";
    let bar = progress::bar(expected as u64, template);
    let file = spec.mine_telling(|tried| bar.set_position(u64::from(tried)));
    bar.finish_and_clear();
    Ok(file?)
}

fn allocation_from(text: &str) -> anyhow::Result<(Address, Amount)> {
    let wrong = || anyhow!("--alloc {text} is not ADDRESS=BTC; write it as bcrt1q...=100");
    let (address, amount) = text.split_once('=').ok_or_else(wrong)?;
    let address = chain::address::parse_address(address).map_err(|_| wrong())?;
    let amount = Amount::from_str_in(amount, Denomination::Bitcoin).map_err(|_| wrong())?;
    Ok((address, amount))
}
