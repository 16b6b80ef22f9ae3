//! `mend testnet demo`: the whole story in half a minute, checked at its end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bitcoin::Amount;
use clap::Args;
use serde::Serialize;

use super::Context;
use super::scratch::Scratch;
use super::story::Story;
use crate::real::{Layout, Network, NetworkOptions, Supervisor};
use crate::report::HealReport;
use crate::scenario::Groups;

/// The larger side and the smaller one.
const SPLIT: &str = "0,1,2/3,4";
/// Hashes per second of each miner. Two are on the larger side, one on the smaller.
const RATE: u64 = 80_000;
/// Blocks that each side must find during the split.
const BLOCKS_A_SIDE: u32 = 3;
/// Bounds of every wait.
const PATIENCE: Duration = Duration::from_secs(40);

/// Start five nodes, mine, pay, split them, heal them, and report what became of every block and payment.
///
/// Exits with 0 only if all nodes agree in the end: one tip, one set of coins, the right supply, every payment accounted for.
///
/// Example: mend testnet demo
#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// Keep data and logs.
    #[arg(long)]
    keep: bool,
}

/// What the demo found out.
#[derive(Debug, Serialize)]
struct Outcome {
    ok: bool,
    seconds: f64,
    checks: Vec<Check>,
    report: HealReport,
}

/// One thing that must hold in the end.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

pub(super) fn run(context: &Context, args: &DemoArgs) -> anyhow::Result<()> {
    let directory = Scratch::new("demo", args.keep)?;
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let options = NetworkOptions {
        miners: vec![(0, RATE), (1, RATE), (3, RATE)],
        spacing_s: 1,
        ..NetworkOptions::new(program, 5)
    };
    let story = Story::begin(!context.json);
    let outcome = Network::start(Layout::new(directory.path()), &options)
        .and_then(Supervisor::new)
        .map_err(anyhow::Error::from)
        .and_then(|supervisor| {
            let path = directory.path().to_owned();
            supervisor.network().on_end(move || {
                // The nodes stop by themselves when this process is gone.
                let _ = std::fs::remove_dir_all(path);
                std::process::exit(130);
            });
            let outcome = play(&supervisor, &story);
            supervisor.end();
            outcome
        });
    let outcome = match outcome {
        Ok(outcome) => outcome,
        // Nothing went wrong; somebody stopped to read.
        Err(error) if error.is::<terminal::PrintError>() => return Err(error),
        Err(error) => {
            directory.keep_for_the_curious();
            return Err(error.context(format!("logs are in {}", directory.path().display())));
        }
    };
    context.print(&outcome, text)?;
    if !outcome.ok {
        directory.keep_for_the_curious();
        bail!(
            "the nodes do not agree; logs are in {}",
            directory.path().display()
        );
    }
    Ok(())
}

/// Mines, pays, splits, heals, checks.
fn play(supervisor: &Supervisor, story: &Story) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let all = supervisor.network().probes();
    story
        .tell("5 nodes are up, linked through proxies; nodes 0, 1 and 3 mine real proof of work")?;
    story.wait_for_height(&all, 3, PATIENCE)?;

    let first = pay(supervisor, 0, "1", 2.5, 0)?;
    story.tell(&format!("account 0 pays 2.5 BTC to account 1: {first}"))?;
    story.wait_until_confirmed(&all, &[first], PATIENCE)?;
    story.tell("every node has it in a block")?;

    let groups: Groups = SPLIT.parse()?;
    let cut = supervisor.network().partition(&groups, false)?;
    story.tell(&format!("cut: {SPLIT} ({cut} links)"))?;
    let (larger, smaller) = all.split_at(3);
    // Two honest payments, and one coin spent on both sides at once.
    let on_larger = [
        pay(supervisor, 1, "2", 1.0, 0)?,
        pay(supervisor, 3, "4", 5.0, 1)?,
    ];
    let on_smaller = [
        pay(supervisor, 2, "0", 0.7, 3)?,
        pay(supervisor, 3, "5", 5.0, 4)?,
    ];
    story.tell("both sides pay; account 3 spends one coin on both")?;
    story.wait_until_confirmed(larger, &on_larger, PATIENCE)?;
    story.wait_until_confirmed(smaller, &on_smaller, PATIENCE)?;
    story.wait_for_a_clear_lead(larger, smaller, BLOCKS_A_SIDE, PATIENCE)?;
    let status = supervisor.network().status();
    story.tell(&format!(
        "each side has its own chain:\n{}",
        status.table().trim_end()
    ))?;

    let healed = supervisor.heal(PATIENCE)?;
    let one_tip = healed.report()?;
    story.tell(&format!("healed: one tip after {} ms", one_tip.one_tip_ms))?;
    let report = story.wait_for_payments(&healed, PATIENCE)?;
    let checks = checks(supervisor, story, &report)?;
    Ok(Outcome {
        ok: checks.iter().all(|check| check.ok),
        seconds: began.elapsed().as_secs_f64(),
        checks,
        report,
    })
}

fn pay(
    supervisor: &Supervisor,
    from: u32,
    to: &str,
    btc: f64,
    node: usize,
) -> anyhow::Result<bitcoin::Txid> {
    let amount = Amount::from_btc(btc)?;
    Ok(supervisor.network().pay(from, to, amount, Some(node))?.txid)
}

/// What must hold in the end.
fn checks(
    supervisor: &Supervisor,
    story: &Story,
    report: &HealReport,
) -> anyhow::Result<Vec<Check>> {
    let probes = supervisor.network().probes();
    let coins = story.coins_at_one_tip(&probes, PATIENCE)?;
    let first = &coins[0];
    let expected = crate::network::supply_at(supervisor.network().params(), first.height);
    let total = first.total();
    let open = report.open_payments();
    Ok(vec![
        Check {
            name: "one tip",
            ok: coins.len() == 5 && coins.iter().all(|coins| coins.tip == first.tip),
            detail: format!("{} at height {}", first.tip, first.height),
        },
        Check {
            name: "one set of coins",
            ok: coins.iter().all(|coins| coins.muhash == first.muhash),
            detail: format!("{} coins, MuHash {}", first.coins, first.muhash),
        },
        Check {
            name: "right supply",
            ok: total == Some(expected),
            detail: match total {
                Some(total) => format!("{total}, expected {expected}"),
                None => format!("{}, expected {expected}", first.total_amount),
            },
        },
        Check {
            name: "a real reorg",
            ok: report.sides.len() == 2 && report.deepest_reorg() >= 1,
            detail: format!("{} blocks deep", report.deepest_reorg()),
        },
        Check {
            name: "payments accounted for",
            ok: open == 0 && !report.payments.is_empty(),
            detail: format!(
                "{} lost their block, {open} of them still wait",
                report.payments.len()
            ),
        },
    ])
}

fn text(outcome: &Outcome) -> String {
    let mut text = format!("\n{}\n", outcome.report);
    for check in &outcome.checks {
        let mark = if check.ok { "ok  " } else { "FAIL" };
        text += &format!("{mark}  {}: {}\n", check.name, check.detail);
    }
    text + &format!("\nAll in {:.1} s.", outcome.seconds)
}
