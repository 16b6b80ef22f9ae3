//! Two nodes beside each other: where they differ, and what each knew earlier; and what a killed one remembers.

use serde_json::Value;

use crate::process::{Node, output};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const OTHER_ADDRESS: &str = "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry";
/// Dial this address only, where nobody listens.
const ALONE: [&str; 4] = [
    "--genesis",
    "bitcoin-regtest",
    "--connect",
    "/ip4/127.0.0.1/tcp/1",
];

/// What `mend compare` says, and its exit code.
fn compared(first: &Node, second: &Node) -> (Option<i32>, Value) {
    let said = output(&[
        "compare",
        first.field("data_dir"),
        second.field("data_dir"),
        "--json",
    ]);
    let found = serde_json::from_slice(&said.stdout).unwrap_or_default();
    (said.status.code(), found)
}

#[test]
fn nodes_that_part_are_told_apart_and_know_their_past() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Node::start(&folder.path().join("first"), &ALONE);
    let second = Node::start(&folder.path().join("second"), &ALONE);
    let hashes = first.call(&["generatetoaddress", "20", ADDRESS]);
    let hashes: Vec<String> = serde_json::from_str(&hashes).expect("JSON");
    for hash in &hashes {
        let block = first.call(&["getblock", hash, "0"]);
        second.call(&["submitblock", &block]);
    }
    let then = first.call(&["gettxoutsetinfo", "muhash"]);
    let then: Value = serde_json::from_str(&then).expect("JSON");
    let (code, found) = compared(&first, &second);
    assert_eq!(code, Some(0), "{found}");
    assert_eq!(found["common_hash"], hashes[19].as_str());

    // One goes ahead: they still agree, by what it knew earlier.
    first.call(&["generatetoaddress", "7", ADDRESS]);
    let (code, found) = compared(&first, &second);
    assert_eq!(code, Some(0), "{found}");
    assert_eq!(found["heights"], serde_json::json!([27, 20]));
    let past = first.call(&["gettxoutsetinfo", "muhash", "20"]);
    let past: Value = serde_json::from_str(&past).expect("JSON");
    for field in ["muhash", "txouts", "total_amount", "bogosize", "bestblock"] {
        assert_eq!(past[field], then[field], "{field}");
    }

    second.call(&["generatetoaddress", "3", OTHER_ADDRESS]);
    let (code, found) = compared(&first, &second);
    assert_eq!(code, Some(1), "{found}");
    assert_eq!(found["common_height"], 20);
    assert_eq!(found["fork"]["height"], 21);
    assert_eq!(found["coins"], Value::Array(Vec::new()));
    first.kill();
    let (code, _) = compared(&second, &second);
    assert_eq!(code, Some(0));
    let gone = output(&["compare", second.field("data_dir"), "127.0.0.1:1"]);
    assert_eq!(gone.status.code(), Some(2));
}

#[test]
fn a_kill_loses_no_saved_payment_and_no_ban() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("node");
    let genesis = folder.path().join("genesis.json");
    let key = chain::fixtures::Key::p2tr("alice");
    let params = chain::fixtures::test_params_with(&[(key.address(), bitcoin::Amount::ONE_BTC)]);
    let spec = chain::genesis::GenesisSpec::trivial("test", chain::fixtures::TEST_GENESIS_TIME)
        .allocate(&key.address(), bitcoin::Amount::ONE_BTC);
    let text = spec.mine().expect("mined").to_json();
    std::fs::write(&genesis, text).expect("written");
    let more = ["--genesis", genesis.to_str().expect("text")];
    let (outpoint, coin) = params.genesis_coins().next().expect("a coin");
    let payment = chain::fixtures::Payment::new()
        .spend(outpoint, &coin.output, &key)
        .pay(&key, bitcoin::Amount::from_sat(99_990_000))
        .sign();
    let node = Node::start(&dir, &more);
    let hex = bitcoin::consensus::encode::serialize_hex(&payment);
    let txid = node.call(&["sendrawtransaction", &hex]);
    node.call(&["setban", "10.0.0.7", "add"]);
    node.call(&["savemempool"]);
    let entry = node.call(&["getmempoolentry", &txid]);
    node.kill();
    let node = Node::start(&dir, &more);
    let start = std::time::Instant::now();
    while !node.call(&["getmempoolinfo"]).contains("\"loaded\": true") {
        assert!(start.elapsed() < crate::process::PATIENCE);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(node.call(&["getmempoolentry", &txid]), entry);
    assert!(node.call(&["listbanned"]).contains("10.0.0.7"));
    node.stop();
}
