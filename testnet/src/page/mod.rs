//! `report.html`: one static file that opens without a network and runs no script.

mod chart;
mod fork_tree;
mod sections;

use crate::record::Record;
use crate::tell::Report;
use crate::tell::tree::Tree;
use crate::tell::words::{count, time};

const STYLE: &str = include_str!("style.css");

/// The page of a run.
pub fn html(record: &Record, report: &Report) -> String {
    let tree = Tree::of(record);
    let shades = shades(record);
    let parts = [
        head(record, report),
        sections::cards(report),
        section("Checks", &sections::checks(report)),
        section("Heights", &sections::heights(record, &shades)),
        section("Work", &sections::work(record, &shades)),
        section(
            "Fork tree",
            &(TREE_LEGEND.to_owned() + &fork_tree::svg(record, &tree, &shades)),
        ),
        section("Healings", &sections::healings(record, report)),
        section("Payments", &sections::payments(report)),
        section("Reorgs", &sections::reorgs(report)),
        section("Traffic", &sections::traffic(record, report, &shades)),
        section("Plan, and what happened", &sections::plan(record)),
        section("Miners", &sections::miners(record, report)),
        "</body></html>\n".to_owned(),
    ];
    parts.concat()
}

const TREE_LEGEND: &str = "<p class=dim>Time from left to right. Filled: in the final chain. Hollow: lost. Larger: with payments. \
Ringed: tip of a node in the end. Shaded: faults. Hold the pointer over a block for its payments.</p>";

fn head(record: &Record, report: &Report) -> String {
    let plan = &record.start.plan;
    let (class, words) = match report.ok {
        true => ("ok", "all checks hold"),
        false => ("bad", "checks fail"),
    };
    let left_out: String = report
        .left_out
        .iter()
        .map(|what| format!("<p class=bad>Left out: {}</p>", escape(what)))
        .collect();
    let program = report
        .program
        .as_ref()
        .map(|hash| format!(", program <code>{}</code>", escape(hash)));
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{name}, seed {seed}</title><style>{STYLE}</style></head><body>\
         <h1>{name}</h1><p>{about}</p><p class=dim>{engine}, seed {seed}, {nodes}, {links}, Mend {version}{program} \
         <span class=\"badge {class}\">{words}</span></p>{left_out}",
        name = escape(&report.scenario),
        about = escape(&plan.about),
        engine = report.engine_words(),
        seed = report.seed,
        nodes = count(plan.nodes as u64, "node"),
        links = count(plan.links.len() as u64, "link"),
        version = escape(&report.version),
        program = program.unwrap_or_default(),
    )
}

fn section(title: &str, body: &str) -> String {
    format!("<section><h2>{title}</h2>{body}</section>")
}

/// Faults that last, for the background of charts.
fn shades(record: &Record) -> Vec<(u64, u64, String)> {
    let end = record.end_t();
    let lasting = record.faults.iter().filter_map(|fault| {
        let begun = fault.begun?;
        // What is done once, and not taken back, is a moment.
        let momentary = fault.planned.is_some_and(|(_, until)| until.is_none())
            && fault.what.keeps_apart(record.nodes.len()).is_none();
        let ended = fault.ended.unwrap_or(if momentary { begun } else { end });
        let words = format!("{}: {} to {}", fault.what, time(begun), time(ended));
        Some((begun, ended, words))
    });
    lasting.collect()
}

/// For text and attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
