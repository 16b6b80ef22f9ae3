//! What RPC calls cost: calls per second with 1 and 16 clients.
//!
//! `cargo bench --bench rpc` prints a line for each call. Starts a real process on loopback with a chain of 200 blocks; measures,
//! asserts nothing.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rpc_client::{Auth, Client};
use serde_json::{Value, json};

const SPAN: Duration = Duration::from_secs(3);
const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// A node process that is ended with its owner.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_node, client) = start(folder.path());
    client
        .call("generatetoaddress", json!([200, ADDRESS]))
        .expect("mined");
    let tip = client.call("getbestblockhash", json!([])).expect("a hash");
    for (method, params) in [
        ("getblockcount", json!([])),
        ("getblockheader", json!([tip])),
        ("getblock", json!([tip, 1])),
        ("getblock", json!([tip, 2])),
        ("getblocktemplate", json!([{"rules": ["segwit"]}])),
    ] {
        let rates = [1, 16].map(|clients| rate(&client, method, &params, clients));
        let detail = params
            .get(1)
            .map(|level| format!(" {level}"))
            .unwrap_or_default();
        println!(
            "{method}{detail}: {:.0} calls/s with 1 client, {:.0} with 16",
            rates[0], rates[1]
        );
    }
}

fn rate(client: &Client, method: &str, params: &Value, clients: usize) -> f64 {
    let (calls, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    client.call_text(method, params.clone()).expect("a result");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(SPAN);
        stop.store(true, Ordering::Relaxed);
    });
    calls.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn start(folder: &std::path::Path) -> (Node, Client) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mend"))
        .args([
            "node",
            "--json",
            "--genesis",
            "bitcoin-regtest",
            "--log",
            "error",
        ])
        .args(["--listen", "/ip4/127.0.0.1/tcp/0", "--rpc", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(folder)
        .stdout(Stdio::piped())
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
