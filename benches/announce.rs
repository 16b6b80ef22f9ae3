//! How fast a block gets to 20 real nodes on loopback, and how many bytes that takes.
//!
//! `cargo bench --bench announce [-- NODES]`: nodes are started with the product's defaults, told of one node, and find the others by
//! themselves. Every block holds 1,000 payments that all nodes have in their mempools. Counted from sending the block to the first
//! node's RPC: until a node has the announcement and has checked its work (it logs the new best header), and until it logs that
//! the block, rebuilt and connected, is its tip. The spread is counted from the first node's own announcement to the last node's
//! having it: without the reading and checking of the call. After each block as many bare gossipsub nodes in this process pass on one
//! message of the same size.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bitcoin::Block;
use bitcoin::bip152::HeaderAndShortIds;
use bitcoin::consensus::encode::{serialize, serialize_hex};
use serde_json::json;

use support::bare::BareGossip;
use support::node::{Node, micros_between, now_micros_of_day};
use support::{PAYMENTS_PER_BLOCK, median_and_worst};

const BLOCKS: usize = 22;
/// The first blocks find connections and caches cold; they are told and not counted.
const WARM_UP: usize = 2;
/// Slots that a node fills by itself.
const OUTBOUND_SLOTS: u64 = 8;
/// The network is quiet between payments and block for this long.
const REST: Duration = Duration::from_millis(700);
/// Meshes of gossip are made within some heartbeats of a second.
const MESHES: Duration = Duration::from_secs(8);
/// Connections that a bare node makes: with as many inbound about those that 20 real nodes have (12.4).
const BARE_OUTBOUND: usize = 6;

/// One block's way.
struct Way {
    /// Milliseconds until the node in the middle, and the last one, had its announcement.
    announced_half_ms: f64,
    announced_all_ms: f64,
    /// Milliseconds from the first node's announcing it until the last one had the announcement.
    spread_ms: f64,
    /// The same until they had it as their tip.
    half_ms: f64,
    all_ms: f64,
    /// Milliseconds until the first node's RPC had answered.
    answered_ms: f64,
    /// Bytes that a node sent on average, from the submission until 0.5 s after the last node had it.
    sent_bytes: f64,
    /// CPU milliseconds a node, for the same time.
    cpu_ms: f64,
    /// Milliseconds until the last bare node had a gossip of the announcement's size.
    bare_ms: f64,
}

fn main() {
    let count = support::number_argument(20);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let genesis = support::write_genesis(folder.path(), PAYMENTS_PER_BLOCK);
    let nodes = start(count, folder.path().to_path_buf(), genesis);
    let blocks = support::paying::blocks(BLOCKS, PAYMENTS_PER_BLOCK);
    let bare = BareGossip::start(count, BARE_OUTBOUND);
    std::thread::sleep(MESHES);
    let mut ways = Vec::new();
    for (number, block) in blocks.iter().enumerate() {
        let spread = spread_payments(&nodes, block);
        std::thread::sleep(REST);
        let mut way = submit(&nodes, block);
        std::thread::sleep(REST);
        way.bare_ms = bare.spread_ms(announcement_bytes(block), number);
        println!(
            "block {}: payments spread in {:.2} s; announced to half after {:.1} ms, to all {count} after {:.1} (spread in {:.1}); tip of half after {:.1}, \
             of all after {:.1} (RPC answered after {:.1}); {:.0} bytes sent and {:.1} ms of CPU a node; bare gossip of {} bytes at all after {:.1} ms",
            number + 1,
            spread.as_secs_f64(),
            way.announced_half_ms,
            way.announced_all_ms,
            way.spread_ms,
            way.half_ms,
            way.all_ms,
            way.answered_ms,
            way.sent_bytes,
            way.cpu_ms,
            announcement_bytes(block),
            way.bare_ms
        );
        if number >= WARM_UP {
            ways.push(way);
        }
    }
    let of = |pick: fn(&Way) -> f64| median_and_worst(ways.iter().map(pick).collect());
    let (announced_half, _) = of(|way| way.announced_half_ms);
    let (announced, announced_worst) = of(|way| way.announced_all_ms);
    let (spread, spread_worst) = of(|way| way.spread_ms);
    let (all, worst) = of(|way| way.all_ms);
    let (half, _) = of(|way| way.half_ms);
    let (bytes, _) = of(|way| way.sent_bytes);
    let (cpu, _) = of(|way| way.cpu_ms);
    let (bare, bare_worst) = of(|way| way.bare_ms);
    println!(
        "announce: {} blocks of {PAYMENTS_PER_BLOCK} known payments, {count} nodes: announced to all after {announced:.1} ms (median; worst \
         {announced_worst:.1}), to half after {announced_half:.1}, spread in {spread:.1} ms (worst {spread_worst:.1}); tip of all after {all:.1} ms (worst {worst:.1}), of half after {half:.1}; \
         {bytes:.0} bytes sent and {cpu:.1} ms of CPU a node and block; a bare gossip of the same size at all after {bare:.1} ms (worst {bare_worst:.1}), \
         the announcement {:.1} times as long",
        ways.len(),
        announced / bare
    );
    println!(
        "{}",
        json!({ "announced_ms_median": announced, "announced_ms_worst": announced_worst, "announced_half_ms_median": announced_half,
                "spread_ms_median": spread,
                "all_ms_median": all, "all_ms_worst": worst, "half_ms_median": half, "bytes_per_node": bytes, "cpu_ms_per_node": cpu,
                "bare_ms_median": bare, "bare_ms_worst": bare_worst })
    );
}

/// Starts the nodes and waits until they have found each other.
fn start(count: usize, folder: PathBuf, genesis: PathBuf) -> Vec<Node> {
    let mut nodes = Vec::new();
    for number in 0..count {
        let first = nodes.first().map(|node: &Node| node.address.clone());
        let peer = first.iter().flat_map(|first| ["--peer", first.as_str()]);
        // New headers are told at this level.
        let arguments: Vec<&str> = ["--log", "info,chain=debug"]
            .into_iter()
            .chain(peer)
            .collect();
        nodes.push(Node::start(
            &folder.join(format!("node{number}")),
            &genesis,
            &arguments,
        ));
    }
    let wanted = OUTBOUND_SLOTS.min(count as u64 - 1);
    for node in &nodes {
        node.wait_until("finding other nodes", |node| node.connections() >= wanted);
    }
    let connections: u64 = nodes.iter().map(Node::connections).sum();
    println!(
        "{count} nodes with {:.1} connections each",
        connections as f64 / count as f64
    );
    std::thread::sleep(MESHES);
    nodes
}

/// The size of what is gossiped of a block: its header, short ids and coinbase, and the kind of message.
fn announcement_bytes(block: &Block) -> usize {
    let ids = HeaderAndShortIds::from_block(block, 0, 2, &[]).expect("a block of version 2");
    1 + serialize(&ids).len()
}

/// Hands the block's payments to the first node and waits until all nodes have them.
fn spread_payments(nodes: &[Node], block: &Block) -> Duration {
    let began = Instant::now();
    for payment in &block.txdata[1..] {
        nodes[0].call("sendrawtransaction", json!([serialize_hex(payment)]));
    }
    for node in nodes {
        node.wait_until("payments to spread", |node| {
            node.call("getmempoolinfo", json!([]))["size"] == json!(PAYMENTS_PER_BLOCK)
        });
    }
    began.elapsed()
}

fn submit(nodes: &[Node], block: &Block) -> Way {
    let (hash, hex) = (block.block_hash().to_string(), serialize_hex(block));
    let sent = |nodes: &[Node]| nodes.iter().map(|node| node.wire_bytes().1).sum::<u64>();
    let cpu = |nodes: &[Node]| nodes.iter().map(Node::cpu_seconds).sum::<f64>();
    let call = nodes[0].composed("submitblock", json!([hex]));
    let (sent_before, cpu_before) = (sent(nodes), cpu(nodes));
    let submitted = now_micros_of_day();
    let answer = call.send();
    let answered = now_micros_of_day();
    assert!(answer.is_null(), "{answer}");
    // Asking the nodes would take CPU time from them.
    std::thread::sleep(Duration::from_millis(500));
    let (sent_after, cpu_after) = (sent(nodes), cpu(nodes));
    let word = format!("hash={hash}");
    let after = |at: u64| micros_between(submitted, at) as f64 / 1_000.0;
    let arrivals_of = |what: &str| -> Vec<f64> {
        let mut arrivals: Vec<f64> = nodes
            .iter()
            .map(|node| {
                let told = |node: &Node| node.logged_at(what, &word);
                node.wait_until(what, |node| told(node).is_some());
                after(told(node).expect("just seen"))
            })
            .collect();
        arrivals.sort_by(f64::total_cmp);
        arrivals
    };
    let announced = arrivals_of("header tip");
    let connected = arrivals_of("block connected");
    let share = |total: f64| total / nodes.len() as f64;
    Way {
        announced_half_ms: announced[nodes.len() / 2],
        announced_all_ms: announced[nodes.len() - 1],
        spread_ms: announced[nodes.len() - 1] - announced[0],
        half_ms: connected[nodes.len() / 2],
        all_ms: connected[nodes.len() - 1],
        answered_ms: after(answered),
        sent_bytes: share((sent_after - sent_before) as f64),
        cpu_ms: share((cpu_after - cpu_before) * 1_000.0),
        bare_ms: 0.0,
    }
}
