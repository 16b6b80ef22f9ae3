//! Calls per second with 1 and 16 clients. Clients and node share the machine's cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rpc_client::Client;
use serde_json::{Value, json};

use crate::network::{Network, hex};
use crate::process::Node;

const SPAN: Duration = Duration::from_secs(3);
const CLIENTS: [usize; 2] = [1, 16];
/// Payments for `sendrawtransaction`, for each number of clients.
const PAYMENTS: usize = 9_000;

pub(crate) fn run() {
    let (mut network, first) = Network::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let genesis = folder.path().join("genesis.json");
    std::fs::write(&genesis, &network.genesis_json).expect("written");
    let node = Node::start(
        &folder.path().join("data"),
        genesis.to_str().expect("a plain path"),
    );
    submit(&node.client, &hex(&first));
    let payments = network.payments(1_000);
    submit(&node.client, &hex(&network.block(&payments)));
    let tip = node
        .client
        .call("getbestblockhash", json!([]))
        .expect("a hash");
    for (method, params) in [
        ("getblockcount", json!([])),
        ("getblockheader", json!([tip])),
        ("getblock", json!([tip, 1])),
        ("getblock", json!([tip, 2])),
        ("getblocktemplate", json!([{"rules": ["segwit"]}])),
    ] {
        let rates = CLIENTS.map(|clients| rate(&node.client, method, &params, clients));
        let detail = params
            .get(1)
            .map(|level| format!(" {level} (1,001 transactions)"))
            .unwrap_or_default();
        show(&format!("{method}{detail}"), rates);
    }
    let rates = CLIENTS.map(|clients| {
        let hexes: Vec<String> = network.payments(PAYMENTS).iter().map(hex).collect();
        send_rate(&node.client, &hexes, clients)
    });
    show("sendrawtransaction", rates);
}

fn show(what: &str, rates: [f64; 2]) {
    println!(
        "{what}: {:.0} calls/s with 1 client, {:.0} with 16",
        rates[0], rates[1]
    );
}

pub(crate) fn submit(client: &Client, block: &str) {
    let verdict = client
        .call("submitblock", json!([block]))
        .expect("an answer");
    assert!(verdict.is_null(), "{verdict}");
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

/// Each payment is sent once.
fn send_rate(client: &Client, hexes: &[String], clients: usize) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for share in hexes.chunks(hexes.len().div_ceil(clients)) {
            scope.spawn(move || {
                for hex in share {
                    client
                        .call_text("sendrawtransaction", json!([hex]))
                        .expect("taken");
                }
            });
        }
    });
    hexes.len() as f64 / start.elapsed().as_secs_f64()
}
