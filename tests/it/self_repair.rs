//! Blocks that are damaged on a node's disk: found, never served, fetched again from a peer.

use std::fs;
use std::path::Path;
use std::time::Instant;

use bitcoin::hex::FromHex;
use chain::fixtures::damage_copies;

use crate::process::{Node, PATIENCE, refused, told};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const REGTEST: [&str; 2] = ["--genesis", "bitcoin-regtest"];

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A node that dials another one.
fn node_beside(dir: &Path, other: &Node) -> Node {
    let address = other.started["listen"][0].as_str().expect("an address");
    Node::start(dir, &[&REGTEST[..], &["--connect", address]].concat())
}

fn block_at(node: &Node, height: u32) -> (String, String) {
    let hash = node.call(&["getblockhash", &height.to_string()]);
    let block = node.call(&["getblock", &hash, "0"]);
    (hash, block)
}

fn damage(dir: &Path, block_hex: &str) {
    let file = dir.join("chain.redb");
    let mut content = fs::read(&file).expect("read");
    let block = Vec::<u8>::from_hex(block_hex).expect("hex");
    damage_copies(&mut content, &block);
    fs::write(&file, content).expect("written");
}

#[test]
fn damaged_blocks_are_never_served_and_come_back_from_a_peer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let whole = Node::start(&path("whole"), &REGTEST);
    whole.call(&["generatetoaddress", "30", ADDRESS]);
    let hurt = node_beside(&path("hurt"), &whole);
    eventually("the copy", || hurt.call(&["getblockcount"]) == "30");
    let [found_by_verify, found_by_reading, found_by_serving] =
        [10, 15, 20].map(|height| block_at(&whole, height));
    hurt.stop();

    // One is found by `mend verify`, which only looks.
    damage(&path("hurt"), &found_by_verify.1);
    let dir = path("hurt");
    let dir = dir.to_str().expect("text");
    let verify = ["verify", "--data-dir", dir, REGTEST[0], REGTEST[1]];
    let (_, problems) = refused(&verify);
    assert!(problems.contains("1 problems found"), "{problems}");

    // Two more are found by the node itself.
    damage(&path("hurt"), &found_by_reading.1);
    damage(&path("hurt"), &found_by_serving.1);
    // It must not dial the peer that it remembers.
    let alone = [&REGTEST[..], &["--connect", "/ip4/127.0.0.1/tcp/1"]].concat();
    let hurt = Node::start(&path("hurt"), &alone);
    for (hash, _) in [&found_by_verify, &found_by_reading] {
        let answer = hurt.cli(&["getblock", hash, "0"]);
        assert_eq!(answer.status.code(), Some(1), "not served: {answer:?}");
    }
    let newcomer = node_beside(&path("newcomer"), &hurt);
    eventually("the blocks below the damage", || {
        newcomer.call(&["getblockcount"]) == "9"
    });

    // A peer that has them comes by.
    let address = whole.started["listen"][0].as_str().expect("an address");
    hurt.call(&["addnode", address, "add"]);
    for (hash, block) in [&found_by_verify, &found_by_reading, &found_by_serving] {
        eventually("the replacement", || {
            let answer = hurt.cli(&["getblock", hash, "0"]);
            let text = String::from_utf8(answer.stdout).expect("text");
            assert!(text.is_empty() || text.trim_end() == block, "{text}");
            !text.is_empty()
        });
    }
    eventually("the newcomer", || newcomer.call(&["getblockcount"]) == "30");
    let muhash = |node: &Node| {
        let info = node.call(&["gettxoutsetinfo", "muhash"]);
        let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
        info["muhash"].clone()
    };
    assert_eq!(muhash(&newcomer), muhash(&whole));
    assert_eq!(muhash(&hurt), muhash(&whole));
    hurt.stop();
    assert!(told(&verify).contains("30 blocks looked at, 0 problems"));
}
