//! The transaction index of a running node.

use serde_json::{Value, json};

use super::support_node::{ADDRESS, RunningNode, eventually, options};

fn with_index(dir: &std::path::Path) -> RunningNode {
    RunningNode::start_with(node::start::StartOptions {
        txindex: true,
        ..options(dir)
    })
}

fn indexed(node: &RunningNode) {
    eventually("the index", || {
        let info = node.call("getindexinfo", json!([]));
        let height = node.call("getblockcount", json!([]));
        info["txindex"]["synced"] == true && info["txindex"]["best_block_height"] == height
    });
}

/// The coinbase of a block.
fn coinbase(node: &RunningNode, block: &str) -> String {
    let block = node.call("getblock", json!([block]));
    block["tx"][0].as_str().expect("an id").to_owned()
}

#[test]
fn confirmed_transactions_are_found_without_their_block() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = with_index(dir.path());
    let blocks = node.mine(3);
    // The call waits for the index, which is behind by moments.
    let txid = coinbase(&node, &blocks[2]);
    let found = node.call("getrawtransaction", json!([txid, 1]));
    assert_eq!(found["blockhash"], blocks[2].as_str());
    assert_eq!(found["confirmations"], 1);
    assert_eq!(found["in_active_chain"], Value::Null);
    let proof = node.call("gettxoutproof", json!([[coinbase(&node, &blocks[0])]]));
    let proven = node.call("verifytxoutproof", json!([proof]));
    assert_eq!(proven[0], coinbase(&node, &blocks[0]));
    let (code, message) = node.refused("getrawtransaction", json!(["11".repeat(32)]));
    assert_eq!(
        (code, message.as_str()),
        (-5, "No such mempool or blockchain transaction.")
    );
    indexed(&node);
    assert_eq!(node.call("getindexinfo", json!(["other"])), json!({}));
}

#[test]
fn the_index_follows_a_reorg_and_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = with_index(dir.path());
    let old = node.mine(3);
    let (kept, lost) = (coinbase(&node, &old[0]), coinbase(&node, &old[2]));
    indexed(&node);
    // Below the second block another branch grows, to another address, so that its blocks differ.
    node.call("invalidateblock", json!([old[1]]));
    let other = "bcrt1pqqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0sj9hjuh";
    let new = node.call("generatetoaddress", json!([1, other]));
    let in_new = coinbase(&node, new[0].as_str().expect("a hash"));
    let (code, _) = node.refused("getrawtransaction", json!([lost]));
    assert_eq!(code, -5);
    assert_eq!(
        node.call("getrawtransaction", json!([in_new, 1]))["confirmations"],
        1
    );
    assert_eq!(
        node.call("getrawtransaction", json!([kept, 1]))["confirmations"],
        2
    );
    indexed(&node);
    node.stop().expect("a clean end");

    let node = with_index(dir.path());
    indexed(&node);
    assert_eq!(
        node.call("getrawtransaction", json!([in_new, 1]))["blockhash"],
        new[0]
    );
    // And back again.
    node.call("reconsiderblock", json!([old[1]]));
    assert_eq!(
        node.call("getrawtransaction", json!([lost, 1]))["blockhash"],
        old[2].as_str()
    );
    assert_eq!(node.refused("getrawtransaction", json!([in_new])).0, -5);
}

#[test]
fn switched_on_later_or_after_a_break_the_index_catches_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(dir.path());
    let blocks = node.mine(150);
    assert_eq!(node.call("getindexinfo", json!([])), json!({}));
    // Its only output is spent by nobody, so it is found without an index too; a spent one is not.
    let first = coinbase(&node, &blocks[0]);
    assert!(node.call("getrawtransaction", json!([first])).is_string());
    node.stop().expect("a clean end");
    assert!(!dir.path().join("txindex.redb").exists());

    let node = with_index(dir.path());
    indexed(&node);
    let found = node.call("getrawtransaction", json!([first, 1]));
    assert_eq!(found["blockhash"], blocks[0].as_str());
    node.stop().expect("a clean end");

    // Without the index the chain turns back; with it again, it follows.
    let node = RunningNode::start(dir.path());
    node.call("invalidateblock", json!([blocks[100]]));
    node.call("generatetoaddress", json!([5, ADDRESS]));
    node.stop().expect("a clean end");
    let node = with_index(dir.path());
    indexed(&node);
    let (code, _) = node.refused("getrawtransaction", json!([coinbase(&node, &blocks[149])]));
    assert_eq!(code, -5);
    let tip = node.call("getbestblockhash", json!([]));
    let newest = coinbase(&node, tip.as_str().expect("a hash"));
    let found = node.call("getrawtransaction", json!([newest, 1]));
    assert_eq!(found["confirmations"], 1);
}
