//! When a network was made whole, and what each node did then.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{NodeReport, NodesOnTip, State};
use crate::plan::Apart;
use crate::record::{BlockId, Record};
use crate::tell::ledger::Ledger;

/// The end of one or more splits at one time.
pub(super) struct Healing {
    /// The faults that ended.
    pub(super) faults: Vec<usize>,
    /// When the first of them had begun.
    pub(super) split: u64,
    /// When they ended.
    pub(super) opened: u64,
    /// Splits that went on.
    pub(super) still_apart: Vec<usize>,
    /// The next split begins, or the run ends.
    pub(super) until: u64,
    pub(super) next_split: Option<usize>,
}

/// The healings of a run, in order of time.
pub(super) fn healings(record: &Record) -> Vec<Healing> {
    let nodes = record.nodes.len();
    let splits: Vec<usize> = (0..record.faults.len())
        .filter(|fault| record.faults[*fault].what.keeps_apart(nodes).is_some())
        .collect();
    let mut by_time: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for fault in &splits {
        if let Some(ended) = record.faults[*fault].ended {
            by_time.entry(ended).or_default().push(*fault);
        }
    }
    let healings = by_time.into_iter().map(|(opened, faults)| {
        let begins = faults
            .iter()
            .filter_map(|fault| record.faults[*fault].begun);
        let others = splits
            .iter()
            .filter(|fault| !faults.contains(fault))
            .copied();
        let next = others
            .clone()
            .filter_map(|fault| Some((record.faults[fault].begun?, fault)))
            .filter(|(begun, _)| *begun >= opened)
            .min();
        Healing {
            split: begins.min().unwrap_or(opened),
            opened,
            still_apart: others
                .filter(|fault| {
                    let fault = &record.faults[*fault];
                    fault.lasts_at(opened) && fault.begun != Some(opened)
                })
                .collect(),
            until: next.map_or(record.end_t().max(opened), |(begun, _)| begun),
            next_split: next.map(|(_, fault)| fault),
            faults,
        }
    });
    healings.collect()
}

impl Healing {
    /// In words.
    pub(super) fn what(&self, record: &Record) -> String {
        let faults = self
            .faults
            .iter()
            .map(|fault| record.faults[*fault].what.to_string());
        let faults: Vec<String> = faults.collect();
        faults.join(", ")
    }

    /// Which groups a node was in: one answer for each of the faults. Nodes with equal answers could talk all the time.
    pub(super) fn groups_of(&self, record: &Record) -> Vec<Vec<Option<usize>>> {
        let nodes = record.nodes.len();
        let faults = self.faults.iter();
        let apart: Vec<Apart> = faults
            .filter_map(|fault| record.faults[*fault].what.keeps_apart(nodes))
            .collect();
        let of = |node: usize| {
            let group = |apart: &Apart| apart.groups.iter().position(|group| group.contains(&node));
            apart.iter().map(group).collect()
        };
        (0..nodes).map(of).collect()
    }
}

/// What every node did when the links were opened.
pub(super) fn nodes(
    record: &Record,
    ledger: &Ledger<'_>,
    healing: &Healing,
    settled: u64,
) -> Vec<NodeReport> {
    let goal = goal(record, ledger, healing.opened);
    (0..record.nodes.len())
        .map(|node| one_node(record, ledger, healing, settled, goal, node))
        .collect()
}

/// What the final chain had when the links were opened.
fn goal(record: &Record, ledger: &Ledger<'_>, opened: u64) -> BlockId {
    let mut chain = record.blocks.ancestors(ledger.tip);
    let known = chain.find(|id| record.blocks.get(*id).t <= opened);
    known.unwrap_or(BlockId::GENESIS)
}

fn one_node(
    record: &Record,
    ledger: &Ledger<'_>,
    healing: &Healing,
    settled: u64,
    goal: BlockId,
    node: usize,
) -> NodeReport {
    let history = &record.nodes[node];
    let (opened, until) = (healing.opened, healing.until);
    let blocks = &record.blocks;
    let state = state_at(record, node, opened);
    let before = history.last_tip_at(opened);
    let is_late = state_at(record, node, settled) != State::Up;
    let after = history.last_tip_at(if is_late { until } else { settled });
    let (reorg_depth, adopted) = match (before, after) {
        (Some(before), Some(after)) => {
            let shared = blocks.get(blocks.common(before, after)).height;
            let above = |tip: BlockId| blocks.get(tip).height - shared;
            (above(before), above(after))
        }
        _ => (0, 0),
    };
    let mut since = history.tips_since(opened).take_while(|(t, _)| *t <= until);
    let is_there = |tip: BlockId| ledger.holds(tip) && blocks.is_on_chain(goal, tip);
    let joined = since.find(|(_, tip)| tip.is_some_and(is_there));
    let mut later = history.tips_since(opened).take_while(|(t, _)| *t <= until);
    let changed = later.find(|(_, tip)| tip.is_some() && *tip != before);
    let within = |t: &u64| *t > opened && *t <= until;
    let down = history.exits.iter().map(|(t, _)| *t).find(within);
    let after = |t: u64| t - opened;
    NodeReport {
        node,
        state,
        tip: before.map(|tip| blocks.position(tip)),
        reorg_depth,
        adopted,
        changed_us: changed.map(|(t, _)| after(t)),
        joined_us: joined.map(|(t, _)| after(t)),
        down_us: down.map(after),
        back_us: back(record, node, state, opened, down)
            .filter(within)
            .map(after),
    }
}

/// When a node that was frozen or down, or went down, was there again.
fn back(record: &Record, node: usize, state: State, opened: u64, down: Option<u64>) -> Option<u64> {
    let up_since = |t: u64| {
        let mut tips = record.nodes[node].tips_since(t).skip(1);
        tips.find(|(_, tip)| tip.is_some()).map(|(t, _)| t)
    };
    match state {
        State::Down => up_since(opened),
        State::Frozen => {
            let ends = record.faults.iter().filter_map(|fault| fault.ended);
            ends.filter(|t| *t >= opened && !record.is_frozen_at(node, *t))
                .min()
        }
        State::Up => up_since(down?),
    }
}

/// What a node is at a time.
fn state_at(record: &Record, node: usize, t: u64) -> State {
    match record.nodes[node].tip_at(t) {
        None => State::Down,
        Some(_) if record.is_frozen_at(node, t) => State::Frozen,
        Some(_) => State::Up,
    }
}

/// Nodes that are up, by tip: most nodes first.
pub(super) fn tips_at(record: &Record, t: u64) -> Vec<NodesOnTip> {
    let mut tips: BTreeMap<BlockId, Vec<usize>> = BTreeMap::new();
    for (node, history) in record.nodes.iter().enumerate() {
        if let Some(tip) = history.tip_at(t) {
            tips.entry(tip).or_default().push(node);
        }
    }
    let mut tips: Vec<NodesOnTip> = tips
        .into_iter()
        .map(|(tip, nodes)| NodesOnTip {
            tip: record.blocks.position(tip),
            nodes,
        })
        .collect();
    tips.sort_by_key(|on| (Reverse(on.nodes.len()), Reverse(on.tip.height)));
    tips
}
