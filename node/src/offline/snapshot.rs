//! `mend import --snapshot` and `mend export --snapshot`: the coins alone, to start from.

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use chain::coins::SetHash;
use chain::rules::spend::SignatureCache;
use chain::snapshot::{self, Trusted};
use chain::{BlockPosition, FrozenChain};
use serde_json::json;

use super::{ChainArgs, now, open_file, progress};
use crate::cli::load_params;

/// Loads the snapshot in `path`, whose coins must have the hash `coins`.
///
/// # Errors
///
/// When the file or the chain cannot be read or written, or the chain does not take the snapshot. It is then as it was.
pub(super) fn load(args: &ChainArgs, path: &Path, coins: SetHash) -> anyhow::Result<()> {
    let file = open_file(path)?;
    let size = file.metadata().map_or(0, |file| file.len());
    let params = Arc::new(load_params(&args.genesis)?);
    let bar = progress::bar(
        size,
        "reading {bar:30} {percent:>3}%  {bytes_per_sec}  ETA {eta}",
    );
    let mut reader = BufReader::new(bar.wrap_read(file));
    let trusted = Trusted { coins, base: None };
    let loading = || format!("loading the snapshot {}", path.display());
    let snapshot = snapshot::read(&mut reader, &params, &trusted, now()).with_context(loading)?;
    bar.finish_and_clear();
    let info = snapshot.info().clone();
    let mut chain = args.open_or_create()?;
    snapshot::load(&mut chain, snapshot).with_context(loading)?;
    // Blocks above may be here already.
    chain.activate_best_and_flush(&SignatureCache::default(), &mut Vec::new())?;
    let BlockPosition { hash, height } = info.base;
    let text = format!(
        "{} coins of block {hash} at height {height} loaded, MuHash {}\nthe blocks up to there are not here and are not validated later",
        info.stats.coins, info.stats.muhash
    );
    let json = json!({
        "coins_loaded": info.stats.coins,
        "tip_hash": hash,
        "base_height": height,
        "muhash": info.stats.muhash.to_string(),
    });
    args.tell(&text, &json)?;
    Ok(())
}

/// Writes the coins of the tip to the file `path`, which must not be there.
///
/// # Errors
///
/// When the chain cannot be read or the file not be written.
pub(super) fn dump(args: &ChainArgs, chain: &FrozenChain, path: &Path) -> anyhow::Result<()> {
    let info = snapshot::dump_to_file(chain, path)
        .with_context(|| format!("exporting to {}", path.display()))?;
    let BlockPosition { hash, height } = info.base;
    let coins = info.stats.coins;
    let trusted = info.stats.serialized.map(|hash| hash.to_string());
    let trusted = trusted.unwrap_or_default();
    let text = format!(
        "{coins} coins of block {hash} at height {height} in {}\nload them by: mend import {} --snapshot {trusted}",
        path.display(),
        path.display()
    );
    let json = json!({
        "coins_written": coins,
        "base_hash": hash,
        "base_height": height,
        "txoutset_hash": trusted,
        "path": path,
    });
    args.tell(&text, &json)?;
    Ok(())
}
