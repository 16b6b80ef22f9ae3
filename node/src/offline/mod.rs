//! Commands on a data directory whose node does not run: `import`, `export`, `verify`, `backup`, `restore`; and `genesis`.
//!
//! Thin over the `chain` crate: they open files, show progress and tell the result.

mod backup;
mod export;
mod genesis;
mod import;
mod progress;
mod snapshot;
mod verify;
mod xored;

use std::path::PathBuf;

use anyhow::Context;
use chain::{Chain, ChainOptions, FrozenChain, Params, Timestamp};
use clap::Args;

pub use backup::{BackupArgs, RestoreArgs, backup, restore};
pub use export::{ExportArgs, run as export};
pub use genesis::{GenesisArgs, run as genesis};
pub use import::{ImportArgs, run as import};
pub use verify::{VerifyArgs, run as verify};

use crate::cli::{load_params, parse_megabytes};
use node_host::{Clock, DataDir};

/// Memory for the chain unless something else is said, in MB.
const DEFAULT_CACHE_MB: &str = "128";

/// Which chain.
#[derive(Args, Debug)]
struct ChainArgs {
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
    /// Memory for coins and database pages, in MB.
    #[arg(long, value_name = "MB", default_value = DEFAULT_CACHE_MB, value_parser = parse_megabytes)]
    dbcache: usize,
    /// Tell the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

impl ChainArgs {
    fn data_dir(&self, params: &Params) -> PathBuf {
        let given = self.data_dir.clone();
        given.unwrap_or_else(|| DataDir::default_path(&params.name))
    }

    /// Opens the chain to change it, or makes one.
    fn open_or_create(&self) -> anyhow::Result<Chain> {
        let params = load_params(&self.genesis)?;
        let dir = DataDir::create(&self.data_dir(&params))?;
        Ok(Chain::open_owned(dir.lock(), params, self.options())?)
    }

    /// Opens a chain that is there, to change it.
    fn open(&self) -> anyhow::Result<Chain> {
        self.existing_dir()?;
        self.open_or_create()
    }

    /// Opens a chain that is there, to look at it: nothing in its folder changes.
    fn look(&self) -> anyhow::Result<FrozenChain> {
        let (dir, params) = self.existing_dir()?;
        Ok(FrozenChain::open(&dir, params, self.options())?)
    }

    fn existing_dir(&self) -> anyhow::Result<(PathBuf, Params)> {
        let params = load_params(&self.genesis)?;
        let dir = self.data_dir(&params);
        if !dir.join(chain::store::FILE_NAME).exists() {
            anyhow::bail!(
                "there is no chain in {}; give the --data-dir of a node, or import one",
                dir.display()
            );
        }
        Ok((dir, params))
    }

    fn options(&self) -> ChainOptions {
        ChainOptions {
            cache_bytes: self.dbcache,
        }
    }

    /// Tells a result: `text` for people, `json` for programs.
    fn tell(&self, text: &str, json: &serde_json::Value) -> Result<(), terminal::PrintError> {
        if self.json {
            terminal::line(json)
        } else {
            terminal::line(text)
        }
    }
}

fn now() -> Timestamp {
    Clock::new(0).wall()
}

/// A file to read, named in the error.
fn open_file(path: &std::path::Path) -> anyhow::Result<std::fs::File> {
    std::fs::File::open(path)
        .with_context(|| format!("cannot read {}; check the path", path.display()))
}
