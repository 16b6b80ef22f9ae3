//! The figures of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::agreement::Agreements;
use super::fate::{Fate, FateKind, Fates};
use super::ledger::Ledger;
use crate::record::{BlockId, Record};

mod text;

/// Figures of a run. Times are as in the record: virtual in the simulator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// Events that the simulator handled.
    pub events: Option<u64>,
    /// Blocks that were found.
    pub blocks: u64,
    /// Height of the final tip.
    pub height: u32,
    /// Blocks that are not in the final chain.
    pub stale: u64,
    /// Their share of all blocks.
    pub stale_share: f64,
    /// Each miner that found a block.
    pub miners: Vec<MinerFigures>,
    /// From finding a block to connecting it, over all nodes and blocks, in milliseconds.
    pub propagation_ms: Sample,
    /// How often a node took back that many blocks at once.
    pub reorgs: BTreeMap<u32, u64>,
    /// When the last fault began or ended, in seconds; 0 without faults.
    pub last_change_s: f64,
    /// From then to one tip, in milliseconds; absent: never.
    pub one_tip_after_ms: Option<f64>,
    /// From the first such time on, the longest without one tip, in milliseconds.
    pub longest_apart_ms: Option<f64>,
    /// Nodes that are up in the end, by tip: the number on each, most first.
    pub tips: Vec<usize>,
    /// Payments that nodes took, by what became of them.
    pub payments: BTreeMap<FateKind, u64>,
    /// Planned payments for which there was nothing to pay with, or nobody to hand them to.
    pub unpaid: u64,
    /// Connections that nodes ended by themselves, as with a peer that was silent for too long.
    pub parted: u64,
    /// Messages and bytes by kind.
    pub traffic: BTreeMap<String, TrafficFigures>,
    /// Bytes of all kinds for each block and node.
    pub bytes_per_block_and_node: f64,
    /// Faults that began, by kind.
    pub faults: BTreeMap<String, u64>,
}

/// One miner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MinerFigures {
    /// The node.
    pub node: usize,
    /// Blocks that it found.
    pub found: u64,
    /// Those that are not in the final chain.
    pub stale: u64,
    /// Its share of the blocks of the final chain.
    pub share_of_chain: f64,
    /// What it has in the final chain, in satoshi.
    pub reward_sat: u64,
}

/// Messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficFigures {
    /// How many.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is told of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Its size.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// Half of it is below.
    pub p50: f64,
    /// Nine tenths.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Sample {
    /// Of numbers in any order, scaled.
    pub fn of(mut sample: Vec<u64>, scale: f64) -> Sample {
        sample.sort_unstable();
        let Some(max) = sample.last() else {
            return Sample::default();
        };
        let length = sample.len();
        let at = |percent: usize| sample[(length * percent / 100).min(length - 1)] as f64 * scale;
        Sample {
            count: length as u64,
            mean: sample.iter().map(|number| *number as f64).sum::<f64>() / length as f64 * scale,
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: *max as f64 * scale,
        }
    }
}

/// When the last fault began or ended; 0 without faults.
pub fn last_change(record: &Record) -> u64 {
    let faults = record.faults.iter();
    let times = faults.flat_map(|fault| [fault.begun, fault.ended]);
    times.flatten().max().unwrap_or(0)
}

/// The fate of every payment that was handed to a node or is in a block, in order of its first appearance.
pub fn payments(record: &Record) -> Vec<(bitcoin::Txid, Fate)> {
    let ledger = Ledger::new(record, 0, record.end_t());
    fates(record, &ledger)
}

fn fates(record: &Record, ledger: &Ledger<'_>) -> Vec<(bitcoin::Txid, Fate)> {
    let handed = record.handed.iter().map(|handed| (handed.t, handed.txid));
    let blocks = record.blocks.iter();
    let mined = blocks.flat_map(|(_, block)| block.payments.iter().map(|txid| (block.t, *txid)));
    let mut seen: Vec<(u64, bitcoin::Txid)> = handed.chain(mined).collect();
    seen.sort_by_key(|(t, _)| *t);
    let mut known = std::collections::BTreeSet::new();
    seen.retain(|(_, txid)| known.insert(*txid));
    let mut fates = Fates::new(ledger);
    seen.into_iter()
        .map(|(_, txid)| (txid, fates.of(txid)))
        .collect()
}

impl Figures {
    /// Of a run.
    pub fn of(record: &Record) -> Figures {
        let end = record.end_t();
        let ledger = Ledger::new(record, 0, end);
        let blocks = record.blocks.len() as u64;
        let stale = record
            .blocks
            .iter()
            .filter(|(id, _)| !ledger.holds(*id))
            .count() as u64;
        let mut payments: BTreeMap<FateKind, u64> = BTreeMap::new();
        for (_, fate) in fates(record, &ledger) {
            *payments.entry(fate.kind()).or_default() += 1;
        }
        let mut faults: BTreeMap<String, u64> = BTreeMap::new();
        for fault in record.faults.iter().filter(|fault| fault.begun.is_some()) {
            *faults.entry(fault.what.name().to_owned()).or_default() += 1;
        }
        let traffic = traffic(record);
        let bytes: u64 = traffic.values().map(|kind| kind.bytes).sum();
        let last = last_change(record);
        let agreements = Agreements::of(record);
        let first = agreements.first_since(last).filter(|(t, _)| *t <= end);
        Figures {
            seconds: end as f64 / 1e6,
            events: record.end.as_ref().and_then(|end| end.events),
            blocks,
            height: record.blocks.get(ledger.tip).height,
            stale,
            stale_share: stale as f64 / blocks.max(1) as f64,
            miners: miners(record, &ledger),
            propagation_ms: propagation(record),
            reorgs: reorgs(record),
            last_change_s: last as f64 / 1e6,
            one_tip_after_ms: first.map(|(t, _)| (t - last) as f64 / 1e3),
            longest_apart_ms: first.map(|(t, _)| agreements.longest_apart(t, end) as f64 / 1e3),
            tips: tips(record),
            payments,
            unpaid: record.unpaid.len() as u64,
            parted: record.parted.len() as u64,
            bytes_per_block_and_node: bytes as f64
                / (blocks * record.nodes.len() as u64).max(1) as f64,
            traffic,
            faults,
        }
    }

    /// The deepest reorg of any node, in blocks.
    pub fn deepest_reorg(&self) -> u32 {
        self.reorgs.keys().next_back().copied().unwrap_or(0)
    }
}

fn miners(record: &Record, ledger: &Ledger<'_>) -> Vec<MinerFigures> {
    let mut miners: BTreeMap<usize, MinerFigures> = BTreeMap::new();
    let height = f64::from(record.blocks.get(ledger.tip).height.max(1));
    for (id, block) in record.blocks.iter() {
        let Some(node) = block.found_by else { continue };
        let miner = miners.entry(node).or_default();
        miner.node = node;
        miner.found += 1;
        match ledger.holds(id) {
            true => {
                miner.share_of_chain += 1.0 / height;
                miner.reward_sat += block.reward_sat;
            }
            false => miner.stale += 1,
        }
    }
    miners.into_values().collect()
}

/// For each block and node, the first time that the node had it on its chain.
fn propagation(record: &Record) -> Sample {
    let mut delays = Vec::new();
    for (node, history) in record.nodes.iter().enumerate() {
        let mut seen: std::collections::BTreeSet<BlockId> = std::collections::BTreeSet::new();
        let mut before = None;
        for (t, tip) in &history.tips {
            // A node that comes up has its tip from its disk, and a block that is taken back bares its parent.
            let tip_and_parent = tip.map(|tip| (tip, record.blocks.get(tip).parent));
            if let (Some((tip, parent)), Some(Some(last))) = (tip_and_parent, before)
                && parent == last
                && tip != last
                && seen.insert(tip)
            {
                let block = record.blocks.get(tip);
                if block.found_by != Some(node) {
                    delays.push(t.saturating_sub(block.t));
                }
            }
            before = Some(*tip);
        }
    }
    Sample::of(delays, 1e-3)
}

fn reorgs(record: &Record) -> BTreeMap<u32, u64> {
    let mut reorgs = BTreeMap::new();
    for reorg in record.nodes.iter().flat_map(|node| &node.reorgs) {
        *reorgs.entry(reorg.depth).or_default() += 1;
    }
    reorgs
}

fn tips(record: &Record) -> Vec<usize> {
    let mut on_tip: BTreeMap<BlockId, usize> = BTreeMap::new();
    for tip in record
        .nodes
        .iter()
        .filter_map(|node| node.tip_at(record.end_t()))
    {
        *on_tip.entry(tip).or_default() += 1;
    }
    let mut tips: Vec<usize> = on_tip.into_values().collect();
    tips.sort_unstable_by(|a, b| b.cmp(a));
    tips
}

fn traffic(record: &Record) -> BTreeMap<String, TrafficFigures> {
    let mut traffic: BTreeMap<String, TrafficFigures> = BTreeMap::new();
    for told in &record.traffic {
        let kind = told.kind.clone().unwrap_or_else(|| "all".to_owned());
        let figures = traffic.entry(kind).or_default();
        figures.messages += told.messages;
        figures.bytes += told.bytes;
    }
    traffic
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Exit;
    use crate::tell::history::{History, REWARD_SAT};

    #[test]
    fn a_sample_is_told_by_its_order_statistics() {
        let sample = Sample::of((0..1_000).rev().collect(), 0.5);
        assert_eq!((sample.p50, sample.p90, sample.p99), (250.0, 450.0, 495.0));
        assert_eq!(
            (sample.count, sample.mean, sample.max),
            (1_000, 249.75, 499.5)
        );
        assert_eq!(Sample::of(vec![], 1.0), Sample::default());
    }

    #[test]
    fn figures_are_those_of_the_record() {
        let mut net = History::of(3);
        net.payment("one", &["coin 1"]).hands(0, "one");
        net.payment("two", &["coin 2"]).hands(1, "two");
        net.at(1).finds_with(0, "a1", &["one"]);
        net.at_ms(1_100).goes(1, "a1").at_ms(1_300).goes(2, "a1");
        let split = net.at(10).splits("0,1/2");
        net.at(11).finds(0, "a2").at_ms(11_200).goes(1, "a2");
        net.at(12).finds(2, "b2").at(13).finds(2, "b3");
        net.at(20)
            .ends(split)
            .at(22)
            .go([0, 1], "b3")
            .mempools(&["two"]);
        net.at(23).finds(1, "e4").at(24).down(1, Exit::Killed);
        let figures = Figures::of(&net.end(30));
        assert_eq!((figures.blocks, figures.height, figures.stale), (5, 3, 2));
        assert_eq!(figures.reorgs, BTreeMap::from([(1, 2)]));
        let miner = MinerFigures {
            node: 2,
            found: 2,
            stale: 0,
            share_of_chain: 2.0 / 3.0,
            reward_sat: 2 * REWARD_SAT,
        };
        assert_eq!(figures.miners[2], miner);
        // a1 to two nodes, a2 to one, b2 and b3 to two.
        assert_eq!(figures.propagation_ms.count, 7);
        assert_eq!(figures.propagation_ms.max, 10_000.0);
        assert_eq!(figures.one_tip_after_ms, Some(2_000.0));
        // From the block at 23 s until its finder is gone.
        assert_eq!(figures.longest_apart_ms, Some(1_000.0));
        assert_eq!(figures.tips, [2]);
        let payments = [(FateKind::Confirmed, 1), (FateKind::InMempool, 1)];
        assert_eq!(figures.payments, BTreeMap::from(payments));
        assert_eq!(
            figures.faults,
            BTreeMap::from([("partition".to_owned(), 1)])
        );
    }
}
