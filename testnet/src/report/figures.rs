//! The figures of a simulated run, made from its trace alone: what `mend sim run` prints can be checked by anyone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use bitcoin::BlockHash;

use crate::sim::stats::{MinerFigures, PaymentFigures, Percentiles, Summary, TrafficFigures};
use crate::sim::trace::Line;

/// Why a trace gives no figures.
#[derive(Debug, thiserror::Error)]
pub enum FiguresError {
    /// It cannot be read.
    #[error("cannot read the trace: {0}")]
    Read(#[from] std::io::Error),
    /// A line is not one of a trace.
    #[error("line {line} of the trace: {problem}; give a file that `mend sim run --trace` wrote")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The last line is missing.
    #[error("the trace has no end; was the run broken off?")]
    NoEnd,
}

/// The figures of a trace, equal to those that the run itself gave.
///
/// # Errors
///
/// [`FiguresError`] names the line that makes no sense.
pub fn figures(trace: impl BufRead) -> Result<Summary, FiguresError> {
    let mut reader = Reader::default();
    for (index, line) in trace.lines().enumerate() {
        let line = serde_json::from_str(&line?).map_err(|error| FiguresError::Line {
            line: index + 1,
            problem: error.to_string(),
        })?;
        reader.read(line);
    }
    reader.finish()
}

struct Found {
    node: usize,
    at_us: u64,
    parent: BlockHash,
    /// Work of all blocks up to this one.
    chain_work: u128,
}

/// What is known up to some line.
#[derive(Default)]
struct Reader {
    nodes: usize,
    found: BTreeMap<BlockHash, Found>,
    delays_us: Vec<u64>,
    /// Blocks that a node took back since it last connected one, and when.
    taken_back: BTreeMap<usize, (u64, u32)>,
    reorgs: BTreeMap<u32, u64>,
    /// Tips of the nodes that are up, with their heights.
    tips: BTreeMap<usize, (BlockHash, u32)>,
    agreed: bool,
    last_act_us: u64,
    /// First agreement since the last action.
    one_tip_us: Option<u64>,
    payments: PaymentFigures,
    sent_away: u64,
    torn_writes: usize,
    traffic: BTreeMap<String, TrafficFigures>,
    actions: BTreeMap<String, u64>,
    /// Time and number of events at the end.
    end: Option<(u64, u64)>,
}

impl Reader {
    fn read(&mut self, line: Line) {
        match line {
            Line::Start { nodes, .. } => self.nodes = nodes,
            Line::Found {
                t,
                node,
                hash,
                parent,
                work,
                ..
            } => {
                let above = self.found.get(&parent).map_or(0, |found| found.chain_work);
                let found = Found {
                    node,
                    at_us: t,
                    parent,
                    chain_work: above + u128::from(work),
                };
                self.found.insert(hash, found);
            }
            Line::Connected {
                t,
                node,
                hash,
                height,
            } => {
                self.end_reorg(node);
                self.tips.insert(node, (hash, height));
                if let Some(found) = self.found.get(&hash).filter(|found| found.node != node) {
                    self.delays_us.push(t - found.at_us);
                }
            }
            Line::Disconnected { t, node, .. } => self.took_back(t, node),
            Line::Begun { t, what, .. } => {
                *self.actions.entry(what.name().to_owned()).or_default() += 1;
                self.acted(t);
            }
            Line::Ended { t, .. } => self.acted(t),
            Line::Fate { fate, .. } => self.payments.count(fate),
            Line::Traffic {
                kind,
                messages,
                bytes,
                ..
            } => {
                let figures = self.traffic.entry(kind).or_default();
                figures.messages += messages;
                figures.bytes += bytes;
            }
            Line::Up {
                node, hash, height, ..
            } => _ = self.tips.insert(node, (hash, height)),
            Line::Down { node, torn, .. } => {
                self.torn_writes += torn;
                self.end_reorg(node);
                self.tips.remove(&node);
            }
            Line::SentAway { .. } => self.sent_away += 1,
            Line::Divided { .. } => self.agreed = false,
            Line::Agreed { t, .. } => {
                self.agreed = true;
                self.one_tip_us.get_or_insert(t);
            }
            Line::End { t, events } => self.end = Some((t, events)),
            Line::Paid { .. } => {}
        }
    }

    fn acted(&mut self, t: u64) {
        self.last_act_us = t;
        self.one_tip_us = self.agreed.then_some(t);
    }

    /// Blocks that are taken back at one time, without one connected between them, are one reorg.
    fn took_back(&mut self, t: u64, node: usize) {
        if self.taken_back.get(&node).is_some_and(|(at, _)| *at != t) {
            self.end_reorg(node);
        }
        self.taken_back.entry(node).or_insert((t, 0)).1 += 1;
    }

    fn end_reorg(&mut self, node: usize) {
        if let Some((_, depth)) = self.taken_back.remove(&node) {
            *self.reorgs.entry(depth).or_default() += 1;
        }
    }

    /// Blocks of the chain that ends in `tip`.
    fn chain_of(&self, tip: BlockHash) -> BTreeSet<BlockHash> {
        let mut chain = BTreeSet::new();
        let mut at = tip;
        while let Some(found) = self.found.get(&at) {
            chain.insert(at);
            at = found.parent;
        }
        chain
    }

    fn finish(mut self) -> Result<Summary, FiguresError> {
        let (end_us, events) = self.end.ok_or(FiguresError::NoEnd)?;
        for node in 0..self.nodes {
            self.end_reorg(node);
        }
        // Of equal chains that of the first node, as in the run.
        let work =
            |tip: &(BlockHash, u32)| self.found.get(&tip.0).map_or(0, |found| found.chain_work);
        let best = self.tips.values().fold(None, |best, tip| match best {
            Some(best) if work(&best) >= work(tip) => Some(best),
            _ => Some(*tip),
        });
        let active = best.map_or_else(BTreeSet::new, |(tip, _)| self.chain_of(tip));
        let mut miners: BTreeMap<usize, MinerFigures> = BTreeMap::new();
        for (hash, found) in &self.found {
            let miner = miners.entry(found.node).or_default();
            miner.node = found.node;
            miner.found += 1;
            miner.stale += u64::from(!active.contains(hash));
        }
        let mut on_tip: BTreeMap<BlockHash, usize> = BTreeMap::new();
        for (hash, _) in self.tips.values() {
            *on_tip.entry(*hash).or_default() += 1;
        }
        let mut tips: Vec<usize> = on_tip.into_values().collect();
        tips.sort_unstable_by(|a, b| b.cmp(a));
        let blocks = self.found.len() as u64;
        let stale = miners.values().map(|miner| miner.stale).sum::<u64>();
        let bytes: u64 = self.traffic.values().map(|kind| kind.bytes).sum();
        let after_us = self.one_tip_us.map(|us| us - self.last_act_us);
        Ok(Summary {
            seconds: end_us as f64 / 1e6,
            events,
            blocks,
            height: best.map_or(0, |(_, height)| height),
            stale,
            stale_share: stale as f64 / blocks.max(1) as f64,
            miners: miners.into_values().collect(),
            propagation_ms: Percentiles::of(self.delays_us, 1e-3),
            reorgs: self.reorgs,
            one_tip_after_ms: after_us.map(|us| us as f64 / 1e3),
            tips,
            payments: self.payments,
            sent_away: self.sent_away,
            traffic: self.traffic,
            torn_writes: self.torn_writes,
            bytes_per_block_and_node: bytes as f64 / (blocks * self.nodes as u64).max(1) as f64,
            actions: self.actions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_is_none_is_named_by_its_line() {
        let start = r#"{"e":"start","scenario":"x","seed":1,"nodes":2}"#;
        let text = format!("{start}\nhello\n");
        let error = figures(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("line 2 of the trace"), "{error}");
        let error = figures(start.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("no end"), "{error}");
    }
}
