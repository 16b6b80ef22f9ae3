//! A change of chains of many blocks of payments in a running node: how much memory it takes, how long calls wait meanwhile, and what
//! kills at random instants leave.
//!
//! ```text
//! cargo bench --bench deep_reorg                     # 1,000 blocks of 200 payments, 10 kills
//! cargo bench --bench deep_reorg -- 10000 200 50     # blocks, payments of each, kills
//! ```
//!
//! `MEND_SCENE=FOLDER` keeps both chains there, so that the next run need not make them.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod support;

use std::path::Path;

use serde_json::json;
use support::deep::{CACHE_MIB, Kill, Scene};

fn main() {
    let numbers: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let number = |at: usize, default: usize| numbers.get(at).copied().unwrap_or(default);
    let (blocks, payments, kills) = (number(0, 1_000), number(1, 200), number(2, 10));
    println!("deep_reorg: making two chains of {blocks} blocks of {payments} payments");
    let mut scene = match std::env::var_os("MEND_SCENE") {
        Some(folder) => Scene::keep_in(Path::new(&folder), blocks, payments),
        None => Scene::make(blocks, payments),
    };
    scene.copy("changed");
    let node = scene.start("changed");
    for back in [false, true] {
        let measured = scene.change(&node, back);
        let calls = measured.calls_ms.len();
        let (median, worst) = support::median_and_worst(measured.calls_ms);
        let lowest = measured.heights.iter().min().copied();
        let took = measured.seconds;
        println!(
            "deep_reorg: {blocks} blocks down and up in {took:.1} s, {:.0} MiB at the peak with --dbcache {CACHE_MIB}; {calls} calls meanwhile, median {median:.1} ms, worst {worst:.1} ms; lowest height seen {lowest:?}",
            measured.peak_mib
        );
        for (at, method, took, height) in &measured.slow {
            println!(
                "deep_reorg: {method} took {took:.0} ms after {at:.1} s, at height {height:?}"
            );
        }
        println!(
            "{}",
            json!({ "blocks": blocks, "payments": payments, "back": back, "seconds": took, "peak_mib": measured.peak_mib,
                "call_ms_median": median, "call_ms_worst": worst })
        );
    }
    node.stop();
    scene.commits_on_the_way = true;
    for kill in 0..kills {
        // Down and up again; a kill after the change would not count.
        let part = 2.0 * (kill as f64 + 0.5) / kills as f64;
        let Kill { way, height } = scene.kill_at(part);
        println!("deep_reorg: killed at {way:.3} of 2, height {height} on disk");
    }
    println!("deep_reorg: every node went on to an end with its coins");
}
