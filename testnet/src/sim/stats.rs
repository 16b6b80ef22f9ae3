//! Figures of a run.

use std::collections::BTreeMap;

use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};

use super::fates::Fate;

/// Figures of a run. All times are virtual.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// Events that were handled.
    pub events: u64,
    /// Blocks that were found.
    pub blocks: u64,
    /// Height of the final tip.
    pub height: u32,
    /// Blocks that are not in the final chain.
    pub stale: u64,
    /// Their share of all blocks.
    pub stale_share: f64,
    /// For each miner: node, blocks found, blocks stale.
    pub miners: Vec<MinerFigures>,
    /// From finding a block to connecting it, over all nodes and blocks, in milliseconds.
    pub propagation_ms: Percentiles,
    /// How often a node took back that many blocks at once.
    pub reorgs: BTreeMap<u32, u64>,
    /// From the last event to one tip, in milliseconds; absent: never.
    pub one_tip_after_ms: Option<f64>,
    /// Nodes that are up in the end, by tip: the number on each.
    pub tips: Vec<usize>,
    /// Payments handed to nodes, and what became of them.
    pub payments: PaymentFigures,
    /// Connections that nodes ended by themselves, as with a peer that was silent for too long.
    pub sent_away: u64,
    /// Messages and bytes by kind.
    pub traffic: BTreeMap<String, TrafficFigures>,
    /// Writes that were lost or torn on disks whose power was cut.
    pub torn_writes: usize,
    /// Bytes of all kinds for each block and node.
    pub bytes_per_block_and_node: f64,
    /// Faults that took effect, by name.
    pub actions: BTreeMap<String, u64>,
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
}

/// Payments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFigures {
    /// Handed to nodes and taken by them.
    pub sent: u64,
    /// In the final chain.
    pub confirmed: u64,
    /// In some mempool.
    pub waiting: u64,
    /// Overtaken: the payer spent the same coin at another node.
    pub conflicted: u64,
    /// Spending what a payment gave that came to nothing.
    pub void: u64,
    /// Lost with the only nodes that had them, which crashed.
    pub crashed: u64,
    /// None of these.
    pub vanished: u64,
}

impl PaymentFigures {
    /// Counts the end of one payment.
    pub fn count(&mut self, fate: Fate) {
        self.sent += 1;
        *match fate {
            Fate::Confirmed => &mut self.confirmed,
            Fate::Waiting => &mut self.waiting,
            Fate::Conflicted => &mut self.conflicted,
            Fate::Void => &mut self.void,
            Fate::Crashed => &mut self.crashed,
            Fate::Vanished => &mut self.vanished,
        } += 1;
    }
}

/// Messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficFigures {
    /// How many.
    pub messages: u64,
    /// Bytes on the wire, without transport overhead.
    pub bytes: u64,
}

/// Percentiles of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half of the sample is below.
    pub p50: f64,
    /// Nine tenths.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
}

impl Percentiles {
    /// Of a sample in any order, scaled.
    pub fn of(mut sample: Vec<u64>, scale: f64) -> Percentiles {
        sample.sort_unstable();
        let at = |percent: usize| match sample.len() {
            0 => 0.0,
            length => sample[(length * percent / 100).min(length - 1)] as f64 * scale,
        };
        Percentiles {
            p50: at(50),
            p90: at(90),
            p99: at(99),
        }
    }
}

/// A block that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) node: usize,
    pub(super) at_us: u64,
}

/// What is counted while a run goes on.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) found: BTreeMap<BlockHash, Found>,
    pub(super) delays_us: Vec<u64>,
    pub(super) reorgs: BTreeMap<u32, u64>,
    /// By kind, in order. A handful, looked up with every message.
    pub(super) traffic: Vec<(&'static str, TrafficFigures)>,
    /// Faults that took effect, by name.
    pub(super) actions: BTreeMap<String, u64>,
    /// Steps of the plan that were taken.
    pub(super) steps: usize,
    /// Writes that were lost or torn when power went.
    pub(super) torn_writes: usize,
    /// What of `traffic` was told in the record.
    told: BTreeMap<&'static str, TrafficFigures>,
    /// Connections that nodes ended, as with somebody who did not answer.
    pub(super) sent_away: u64,
}

impl Counters {
    /// A node took back that many blocks, if any, and goes on from there.
    pub(super) fn note_reorg(&mut self, taken_back: &mut u32) {
        if *taken_back > 0 {
            *self.reorgs.entry(*taken_back).or_default() += 1;
            *taken_back = 0;
        }
    }

    /// What was sent since the last call, by kind.
    pub(super) fn untold_traffic(&mut self) -> Vec<(&'static str, TrafficFigures)> {
        let mut untold = Vec::new();
        for (kind, total) in &self.traffic {
            let told = self.told.entry(kind).or_default();
            if told != total {
                let since = TrafficFigures {
                    messages: total.messages - told.messages,
                    bytes: total.bytes - told.bytes,
                };
                untold.push((*kind, since));
                *told = *total;
            }
        }
        untold
    }

    pub(super) fn sent(&mut self, kind: &'static str, bytes: usize) {
        let known = self.traffic.iter().position(|(known, _)| *known == kind);
        let at = known.unwrap_or_else(|| {
            let at = self.traffic.partition_point(|(known, _)| *known < kind);
            self.traffic.insert(at, (kind, TrafficFigures::default()));
            at
        });
        let figures = &mut self.traffic[at].1;
        figures.messages += 1;
        figures.bytes += bytes as u64;
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{:.0} s of virtual time, {} events, {} blocks to height {}",
            self.seconds, self.events, self.blocks, self.height
        )?;
        writeln!(
            f,
            "stale        {} ({:.2}%)",
            self.stale,
            self.stale_share * 100.0
        )?;
        let Percentiles { p50, p90, p99 } = self.propagation_ms;
        writeln!(
            f,
            "propagation  p50 {p50:.0} ms, p90 {p90:.0} ms, p99 {p99:.0} ms"
        )?;
        let deepest = self.reorgs.keys().next_back().copied().unwrap_or(0);
        let count: u64 = self.reorgs.values().sum();
        writeln!(f, "reorgs       {count}, the deepest {deepest} blocks")?;
        match self.one_tip_after_ms {
            Some(ms) => writeln!(f, "one tip      {ms:.0} ms after the last event")?,
            None => writeln!(f, "one tip      never after the last event")?,
        }
        let PaymentFigures {
            sent,
            confirmed,
            waiting,
            conflicted,
            void,
            crashed,
            vanished,
        } = self.payments;
        if sent > 0 {
            write!(
                f,
                "payments     {sent} sent, {confirmed} confirmed, {waiting} waiting"
            )?;
            for (count, fate) in [
                (
                    conflicted,
                    "conflicted (the coin was spent at another node)",
                ),
                (void, "void (their parent came to nothing)"),
                (crashed, "lost with the only node that had them"),
                (vanished, "VANISHED"),
            ] {
                if count > 0 {
                    write!(f, ", {count} {fate}")?;
                }
            }
            writeln!(f)?;
        }
        write!(
            f,
            "traffic      {:.0} bytes per block and node:",
            self.bytes_per_block_and_node
        )?;
        for (kind, figures) in &self.traffic {
            write!(f, " {kind} {}x {} B,", figures.messages, figures.bytes)?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_sample() {
        let sample = (0..1_000).rev().collect();
        let percentiles = Percentiles::of(sample, 0.5);
        assert_eq!(percentiles.p50, 250.0);
        assert_eq!(percentiles.p99, 495.0);
        assert_eq!(Percentiles::of(vec![], 1.0), Percentiles::default());
    }
}
