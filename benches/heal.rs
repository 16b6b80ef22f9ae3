//! How fast ten real nodes agree again after a split with 100 blocks on the losing side.
//!
//! `cargo bench --bench heal [-- NODES]`. Nodes are linked through proxies, every one with every other; counted from opening the links
//! until the last node's RPC tells the common tip.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::time::Duration;

use serde_json::json;
use testnet::real::{Layout, Network, NetworkOptions, Supervisor};

const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);
const LOSING_BLOCKS: u32 = 100;
const WINNING_BLOCKS: u32 = 110;

fn main() {
    let nodes: usize = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(10);
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        // Every second round nobody is told of the cut: bytes just stop.
        let silent = round % 2 == 1;
        let ms = split_and_heal(nodes, silent);
        let kind = if silent { "silent" } else { "with resets" };
        println!(
            "heal: {nodes} nodes, {LOSING_BLOCKS} blocks lost, split {kind}: one tip after {ms} ms"
        );
        times.push(ms);
    }
    times.sort_unstable();
    let (median, worst) = (times[ROUNDS / 2], times[ROUNDS - 1]);
    println!("heal: median {median} ms, worst {worst} ms");
    println!(
        "{}",
        json!({ "one_tip_ms_median": median, "one_tip_ms_worst": worst })
    );
}

fn split_and_heal(nodes: usize, silent: bool) -> u64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = NetworkOptions {
        // Blocks come far faster than the spacing; the difficulty need not follow.
        half_life_blocks: None,
        ..NetworkOptions::new(env!("CARGO_BIN_EXE_mend"), nodes)
    };
    let network = Network::start(Layout::new(folder.path()), &options).expect("nodes start");
    let supervisor = Supervisor::new(network).expect("files can be written");
    let list = |range: std::ops::Range<usize>| {
        let words: Vec<String> = range.map(|node| node.to_string()).collect();
        words.join(",")
    };
    let groups = format!("{}/{}", list(0..nodes / 2), list(nodes / 2..nodes));
    let groups = groups.parse().expect("two groups");
    let cut = supervisor.network().partition(&groups, silent);
    cut.expect("links can be cut");
    for (node, blocks) in [(0, WINNING_BLOCKS), (nodes - 1, LOSING_BLOCKS)] {
        let mined = supervisor.mine(node, blocks);
        mined.expect("blocks are found");
    }
    // Each side agrees with itself before the links open.
    std::thread::sleep(Duration::from_secs(2));
    let report = supervisor
        .heal(PATIENCE)
        .and_then(|healed| healed.report())
        .expect("one tip");
    assert_eq!(report.deepest_reorg(), LOSING_BLOCKS, "there was a split");
    supervisor.end();
    report.one_tip_ms
}
