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
    // As in Bitcoin Core: it is told of the block that holds it, which is not confirmed any more.
    let stale = node.call("getrawtransaction", json!([lost, 1]));
    assert_eq!(stale["confirmations"], 0);
    assert_eq!(stale["blockhash"], old[2].as_str());
    assert!(stale["time"].is_null() && stale["blocktime"].is_null());
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
    let stale = node.call("getrawtransaction", json!([in_new, 1]));
    assert_eq!(stale["confirmations"], 0);
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
    let stale = node.call(
        "getrawtransaction",
        json!([coinbase(&node, &blocks[149]), 1]),
    );
    assert_eq!(stale["confirmations"], 0);
    let tip = node.call("getbestblockhash", json!([]));
    let newest = coinbase(&node, tip.as_str().expect("a hash"));
    let found = node.call("getrawtransaction", json!([newest, 1]));
    assert_eq!(found["confirmations"], 1);
}

/// What is done to the bytes of an index.
type Hurt<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn a_damaged_index_never_keeps_a_node_from_starting_and_is_made_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = with_index(dir.path());
    let blocks = node.mine(30);
    let ids: Vec<String> = blocks.iter().map(|block| coinbase(&node, block)).collect();
    indexed(&node);
    node.stop().expect("a clean end");
    let file = dir.path().join("txindex.redb");
    let whole = std::fs::read(&file).expect("read");
    let used = whole
        .iter()
        .rposition(|&byte| byte != 0)
        .expect("not empty");
    let hurts: [Hurt<'_>; 4] = [
        &|bytes| bytes.truncate(used / 2),
        // All but the header, in which the file proves that it is one.
        &|bytes| bytes[4096..=used].fill(0xa5),
        &|bytes| bytes[..4096].fill(0),
        &|bytes| {
            for offset in (4_096..used).step_by(61) {
                bytes[offset] ^= 4;
            }
        },
    ];
    for hurt in hurts {
        let mut bytes = whole.clone();
        hurt(&mut bytes);
        std::fs::write(&file, bytes).expect("written");
        let node = with_index(dir.path());
        for (txid, block) in ids.iter().zip(&blocks) {
            eventually("the transaction", || {
                let found = node.client.call("getrawtransaction", json!([txid, 1]));
                let (code, found) = match found {
                    Ok(found) => (0, found),
                    Err(error) => (error.code().expect("an answer"), Value::Null),
                };
                // Not found while it is made anew, and never found elsewhere.
                assert!(code == 0 || code == -5, "{code}");
                assert!(code != 0 || found["blockhash"] == block.as_str());
                code == 0
            });
        }
        indexed(&node);
        node.stop().expect("the index stops nobody");
    }
}
