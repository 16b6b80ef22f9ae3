//! Miners of others mine for a real node process, by Stratum, at real difficulty.

use crate::process::{Node, refused};
use crate::stratum_tcp::Miner;

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const BLOCKS: u64 = 3;

fn mined(folder: &std::path::Path, roll: bool) -> Node {
    let node = Node::start(folder, &["--stratum", "127.0.0.1:0"]);
    let mut miner = Miner::connect(node.field("stratum"));
    miner.log_in(&format!("{ADDRESS}.rig"), roll);
    for count in 1..=BLOCKS {
        let parent = miner.job.clone().expect("a job").previous;
        let answer = miner.mine();
        assert_eq!(answer["result"], true, "{answer}");
        assert_eq!(node.call(&["getblockcount"]), count.to_string());
        assert!(miner.wait_for_another_parent(&parent).clean);
    }
    node
}

fn version_at(node: &Node, height: u64) -> u64 {
    let hash = node.call(&["getblockhash", &height.to_string()]);
    let header = node.call(&["getblockheader", &hash]);
    let header: serde_json::Value = serde_json::from_str(&header).expect("JSON");
    header["version"].as_u64().expect("a number")
}

#[test]
fn a_miner_mines_a_fresh_network_and_is_paid() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = mined(folder.path(), false);
    assert!((1..=BLOCKS).all(|height| version_at(&node, height) == 0x2000_0000));
    let found = node.call(&["scantxoutset", "start", &format!("[\"addr({ADDRESS})\"]")]);
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found["total_amount"], 50.0 * BLOCKS as f64, "{found}");
    let url = node.field("stratum").to_owned();
    node.stop();
    // The port is free again, and a node that comes back takes up where it was.
    let port = url.strip_prefix("stratum+tcp://").expect("a URL");
    let node = Node::start(folder.path(), &["--stratum", port]);
    let mut miner = Miner::connect(&url);
    miner.log_in(ADDRESS, false);
    assert_eq!(miner.mine()["result"], true);
    assert_eq!(node.call(&["getblockcount"]), (BLOCKS + 1).to_string());
}

#[test]
fn a_miner_that_rolls_versions_mines_a_fresh_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = mined(folder.path(), true);
    assert!((1..=BLOCKS).all(|height| version_at(&node, height) != 0x2000_0000));
    node.stop();
}

#[test]
fn a_port_that_is_taken_is_told_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("bound").to_string();
    let dir = folder.path().to_str().expect("text");
    let (_, text) = refused(&["node", "--data-dir", dir, "--stratum", &taken]);
    assert!(
        text.contains("choose another --stratum HOST:PORT"),
        "{text}"
    );
    let (_, text) = refused(&["node", "--data-dir", dir, "--stratum", "here"]);
    assert!(text.contains("write it as 127.0.0.1:3333"), "{text}");
}
