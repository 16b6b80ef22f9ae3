//! `/metrics`: the node's state as Prometheus reads it (text format 0.0.4).
//!
//! Names begin with `mend_` and end with the unit; counters end with `_total`.

use std::fmt::Write;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use p2p::Direction;
use p2p::budget::Lane;

use crate::Api;
use crate::memory::resident_bytes;
use crate::rpc::model::{difficulty, work_float};
use node_core::Mode;
use node_host::{BUCKET_BOUNDS_S, TipSwitches};

const MODES: [Mode; 8] = [
    Mode::Starting,
    Mode::Syncing,
    Mode::Healthy,
    Mode::Isolated,
    Mode::Behind,
    Mode::Stale,
    Mode::DiskLow,
    Mode::ReadOnly,
];

/// Answers `GET /metrics`.
pub(crate) async fn handler(State(node): State<Api>) -> Response {
    let reader = node.clone();
    let text = node.background().public(move || text(&reader)).await;
    match text {
        Ok(text) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
            (kind, text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Text in Prometheus' format, one family after the other.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.text,
            "# HELP mend_{name} {help}\n# TYPE mend_{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.text, "mend_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn text(node: &Api) -> String {
    let mut page = Page::default();
    process(&mut page, node);
    chain(&mut page, node);
    validation(&mut page, node);
    mempool(&mut page, node);
    network(&mut page, node);
    miner(&mut page, node);
    stratum(&mut page, node);
    rpc(&mut page, node);
    page.text
}

fn process(page: &mut Page, node: &Api) {
    page.family("build_info", "gauge", "The running program; always 1.");
    page.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let uptime = node.clock().uptime().as_secs_f64();
    page.gauge("uptime_seconds", "Time since the start.", uptime);
    page.gauge(
        "resident_memory_bytes",
        "Memory of the process.",
        resident_bytes(),
    );
    let size = std::fs::metadata(node.data_dir().path().join("chain.redb"));
    let size = size.map_or(0, |file| file.len());
    page.gauge("database_bytes", "Size of the database file.", size);
    let healed = node.read(|core| core.chain().cure_counts());
    page.family("healed_total", "counter", "Damaged data put right.");
    for (what, count) in [
        ("coin", healed.coins),
        ("undo", healed.undo),
        ("header", healed.headers),
        ("body", healed.bodies),
        ("database", healed.databases),
    ] {
        page.sample("healed_total", &[("what", what)], count);
    }
    let (scrubbed, _) = node.scrubber().progress();
    page.counter(
        "scrubbed_bytes_total",
        "Stored bytes looked at in search of damage.",
        scrubbed.total_bytes,
    );
    page.counter(
        "scrub_rounds_total",
        "Times that everything stored was looked at.",
        scrubbed.rounds,
    );
    page.counter(
        "scrub_found_total",
        "Damage found by looking.",
        scrubbed.found,
    );
    let events = *node.events().latest().borrow();
    page.counter("events_total", "Events told so far.", events);
}

fn chain(page: &mut Page, node: &Api) {
    let (tip, bits, headers, known, unflushed, mode, tips) = node.read(|core| {
        let chain = core.chain();
        let tip = chain.tip();
        let info = chain.tree().get(&tip.hash);
        (
            tip,
            info.map(|info| info.header.bits),
            chain.tree().best_header().height,
            chain.tree().len(),
            chain.unflushed_bytes(),
            core.mode(),
            chain.tree().leaves().len(),
        )
    });
    page.gauge(
        "chain_height_blocks",
        "Height of the active tip.",
        tip.height,
    );
    page.gauge(
        "chain_headers_blocks",
        "Height of the best header.",
        headers,
    );
    page.gauge("chain_known_headers", "Headers in the block tree.", known);
    page.gauge(
        "chain_branches",
        "Ends of branches in the block tree.",
        tips,
    );
    page.gauge(
        "chain_work",
        "Work of the active chain, in hashes.",
        work_float(tip.chain_work),
    );
    page.gauge(
        "chain_tip_time_seconds",
        "Unix time of the active tip.",
        tip.time,
    );
    if let Some(bits) = bits {
        page.gauge(
            "chain_difficulty",
            "Difficulty of the active tip.",
            difficulty(bits),
        );
    }
    page.gauge(
        "chain_unflushed_bytes",
        "Bytes that wait for the next commit.",
        unflushed,
    );
    page.family(
        "mode",
        "gauge",
        "How well the node works: 1 for the mode it is in.",
    );
    for known in MODES {
        let name = serde_json::to_value(known).unwrap_or_default();
        let name = name.as_str().unwrap_or_default();
        page.sample("mode", &[("mode", name)], u8::from(known == mode));
    }
}

fn validation(page: &mut Page, node: &Api) {
    let name = "validation_seconds";
    let help = "Time that blocks take by stage: check (the body alone), coins, signatures (of a block, on any thread), connect (a step of the tip, coins and signatures included), commit (a database transaction).";
    page.family(name, "histogram", help);
    for (stage, times) in node.timings().stages() {
        let stage = stage.name();
        for (bound, count) in BUCKET_BOUNDS_S.iter().zip(times.within) {
            let labels = [("stage", stage), ("le", &bound.to_string())];
            page.sample("validation_seconds_bucket", &labels, count);
        }
        let labels = [("stage", stage), ("le", "+Inf")];
        page.sample("validation_seconds_bucket", &labels, times.count);
        page.sample("validation_seconds_sum", &[("stage", stage)], times.sum_s);
        page.sample("validation_seconds_count", &[("stage", stage)], times.count);
    }
}

fn mempool(page: &mut Page, node: &Api) {
    let now = node.now().wall;
    let (count, vsize, bytes, fee, floor, orphans) = node.read(|core| {
        let pool = core.mempool();
        (
            pool.len(),
            pool.totals().vsize,
            pool.memory_bytes(),
            pool.total_fee().to_sat(),
            pool.min_fee(now).0,
            core.orphan_count(),
        )
    });
    page.gauge(
        "mempool_transactions",
        "Transactions in the mempool.",
        count,
    );
    page.gauge("mempool_vbytes", "Their virtual size.", vsize);
    page.gauge("mempool_memory_bytes", "Memory that they take.", bytes);
    page.gauge("mempool_fees_satoshis", "Their fees.", fee);
    page.gauge(
        "mempool_min_fee_satoshis_per_kvb",
        "The least fee rate that is taken.",
        floor,
    );
    page.gauge(
        "mempool_orphans",
        "Transactions that wait for their parents.",
        orphans,
    );
}

/// What peers sent and the core has not taken yet, and what was refused because too much waited.
fn inbox(page: &mut Page, node: &Api) {
    let (waiting, shed) = node.inbox_load();
    page.gauge(
        "inbox_bytes",
        "Memory of peers' messages that wait for the core.",
        waiting,
    );
    page.family(
        "inbox_refused_total",
        "counter",
        "Messages of peers that were refused because too much waited.",
    );
    for lane in Lane::ALL {
        let (items, _) = shed.of(lane);
        page.sample("inbox_refused_total", &[("lane", lane.name())], items);
    }
}

fn network(page: &mut Page, node: &Api) {
    let (inbound, outbound, progress, active) = node.read(|core| {
        let way = |direction| {
            core.peers()
                .iter()
                .filter(|peer| peer.direction == direction)
                .count()
        };
        (
            way(Direction::Inbound),
            way(Direction::Outbound),
            core.sync_progress(),
            core.is_network_active(),
        )
    });
    page.family("peers", "gauge", "Connected peers by who dialled.");
    page.sample("peers", &[("direction", "inbound")], inbound);
    page.sample("peers", &[("direction", "outbound")], outbound);
    page.gauge(
        "network_active",
        "Whether networking is on.",
        u8::from(active),
    );
    page.gauge(
        "sync_blocks_in_flight",
        "Blocks asked for and not here yet.",
        progress.blocks_in_flight,
    );
    inbox(page, node);
    let traffic = node.traffic();
    let wire = traffic.wire();
    page.family(
        "network_wire_bytes_total",
        "counter",
        "Bytes on all connections, with framing.",
    );
    page.sample(
        "network_wire_bytes_total",
        &[("direction", "received")],
        wire.received_bytes,
    );
    page.sample(
        "network_wire_bytes_total",
        &[("direction", "sent")],
        wire.sent_bytes,
    );
    page.family("network_messages_total", "counter", "Messages by kind.");
    for kind in traffic.kinds() {
        let (channel, name) = (kind.channel.name(), kind.kind);
        for (direction, count) in [
            ("received", kind.received_messages),
            ("sent", kind.sent_messages),
        ] {
            let labels = [
                ("channel", channel),
                ("kind", name),
                ("direction", direction),
            ];
            page.sample("network_messages_total", &labels, count);
        }
    }
    page.family(
        "network_message_bytes_total",
        "counter",
        "Bytes of messages by kind.",
    );
    for kind in traffic.kinds() {
        let (channel, name) = (kind.channel.name(), kind.kind);
        for (direction, count) in [("received", kind.received_bytes), ("sent", kind.sent_bytes)] {
            let labels = [
                ("channel", channel),
                ("kind", name),
                ("direction", direction),
            ];
            page.sample("network_message_bytes_total", &labels, count);
        }
    }
}

fn miner(page: &mut Page, node: &Api) {
    let status = node.mining().status();
    page.gauge(
        "miner_active",
        "Whether the node mines.",
        u8::from(status.settings.active),
    );
    page.counter("miner_hashes_total", "Hashes computed.", status.hashes);
    page.gauge(
        "miner_hashes_per_second",
        "Hash rate, lately.",
        status.hashes_per_second,
    );
    page.family(
        "miner_blocks_total",
        "counter",
        "Blocks found by the node's own miner.",
    );
    page.sample("miner_blocks_total", &[("outcome", "active")], status.found);
    page.sample("miner_blocks_total", &[("outcome", "stale")], status.stale);
    tip_switches(page, &status.switches);
}

/// How fast new tips were searched on, as a summary without quantiles.
fn tip_switches(page: &mut Page, switches: &TipSwitches) {
    let help = "Time from a new tip to the first nonce on it.";
    page.family("miner_tip_switch_seconds", "summary", help);
    page.sample("miner_tip_switch_seconds_sum", &[], switches.seconds);
    page.sample("miner_tip_switch_seconds_count", &[], switches.count);
    page.gauge(
        "miner_tip_switch_worst_seconds",
        "The longest of these.",
        switches.worst_s,
    );
}

/// Miners of others; nothing where they are not served.
fn stratum(page: &mut Page, node: &Api) {
    let status = node.stratum().status();
    if status.listen.is_none() {
        return;
    }
    page.gauge(
        "stratum_connections",
        "Miners connected by Stratum.",
        status.connections.len(),
    );
    page.family("stratum_shares_total", "counter", "Shares by outcome.");
    let shares = status.shares;
    for (outcome, count) in [
        ("accepted", shares.accepted),
        ("stale", shares.stale),
        ("duplicate", shares.duplicate),
        ("low-difficulty", shares.low_difficulty),
        ("unauthorized", shares.unauthorized),
        ("invalid", shares.invalid),
    ] {
        page.sample("stratum_shares_total", &[("outcome", outcome)], count);
    }
    page.family(
        "stratum_blocks_total",
        "counter",
        "Blocks found by Stratum miners, by outcome.",
    );
    let blocks = status.blocks;
    for (outcome, count) in [
        ("active", blocks.active),
        ("stale", blocks.stale),
        ("refused", blocks.refused),
    ] {
        page.sample("stratum_blocks_total", &[("outcome", outcome)], count);
    }
}

fn rpc(page: &mut Page, node: &Api) {
    let counts = node.activity().counts();
    page.family("rpc_calls_total", "counter", "Calls by method and outcome.");
    for (method, count) in &counts {
        let good = count.calls - count.failures;
        page.sample(
            "rpc_calls_total",
            &[("method", method), ("outcome", "ok")],
            good,
        );
        page.sample(
            "rpc_calls_total",
            &[("method", method), ("outcome", "error")],
            count.failures,
        );
    }
    page.family(
        "rpc_seconds_total",
        "counter",
        "Time spent in calls by method.",
    );
    for (method, count) in &counts {
        page.sample(
            "rpc_seconds_total",
            &[("method", method)],
            count.time.as_secs_f64(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_written_as_prometheus_reads_them() {
        let mut page = Page::default();
        page.gauge("x_bytes", "Help.", 5);
        page.sample("y", &[("a", "q\"uote"), ("b", "c")], 1.5);
        assert_eq!(
            page.text,
            "# HELP mend_x_bytes Help.\n# TYPE mend_x_bytes gauge\nmend_x_bytes 5\nmend_y{a=\"q\\\"uote\",b=\"c\"} 1.5\n"
        );
    }
}
