//! `mend verify`: what is stored, looked at from all sides.

use anyhow::bail;
use chain::Cure;
use chain::scrub::Scrub;
use chain::verify::{Problem, VerifyLevel};
use clap::Args;
use node_host::DataDir;
use serde_json::json;

use super::{ChainArgs, now, progress};

/// Bytes that are looked at in one step.
const STEP_BYTES: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  mend verify --data-dir node
  mend verify --data-dir node --level 1 --depth 1000
  mend verify --data-dir node --repair
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
    /// First heal what is damaged, by the smallest cure: rows are made again from blocks, a database that cannot be read is set aside
    /// and replaced by what is sound in it. Lost blocks are fetched by the node.
    #[arg(long)]
    repair: bool,
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
    let cures = match args.repair {
        true => repair(&args)?,
        false => Vec::new(),
    };
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
    for cure in &cures {
        text.push_str(&format!("\nhealed: {cure}"));
    }
    for problem in &problems {
        text.push_str(&format!("\nproblem: {problem}"));
    }
    let json = json!({
        "blocks": report.blocks,
        "problems": problems,
        "healed": cures.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "height": tip.height,
        "tip": tip.hash,
        "coins": stats.coins,
        "total_sat": stats.total.to_sat(),
        "muhash": stats.muhash.to_string(),
    });
    args.chain.tell(&text, &json)?;
    if !problems.is_empty() {
        bail!(
            "{} problems found; damaged bodies are fetched again when the node reads them, everything else is healed by --repair",
            problems.len()
        );
    }
    Ok(())
}

/// Heals what can be healed without peers, and tells what was healed.
fn repair(args: &VerifyArgs) -> anyhow::Result<Vec<Cure>> {
    let (dir, params) = args.chain.existing_dir()?;
    let dir = DataDir::create(&dir)?;
    let bar = progress::bar(0, "taking blocks over {spinner} {pos} blocks");
    let mut chain = chain::salvage::open(
        dir.lock(),
        params,
        args.chain.options(),
        now(),
        &mut |read| bar.set_position(read.blocks),
    )?;
    bar.finish_and_clear();
    let mut scrub = Scrub::default();
    while !scrub.step(&chain, STEP_BYTES, now())?.ends_round {}
    chain.heal_findings()?;
    let level = VerifyLevel::from_number(args.level);
    let report = chain::verify::verify(&chain, level, args.depth, &mut |_, _| {})?;
    chain.heal_findings()?;
    // What proves itself and is wrong nevertheless is not found by its row.
    let is_deeper = |problem: &Problem| !matches!(problem, Problem::Body(_) | Problem::Stored(_));
    if report.problems.iter().any(is_deeper) {
        chain::repair::rebuild_coins(&mut chain, &mut |_| {})?;
    }
    chain.flush()?;
    Ok(chain.take_cures())
}
