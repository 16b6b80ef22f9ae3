//! What the interfaces may be asked at once, and that an operator gets in whatever others do.
#![expect(
    clippy::disallowed_methods,
    reason = "a real node runs in real time: waits are bounded by the clock"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support_node::{ADDRESS, PATIENCE, RunningNode, eventually, options};

const ALICE: &str = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n";

fn address(node: &RunningNode) -> &str {
    node.started.rpc.trim_start_matches("http://")
}

/// Sends a request and leaves the connection open.
fn ask(node: &RunningNode, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address(node)).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

/// Makes a call and does not wait for its answer.
fn begin(node: &RunningNode, body: &Value) -> TcpStream {
    let (host, body) = (address(node), body.to_string());
    let length = body.len();
    ask(
        node,
        &format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\n{ALICE}Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}

/// The head of what comes, or as much of it as came before the connection was closed.
fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn get(node: &RunningNode, path: &str, headers: &str) -> (String, String) {
    let mut stream = ask(
        node,
        &format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"),
    );
    let head = head(&mut stream);
    let mut body = String::new();
    let _ = stream.read_to_string(&mut body);
    (head, body)
}

/// The calls that run, without the one that asks.
fn running(node: &RunningNode) -> Vec<String> {
    let info = node.call("getrpcinfo", json!([]));
    let list = info["active_commands"].as_array().expect("a list");
    let names = list.iter().filter_map(|call| call["method"].as_str());
    names
        .filter(|name| *name != "getrpcinfo")
        .map(str::to_owned)
        .collect()
}

/// Stops a node, and waits no longer than for anything else.
fn stop(node: RunningNode) -> Duration {
    let start = Instant::now();
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(node.stop()));
    let outcome = end.recv_timeout(PATIENCE).expect("it stops");
    outcome.expect("without a failure");
    start.elapsed()
}

#[test]
fn an_operator_stops_the_node_through_a_crowd_of_listeners() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    let listen = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut crowd: Vec<TcpStream> = (0..700).map(|_| ask(&node, listen)).collect();
    let heads: Vec<String> = crowd.iter_mut().map(head).collect();
    let count = |start: &str| heads.iter().filter(|head| head.starts_with(start)).count();
    assert!(count("HTTP/1.1 200") >= 100, "streams are served");
    assert!(count("HTTP/1.1 503") >= 100, "and not without end");
    // The connections are all taken: those that were turned away keep theirs.
    stop(node);
    drop(crowd);
}

#[test]
fn calls_that_wait_leave_room_for_those_that_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    let wait = json!({"method": "waitfornewblock", "params": [], "id": 1});
    let mut waiting: Vec<TcpStream> = (0..160).map(|_| begin(&node, &wait)).collect();
    eventually("the places to be taken", || running(&node).len() == 128);
    // Whoever finds no place is told so; those who have one are served by the next block.
    node.mine(1);
    let heads: Vec<String> = waiting.iter_mut().map(head).collect();
    let count = |start: &str| heads.iter().filter(|head| head.starts_with(start)).count();
    assert_eq!(count("HTTP/1.1 200"), 128);
    assert_eq!(count("HTTP/1.1 503"), 32);
}

#[test]
fn calls_end_when_their_caller_hangs_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    node.mine(1);
    let template = node.call("getblocktemplate", json!([{"rules": ["segwit"]}]));
    let long_poll = json!([{"rules": ["segwit"], "longpollid": template["longpollid"]}]);
    let callers = [
        begin(
            &node,
            &json!({"method": "waitfornewblock", "params": [], "id": 1}),
        ),
        begin(
            &node,
            &json!({"method": "getblocktemplate", "params": long_poll, "id": 2}),
        ),
    ];
    eventually("both to wait", || running(&node).len() == 2);
    drop(callers);
    eventually("both to be gone", || running(&node).is_empty());

    let miner = begin(
        &node,
        &json!({"method": "generatetoaddress", "params": [10_000_000, ADDRESS], "id": 3}),
    );
    let height = || {
        node.call("getblockcount", json!([]))
            .as_u64()
            .expect("a height")
    };
    eventually("blocks to be made", || height() > 3);
    assert_eq!(running(&node), ["generatetoaddress"]);
    drop(miner);
    eventually("no more blocks to be made", || running(&node).is_empty());
}

#[test]
fn the_node_stops_whatever_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    let generate = json!({"method": "generatetoaddress", "params": [10_000_000, ADDRESS], "id": 1});
    let one = json!({"method": "generatetoaddress", "params": [1, ADDRESS], "id": 1});
    let batch = Value::Array(vec![one; 10_000]);
    let open = [
        begin(&node, &generate),
        begin(&node, &batch),
        begin(
            &node,
            &json!({"method": "waitfornewblock", "params": [0, ADDRESS], "id": 1}),
        ),
        ask(&node, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ];
    eventually("work to go on", || {
        running(&node)
            .iter()
            .filter(|name| *name == "generatetoaddress")
            .count()
            == 2
    });
    let took = stop(node);
    drop(open);
    // It is a matter of 2 s on a machine of its own.
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn the_node_answers_to_its_addresses_and_to_names_that_are_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.rpc_hosts = vec!["mend-1.lab".to_owned()];
    let node = RunningNode::start_with(options);
    let status = |host: &str| {
        let (head, _) = get(&node, "/metrics", &format!("Host: {host}\r\n"));
        head.split(' ').nth(1).map(str::to_owned)
    };
    for good in [
        "127.0.0.1",
        "LOCALHOST:18443",
        "localhost.",
        "Mend-1.LAB:1",
        "mend-1.lab.",
    ] {
        assert_eq!(status(good).as_deref(), Some("200"), "{good}");
    }
    for bad in ["mend-2.lab", "evil.example", "localhost.evil.example"] {
        assert_eq!(status(bad).as_deref(), Some("403"), "{bad}");
    }
}

#[test]
fn a_listener_of_an_earlier_run_is_told_to_start_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    node.mine(3);
    let events = node.call("waitforevents", json!([0, 1_000]));
    let list = events["events"].as_array().expect("a list");
    let last = list.last().expect("some")["id"].as_str().expect("an id");
    let last = last.to_owned();
    let next = events["next_id"].clone();
    // Within the run both go on.
    assert_eq!(
        node.call("waitforevents", json!([next, 1]))["events"],
        json!([])
    );
    stop(node);

    let node = RunningNode::start(folder.path());
    let resumed = format!("Host: localhost\r\nLast-Event-ID: {last}\r\n");
    let (head, body) = get(&node, "/events", &resumed);
    assert!(head.starts_with("HTTP/1.1 410"), "{head}");
    let told: Value = serde_json::from_str(&body).expect("JSON");
    assert!(told["run"].is_string(), "{told}");
    let (head, _) = get(
        &node,
        &format!("/events?from={last}"),
        "Host: localhost\r\n",
    );
    assert!(head.starts_with("HTTP/1.1 410"), "{head}");
    // A bare number tells so too when the new run has not come so far.
    let (head, _) = get(&node, "/events?from=1000000", "Host: localhost\r\n");
    assert!(head.starts_with("HTTP/1.1 410"), "{head}");
    let (head, _) = get(&node, "/events?from=x", "Host: localhost\r\n");
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert_eq!(node.refused("waitforevents", json!([next, 1])).0, -8);
}

#[test]
fn filters_are_made_of_blocks_that_were_connected_and_of_no_others() {
    let (ours, theirs) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let node = RunningNode::start(ours.path());
    let other = RunningNode::start(theirs.path());
    node.mine(2);
    let branch = other.mine(3);
    let submit = |hash: &String| {
        let hex = other.call("getblock", json!([hash, 0]));
        node.call("submitblock", json!([hex]))
    };
    assert_eq!(submit(&branch[0]), "inconclusive");
    let (code, text) = node.refused("getblockfilter", json!([branch[0]]));
    assert_eq!((code, text.contains("not connected")), (-5, true), "{text}");
    submit(&branch[1]);
    assert_eq!(submit(&branch[2]), Value::Null, "the longer branch wins");
    for hash in &branch {
        let filter = node.call("getblockfilter", json!([hash]));
        assert_eq!(filter, other.call("getblockfilter", json!([hash])));
    }
}

#[test]
fn a_block_whose_time_comes_by_mocked_time_is_taken_at_once() {
    let (ours, theirs) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let node = RunningNode::start(ours.path());
    let other = RunningNode::start(theirs.path());
    let now = node.call("getblockchaininfo", json!([]))["time"]
        .as_u64()
        .expect("a time");
    let start = now.max(1_800_000_000);
    node.call("setmocktime", json!([start]));
    other.call("setmocktime", json!([start + 10_000]));
    let hash = other.mine(1).remove(0);
    let hex = other.call("getblock", json!([hash, 0]));
    assert_eq!(node.call("submitblock", json!([hex])), "time-too-new");
    node.call("setmocktime", json!([start + 10_000]));
    let tip = node.call("waitforblockheight", json!([1, 20_000]));
    assert_eq!(tip["hash"], json!(hash));
}
