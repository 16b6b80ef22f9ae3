//! The fork tree as SVG: time from left to right, a lane for each branch, blocks of the final chain filled, all others hollow.

use std::fmt::Write;

use super::chart::times;
use super::escape;
use crate::record::Record;
use crate::tell::tree::{Tree, TreeBlock};
use crate::tell::words::{nodes, place, time};

/// Pixels for each lane, and around.
const LANE: f64 = 26.0;
const MARGIN: f64 = 18.0;
/// The narrowest and the widest drawing; a wide one scrolls.
const NARROWEST: f64 = 860.0;
const WIDEST: f64 = 9_000.0;
/// Wished for between two blocks.
const PIXELS_A_BLOCK: f64 = 11.0;
/// Payments that are named with a block.
const PAYMENTS_TOLD: usize = 12;
/// More lanes than this are not drawn.
const MOST_LANES: usize = 60;

/// The drawing.
pub(super) fn svg(record: &Record, tree: &Tree, shades: &[(u64, u64, String)]) -> String {
    let end = record.end_t().max(1) as f64;
    let blocks = tree.blocks.iter().filter(|block| block.lane == 0).count() as f64;
    let width = (blocks * PIXELS_A_BLOCK).clamp(NARROWEST, WIDEST);
    let lanes = tree.lanes.min(MOST_LANES);
    let height = MARGIN * 2.0 + LANE * (lanes as f64 - 1.0) + 26.0;
    let drawing = Drawing { record, end, width };
    let mut svg = format!(
        "<div class=wide><svg class=tree viewBox=\"0 0 {width} {height}\" style=\"width:{width}px;height:{height}px\" role=img><title>Fork tree: {} blocks on {} lanes</title>",
        record.blocks.len(),
        tree.lanes
    );
    for (from, to, what) in shades {
        let (x, to) = (drawing.x(*from), drawing.x(*to));
        let _ = write!(
            svg,
            "<rect class=shade x={x:.1} y=0 width={:.1} height={:.1}><title>{}</title></rect>",
            (to - x).max(1.5),
            height - 26.0,
            escape(what)
        );
    }
    for (t, name) in times(end) {
        let x = drawing.x(t);
        let anchor = match x {
            x if x < 20.0 => "start",
            x if x > width - 24.0 => "end",
            _ => "mid",
        };
        let _ = write!(
            svg,
            "<text x={x:.1} y={:.1} class={anchor}>{name}</text>",
            height - 8.0
        );
    }
    let shown = || tree.blocks.iter().filter(|block| block.lane < MOST_LANES);
    let lane_of: std::collections::BTreeMap<_, _> = tree
        .blocks
        .iter()
        .map(|block| (block.id, block.lane))
        .collect();
    for block in shown() {
        let parent = record.blocks.get(block.id).parent;
        drawing.link(
            &mut svg,
            block,
            (record.blocks.get(parent).t, lane_of[&parent]),
        );
    }
    shown().for_each(|block| drawing.block(&mut svg, block));
    svg += "</svg></div>";
    if tree.lanes > MOST_LANES {
        let _ = write!(
            svg,
            "<p>{} more lanes are not drawn.</p>",
            tree.lanes - MOST_LANES
        );
    }
    svg
}

struct Drawing<'a> {
    record: &'a Record,
    end: f64,
    width: f64,
}

impl Drawing<'_> {
    fn x(&self, t: u64) -> f64 {
        MARGIN + (self.width - 2.0 * MARGIN) * (t as f64 / self.end)
    }

    fn y(lane: usize) -> f64 {
        MARGIN + LANE * lane as f64
    }

    /// From a block's parent to the block.
    fn link(&self, svg: &mut String, block: &TreeBlock, (t, lane): (u64, usize)) {
        let (x, y) = (self.x(block.t), Self::y(block.lane));
        let (from_x, from_y) = (self.x(t), Self::y(lane));
        let class = if block.is_final { "final" } else { "lost" };
        let path = match lane == block.lane {
            true => format!("M{from_x:.1} {from_y}H{x:.1}"),
            false => {
                let turn = (from_x + 9.0).min(x);
                format!(
                    "M{from_x:.1} {from_y}C{turn:.1} {from_y} {from_x:.1} {y} {turn:.1} {y}H{x:.1}"
                )
            }
        };
        let _ = write!(svg, "<path class={class} d=\"{path}\"/>");
    }

    fn block(&self, svg: &mut String, at: &TreeBlock) {
        let block = self.record.blocks.get(at.id);
        let (x, y) = (self.x(at.t), Self::y(at.lane));
        let class = if at.is_final { "final" } else { "lost" };
        let mut told = format!(
            "{}, {}",
            place(&self.record.blocks.position(at.id)),
            time(at.t)
        );
        if let Some(node) = block.found_by {
            let _ = write!(told, "\nfound by node {node}");
        }
        if !at.is_final {
            told += "\nnot in the final chain";
        }
        let on = self.record.nodes.iter().enumerate();
        let end = self.record.end_t();
        let on: Vec<usize> = on
            .filter(|(_, node)| node.tip_at(end) == Some(at.id))
            .map(|(node, _)| node)
            .collect();
        if !on.is_empty() {
            let _ = write!(told, "\ntip of {}", nodes(&on));
        }
        if !block.payments.is_empty() {
            let _ = write!(told, "\n{} payments", block.payments.len());
            for txid in block.payments.iter().take(PAYMENTS_TOLD) {
                let _ = write!(told, "\n{txid}");
            }
        }
        // A block with payments is larger; a tip has a ring.
        let radius = if block.payments.is_empty() { 3.2 } else { 4.4 };
        if !on.is_empty() {
            let _ = write!(svg, "<circle class=ring cx={x:.1} cy={y} r=7.5 />");
        }
        let _ = write!(
            svg,
            "<circle class={class} cx={x:.1} cy={y} r={radius}><title>{}</title></circle>",
            escape(&told)
        );
    }
}
