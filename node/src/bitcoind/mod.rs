//! `mend bitcoind`: a node that is started as Bitcoin Core's is on regtest, for programs that start one.

mod background;
mod settings;
mod translate;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Parser};

use crate::cli::{self, NodeArgs};
use settings::Setting;

/// Run a node as `bitcoind -regtest` is run, for test harnesses and compose files that start one.
///
/// Takes bitcoind's settings and its bitcoin.conf. The cookie is at DATADIR/regtest/.cookie. Settings without a meaning here are
/// told or, where nobody misses them, left out; what would mislead is refused. Peers speak libp2p, not Bitcoin's protocol.
#[derive(Args, Debug)]
#[command(
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = "mend bitcoind -regtest -datadir=DIR [-rpcport=PORT] [-port=PORT] [-daemon] [...]"
)]
pub struct BitcoindArgs {
    /// Settings as bitcoind takes them.
    #[arg(
        value_name = "SETTING",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    settings: Vec<String>,
}

/// What it says of itself: programs read the number behind the last "v".
const VERSION: &str = concat!(
    "Mend v",
    env!("CARGO_PKG_VERSION"),
    ", in place of Bitcoin Core daemon version v31.99.0"
);

/// Arguments of `mend node`, read as from a command line.
#[derive(Parser)]
#[command(name = "mend node")]
struct Words {
    #[command(flatten)]
    node: NodeArgs,
}

/// Runs `mend bitcoind` until it is stopped.
///
/// # Errors
///
/// One line with the cause and the remedy.
pub fn run(args: &BitcoindArgs) -> anyhow::Result<()> {
    let mut settings = settings::of_words(&args.settings)?;
    let is_given = |names: &[&str]| {
        settings
            .iter()
            .any(|setting| names.contains(&setting.name.as_str()))
    };
    if is_given(&["version"]) {
        return Ok(terminal::line(VERSION)?);
    }
    if is_given(&["help", "h", "?"]) {
        let told = "mend bitcoind -regtest -datadir=DIR [SETTING...]: settings as of bitcoind; see mend help bitcoind, and docs/RPC.md";
        return Ok(terminal::line(told)?);
    }
    let base = base_folder(&settings)?;
    let file = base.join(one(&settings, "conf").unwrap_or("bitcoin.conf"));
    if file.is_file() {
        settings.extend(settings::of_file(&file)?);
    } else if one(&settings, "conf").is_some() {
        bail!(
            "cannot read {}; -conf names a file in -datadir",
            file.display()
        );
    }
    let translated = translate::translate(&settings, &base)?;
    check_not_cores(&translate::folder(&base))?;
    if !translated.ignored.is_empty() {
        let ignored = translated.ignored.join(", ");
        eprint_line(&format!("warning: without effect here: {ignored}"));
    }
    if translated.daemon {
        return background::start(&translated.args, &translate::folder(&base));
    }
    let words = [
        "mend node".to_owned(),
        "--log".to_owned(),
        "warn".to_owned(),
    ];
    let words = words.into_iter().chain(translated.args);
    let node = Words::try_parse_from(words).map_err(|error| first_line(&error))?;
    cli::run(node.node)
}

/// What clap says, in one line and in bitcoind's spelling.
fn first_line(error: &clap::Error) -> anyhow::Error {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    anyhow!("{}", line.trim_start_matches("error: ").to_owned())
}

fn one<'a>(settings: &'a [Setting], name: &str) -> Option<&'a str> {
    let found = settings.iter().find(|setting| setting.name == name);
    found.map(|setting| setting.value.as_str())
}

/// Its own default would be the folder of a real Bitcoin node.
fn base_folder(settings: &[Setting]) -> anyhow::Result<PathBuf> {
    let Some(base) = one(settings, "datadir") else {
        bail!("give -datadir=DIR: the default of bitcoind may hold data of Bitcoin Core");
    };
    let base = Path::new(base);
    std::path::absolute(base).with_context(|| format!("-datadir={} is no folder", base.display()))
}

/// A folder in which Bitcoin Core has worked is left alone.
fn check_not_cores(folder: &Path) -> anyhow::Result<()> {
    if folder.join("blocks").join("index").exists() {
        bail!(
            "{} holds data of Bitcoin Core; choose another -datadir, and take its blocks over by mend import",
            folder.display()
        );
    }
    Ok(())
}

/// One line on standard error; nobody may be reading it.
fn eprint_line(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
