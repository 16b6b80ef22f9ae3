//! `mend import`: blocks from a file.

use std::path::PathBuf;

use anyhow::Context;
use chain::coins::SetHash;
use clap::Args;
use serde_json::json;

use super::xored::{self, Xored};
use super::{ChainArgs, now, open_file, progress, snapshot};
use node_host::Clock;

const EXAMPLES: &str = "\
Examples:
  mend import blocks/blk00000.dat --genesis bitcoin-regtest --data-dir node
  mend import coins.dat --snapshot 1f0a... --data-dir node";

/// Import blocks from a file in the framing of blk*.dat, or start from a snapshot of coins.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// The file; blocks may be in any order. If xor.dat lies beside it, as where Bitcoin Core wrote it, its key is applied.
    file: PathBuf,
    /// The file is a snapshot of coins (`mend export --snapshot`, `dumptxoutset`), and this is the hash of them that you trust.
    /// Blocks up to it are neither fetched nor validated.
    #[arg(long, value_name = "TXOUTSET_HASH")]
    snapshot: Option<SetHash>,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Runs `mend import`.
///
/// # Errors
///
/// When the file or the chain cannot be read or written, or no block of it belongs here.
pub fn run(args: ImportArgs) -> anyhow::Result<()> {
    if let Some(hash) = args.snapshot {
        return snapshot::load(&args.chain, &args.file, hash);
    }
    let file = open_file(&args.file)?;
    let size = file.metadata().map_or(0, |file| file.len());
    let key = xored::key_beside(&args.file).with_context(|| {
        format!(
            "cannot read xor.dat, the key of Bitcoin Core's block files, beside {}",
            args.file.display()
        )
    })?;
    let file = Xored::new(file, key);
    let mut chain = args.chain.open_or_create()?;
    let bar = progress::bar(
        size,
        "{bar:30} {percent:>3}%  {msg}  {bytes_per_sec}  ETA {eta}",
    );
    let clock = Clock::new(0);
    let report = chain::import::import(&mut chain, file, now(), &mut |read| {
        bar.set_position(read.bytes);
        let seconds = clock.uptime().as_secs_f64().max(0.001);
        let (blocks, txs) = (rate(read.blocks, seconds), rate(read.transactions, seconds));
        bar.set_message(format!(
            "{} blocks, {blocks} blocks/s, {txs} tx/s",
            read.blocks
        ));
    })
    .with_context(|| format!("importing {}", args.file.display()))?;
    bar.finish_and_clear();
    let seconds = clock.uptime().as_secs_f64();
    let tip = chain.tip();
    let coins = chain.coin_set_stats(false)?;
    let (read, stored, rejected) = (report.read.blocks, report.stored, report.rejected);
    let mut text = format!(
        "{read} blocks read, {stored} new, {rejected} rejected, {} without parents, in {seconds:.1} s ({} tx/s)\ntip {} at height {}\n{} coins, {:.8} BTC, MuHash {}",
        report.orphans,
        rate(report.read.transactions, seconds.max(0.001)),
        tip.hash,
        tip.height,
        coins.coins,
        coins.total.display_in(bitcoin::Denomination::Bitcoin),
        coins.muhash,
    );
    for (hash, reason) in &report.rejects {
        text.push_str(&format!("\nrejected {hash}: {reason}"));
    }
    let rejects = report
        .rejects
        .iter()
        .map(|(hash, reason)| json!({"hash": hash, "reason": reason}));
    let json = json!({
        "read": read,
        "transactions": report.read.transactions,
        "stored": stored,
        "connected": report.connected,
        "rejected": rejected,
        "rejects": rejects.collect::<Vec<_>>(),
        "orphans": report.orphans,
        "skipped_bytes": report.skipped_bytes,
        "seconds": seconds,
        "height": tip.height,
        "tip": tip.hash,
        "txouts": coins.coins,
        "muhash": coins.muhash.to_string(),
    });
    args.chain.tell(&text, &json)?;
    if read == 0 {
        anyhow::bail!(
            "{} holds no blocks; give a file in the framing of Bitcoin Core's blk*.dat (with xor.dat beside it, if there was one)",
            args.file.display()
        );
    }
    if stored == 0 && report.orphans == read {
        anyhow::bail!(
            "no block of {} follows one that is known here; is it of the network {}?",
            args.file.display(),
            chain.params().name
        );
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn rate(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds) as u64
}
