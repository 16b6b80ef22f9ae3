//! What a quiet network costs. Measures the whole test process, so each test runs alone:
//! `cargo test --release -p p2p --test it -- --ignored --nocapture swarm::cost::NAME`.

use super::*;

/// Resident memory in kB, threads, and CPU time in clock ticks (10 ms), as Linux counts them.
fn process() -> Option<(u64, u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((field("VmRSS:")?, field("Threads:")?, ticks))
}

/// Runs `nodes` nodes, each connected to the next three, for ten quiet seconds.
async fn idle(nodes: usize) {
    let mut running = Vec::new();
    for _ in 0..nodes {
        running.push(Node::start().await);
    }
    let addresses: Vec<_> = running.iter().map(|node| node.address.clone()).collect();
    for (i, node) in running.iter().enumerate() {
        for next in (1..=3).filter(|_| nodes > 3) {
            node.dial(&addresses[(i + next) % nodes]);
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let Some((_, _, before)) = process() else {
        println!("skipped: this system has no /proc");
        return;
    };
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (memory, threads, after) = process().unwrap();
    println!(
        "{nodes} nodes: {memory} kB resident, {threads} threads (2 of them the test's), {} ms of CPU in 10 s",
        (after - before) * 10
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the whole process: cargo test -p p2p --test it cost -- --ignored --test-threads 1"]
async fn of_one_node() {
    idle(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the whole process: cargo test -p p2p --test it cost -- --ignored --test-threads 1"]
async fn of_twenty_nodes() {
    idle(20).await;
}
