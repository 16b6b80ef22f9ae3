//! What a node knows after it was stopped: payments that waited, and whom it keeps away.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Transaction};
use chain::Params;
use chain::fixtures::{Key, Payment, test_params_with};
use node::start::StartOptions;
use serde_json::{Value, json};

use super::support_node::{RunningNode, eventually, options};

const PEER: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

/// A network on which alice has coins from the start.
fn params() -> Params {
    let coin = || (Key::p2tr("alice").address(), Amount::ONE_BTC);
    test_params_with(&[coin(), coin()])
}

fn start(dir: &std::path::Path, change: impl FnOnce(&mut StartOptions)) -> RunningNode {
    let mut options = options(dir);
    options.params = params();
    change(&mut options);
    let node = RunningNode::start_with(options);
    eventually("the saved transactions", || {
        node.call("getmempoolinfo", json!([]))["loaded"] == true
    });
    node
}

/// A payment, another that spends it, and one for itself.
fn payments() -> [Transaction; 3] {
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    let fee = Amount::from_sat(1_000);
    let params = params();
    let pay = |index: usize| {
        let (outpoint, coin) = params.genesis_coins().nth(index).expect("a coin");
        Payment::new()
            .spend(outpoint, &coin.output, &alice)
            .pay(&bob, Amount::ONE_BTC - fee)
            .sign()
    };
    let parent = pay(0);
    let child = Payment::new()
        .spend_output_of(&parent, 0, &bob)
        .pay(&alice, Amount::ONE_BTC - fee * 2)
        .sign();
    [parent, child, pay(1)]
}

fn send(node: &RunningNode, transaction: &Transaction) {
    node.call("sendrawtransaction", json!([serialize_hex(transaction)]));
}

fn mempool(node: &RunningNode) -> Value {
    node.call("getrawmempool", json!([true]))
}

#[test]
fn payments_that_wait_survive_a_stop_and_those_that_cannot_are_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let [parent, child, other] = payments();
    let node = start(dir.path(), |_| {});
    for transaction in [&parent, &child, &other] {
        send(&node, transaction);
    }
    let before = mempool(&node);
    node.stop().expect("a clean end");

    let node = start(dir.path(), |_| {});
    let after = mempool(&node);
    for transaction in [&parent, &child, &other] {
        let id = transaction.compute_txid().to_string();
        for field in ["time", "fees", "depends", "wtxid"] {
            assert_eq!(after[&id][field], before[&id][field], "{field}");
        }
    }
    node.stop().expect("a clean end");

    // Without the mempool's file one of them is confirmed: the others come back, that one does not.
    let node = start(dir.path(), |options| options.persist_mempool = false);
    assert_eq!(mempool(&node), json!({}));
    send(&node, &parent);
    node.mine(1);
    node.stop().expect("a clean end");
    let node = start(dir.path(), |_| {});
    let after = mempool(&node);
    assert_eq!(after.as_object().map(serde_json::Map::len), Some(2));
    assert!(after.get(parent.compute_txid().to_string()).is_none());
    node.stop().expect("a clean end");
}

#[test]
fn a_damaged_file_costs_payments_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let [parent, ..] = payments();
    let node = start(dir.path(), |_| {});
    send(&node, &parent);
    node.stop().expect("a clean end");
    let file = dir.path().join("mempool.dat");
    let whole = std::fs::read(&file).expect("read");
    for length in [0, 5, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).expect("written");
        let node = start(dir.path(), |_| {});
        assert_eq!(mempool(&node), json!({}), "{length}");
        node.stop().expect("a clean end");
    }
}

#[test]
fn payments_go_from_one_node_to_another_by_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let [parent, child, _] = payments();
    let node = start(&one, |_| {});
    send(&node, &parent);
    send(&node, &child);
    let saved = node.call("savemempool", json!([]));
    let other = start(&two, |options| options.persist_mempool = false);
    other.call(
        "importmempool",
        json!([saved["filename"], {"use_current_time": false}]),
    );
    let id = child.compute_txid().to_string();
    assert_eq!(mempool(&other)[&id]["time"], mempool(&node)[&id]["time"]);
    // A node that keeps nothing writes only when it is asked.
    other.stop().expect("a clean end");
    assert!(!two.join("mempool.dat").exists());
    std::fs::write(one.join("rubbish"), "rubbish").expect("written");
    assert_eq!(node.refused("importmempool", json!(["rubbish"])).0, -1);
}

#[test]
fn bans_survive_a_stop_and_are_written_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = start(dir.path(), |_| {});
    node.call("setban", json!(["10.0.0.7", "add", 1_000]));
    node.call("setban", json!([PEER, "add", 1_000]));
    let text = std::fs::read_to_string(dir.path().join("banlist.json")).expect("read");
    let list: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(list["banned_nets"][0]["address"], "10.0.0.7/32");
    assert_eq!(list["banned_peers"][0]["peer_id"], PEER);
    let mut before = node.call("listbanned", json!([]));
    node.stop().expect("a clean end");

    let node = start(dir.path(), |_| {});
    let mut after = node.call("listbanned", json!([]));
    for list in [&mut before, &mut after] {
        for entry in list.as_array_mut().expect("a list") {
            entry["time_remaining"] = Value::Null;
        }
    }
    assert_eq!(after, before);
    node.call("clearbanned", json!([]));
    node.stop().expect("a clean end");
    let node = start(dir.path(), |_| {});
    assert_eq!(node.call("listbanned", json!([])), json!([]));
    node.stop().expect("a clean end");

    // What cannot be read is kept for a look, and stops nobody.
    std::fs::write(dir.path().join("banlist.json"), "{").expect("written");
    let node = start(dir.path(), |_| {});
    assert_eq!(node.call("listbanned", json!([])), json!([]));
    assert!(dir.path().join("banlist.json.unreadable").exists());
}
