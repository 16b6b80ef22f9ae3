//! A node stops soon, whatever goes on.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::deep::Scene;
use crate::support::node::Node;

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const STATED: Duration = Duration::from_secs(2);
/// These tests run without optimisation, beside others.
const SLACK: Duration = Duration::from_secs(1);

fn start(folder: &Path, name: &str, more: &[&str]) -> Node {
    let genesis = Path::new("bitcoin-regtest");
    Node::start(&folder.join(name), genesis, more)
}

/// Names of the calls that are being worked on.
fn running(node: &Node) -> Vec<String> {
    let told = node.call("getrpcinfo", json!([]));
    let calls = told["active_commands"].as_array().expect("a list").iter();
    let name = |call: &Value| call["method"].as_str().expect("a name").to_owned();
    calls.map(name).collect()
}

fn begin(node: &Node, method: &str, params: Value) -> TcpStream {
    node.composed(method, params).begin()
}

/// Waits until so many calls of this name are being worked on.
fn wait_for_calls(node: &Node, method: &str, count: usize) {
    node.wait_until(method, |node| {
        let calls = running(node);
        calls.iter().filter(|name| *name == method).count() >= count
    });
}

#[expect(clippy::print_stdout, reason = "the time is worth knowing")]
fn stops_in_time(node: Node, during: &str) {
    let took = node.stop();
    println!("a stop during {during} took {took:?}");
    assert!(
        took < STATED + SLACK,
        "a stop during {during} took {took:?}"
    );
}

#[test]
fn callers_that_wait_listeners_that_do_not_read_and_a_miner_delay_no_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = start(folder.path(), "a", &["--mine", ADDRESS, "--rest"]);
    node.wait_until("it mines", |node| {
        node.call("getblockcount", json!([])).as_u64() > Some(20)
    });
    let mut open: Vec<TcpStream> = Vec::new();
    for _ in 0..13 {
        open.push(begin(&node, "waitforblockheight", json!([1_000_000, 0])));
        open.push(begin(&node, "waitforblock", json!(["00".repeat(32), 0])));
    }
    let first = node.call("getbestblockhash", json!([]));
    open.push(begin(&node, "waitfornewblock", json!([0, first])));
    for _ in 0..20 {
        open.push(node.begin_get("/events?from=1"));
    }
    open.push(begin(
        &node,
        "generatetoaddress",
        json!([1_000_000, ADDRESS]),
    ));
    wait_for_calls(&node, "waitforblockheight", 13);
    wait_for_calls(&node, "waitforblock", 13);
    wait_for_calls(&node, "generatetoaddress", 1);
    stops_in_time(node, "long polls, event streams and mining");
    drop(open);
}

#[test]
fn a_sync_delays_no_stop() {
    const BLOCKS: u64 = 3_000;
    let folder = tempfile::tempdir().expect("a folder");
    let serving = start(folder.path(), "serving", &[]);
    serving.call("generatetoaddress", json!([BLOCKS, ADDRESS]));
    let node = start(folder.path(), "a", &["--connect", &serving.address]);
    node.wait_until("it syncs", |node| {
        node.call("getblockcount", json!([])).as_u64() > Some(50)
    });
    let height = node.call("getblockcount", json!([])).as_u64();
    stops_in_time(node, "a sync");
    assert!(height < Some(BLOCKS), "it was under way");
    // Who serves is asked for much at that moment.
    stops_in_time(serving, "the end of somebody's sync");
}

#[test]
fn a_change_of_chains_delays_no_stop() {
    const BLOCKS: usize = 80;
    const PAYMENTS: usize = 200;
    let scene = Scene::make(BLOCKS, PAYMENTS);
    scene.copy("stopped");
    let node = scene.start("stopped");
    let top = node.call("getblockcount", json!([])).as_u64();
    // Together with all that may go on beside it.
    let mut open: Vec<TcpStream> = (0..25)
        .map(|_| begin(&node, "waitforblockheight", json!([1_000_000, 0])))
        .collect();
    open.extend((0..20).map(|_| node.begin_get("/events")));
    wait_for_calls(&node, "waitforblockheight", 25);
    open.push(begin(&node, "invalidateblock", json!([scene.first])));
    let mut height = top;
    while height == top {
        height = node.call("getblockcount", json!([])).as_u64();
    }
    stops_in_time(node, "a change of chains");
    drop(open);
    let node = scene.start("stopped");
    let after = node.call("getblockcount", json!([])).as_u64();
    assert!(
        after > Some(0) && after < top,
        "it was under way: {height:?}, then {after:?}"
    );
}
