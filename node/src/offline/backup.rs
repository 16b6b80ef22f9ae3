//! `mend backup` and `mend restore`.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use chain::backup::Manifest;
use chain::{ChainOptions, OpenError};
use clap::Args;
use rpc_client::{Auth, Client};
use serde_json::json;

use super::{ChainArgs, load_params};
use node_host::DataDir;

const BACKUP_EXAMPLES: &str = "\
Example:
  mend backup /mnt/backup/monday --data-dir node";
const RESTORE_EXAMPLES: &str = "\
Example:
  mend restore /mnt/backup/monday --data-dir new-node";

/// Back up a chain to a new directory, whether its node runs or not.
#[derive(Args, Debug)]
#[command(after_help = BACKUP_EXAMPLES)]
pub struct BackupArgs {
    /// The directory to write; it must hold no chain.
    dir: PathBuf,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Restore a backup to a new data directory, and verify it.
#[derive(Args, Debug)]
#[command(after_help = RESTORE_EXAMPLES)]
pub struct RestoreArgs {
    /// The directory of the backup.
    dir: PathBuf,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Runs `mend backup`.
///
/// # Errors
///
/// When the chain cannot be read or the copy not be written.
pub fn backup(args: BackupArgs) -> anyhow::Result<()> {
    let dir = std::path::absolute(&args.dir)?;
    let manifest = match args.chain.open(false) {
        Ok(mut chain) => chain::backup::backup(&mut chain, &dir)?,
        Err(error) => match error.downcast_ref::<OpenError>() {
            Some(OpenError::InUse { .. }) => backup_of_running_node(&args.chain, &dir)?,
            _ => return Err(error),
        },
    };
    tell(
        &args.chain,
        &manifest,
        &format!("backup in {}", dir.display()),
    );
    Ok(())
}

/// The node itself makes the copy: only it can read its chain.
fn backup_of_running_node(chain: &ChainArgs, dir: &std::path::Path) -> anyhow::Result<Manifest> {
    let data_dir = chain.data_dir(&load_params(&chain.genesis)?);
    let file = data_dir.join("node.json");
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "the chain is in use, and {} does not tell by whom; stop that process",
            file.display()
        )
    })?;
    let node: serde_json::Value = serde_json::from_str(&text)?;
    let url = node["rpc"].as_str().unwrap_or_default();
    let client = Client::new(url, Auth::Cookie(data_dir.join(".cookie")))
        .with_timeout(std::time::Duration::ZERO);
    let dir = dir
        .to_str()
        .ok_or_else(|| anyhow!("the path must be text; choose another"))?;
    Ok(serde_json::from_value(
        client.call("backup", json!([dir]))?,
    )?)
}

/// Runs `mend restore`.
///
/// # Errors
///
/// When the backup does not verify, or the data directory holds a chain already.
pub fn restore(args: RestoreArgs) -> anyhow::Result<()> {
    let params = load_params(&args.chain.genesis)?;
    let dir = DataDir::create(&args.chain.data_dir(&params))?;
    let options = ChainOptions {
        cache_bytes: args.chain.dbcache.saturating_mul(1 << 20),
    };
    let (_, manifest) = chain::backup::restore(&args.dir, dir.lock(), params, options)?;
    tell(
        &args.chain,
        &manifest,
        &format!("restored to {}, and verified", dir.path().display()),
    );
    Ok(())
}

fn tell(args: &ChainArgs, manifest: &Manifest, done: &str) {
    let text = format!(
        "{done}\nnetwork {}, tip {} at height {}, {} coins, MuHash {}",
        manifest.network, manifest.tip, manifest.height, manifest.coins, manifest.muhash
    );
    args.tell(&text, &json!(manifest));
}
