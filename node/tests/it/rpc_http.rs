//! HTTP and JSON-RPC as clients of Bitcoin Core see them, byte by byte.
#![expect(
    clippy::disallowed_methods,
    reason = "a real node runs in real time: waits are bounded by the clock"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support_node::RunningNode;

/// What came back on one connection.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn host(node: &RunningNode) -> &str {
    node.started.rpc.trim_start_matches("http://")
}

/// Sends raw bytes and reads to the end of the answer.
fn exchange(node: &RunningNode, request: &str) -> Answer {
    let mut stream = TcpStream::connect(host(node)).expect("connected");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    // The server may answer and close before it has read all of a body that is too large.
    let _ = stream.write_all(request.as_bytes());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).expect("a status");
    Answer {
        status: status.parse().expect("a number"),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

const ALICE: &str = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n";

fn post(node: &RunningNode, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let host = host(node);
    exchange(
        node,
        &format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}

/// The JSON that comes back for a body as it is.
pub(crate) fn answer(node: &RunningNode, body: &str) -> Value {
    serde_json::from_str(&post(node, ALICE, body).body).expect("JSON")
}

fn get(node: &RunningNode, path: &str, headers: &str) -> Answer {
    let host = host(node);
    exchange(
        node,
        &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"),
    )
}

#[test]
fn http_statuses_and_bodies_are_bitcoin_cores() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());

    let answer = post(&node, ALICE, r#"{"method":"getblockcount","id":"a"}"#);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "{\"result\":0,\"error\":null,\"id\":\"a\"}\n");
    assert!(answer.head.contains("content-length: "), "{}", answer.head);
    assert!(!answer.head.contains("chunked"), "{}", answer.head);
    assert!(answer.head.contains("content-type: application/json"));
    assert!(answer.head.starts_with("http/1.1 "));

    // Version 1: the error decides the status.
    for (body, status, code) in [
        (r#"{"method":"getwork","id":0}"#, 404, -32601),
        (r#"{"method":5,"id":0}"#, 400, -32600),
        (r#"{"method":"getblockhash","params":[5],"id":0}"#, 500, -8),
        ("{", 500, -32700),
        (
            r#"{"method":"getblockhash","params":["x"],"id":0}"#,
            500,
            -3,
        ),
    ] {
        let answer = post(&node, ALICE, body);
        let json: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(json["error"]["code"], code, "{body}");
        assert!(json.get("result").is_some_and(Value::is_null), "{body}");
    }

    // Version 2: 200, one member, nothing for a notification.
    let answer = post(
        &node,
        ALICE,
        r#"{"jsonrpc":"2.0","method":"getwork","id":0}"#,
    );
    let json: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(
        (answer.status, &json["error"]["code"]),
        (200, &json!(-32601))
    );
    assert!(json.get("result").is_none());
    let answer = post(
        &node,
        ALICE,
        r#"{"jsonrpc":"2.0","method":"getblockcount"}"#,
    );
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));

    // Batches: 200 always.
    let batch = r#"[{"method":"getblockcount","id":1},{"method":"nope","id":2},5]"#;
    let answer = post(&node, ALICE, batch);
    let json: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(answer.status, 200);
    assert_eq!(json[0]["result"], 0);
    assert_eq!(json[1]["error"]["code"], -32601);
    assert_eq!(json[2]["error"]["code"], -32600);
    assert_eq!(post(&node, ALICE, "[]").body, "[]\n");

    let wallet = format!(
        "POST /wallet/any HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{ALICE}Content-Length: 26\r\n\r\n{{\"method\":\"getblockcount\"}}"
    );
    assert_eq!(exchange(&node, &wallet).status, 200);
}

#[test]
fn strangers_and_pages_of_other_sites_get_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    let body = r#"{"method":"getblockcount"}"#;

    assert_eq!(get(&node, "/", ALICE).status, 405);
    let answer = post(&node, "", body);
    assert_eq!((answer.status, answer.body.as_str()), (401, ""));
    assert!(
        answer
            .head
            .contains("www-authenticate: basic realm=\"jsonrpc\"")
    );
    let wrong = "Authorization: Basic YWxpY2U6d3Jvbmc=\r\n";
    let start = std::time::Instant::now();
    assert_eq!(post(&node, wrong, body).status, 401);
    assert!(start.elapsed() >= Duration::from_millis(250));

    // A whitelisted user: one call, also within a batch.
    let watcher = "Authorization: Basic d2F0Y2hlcjpwdw==\r\n";
    assert_eq!(post(&node, watcher, body).status, 200);
    assert_eq!(post(&node, watcher, r#"{"method":"stop"}"#).status, 403);
    assert_eq!(post(&node, watcher, r#"[{"method":"stop"}]"#).status, 403);

    // DNS rebinding, and a form or script of another site.
    let length = body.len();
    let foreign = format!(
        "POST / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n{ALICE}Content-Length: {length}\r\n\r\n{body}"
    );
    assert_eq!(exchange(&node, &foreign).status, 403);
    let origin = format!("{ALICE}Origin: http://evil.example\r\n");
    assert_eq!(post(&node, &origin, body).status, 403);
}

#[test]
fn hostile_bodies_are_refused_and_the_node_lives_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());

    let deep = "[".repeat(200_000);
    assert_eq!(post(&node, ALICE, &deep).status, 500);
    let host = host(&node);
    let huge = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{ALICE}Content-Length: 100000000\r\n\r\n{}",
        "x".repeat(40 << 20)
    );
    assert_eq!(exchange(&node, &huge).status, 413);
    for body in [
        r#"{"method":"getblockhash","params":[NaN]}"#,
        r#"{"method":"getblockhash","params":[1e400]}"#,
    ] {
        assert_eq!(post(&node, ALICE, body).status, 500, "{body}");
    }
    for params in [json!([1e300]), json!([-1]), json!([u64::MAX]), json!([1.5])] {
        let (code, _) = node.refused("getblockhash", params.clone());
        assert!([-1, -8].contains(&code), "{params}: {code}");
    }
    // A client that says nothing holds up nobody.
    let _silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(host).expect("connected"))
        .collect();
    assert_eq!(node.call("getblockcount", json!([])), 0);
}

/// Names of our metrics in a query, and the labels that it sums by or shows.
fn used_by<'a>(query: &'a str, legend: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("mend_")).collect();
    let shown = legend.split("{{").skip(1);
    let labels = shown.filter_map(|rest| rest.split("}}").next());
    // Prometheus adds where a sample is from.
    (names, labels.filter(|label| *label != "instance").collect())
}

#[test]
fn every_query_of_the_dashboard_finds_what_it_asks_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    node.mine(1);
    let metrics = get(&node, "/metrics", "").body;
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packaging/grafana-dashboard.json"
    );
    let text = std::fs::read_to_string(file).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("queries"));
    let mut asked = 0;
    for target in targets {
        let text = |field: &str| target[field].as_str().expect("text");
        let (names, labels) = used_by(text("expr"), text("legendFormat"));
        assert!(!names.is_empty(), "{target}");
        for name in names {
            let sample = metrics
                .lines()
                .find(|line| {
                    line.strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with(['{', ' ']))
                })
                .unwrap_or_else(|| panic!("no {name}"));
            for label in &labels {
                assert!(
                    sample.contains(&format!("{label}=\"")),
                    "{sample} has no {label}"
                );
            }
            asked += 1;
        }
    }
    assert!(asked > 10, "{asked} queries");
}

#[test]
fn metrics_rest_and_events_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    let hashes = node.mine(3);

    let metrics = get(&node, "/metrics", "");
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.body.contains("\nmend_chain_height_blocks 3\n"),
        "{}",
        metrics.body
    );
    assert!(
        metrics
            .body
            .contains("mend_rpc_calls_total{method=\"generatetoaddress\",outcome=\"ok\"} 1")
    );

    let health = get(&node, "/health", "");
    assert_eq!(health.status, 200);
    let told: Value = serde_json::from_str(&health.body).expect("JSON");
    assert_eq!(
        (&told["mode"], &told["height"]),
        (&json!("isolated"), &json!(3))
    );

    let info = get(&node, "/rest/chaininfo.json", "");
    let info: Value = serde_json::from_str(&info.body).expect("JSON");
    assert_eq!(info["blocks"], 3);
    let block = get(&node, &format!("/rest/block/{}.hex", hashes[2]), "");
    assert_eq!(
        block.body.trim(),
        node.call("getblock", json!([hashes[2], 0]))
    );
    let headers = get(
        &node,
        &format!("/rest/headers/{}.hex?count=2", hashes[1]),
        "",
    );
    assert_eq!(headers.body.trim().len(), 2 * 160);
    let block: Value = serde_json::from_str(
        &get(
            &node,
            &format!("/rest/block/notxdetails/{}.json", hashes[0]),
            "",
        )
        .body,
    )
    .expect("JSON");
    let coinbase = block["tx"][0].as_str().expect("an id");
    let coins = get(
        &node,
        &format!("/rest/getutxos/{coinbase}-0/{coinbase}-9.json"),
        "",
    );
    let coins: Value = serde_json::from_str(&coins.body).expect("JSON");
    assert_eq!(coins["bitmap"], "10");
    assert_eq!(coins["utxos"][0]["height"], 1);
    assert_eq!(get(&node, "/rest/block/xyz.hex", "").status, 400);
    assert_eq!(
        get(&node, &format!("/rest/block/{}.hex", "11".repeat(32)), "").status,
        404
    );

    let mut stream = TcpStream::connect(host(&node)).expect("connected");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    write!(
        stream,
        "GET /events?from=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    .expect("sent");
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(&hashes[2]) {
        let read = stream.read(&mut buffer).expect("events come");
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(text.contains("event: block-connected"), "{text}");
    assert!(text.contains("-1\n"), "{text}");
}
