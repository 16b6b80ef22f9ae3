//! `mend testnet up --http`: the faucet, and the routes that bitcoinjs' regtest-client asks for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{PATIENCE, mend, refused, told};
use crate::wallet::ELSEWHERE;

/// An address of the kind that regtest-client makes up: P2PKH, which nobody can spend here.
const LEGACY: &str = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";

/// A testnet in the background; ended when it is dropped.
struct Testnet {
    folder: tempfile::TempDir,
    manifest: Value,
}

impl Testnet {
    fn up(more: &[&str]) -> Testnet {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = dir_of(folder.path());
        let mut args = vec!["testnet", "--dir", &dir, "--json", "up", "--detach"];
        args.extend(["--instant", "--http", "127.0.0.1:0", "--accounts", "2"]);
        args.extend(more);
        let manifest = serde_json::from_str(&told(&args)).expect("JSON");
        Testnet { folder, manifest }
    }

    fn url(&self) -> &str {
        self.manifest["http"]["url"].as_str().expect("a URL")
    }

    /// Status, kind of content, and the body.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
        let host = self.url().trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        // The server may answer before it has read all of a body that is too large.
        let _ = stream.write_all(request.as_bytes());
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        let status = head.split(' ').nth(1).expect("a status");
        let kind = head
            .lines()
            .find_map(|line| line.strip_prefix("content-type: "));
        (
            status.parse().expect("a number"),
            kind.unwrap_or_default().to_owned(),
            body.to_owned(),
        )
    }

    /// The JSON of an answer that must be good.
    #[track_caller]
    fn good(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, kind, answer) = self.ask(method, path, "", body);
        assert_eq!(status, 200, "{path}: {answer}");
        assert!(kind.starts_with("application/json"), "{kind}");
        serde_json::from_str(&answer).expect("JSON")
    }

    fn get(&self, path: &str) -> Value {
        self.good("GET", path, "")
    }

    /// What is said to a request that must be refused with `status`.
    #[track_caller]
    fn refused(&self, status: u16, method: &str, path: &str, body: &str) -> String {
        let (got, _, answer) = self.ask(method, path, "", body);
        assert_eq!(got, status, "{path}: {answer}");
        // regtest-client takes these two words for a chain that is too short, and mines.
        assert_ne!(answer, "Bad Request");
        answer
    }

    fn mine(&self, count: u32) -> Value {
        self.good(
            "POST",
            &format!("/1/r/generate?count={count}&key=satoshi"),
            "",
        )
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        let dir = dir_of(self.folder.path());
        let _ = mend(&["testnet", "--dir", &dir, "down"]).output();
    }
}

fn dir_of(folder: &Path) -> String {
    folder.join("net").to_str().expect("text").to_owned()
}

#[test]
fn coins_are_given_found_spent_and_confirmed() {
    let net = Testnet::up(&["--nodes", "2"]);
    assert_eq!(net.get("/1/b/best/height"), 0);
    let hashes = net.mine(3);
    assert_eq!(hashes.as_array().map(Vec::len), Some(3));
    assert_eq!(net.get("/1/b/best"), hashes[2]);
    assert_eq!(net.get("/1/b/best/height"), 3);
    let second = hashes[1].as_str().expect("a hash");
    assert_eq!(net.get(&format!("/1/b/{second}/height")), 2);
    let header = net.get(&format!("/1/b/{second}/header"));
    assert_eq!(header["previousblockhash"], hashes[0]);

    // The faucet, as regtest-client asks for it.
    let path = format!("/1/r/faucet?address={ELSEWHERE}&value=70000&key=satoshi");
    let txid = net.good("POST", &path, "");
    let txid = txid.as_str().expect("a txid");
    let coins = net.get(&format!("/1/a/{ELSEWHERE}/unspents"));
    let waiting = json!([{"txId": txid, "vout": 0, "height": -1, "value": 70_000}]);
    assert_eq!(coins, waiting);
    let shown = net.get(&format!("/1/t/{txid}/json"));
    assert_eq!(shown["txId"], txid);
    assert_eq!(shown["outs"][0]["address"], ELSEWHERE);
    assert_eq!(shown["outs"][0]["value"], 70_000);
    assert_eq!(net.get(&format!("/1/t/{txid}")), shown["txHex"]);
    net.refused(404, "GET", &format!("/1/t/{txid}/block"), "");

    // Sent again by hand: as good as before.
    let hex = shown["txHex"].as_str().expect("hex");
    assert_eq!(net.good("POST", "/1/t/push", hex), txid);
    assert_eq!(net.good("PUT", "/1/t/push", &format!("{hex}\n")), txid);
    let block = net.mine(1);
    assert_eq!(net.get(&format!("/1/t/{txid}/block")), block[0]);
    let coins = net.get(&format!("/1/a/{ELSEWHERE}/unspents"));
    assert_eq!(coins[0]["height"], 4);

    // By script (of the same address), and by the route of our own.
    let script = "0014751e76e8199196d454941c45d1b3a323f1433bd6";
    let path = format!("/1/r/faucetScript?script={script}&value=1000&key=satoshi");
    assert!(net.good("POST", &path, "").is_string());
    let body = json!({"address": ELSEWHERE, "amount": 0.00003}).to_string();
    let given = net.good("POST", "/faucet", &body);
    assert_eq!(given["amount_sat"], 3_000);
    assert!(given["txId"].is_string() && given["vout"] == 0);
    let worth: u64 = net
        .get(&format!("/1/a/{ELSEWHERE}/unspents"))
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|coin| coin["value"].as_u64())
        .sum();
    assert_eq!(worth, 70_000 + 1_000 + 3_000);
    assert_eq!(
        net.get(&format!("/1/a/{script}/unspents")),
        net.get(&format!("/1/a/{ELSEWHERE}/unspents")),
        "regtest-client names scripts so"
    );

    // More payments between two blocks than one chain of change could hold.
    for _ in 0..120 {
        let path = format!("/1/r/faucet?address={ELSEWHERE}&value=1000&key=satoshi");
        net.good("POST", &path, "");
    }
    let last = net.mine(1);
    let rpc = net.manifest["nodes"][1]["rpc"].as_str().expect("a URL");
    let cookie = net.manifest["nodes"][1]["cookie"].as_str().expect("a path");
    let client = rpc_client::Client::new(rpc, rpc_client::Auth::Cookie(cookie.into()));
    let tip = client.call("waitforblock", json!([last[0], 20_000]));
    assert_eq!(
        tip.expect("an answer")["hash"],
        last[0],
        "the other node follows"
    );
}

#[test]
fn what_is_wrong_is_refused_in_one_line() {
    let net = Testnet::up(&["--nodes", "1"]);
    let faucet = |query: &str| format!("/1/r/faucet?{query}");
    let address = format!("address={ELSEWHERE}");
    for path in [
        faucet(&format!("{address}&value=1000")),
        faucet(&format!("{address}&value=1000&key=nakamoto")),
        "/1/r/generate?count=1".to_owned(),
        "/1/r/faucetScript?script=00&value=5".to_owned(),
    ] {
        assert!(net.refused(401, "POST", &path, "").contains("key"));
    }
    for (query, word) in [
        ("value=1000".to_owned(), "address"),
        (address.clone(), "value"),
        (format!("{address}&value=1.5"), "satoshis"),
        (format!("{address}&value=-1"), "satoshis"),
        (format!("{address}&value=1"), "dust"),
        (format!("{address}&value=5000000001"), "50 BTC"),
        (format!("address={LEGACY}&value=1000"), "P2TR"),
        ("address=nonsense&value=1000".to_owned(), "bcrt1"),
    ] {
        let path = faucet(&format!("{query}&key=satoshi"));
        let text = net.refused(400, "POST", &path, "");
        assert!(text.contains(word), "{query}: {text}");
    }
    let legacy = "/1/r/faucetScript?script=76a9140000000000000000000000000000000000000000 88ac&value=1000&key=satoshi";
    net.refused(400, "POST", &legacy.replace(' ', ""), "");
    net.refused(
        400,
        "POST",
        "/1/r/faucetScript?script=zz&value=1000&key=satoshi",
        "",
    );
    for count in ["0", "1001", "-1", "many"] {
        let path = format!("/1/r/generate?count={count}&key=satoshi");
        net.refused(400, "POST", &path, "");
    }
    let unknown = "11".repeat(32);
    net.refused(404, "GET", &format!("/1/t/{unknown}"), "");
    net.refused(404, "GET", &format!("/1/t/{unknown}/json"), "");
    net.refused(404, "GET", &format!("/1/b/{unknown}/height"), "");
    net.refused(400, "GET", "/1/t/12", "");
    net.refused(400, "GET", "/1/b/12/height", "");
    net.refused(400, "GET", "/1/a/nonsense/unspents", "");
    net.refused(400, "POST", "/1/t/push", "00");
    net.refused(400, "POST", "/1/t/push", "\u{fffd}");
    let large = "0".repeat(3 << 20);
    let (status, ..) = net.ask("POST", "/1/t/push", "", &large);
    assert_eq!(status, 413);
    let text = net.refused(404, "GET", &format!("/1/a/{ELSEWHERE}/txs"), "");
    assert!(text.contains("no such route"), "{text}");
    net.refused(405, "GET", "/faucet", "");

    // The faucet of our own tells errors in JSON.
    for body in ["", "[]", r#"{"address": "x"}"#, r#"{"amount": 1}"#] {
        let (status, kind, answer) = net.ask("POST", "/faucet", "", body);
        assert_eq!((status, kind.as_str()), (400, "application/json"), "{body}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert!(answer["error"].is_string());
    }
    let body = json!({"address": ELSEWHERE, "amount": 51}).to_string();
    net.refused(400, "POST", "/faucet", &body);

    // A page of another site gets nothing.
    let body = json!({"address": ELSEWHERE}).to_string();
    let origin = "Origin: http://evil.example\r\n";
    assert_eq!(net.ask("POST", "/faucet", origin, &body).0, 403);
    assert_eq!(net.get("/1/b/best/height"), 0, "nothing was mined");
}

#[test]
fn a_port_that_is_taken_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = dir_of(folder.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, text) = refused(&["testnet", "--dir", &dir, "up", "--http", &address]);
    assert_eq!(code, 1);
    assert!(text.contains("choose another --http"), "{text}");
    assert!(!folder.path().join("net").exists());
}

#[test]
fn a_faucet_that_is_asked_too_often_says_when_to_come_back() {
    let net = Testnet::up(&["--nodes", "1"]);
    let path = format!("/1/r/faucet?address={ELSEWHERE}&value=1000&key=satoshi");
    // More at once than it gives, unless this machine is slow.
    let answers = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let ask = |_| net.ask("POST", &path, "", "").0;
                    (0..60).map(ask).collect::<Vec<u16>>()
                })
            })
            .collect();
        let joined = askers
            .into_iter()
            .map(|asker| asker.join().expect("joined"));
        joined.flatten().collect::<Vec<u16>>()
    });
    assert!(answers.iter().all(|status| matches!(status, 200 | 429)));
    assert!(answers.iter().filter(|status| **status == 200).count() >= 200);
}

/// The same by JavaScript: plain `fetch`, and regtest-client and bitcoinjs-lib where `JS_PACKAGES` names the folder that has them.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_javascript_client_is_served() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/js/regtest.mjs");
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("skipped: node is not installed");
        return;
    }
    let net = Testnet::up(&["--nodes", "1"]);
    let output = Command::new("node")
        .args([script, net.url()])
        .output()
        .expect("node runs");
    let (told, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{told}{errors}");
    eprint!("{told}");
}
