//! The books of a healing: every block above the fork point is in the final chain, or lost for one reason.

use std::collections::BTreeMap;

use bitcoin::Txid;
use serde::{Deserialize, Serialize};

use super::sides::Split;
use crate::record::{BlockId, Placed, Position, Record};
use crate::tell::ledger::Ledger;

/// Blocks and what is in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// How many.
    pub blocks: u32,
    /// Their work: expected number of hashes.
    pub work: u64,
    /// Their payments, each as often as it is in a block.
    pub payments: u32,
    /// What they gave to their miners, in satoshi.
    pub reward_sat: u64,
}

/// All blocks above the fork point: found = stayed + lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All.
    pub found: Sum,
    /// Those in the final chain.
    pub stayed: Sum,
    /// Those that are not.
    pub lost: Sum,
}

/// A block that is not in the final chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostBlock {
    /// Where it was.
    pub at: Position,
    /// Who found it.
    pub found_by: Option<usize>,
    /// What its miner lost, in satoshi.
    pub reward_sat: u64,
    /// Its payments.
    pub payments: u32,
    /// How it was lost.
    pub loss: Loss,
}

/// How a block was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// It was on the chain of a side when the links were opened: the healing took it back.
    Orphaned,
    /// It was on no side's chain any more when the links were opened, or never on one.
    StaleBefore,
    /// It was found after the links were opened, and another was faster.
    StaleAfter,
}

pub(super) struct Account {
    pub(super) totals: Totals,
    pub(super) lost: Vec<LostBlock>,
    /// Payments of lost blocks, with the lowest of these blocks, in order of height.
    pub(super) payments: Vec<(Txid, BlockId)>,
}

impl Sum {
    fn add(&mut self, block: &Placed) {
        self.blocks += 1;
        self.work = self.work.saturating_add(block.work);
        self.payments += block.payments.len() as u32;
        self.reward_sat += block.reward_sat;
    }
}

/// Books the blocks above the fork point that were known at `settled`.
pub(super) fn account(
    record: &Record,
    ledger: &Ledger<'_>,
    split: &Split,
    opened: u64,
    settled: u64,
) -> Account {
    let blocks = &record.blocks;
    let mut totals = Totals::default();
    let mut lost: Vec<BlockId> = Vec::new();
    let known = blocks.iter().filter(|(_, block)| block.t <= settled);
    let above_fork =
        known.filter(|(id, _)| *id != split.fork && blocks.is_on_chain(split.fork, *id));
    for (id, block) in above_fork {
        totals.found.add(block);
        match ledger.holds(id) {
            true => totals.stayed.add(block),
            false => {
                totals.lost.add(block);
                lost.push(id);
            }
        }
    }
    lost.sort_by_key(|id| (blocks.get(*id).height, *id));
    let mut payments: BTreeMap<Txid, (usize, BlockId)> = BTreeMap::new();
    for id in &lost {
        for txid in &blocks.get(*id).payments {
            let place = payments.len();
            payments.entry(*txid).or_insert((place, *id));
        }
    }
    let mut payments: Vec<(usize, Txid, BlockId)> = payments
        .into_iter()
        .map(|(txid, (place, id))| (place, txid, id))
        .collect();
    payments.sort_unstable_by_key(|(place, ..)| *place);
    let loss = |id: BlockId, block: &Placed| {
        let mut tips = split.tips.iter();
        if tips.any(|tip| blocks.is_on_chain(id, *tip)) {
            Loss::Orphaned
        } else if block.t > opened {
            Loss::StaleAfter
        } else {
            Loss::StaleBefore
        }
    };
    let tell = |id: &BlockId| {
        let block = blocks.get(*id);
        LostBlock {
            at: blocks.position(*id),
            found_by: block.found_by,
            reward_sat: block.reward_sat,
            payments: block.payments.len() as u32,
            loss: loss(*id, block),
        }
    };
    Account {
        totals,
        lost: lost.iter().map(tell).collect(),
        payments: payments
            .into_iter()
            .map(|(_, txid, id)| (txid, id))
            .collect(),
    }
}
