//! Heal reports: what became of nodes, blocks and payments each time that a split network was made whole again.

mod account;
mod healing;
mod sides;
mod text;

use bitcoin::Txid;
use serde::{Deserialize, Serialize};

use super::agreement::Agreements;
use super::fate::{Fate, Fates};
use super::ledger::Ledger;
use crate::record::{Position, Record};

pub use account::{Loss, LostBlock, Sum, Totals};
pub use sides::Side;

/// What became of every node, block and payment when a split network was made whole.
///
/// Times `_us` are microseconds after the opening, but for the opening itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealReport {
    /// The faults that ended, by their numbers: those that had kept nodes apart and ended at one time.
    pub faults: Vec<usize>,
    /// The same in words, as in `partition 0,1/2,3`.
    pub what: String,
    /// When the first of them had begun, after the start of the run.
    pub split_at_us: u64,
    /// When the links were opened, after the start of the run.
    pub opened_at_us: u64,
    /// Faults that still kept nodes apart then.
    pub still_apart: Vec<usize>,
    /// How far the report looks: to the next split, or to the end of the run.
    pub looked_us: u64,
    /// The next split; none: the run ended.
    pub next_split: Option<usize>,
    /// Whether the nodes came together.
    pub outcome: Outcome,
    /// The last block that all sides shared.
    pub fork: Position,
    /// The sides, most work first: the groups that were kept apart, and within each the chains that its nodes were on.
    pub sides: Vec<Side>,
    /// The tip with the most work at the end of the time that the report looks at.
    pub final_tip: Position,
    /// Every node.
    pub nodes: Vec<NodeReport>,
    /// All blocks above the fork point that were known when the nodes came together, or the report stops looking.
    pub totals: Totals,
    /// Those that are not in the final chain, lowest first.
    pub lost: Vec<LostBlock>,
    /// Payments of lost blocks.
    pub payments: Vec<PaymentReport>,
}

/// Whether the nodes came together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Outcome {
    /// All nodes that were up and not frozen were on one tip.
    OneTip {
        /// How long after the opening.
        after_us: u64,
        /// The tip.
        tip: Position,
    },
    /// They did not come to one tip before the next split or the end of the run.
    Apart {
        /// How long they had.
        within_us: u64,
        /// The tips in the end, most nodes first.
        tips: Vec<NodesOnTip>,
    },
}

/// Nodes on one tip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesOnTip {
    /// The tip.
    pub tip: Position,
    /// The nodes.
    pub nodes: Vec<usize>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its number.
    pub node: usize,
    /// What it was when the links were opened.
    pub state: State,
    /// Its tip then; the last that it had, if it was down; none if it never was up.
    pub tip: Option<Position>,
    /// Blocks of that chain that it took back until the nodes came together, or later if it came later.
    pub reorg_depth: u32,
    /// Blocks that it took in their place (and after).
    pub adopted: u32,
    /// When its tip first changed.
    pub changed_us: Option<u64>,
    /// When it first was on the final chain, with all that this chain had when the links were opened.
    pub joined_us: Option<u64>,
    /// When it went down meanwhile, for the first time.
    pub down_us: Option<u64>,
    /// When it was up again, or frozen no more.
    pub back_us: Option<u64>,
}

/// What a node was when the links were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Up.
    Up,
    /// Up, and kept from doing anything.
    Frozen,
    /// Down.
    Down,
}

/// A payment that was in a lost block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentReport {
    /// Its id.
    pub txid: Txid,
    /// The lost block that had it; the lowest of several.
    pub lost: Position,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

impl HealReport {
    /// Whether the nodes came to one tip.
    pub fn is_whole(&self) -> bool {
        matches!(self.outcome, Outcome::OneTip { .. })
    }

    /// The deepest reorg of any node, in blocks.
    pub fn deepest_reorg(&self) -> u32 {
        let depths = self.nodes.iter().map(|node| node.reorg_depth);
        depths.max().unwrap_or(0)
    }

    /// Payments that are neither in the chain nor came to nothing: they wait.
    pub fn open_payments(&self) -> usize {
        let kinds = self.payments.iter().map(|payment| payment.fate.kind());
        kinds
            .filter(|kind| !kind.is_confirmed() && !kind.came_to_nothing())
            .count()
    }
}

/// A report for each healing of a run, in order of time.
pub fn reports(record: &Record) -> Vec<HealReport> {
    let agreements = Agreements::of(record);
    let healings = healing::healings(record);
    healings
        .iter()
        .map(|healing| report(record, &agreements, healing))
        .collect()
}

fn report(record: &Record, agreements: &Agreements, healing: &healing::Healing) -> HealReport {
    let opened = healing.opened;
    let one_tip = agreements
        .first_since(opened)
        .filter(|(t, _)| *t <= healing.until);
    // When there is nothing more to wait for.
    let settled = one_tip.map_or(healing.until, |(t, _)| t);
    let ledger = Ledger::new(record, opened, healing.until);
    let split = sides::sides(record, &ledger, healing);
    let account = account::account(record, &ledger, &split, opened, settled);
    let mut fates = Fates::new(&ledger);
    let payments = account.payments.iter().map(|(txid, block)| PaymentReport {
        txid: *txid,
        lost: record.blocks.position(*block),
        fate: fates.of(*txid),
    });
    let payments = payments.collect();
    HealReport {
        faults: healing.faults.clone(),
        what: healing.what(record),
        split_at_us: healing.split,
        opened_at_us: opened,
        still_apart: healing.still_apart.clone(),
        looked_us: healing.until - opened,
        next_split: healing.next_split,
        outcome: outcome(record, healing, one_tip),
        fork: record.blocks.position(split.fork),
        sides: split.sides,
        final_tip: record.blocks.position(ledger.tip),
        nodes: healing::nodes(record, &ledger, healing, settled),
        totals: account.totals,
        lost: account.lost,
        payments,
    }
}

fn outcome(
    record: &Record,
    healing: &healing::Healing,
    one_tip: Option<(u64, crate::record::BlockId)>,
) -> Outcome {
    match one_tip {
        Some((t, tip)) => Outcome::OneTip {
            after_us: t - healing.opened,
            tip: record.blocks.position(tip),
        },
        None => Outcome::Apart {
            within_us: healing.until - healing.opened,
            tips: healing::tips_at(record, healing.until),
        },
    }
}

#[cfg(test)]
mod prop;
#[cfg(test)]
mod tests;
