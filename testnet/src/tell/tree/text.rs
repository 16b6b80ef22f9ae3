//! The fork tree as text: time goes down, a column for each lane, blocks of the final chain filled, all others hollow.

use std::collections::BTreeMap;

use super::{Branch, Tree, TreeBlock};
use crate::record::{BlockId, Record};
use crate::tell::words::{count, nodes, short, time};

/// Of a run of more blocks than this in which no branch begins or ends, only the ends are told.
const LONGEST_RUN: usize = 6;
/// That many at each end.
const TOLD: usize = 2;

/// One line of the tree, before runs are cut short.
enum Row<'a> {
    /// A block, and whether it is of interest by itself.
    Block(&'a TreeBlock, bool),
    /// Something was done to the network.
    Event(u64, String),
}

/// Draws the tree, the newest block last.
pub fn draw(record: &Record, tree: &Tree) -> String {
    let drawing = Drawing::new(record, tree);
    let rows = rows(record, tree, &drawing.tips);
    let mut text = String::new();
    let mut at = 0;
    while at < rows.len() {
        let run = rows[at..]
            .iter()
            .take_while(|row| matches!(row, Row::Block(_, false)))
            .count();
        match run {
            0 => {
                text += &drawing.row(&rows[at]);
                at += 1;
            }
            1..=LONGEST_RUN => {
                rows[at..at + run]
                    .iter()
                    .for_each(|row| text += &drawing.row(row));
                at += run;
            }
            _ => {
                rows[at..at + TOLD]
                    .iter()
                    .for_each(|row| text += &drawing.row(row));
                text += &drawing.left_out(&rows[at + TOLD], run - 2 * TOLD);
                let end = at + run;
                rows[end - TOLD..end]
                    .iter()
                    .for_each(|row| text += &drawing.row(row));
                at = end;
            }
        }
    }
    text
}

fn rows<'a>(record: &Record, tree: &'a Tree, tips: &BTreeMap<BlockId, Vec<usize>>) -> Vec<Row<'a>> {
    let is_told = |block: &TreeBlock| {
        let branch = &tree.branches[block.branch];
        let forks = tree.branches.iter().any(|branch| branch.from == block.id);
        forks || branch.first == block.id || branch.last == block.id || tips.contains_key(&block.id)
    };
    let blocks = tree
        .blocks
        .iter()
        .map(|block| (block.t, 1, Row::Block(block, is_told(block))));
    let mut rows: Vec<(u64, u8, Row<'_>)> = blocks.collect();
    for fault in &record.faults {
        let begun = fault.begun.map(|t| (t, format!("{} begins", fault.what)));
        let ended = fault.ended.map(|t| (t, format!("{} is over", fault.what)));
        let failed = fault
            .failed
            .clone()
            .map(|(t, why)| (t, format!("{} failed: {why}", fault.what)));
        for (t, what) in [begun, ended, failed].into_iter().flatten() {
            rows.push((t, 2, Row::Event(t, what)));
        }
    }
    rows.sort_by_key(|(t, kind, _)| (*t, *kind));
    rows.into_iter().map(|(.., row)| row).collect()
}

struct Drawing<'a> {
    record: &'a Record,
    tree: &'a Tree,
    /// Nodes on each tip at the end.
    tips: BTreeMap<BlockId, Vec<usize>>,
}

impl<'a> Drawing<'a> {
    fn new(record: &'a Record, tree: &'a Tree) -> Drawing<'a> {
        let mut tips: BTreeMap<BlockId, Vec<usize>> = BTreeMap::new();
        for (node, history) in record.nodes.iter().enumerate() {
            if let Some(tip) = history.tip_at(record.end_t()) {
                tips.entry(tip).or_default().push(node);
            }
        }
        Drawing { record, tree, tips }
    }

    /// Columns that the lanes take.
    fn width(&self) -> usize {
        2 * self.tree.lanes - 1
    }

    fn row(&self, row: &Row<'_>) -> String {
        match row {
            Row::Event(t, what) => {
                let lanes = self.lanes(*t, None);
                let width = self.width();
                format!("{:>11} {:>7}  {lanes:width$}  -- {what}\n", time(*t), "")
            }
            Row::Block(block, _) => self.block(block),
        }
    }

    fn block(&self, at: &TreeBlock) -> String {
        let block = self.record.blocks.get(at.id);
        let mut text = String::new();
        let branch = &self.tree.branches[at.branch];
        if branch.first == at.id && at.branch > 0 {
            text += &format!("{:>11} {:>7}  {}\n", "", "", self.fork(at));
        }
        let mut words = vec![short(&block.hash)];
        words.extend(block.found_by.map(|node| format!("by node {node}")));
        if !block.payments.is_empty() {
            words.push(count(block.payments.len() as u64, "payment"));
        }
        if let Some(on) = self.tips.get(&at.id) {
            words.push(format!("<- {}", nodes(on)));
        }
        let (lanes, width) = (self.lanes(at.t, Some(at)), self.width());
        let line = format!(
            "{:>11} {:>7}  {lanes:width$}  {}\n",
            time(at.t),
            block.height,
            words.join("  ")
        );
        text + &line
    }

    fn left_out(&self, next: &Row<'_>, number: usize) -> String {
        let Row::Block(block, _) = next else {
            return String::new();
        };
        let lanes = self.lanes(block.t, None).replace('│', ":");
        let width = self.width();
        format!(
            "{:>11} {:>7}  {lanes:width$}  {number} more blocks\n",
            "", ":"
        )
    }

    /// What is on each lane at a time.
    fn lanes(&self, t: u64, block: Option<&TreeBlock>) -> String {
        let mut lanes = vec![' '; self.tree.lanes];
        for branch in &self.tree.branches {
            if self.is_open(branch, t, block) {
                lanes[branch.lane] = '│';
            }
        }
        if let Some(block) = block {
            lanes[block.lane] = if block.is_final { '●' } else { '○' };
        }
        joined(&lanes, None)
    }

    /// Whether a branch's line passes a row.
    fn is_open(&self, branch: &Branch, t: u64, block: Option<&TreeBlock>) -> bool {
        let key = |id: BlockId| (self.record.blocks.get(id).t, id);
        match block {
            Some(block) => {
                let now = (t, block.id);
                key(branch.first) <= now && now <= key(branch.last)
            }
            // An event comes after all blocks of its time. The final chain goes on.
            None => key(branch.first).0 <= t && (t < key(branch.last).0 || branch.lane == 0),
        }
    }

    /// The line from a block's parent to the lane of the branch that begins with the block.
    fn fork(&self, at: &TreeBlock) -> String {
        let from = self.tree.branches[at.branch].from;
        let parent = self.tree.blocks.iter().find(|block| block.id == from);
        let parent_lane = parent.map_or(0, |parent| parent.lane);
        let mut lanes: Vec<char> = vec![' '; self.tree.lanes];
        for (index, branch) in self.tree.branches.iter().enumerate() {
            if index != at.branch && self.is_open(branch, at.t, Some(at)) {
                lanes[branch.lane] = '│';
            }
        }
        let (low, high) = (parent_lane.min(at.lane), parent_lane.max(at.lane));
        lanes[parent_lane] = if parent_lane < at.lane { '├' } else { '┤' };
        lanes[at.lane] = if parent_lane < at.lane { '╮' } else { '╭' };
        joined(&lanes, Some((low, high)))
    }
}

/// Lanes with a blank between each two, or a line between those two.
fn joined(lanes: &[char], line: Option<(usize, usize)>) -> String {
    let mut text = String::new();
    for (lane, what) in lanes.iter().enumerate() {
        let inside = line.is_some_and(|(low, high)| low <= lane && lane < high);
        let crossed = line.is_some_and(|(low, high)| low < lane && lane < high);
        text.push(match what {
            ' ' if crossed => '─',
            '│' if crossed => '┼',
            what => *what,
        });
        text.push(if inside { '─' } else { ' ' });
    }
    text.trim_end().to_owned()
}
