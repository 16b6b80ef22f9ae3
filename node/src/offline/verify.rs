//! `mend verify`: what is stored, looked at from all sides.

use anyhow::bail;
use chain::verify::VerifyLevel;
use clap::Args;
use serde_json::json;

use super::{ChainArgs, progress};

const EXAMPLES: &str = "\
Examples:
  mend verify --data-dir node
  mend verify --data-dir node --level 1 --depth 1000
  mend verify --data-dir node --rebuild-coins";

/// Verify what is stored: bodies, undo data, coins and their hash.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// As in Bitcoin Core: 0 and 1 read and check bodies, 2 undo data too, 3 disconnects in memory, 4 connects again.
    #[arg(long, value_name = "0-4", default_value_t = 4, value_parser = clap::value_parser!(u8).range(0..=4))]
    level: u8,
    /// Blocks from the tip down; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    depth: u32,
    /// First throw coins and undo data away and make them anew from the stored blocks.
    #[arg(long)]
    rebuild_coins: bool,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Runs `mend verify`.
///
/// # Errors
///
/// When something is damaged; each problem is told before.
pub fn run(args: VerifyArgs) -> anyhow::Result<()> {
    if args.rebuild_coins {
        let mut chain = args.chain.open()?;
        let total = u64::from(chain.tip().height.0);
        let bar = progress::bar(
            total,
            "rebuilding {bar:30} {percent:>3}%  {pos} blocks  ETA {eta}",
        );
        chain::repair::rebuild_coins(&mut chain, &mut |height| {
            bar.set_position(u64::from(height.0));
        })?;
        bar.finish_and_clear();
    }
    // Looking changes nothing: what is verified may be a backup.
    let chain = args.chain.look()?;
    let bar = progress::bar(
        0,
        "verifying {bar:30} {percent:>3}%  {pos} blocks  ETA {eta}",
    );
    let level = VerifyLevel::from_number(args.level);
    let report = chain::verify::verify(&chain, level, args.depth, &mut |done, total| {
        bar.set_length(u64::from(total));
        bar.set_position(u64::from(done));
    })?;
    bar.finish_and_clear();
    let stats = chain.coin_set_stats(false)?;
    let tip = chain.tip();
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{} blocks looked at, {} problems\ntip {} at height {}, {} coins, {} BTC, MuHash {}",
        report.blocks,
        problems.len(),
        tip.hash,
        tip.height,
        stats.coins,
        stats.total.to_btc(),
        stats.muhash,
    );
    for problem in &problems {
        text.push_str(&format!("\nproblem: {problem}"));
    }
    let json = json!({
        "blocks": report.blocks,
        "problems": problems,
        "height": tip.height,
        "tip": tip.hash,
        "coins": stats.coins,
        "total_sat": stats.total.to_sat(),
        "muhash": stats.muhash.to_string(),
    });
    args.chain.tell(&text, &json);
    if !problems.is_empty() {
        bail!(
            "{} problems found; damaged bodies are fetched again when the node reads them, coins and undo data are made anew by --rebuild-coins",
            problems.len()
        );
    }
    Ok(())
}
