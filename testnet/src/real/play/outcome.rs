//! [`Outcome`]: what came of a scenario that was played on real processes, and whether it is what the file expects.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use bitcoin::{Amount, Block, BlockHash, Txid};
use serde::Serialize;

use super::fates::{self, Fates};
use super::schedule::Schedule;
use crate::pay::SentPayment;
use crate::real::{CoinsInfo, LabError, Probe, Supervisor};
use crate::report::observe;
use crate::scenario::file::Expectations;

/// How long nodes at rest may take to tell their coins.
const PATIENCE: Duration = Duration::from_secs(30);
/// A node has told its peers of a payment within this: if it ends later, it is not to blame for one that is lost.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// What the player saw itself.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) wall: Duration,
    pub(super) one_tip_ms: Option<u64>,
    /// Payments that a node took, and when.
    pub(super) paid: Vec<(Duration, SentPayment)>,
    /// Payments that a node refused, with its words.
    pub(super) refused: Vec<String>,
    /// Payments for which no transaction came to be: the account had no coin left there, or the node was down.
    pub(super) unpaid: Vec<String>,
    /// Which nodes were ended, and when.
    pub(super) kills: Vec<(usize, Duration)>,
}

/// What came of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: String,
    /// Whether every check holds.
    pub ok: bool,
    /// Number of nodes.
    pub nodes: usize,
    /// How many times as fast as the file says.
    pub speed: f64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Height of the final tip.
    pub height: u32,
    /// The final tip of the first node.
    pub tip: BlockHash,
    /// Blocks that nodes had and the final chain has not.
    pub stale_blocks: usize,
    /// Most blocks that a node took back at once.
    pub deepest_reorg: u32,
    /// When all nodes agreed, in milliseconds after the last step.
    pub one_tip_ms: Option<u64>,
    /// What became of every payment.
    pub payments: Fates,
    /// Payments that a node refused, with its words.
    pub refused: Vec<String>,
    /// Payments for which no transaction came to be, and why.
    pub unpaid: Vec<String>,
    /// What the file asks for and real processes cannot be made to do.
    pub left_out: Vec<String>,
    /// What was checked.
    pub checks: Vec<Check>,
}

/// One thing that must hold in the end.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// Got and expected.
    pub detail: String,
}

/// Looks at a network at rest.
pub(super) fn look(
    supervisor: &Supervisor,
    schedule: &Schedule,
    facts: Facts,
) -> Result<Outcome, LabError> {
    let expect = &schedule.plan.expect;
    let (probes, params) = {
        let mut network = supervisor.network();
        (network.probes(), network.params().clone())
    };
    let coins = observe::coins_at_rest(&probes, PATIENCE)?;
    let first = coins.first().ok_or(LabError::AllDown)?;
    let chain = main_chain(&probes[0], first.tip)?;
    let forks = Forks::of(&probes)?;
    let mempools = mempools(&probes)?;
    let sent: Vec<SentPayment> = facts.paid.iter().map(|(_, sent)| sent.clone()).collect();
    let payments = fates::sort(&sent, &chain, &mempools);
    let supply = crate::network::supply_at(&params, first.height);
    let mut checks = vec![
        agreement(schedule, &facts),
        one_set_of_coins(&coins),
        right_supply(first, supply),
        no_payment_lost(&payments, &facts),
    ];
    checks.extend(payments_taken(schedule, &facts));
    checks.extend(expected_reorgs(expect, forks.deepest));
    checks.extend(expected_stale_share(
        expect,
        forks.blocks.len(),
        first.height,
    ));
    Ok(Outcome {
        scenario: schedule.plan.name.clone(),
        ok: checks.iter().all(|check| check.ok),
        nodes: schedule.plan.nodes,
        speed: schedule.speed,
        seconds: facts.wall.as_secs_f64(),
        height: first.height,
        tip: first.tip,
        stale_blocks: forks.blocks.len(),
        deepest_reorg: forks.deepest,
        one_tip_ms: facts.one_tip_ms,
        payments,
        refused: facts.refused,
        unpaid: facts.unpaid,
        left_out: schedule.left_out.clone(),
        checks,
    })
}

/// The blocks from the tip down to the first after genesis, tip first.
fn main_chain(probe: &Probe, tip: BlockHash) -> Result<Vec<Block>, LabError> {
    let mut chain = Vec::new();
    let mut next = tip;
    while let Some(block) = probe.block(&next)? {
        next = block.header.prev_blockhash;
        chain.push(block);
    }
    Ok(chain)
}

fn mempools(probes: &[Probe]) -> Result<BTreeSet<Txid>, LabError> {
    let mut all = BTreeSet::new();
    for probe in probes {
        all.extend(probe.mempool()?);
    }
    Ok(all)
}

/// Branches that lost.
#[derive(Debug, Default)]
struct Forks {
    blocks: BTreeSet<BlockHash>,
    deepest: u32,
}

impl Forks {
    /// A branch that a node holds for a valid fork was its active chain once: its length is what the node took back.
    fn of(probes: &[Probe]) -> Result<Forks, LabError> {
        let mut forks = Forks::default();
        for probe in probes {
            for branch in probe.tips()? {
                if branch.status == "active" {
                    continue;
                }
                if branch.status == "valid-fork" {
                    forks.deepest = forks.deepest.max(branch.branch_length);
                }
                let mut at = branch.hash;
                for _ in 0..branch.branch_length {
                    forks.blocks.insert(at);
                    match probe.header(&at)?.parent {
                        Some(parent) => at = parent,
                        None => break,
                    }
                }
            }
        }
        Ok(forks)
    }
}

fn agreement(schedule: &Schedule, facts: &Facts) -> Check {
    let limit = schedule.patience.as_secs_f64();
    Check {
        name: "one tip",
        ok: facts.one_tip_ms.is_some(),
        detail: match facts.one_tip_ms {
            Some(ms) => format!("{ms} ms after the last step, expected within {limit:.0} s"),
            None => format!("not within {limit:.0} s after the last step"),
        },
    }
}

fn one_set_of_coins(coins: &[CoinsInfo]) -> Check {
    let kinds: BTreeSet<&str> = coins.iter().map(|coins| coins.muhash.as_str()).collect();
    Check {
        name: "one set of coins",
        ok: kinds.len() == 1,
        detail: match kinds.first() {
            Some(muhash) if kinds.len() == 1 => {
                format!(
                    "{} nodes, {} coins, MuHash {muhash}",
                    coins.len(),
                    coins[0].coins
                )
            }
            _ => format!("{} nodes have {} different sets", coins.len(), kinds.len()),
        },
    }
}

fn right_supply(coins: &CoinsInfo, expected: Amount) -> Check {
    Check {
        name: "right supply",
        ok: coins.total() == Some(expected),
        detail: format!("{} BTC, expected {expected}", coins.total_amount),
    }
}

/// A payment may be lost only with the node that had just taken it.
fn no_payment_lost(payments: &Fates, facts: &Facts) -> Check {
    let Fates {
        confirmed,
        waiting,
        conflicted,
        lost,
    } = payments;
    let went_down_with_its_node = |txid: &&Txid| {
        let mut paid = facts.paid.iter();
        let paid = paid.find(|(_, sent)| sent.txid == **txid);
        paid.is_some_and(|(at, sent)| {
            let mut kills = facts.kills.iter();
            kills.any(|(node, end)| *node == sent.node && *end >= *at && *end - *at < TOLD_WITHIN)
        })
    };
    let excused = lost.iter().filter(went_down_with_its_node).count();
    let gone = lost.len() - excused;
    let mut detail = format!(
        "{confirmed} confirmed, {waiting} wait, {conflicted} lost to a conflict, {gone} gone"
    );
    if excused > 0 {
        detail += &format!("; {excused} more with the node that had just taken them");
    }
    Check {
        name: "payments",
        ok: gone == 0,
        detail,
    }
}

/// Whether a node may refuse an honest payment in these words: between the question whether a coin is unspent and the payment
/// another one of the same account may come from elsewhere.
fn is_a_race(refusal: &str) -> bool {
    ["txn-mempool-conflict", "missingorspent", "missing-inputs"]
        .iter()
        .any(|reason| refusal.contains(reason))
}

/// Payments that were planned were made, and no node refused one without a good reason.
fn payments_taken(schedule: &Schedule, facts: &Facts) -> Option<Check> {
    let planned = schedule.plan.payments.len();
    let taken = facts.paid.len();
    let bad = facts.refused.iter().find(|refusal| !is_a_race(refusal));
    let first = bad.or(facts.refused.first()).or(facts.unpaid.first());
    (planned > 0).then(|| Check {
        name: "payments taken",
        ok: taken > 0 && bad.is_none(),
        detail: format!(
            "{taken} of {planned}, {} refused, {} not made{}",
            facts.refused.len(),
            facts.unpaid.len(),
            first.map_or(String::new(), |first| format!(", as {first}"))
        ),
    })
}

fn expected_reorgs(expect: &Expectations, deepest: u32) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(least) = expect.reorg_of_at_least {
        checks.push(Check {
            name: "a deep reorg",
            ok: deepest >= least,
            detail: format!("{deepest} blocks, expected at least {least}"),
        });
    }
    if let Some(most) = expect.reorg_of_at_most {
        checks.push(Check {
            name: "no deeper reorg",
            ok: deepest <= most,
            detail: format!("{deepest} blocks, expected at most {most}"),
        });
    }
    checks
}

fn expected_stale_share(expect: &Expectations, stale: usize, height: u32) -> Option<Check> {
    let (least, most) = expect.stale_share?;
    let share = stale as f64 / (stale as f64 + f64::from(height)).max(1.0);
    Some(Check {
        name: "stale share",
        ok: (least..=most).contains(&share),
        detail: format!("{share:.3}, expected {least} to {most}"),
    })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} nodes, {} times as fast, {:.1} s; height {}, {} stale blocks, deepest reorg {}",
            self.scenario,
            self.nodes,
            self.speed,
            self.seconds,
            self.height,
            self.stale_blocks,
            self.deepest_reorg
        )?;
        for left_out in &self.left_out {
            writeln!(f, "left out  {left_out}")?;
        }
        for check in &self.checks {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            writeln!(f, "{mark}  {}: {}", check.name, check.detail)?;
        }
        Ok(())
    }
}
