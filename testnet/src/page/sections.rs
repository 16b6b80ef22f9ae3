//! The parts of the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::chart::{COLOURS, Chart, Line};
use super::escape;
use crate::record::{Placed, Record};
use crate::tell::checks::Verdict;
use crate::tell::heal::{HealReport, Outcome, State};
use crate::tell::report::Report;
use crate::tell::words::{amount, bytes, count, hashes, nodes, place, time};

/// With more nodes than this, charts show the span of all of them instead of each.
const NODES_SHOWN: usize = 12;
/// Links with the most bytes that are shown by themselves.
const LINKS_SHOWN: usize = 7;
/// Points of a line of bytes over time.
const INTERVALS: u64 = 120;
/// Payments and faults that are listed one by one.
const ROWS: usize = 200;

type Shades = [(u64, u64, String)];

pub(super) fn cards(report: &Report) -> String {
    let figures = &report.figures;
    let payments: u64 = figures.payments.values().sum();
    let one_tip = match figures.one_tip_after_ms {
        Some(ms) => time((ms * 1e3) as u64),
        None => "never".to_owned(),
    };
    let cards = [
        (time((figures.seconds * 1e6) as u64), "long"),
        (figures.height.to_string(), "height"),
        (
            format!("{} of {}", figures.stale, figures.blocks),
            "blocks lost",
        ),
        (figures.deepest_reorg().to_string(), "deepest reorg"),
        (one_tip, "to one tip, after the last event"),
        (
            time((figures.propagation_ms.p50 * 1e3) as u64),
            "for a block to half of the nodes",
        ),
        (payments.to_string(), "payments"),
        (
            bytes(figures.traffic.values().map(|kind| kind.bytes).sum()),
            "sent",
        ),
    ];
    let cards = cards.map(|(value, what)| format!("<div><b>{value}</b><span>{what}</span></div>"));
    format!("<div class=cards>{}</div>", cards.concat())
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let cells = |cells: &[String], tag: &str| {
        let cell = |cell: &String| match cell.strip_prefix('#') {
            Some(number) => format!("<{tag} class=n>{number}</{tag}>"),
            None => format!("<{tag}>{cell}</{tag}>"),
        };
        cells.iter().map(cell).collect::<String>()
    };
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let mut text = format!("<div class=wide><table><tr>{}</tr>", cells(&head, "th"));
    for row in rows {
        let _ = write!(text, "<tr>{}</tr>", cells(&row, "td"));
    }
    text + "</table></div>"
}

pub(super) fn checks(report: &Report) -> String {
    let row = |check: &crate::tell::Check| {
        let verdict = match check.verdict {
            Verdict::Holds => "<span class=ok>holds</span>",
            Verdict::Fails => "<b class=bad>fails</b>",
            Verdict::NotKnown => "<span class=dim>not known</span>",
        };
        vec![
            escape(&check.name),
            escape(&check.seen),
            escape(&check.bound),
            verdict.to_owned(),
        ]
    };
    table(
        &["What", "Seen", "Expected", ""],
        report.checks.iter().map(row),
    )
}

pub(super) fn heights(record: &Record, shades: &Shades) -> String {
    over_time(record, shades, "Heights", "blocks", |block| {
        f64::from(block.height)
    })
}

pub(super) fn work(record: &Record, shades: &Shades) -> String {
    over_time(record, shades, "Work", "hashes", |block| {
        block.chain_work as f64
    })
}

/// Something of each node's tip over time.
fn over_time(
    record: &Record,
    shades: &Shades,
    title: &str,
    unit: &'static str,
    of: fn(&Placed) -> f64,
) -> String {
    let value = |tip: Option<crate::record::BlockId>| tip.map(|tip| of(record.blocks.get(tip)));
    let lines = if record.nodes.len() <= NODES_SHOWN {
        let nodes = record.nodes.iter().enumerate();
        let line = |(node, history): (usize, &crate::record::NodeHistory)| Line {
            name: format!("node {node}"),
            points: last_of_each_time(history.tips.iter().map(|(t, tip)| (*t, value(*tip)))),
            colour: node % COLOURS,
        };
        nodes.map(line).collect()
    } else {
        spans(record, value)
    };
    let mut chart = Chart {
        title: format!("{title} over time"),
        end: record.end_t(),
        shades: shades.to_vec(),
        lines,
        unit,
    };
    // Later lines hide earlier ones: where all agree, the first is to be seen.
    chart.lines.reverse();
    let svg = chart.svg();
    let dim = if record.nodes.len() > NODES_SHOWN {
        "<p class=dim>The highest, the middle and the lowest of all nodes.</p>"
    } else {
        ""
    };
    format!("{svg}{dim}")
}

/// The highest, the middle and the lowest value of all nodes.
fn spans(
    record: &Record,
    value: impl Fn(Option<crate::record::BlockId>) -> Option<f64>,
) -> Vec<Line> {
    let mut changes: Vec<(u64, usize, Option<f64>)> = Vec::new();
    for (node, history) in record.nodes.iter().enumerate() {
        changes.extend(history.tips.iter().map(|(t, tip)| (*t, node, value(*tip))));
    }
    changes.sort_by_key(|(t, ..)| *t);
    // Values in order, with how many nodes have each.
    let key = |value: f64| value as u128;
    let mut now: Vec<Option<f64>> = vec![None; record.nodes.len()];
    let mut having: BTreeMap<u128, usize> = BTreeMap::new();
    let mut points: [Vec<(u64, Option<f64>)>; 3] = Default::default();
    let mut changes = changes.into_iter().peekable();
    while let Some((t, node, value)) = changes.next() {
        if let Some(old) = now[node].take()
            && let Some(number) = having.get_mut(&key(old))
        {
            *number -= 1;
            if *number == 0 {
                having.remove(&key(old));
            }
        }
        now[node] = value;
        if let Some(new) = value {
            *having.entry(key(new)).or_default() += 1;
        }
        if changes.peek().is_some_and(|(next, ..)| *next == t) {
            continue;
        }
        let up: usize = having.values().sum();
        let mut below = 0;
        let middle = having.iter().find(|(_, number)| {
            below += **number;
            below * 2 >= up
        });
        let told = [
            having.keys().next_back(),
            middle.map(|(value, _)| value),
            having.keys().next(),
        ];
        for (points, value) in points.iter_mut().zip(told) {
            let value = value.map(|value| *value as f64);
            if points.last().is_none_or(|(_, last)| *last != value) {
                points.push((t, value));
            }
        }
    }
    let names = ["highest", "middle", "lowest"];
    let lines = names.into_iter().zip(points).enumerate();
    lines
        .map(|(colour, (name, points))| Line {
            name: name.to_owned(),
            points,
            colour,
        })
        .collect()
}

fn last_of_each_time(points: impl Iterator<Item = (u64, Option<f64>)>) -> Vec<(u64, Option<f64>)> {
    let mut last: Vec<(u64, Option<f64>)> = Vec::new();
    for (t, value) in points {
        match last.last_mut() {
            Some(point) if point.0 == t => point.1 = value,
            _ => last.push((t, value)),
        }
    }
    last
}

pub(super) fn healings(record: &Record, report: &Report) -> String {
    if report.heals.is_empty() {
        return "<p class=none>No split was healed.</p>".to_owned();
    }
    let longest = report.heals.iter().map(shown_us).max().unwrap_or(1);
    let line = |(index, heal): (usize, &HealReport)| Line {
        name: format!("healing {} ({})", index + 1, time(heal.opened_at_us)),
        points: joined(heal, record.nodes.len()),
        colour: index,
    };
    let chart = Chart {
        title: "Nodes on the final chain since each healing".to_owned(),
        end: longest,
        shades: Vec::new(),
        lines: report
            .heals
            .iter()
            .enumerate()
            .take(COLOURS)
            .map(line)
            .collect(),
        unit: "nodes",
    };
    let heals: String = report
        .heals
        .iter()
        .enumerate()
        .map(|(index, heal)| healing(index, heal))
        .collect();
    let svg = chart.svg();
    format!("<p class=dim>Nodes on the final chain since the links were opened:</p>{svg}{heals}")
}

/// How long of a healing is worth showing.
fn shown_us(heal: &HealReport) -> u64 {
    let last = heal
        .nodes
        .iter()
        .filter_map(|node| node.joined_us)
        .max()
        .unwrap_or(0);
    let settled = match heal.outcome {
        Outcome::OneTip { after_us, .. } => after_us,
        Outcome::Apart { within_us, .. } => within_us,
    };
    ((last.max(settled) as f64 * 1.15) as u64).clamp(1_000, heal.looked_us.max(1_000))
}

fn joined(heal: &HealReport, nodes: usize) -> Vec<(u64, Option<f64>)> {
    let mut times: Vec<u64> = heal
        .nodes
        .iter()
        .filter_map(|node| node.joined_us)
        .collect();
    times.sort_unstable();
    let mut points = vec![(0, 0.0)];
    points.extend(
        times
            .iter()
            .enumerate()
            .map(|(index, t)| (*t, (index + 1).min(nodes) as f64)),
    );
    last_of_each_time(points.into_iter().map(|(t, value)| (t, Some(value))))
}

fn healing(index: usize, heal: &HealReport) -> String {
    let class = if heal.is_whole() { "ok" } else { "bad" };
    let sides = heal.sides.iter().enumerate().map(|(index, side)| {
        let group = match side.group {
            Some(group) => format!("group {}", group + 1),
            None => "in no group".to_owned(),
        };
        vec![
            (index + 1).to_string(),
            group,
            nodes(&side.nodes),
            format!("#{}", side.blocks),
            format!("#{}", side.own),
            hashes(side.work.into()),
            format!("#{}", side.payments),
            amount(side.reward_sat),
            format!("#{}", side.stayed),
        ]
    });
    let head = [
        "",
        "Group",
        "Nodes",
        "#Blocks",
        "#Own",
        "Work",
        "#Payments",
        "Rewards",
        "#Stayed",
    ];
    let sides = table(&head, sides);
    let totals = &heal.totals;
    let absent = heal
        .nodes
        .iter()
        .filter(|node| node.state != State::Up || node.down_us.is_some());
    let absent: String = absent
        .take(ROWS)
        .map(|node| {
            format!(
                "<p class=bad>Node {}: {}.</p>",
                node.node,
                escape(&node.words())
            )
        })
        .collect();
    format!(
        "<h3>{}. {} <span class=\"badge {class}\">{}</span></h3>\
         <p>Split for {}; opened after {}; fork point {}; final tip {}. {} above the fork point, {} lost with {} of rewards; \
         deepest reorg {}; {} lost their confirmation.</p>{absent}{sides}\
         <details><summary>The whole heal report</summary><pre>{}</pre></details>",
        index + 1,
        escape(&heal.what),
        escape(&heal.headline()),
        time(heal.opened_at_us - heal.split_at_us),
        time(heal.opened_at_us),
        place(&heal.fork),
        place(&heal.final_tip),
        count(totals.found.blocks, "block"),
        totals.lost.blocks,
        amount(totals.lost.reward_sat),
        count(heal.deepest_reorg(), "block"),
        count(heal.payments.len() as u64, "payment"),
        escape(&heal.to_string())
    )
}

/// A bar for each number.
fn bars(rows: &[(String, u64)]) -> String {
    let most = rows
        .iter()
        .map(|(_, number)| *number)
        .max()
        .unwrap_or(1)
        .max(1);
    let bar = |(name, number): &(String, u64)| {
        let share = *number as f64 / most as f64 * 100.0;
        format!(
            "<span>{}</span><i style=\"width:{share:.1}%\"></i><span>{number}</span>",
            escape(name)
        )
    };
    let bars: String = rows.iter().map(bar).collect();
    format!("<div class=bars>{bars}</div>")
}

pub(super) fn payments(report: &Report) -> String {
    if report.payments.is_empty() {
        return "<p class=none>Nobody paid.</p>".to_owned();
    }
    let rows = report.figures.payments.iter();
    let rows: Vec<(String, u64)> = rows
        .map(|(kind, number)| (kind.words().to_owned(), *number))
        .collect();
    let odd = report
        .payments
        .iter()
        .filter(|payment| payment.fate.kind() != crate::tell::fate::FateKind::Confirmed);
    let odd: Vec<_> = odd.collect();
    let listed = odd.iter().take(ROWS).map(|payment| {
        let txid = format!("<span class=hash>{}</span>", payment.txid);
        vec![txid, escape(&payment.fate.to_string())]
    });
    let list = match odd.is_empty() {
        true => String::new(),
        false => format!(
            "<details><summary>{} that were not simply confirmed</summary>{}</details>",
            count(odd.len() as u64, "payment"),
            table(&["Payment", "What became of it"], listed)
        ),
    };
    bars(&rows) + &list
}

pub(super) fn reorgs(report: &Report) -> String {
    let depths = &report.figures.reorgs;
    if depths.is_empty() {
        return "<p class=none>No node took a block back.</p>".to_owned();
    }
    let rows: Vec<(String, u64)> = depths
        .iter()
        .map(|(depth, number)| (count(*depth, "block"), *number))
        .collect();
    "<p class=dim>How often a node took back so many blocks at once:</p>".to_owned() + &bars(&rows)
}

pub(super) fn traffic(record: &Record, report: &Report, shades: &Shades) -> String {
    if record.traffic.is_empty() {
        return "<p class=none>Not recorded.</p>".to_owned();
    }
    let width = (record.end_t() / INTERVALS).max(1);
    let by_link = record
        .traffic
        .iter()
        .any(|told| told.from.is_some() && told.to.is_some());
    let mut sums: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    for told in &record.traffic {
        let name = match (told.from, told.to) {
            (Some(a), Some(b)) => format!("{} - {}", a.min(b), a.max(b)),
            _ if by_link => "not told by link".to_owned(),
            _ => told.kind.clone().unwrap_or_else(|| "all".to_owned()),
        };
        // What is told at a time was sent before it.
        let slot = told.t.saturating_sub(1) / width;
        *sums.entry(name).or_default().entry(slot).or_default() += told.bytes;
    }
    let mut sums: Vec<(String, BTreeMap<u64, u64>)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, slots)| std::cmp::Reverse(slots.values().sum::<u64>()));
    let others = sums.split_off(sums.len().min(LINKS_SHOWN));
    if !others.is_empty() {
        let mut rest: BTreeMap<u64, u64> = BTreeMap::new();
        let number = others.len();
        for (slot, bytes) in others.into_iter().flat_map(|(_, slots)| slots) {
            *rest.entry(slot).or_default() += bytes;
        }
        sums.push((format!("{number} others together"), rest));
    }
    let per_second = 1e6 / width as f64;
    let line = |(colour, (name, slots)): (usize, &(String, BTreeMap<u64, u64>))| {
        let ends: BTreeSet<u64> = slots.keys().flat_map(|slot| [*slot, slot + 1]).collect();
        let value = |slot: u64| slots.get(&slot).copied().unwrap_or(0) as f64 * per_second;
        let points = ends
            .into_iter()
            .map(|slot| (slot * width, Some(value(slot))));
        Line {
            name: name.clone(),
            points: std::iter::once((0, Some(value(0)))).chain(points).collect(),
            colour,
        }
    };
    let chart = Chart {
        title: "Bytes over time".to_owned(),
        end: record.end_t(),
        shades: shades.to_vec(),
        lines: sums.iter().enumerate().map(line).collect(),
        unit: "bytes/s",
    };
    let figures = &report.figures;
    let rows = figures.traffic.iter().map(|(kind, kinds)| {
        vec![
            escape(kind),
            format!("#{}", kinds.messages),
            format!("#{}", bytes(kinds.bytes)),
        ]
    });
    let each = bytes(figures.bytes_per_block_and_node as u64);
    chart.svg()
        + &format!("<p class=dim>{each} for each block and node.</p>")
        + &table(&["Kind", "#Messages", "#Bytes"], rows)
}

pub(super) fn plan(record: &Record) -> String {
    let shown = |t: Option<u64>| t.map_or_else(|| "-".to_owned(), time);
    let rows = record.faults.iter().take(ROWS).map(|fault| {
        let (at, until) = match fault.planned {
            Some((at, until)) => (time(at), shown(until)),
            None => ("by hand".to_owned(), "-".to_owned()),
        };
        let failed = match &fault.failed {
            Some((_, why)) => format!("<b class=bad>failed: {}</b>", escape(why)),
            None => String::new(),
        };
        let what = escape(&fault.what.to_string());
        vec![
            what,
            at,
            until,
            shown(fault.begun),
            shown(fault.ended),
            failed,
        ]
    });
    let head = ["Fault", "Planned", "until", "Began", "ended", ""];
    let faults = match record.faults.is_empty() {
        true => "<p class=none>No faults.</p>".to_owned(),
        false => table(&head, rows),
    };
    let more = record.faults.len().saturating_sub(ROWS);
    let more = if more > 0 {
        format!("<p>And {more} more.</p>")
    } else {
        String::new()
    };
    let refused = record
        .handed
        .iter()
        .filter(|handed| handed.refused.is_some())
        .count();
    format!(
        "{faults}{more}<p>Payments: {} planned, {} handed to nodes, {refused} of them refused, {} could not be made. \
         Planned for {}, ran for {}.</p>",
        record.start.plan.payments.len(),
        record.handed.len(),
        record.unpaid.len(),
        time((record.start.plan.duration_us as f64 / record.start.speed) as u64),
        time(record.end_t()),
    )
}

pub(super) fn miners(record: &Record, report: &Report) -> String {
    let planned: f64 = record
        .start
        .plan
        .miners
        .iter()
        .map(|miner| miner.share)
        .sum();
    let rows = report.figures.miners.iter().take(ROWS).map(|figures| {
        let mut plan = record.start.plan.miners.iter();
        let miner = plan.find(|miner| miner.node == figures.node);
        let share = miner.map_or_else(
            || "-".to_owned(),
            |miner| format!("{:.1}%", miner.share / planned * 100.0),
        );
        let strategy = miner.map(|miner| serde_json::json!(miner.strategy)["name"].to_string());
        vec![
            format!("node {}", figures.node),
            strategy.unwrap_or_default().replace('"', ""),
            format!("#{share}"),
            format!("#{:.1}%", figures.share_of_chain * 100.0),
            format!("#{}", figures.found),
            format!("#{}", figures.stale),
            format!("#{}", amount(figures.reward_sat)),
        ]
    });
    let head = [
        "Miner",
        "Strategy",
        "#Share at the start",
        "#Share of the chain",
        "#Found",
        "#Lost",
        "#Rewards",
    ];
    table(&head, rows)
}
