//! What was saved of a mempool, after a kill.

use std::time::{Duration, Instant};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{OutPoint, Transaction};
use serde_json::json;

use crate::process::PATIENCE;
use crate::support::node::Node;
use crate::support::paying::pay;
use crate::support::{payments, write_genesis};

#[test]
fn a_saved_payment_comes_back_though_its_parent_left_the_chain_before_the_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let genesis = write_genesis(folder.path(), 1);
    let data = folder.path().join("node");
    let coins = payments::params(1).genesis.txdata[1].clone();
    let coin = OutPoint::new(coins.compute_txid(), 0);
    let parent = pay(coin, &coins.output[0]);
    let change = OutPoint::new(parent.compute_txid(), 1);
    let child = pay(change, &parent.output[1]);

    let node = Node::start(&data, &genesis, &[]);
    let send = |payment: &Transaction| {
        node.call("sendrawtransaction", json!([serialize_hex(payment)]));
    };
    send(&parent);
    let payee = chain::fixtures::Key::p2tr("miner").address().to_string();
    let mined = node.call("generatetoaddress", json!([1, payee]));
    send(&child);
    node.call("savemempool", json!([]));
    node.call("invalidateblock", json!([mined[0]]));
    node.send_kill();
    drop(node);

    let node = Node::start(&data, &genesis, &[]);
    let deadline = Instant::now() + PATIENCE;
    while node.call("getmempoolinfo", json!([]))["loaded"] != json!(true) {
        assert!(Instant::now() < deadline, "the mempool is not read");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(node.call("getblockcount", json!([])), json!(0));
    let waiting = node.call("getrawmempool", json!([]));
    let waiting: Vec<&str> = waiting
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(serde_json::Value::as_str)
        .collect();
    for payment in [&parent, &child] {
        let txid = payment.compute_txid().to_string();
        assert!(waiting.contains(&txid.as_str()), "{txid} of {waiting:?}");
    }
    node.stop();
}
