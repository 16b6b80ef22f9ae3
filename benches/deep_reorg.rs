//! A change of chains of many blocks of payments in a running node: how much memory it takes, how long calls wait meanwhile, and what
//! kills at random instants leave.
//!
//! ```text
//! cargo bench --bench deep_reorg                     # 1,000 blocks of 200 payments, 10 kills
//! cargo bench --bench deep_reorg -- 10000 200 50     # blocks, payments of each, kills
//! ```
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod support;

use std::time::Duration;

use serde_json::json;
use support::deep::{CACHE_MIB, Scene};

fn main() {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let number = |at: usize, default: usize| numbers.get(at).copied().unwrap_or(default);
    let (blocks, payments, kills) = (number(0, 1_000), number(1, 200), number(2, 10));
    println!("deep_reorg: making two chains of {blocks} blocks of {payments} payments");
    let scene = Scene::make(blocks, payments);
    scene.copy("changed");
    let node = scene.start("changed");
    let mut took = 0.0;
    for back in [false, true] {
        let measured = scene.change(&node, back);
        let calls = measured.calls_ms.len();
        let (median, worst) = support::median_and_worst(measured.calls_ms);
        let lowest = measured.heights.iter().min().copied();
        took = measured.seconds;
        println!(
            "deep_reorg: {blocks} blocks down and up in {took:.1} s, {:.0} MiB at the peak with --dbcache {CACHE_MIB}; {calls} calls meanwhile, median {median:.1} ms, worst {worst:.1} ms; lowest height seen {lowest:?}",
            measured.peak_mib
        );
        println!(
            "{}",
            json!({ "blocks": blocks, "payments": payments, "back": back, "seconds": took, "peak_mib": measured.peak_mib,
                "call_ms_median": median, "call_ms_worst": worst })
        );
    }
    node.stop();
    let heights: Vec<u64> = (0..kills)
        .map(|kill| {
            let part = (kill as f64 + 0.5) / kills as f64;
            scene.kill_after(Duration::from_secs_f64(took * part))
        })
        .collect();
    println!(
        "deep_reorg: heights right after {kills} kills: {heights:?}; every node went on to an end with its coins"
    );
}
