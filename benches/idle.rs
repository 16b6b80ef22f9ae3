//! What an idle node costs: time from start to the first RPC answer, resident memory, threads.
//!
//! `cargo bench --bench idle` prints a line for people and one of JSON. Starts real processes on loopback; measures, asserts
//! nothing.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rpc_client::{Auth, Client};
use serde_json::{Value, json};

const STARTS: usize = 20;
/// Longer than the ten seconds for which a thread that answered a call is kept.
const IDLE: Duration = Duration::from_secs(12);

/// A node process that is ended with its owner.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let mut ready_ms = Vec::new();
    let mut rss_kib = Vec::new();
    let mut threads = 0;
    for run in 0..STARTS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let started = Instant::now();
        let (node, client) = start(folder.path());
        client.call("getblockcount", json!([])).expect("an answer");
        ready_ms.push(started.elapsed().as_secs_f64() * 1e3);
        if run < 3 {
            std::thread::sleep(IDLE);
            rss_kib.push(status_field(node.0.id(), "VmRSS:"));
            threads = status_field(node.0.id(), "Threads:");
        }
    }
    ready_ms.sort_by(f64::total_cmp);
    rss_kib.sort_unstable();
    let median = ready_ms[STARTS / 2];
    let worst = ready_ms[STARTS - 1];
    let rss_mib = rss_kib[rss_kib.len() / 2] as f64 / 1024.0;
    println!(
        "ready (first RPC answer): median {median:.1} ms, worst of {STARTS} {worst:.1} ms; \
         idle for {IDLE:?}: RSS {rss_mib:.1} MiB, {threads} threads"
    );
    println!(
        "{}",
        json!({ "ready_ms_median": median, "ready_ms_worst": worst, "rss_mib": rss_mib, "threads": threads })
    );
}

fn start(folder: &Path) -> (Node, Client) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mend"))
        .args([
            "node",
            "--json",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--rpc",
            "127.0.0.1:0",
        ])
        .arg("--data-dir")
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("mend starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("a line");
    let node = Node(child);
    let ready: Value = serde_json::from_str(&line).expect("one line of JSON");
    let text = |key: &str| ready[key].as_str().expect(key).to_owned();
    let client = Client::new(&text("rpc"), Auth::Cookie(text("cookie").into()));
    (node, client)
}

/// A number of `/proc/PID/status`; 0 where the system has no such file.
fn status_field(pid: u32, name: &str) -> u64 {
    std::fs::read_to_string(format!("/proc/{pid}/status"))
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}
