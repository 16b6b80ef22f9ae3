//! Several transactions at once by RPC, in Bitcoin Core's fields and words.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Transaction};
use chain::Params;
use chain::fixtures::{Key, Payment, test_params_with};
use serde_json::{Value, json};

use crate::support_node::{RunningNode, options};

const FEE: Amount = Amount::from_sat(10_000);

/// A node on whose network alice has three coins of 1 BTC from the start.
struct Scene {
    node: RunningNode,
    params: Params,
    _folder: tempfile::TempDir,
}

fn alice() -> Key {
    Key::p2tr("alice")
}

fn bob() -> Key {
    Key::p2wpkh("bob")
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let coin = || (alice().address(), Amount::ONE_BTC);
        let params = test_params_with(&[coin(), coin(), coin()]);
        let mut options = options(folder.path());
        options.params = params.clone();
        Scene {
            node: RunningNode::start_with(options),
            params,
            _folder: folder,
        }
    }

    /// Pays one of alice's coins to bob.
    fn pay(&self, coin: usize, fee: Amount) -> Transaction {
        let (outpoint, coin) = self.params.genesis_coins().nth(coin).expect("a coin");
        Payment::new()
            .spend(outpoint, &coin.output, &alice())
            .pay(&bob(), coin.output.value - fee)
            .sign()
    }

    fn submit(&self, package: &[&Transaction]) -> Value {
        self.node.call("submitpackage", json!([hexes(package)]))
    }

    fn test(&self, package: &[&Transaction]) -> Value {
        self.node.call("testmempoolaccept", json!([hexes(package)]))
    }
}

fn child(parents: &[&Transaction], fee: Amount) -> Transaction {
    let worth: Amount = parents.iter().map(|parent| parent.output[0].value).sum();
    let spend = parents.iter().fold(Payment::new(), |payment, parent| {
        payment.spend_output_of(parent, 0, &bob())
    });
    spend.pay(&alice(), worth - fee).sign()
}

fn hexes(package: &[&Transaction]) -> Vec<String> {
    package.iter().map(|tx| serialize_hex(*tx)).collect()
}

#[test]
fn a_child_pays_for_its_parent() {
    let scene = Scene::new();
    let parent = scene.pay(0, Amount::ZERO);
    let child = child(&[&parent], FEE);
    let alone = scene
        .node
        .refused("sendrawtransaction", json!([serialize_hex(&parent)]));
    assert_eq!(alone.0, -26);
    assert!(alone.1.starts_with("min relay fee not met"), "{}", alone.1);

    let reply = scene.submit(&[&parent, &child]);
    assert_eq!(reply["package_msg"], "success");
    assert_eq!(reply["replaced-transactions"], json!([]));
    let results = &reply["tx-results"];
    let wtxids = json!([parent.compute_wtxid(), child.compute_wtxid()]);
    for tx in [&parent, &child] {
        let result = &results[tx.compute_wtxid().to_string()];
        assert_eq!(result["txid"], tx.compute_txid().to_string());
        assert_eq!(result["vsize"], tx.vsize());
        assert_eq!(result["fees"]["effective-includes"], wtxids);
        assert!(result["error"].is_null());
    }
    let vsize = (parent.vsize() + child.vsize()) as u64;
    let shown = &results[child.compute_wtxid().to_string()]["fees"];
    assert_eq!(shown["base"], json!(0.0001));
    let rate = FEE.to_sat() * 1_000 / vsize;
    assert_eq!(shown["effective-feerate"], json!(rate as f64 / 1e8));
    assert_eq!(scene.node.call("getmempoolinfo", json!([]))["size"], 2);

    // Sent again: here already, so no rate is told.
    let again = scene.submit(&[&parent, &child]);
    assert_eq!(again["package_msg"], "success");
    let fees = &again["tx-results"][parent.compute_wtxid().to_string()]["fees"];
    assert_eq!(fees["base"], json!(0.0));
    assert!(fees["effective-feerate"].is_null());
    // Miners take them.
    scene.node.mine(1);
    assert_eq!(scene.node.call("getmempoolinfo", json!([]))["size"], 0);
}

#[test]
fn a_package_that_is_refused_says_why_for_each() {
    let scene = Scene::new();
    let parent = scene.pay(0, Amount::ZERO);
    let stingy = child(&[&parent], Amount::ZERO);
    let reply = scene.submit(&[&parent, &stingy]);
    assert_eq!(reply["package_msg"], "transaction failed");
    for tx in [&parent, &stingy] {
        let error = &reply["tx-results"][tx.compute_wtxid().to_string()]["error"];
        let error = error.as_str().expect("an error");
        assert!(error.starts_with("min relay fee not met"), "{error}");
    }
    assert_eq!(scene.node.call("getmempoolinfo", json!([]))["size"], 0);

    let generous = child(&[&parent], Amount::from_sat(90_000_000));
    let reply = scene.submit(&[&parent, &generous]);
    let error = &reply["tx-results"][generous.compute_wtxid().to_string()]["error"];
    assert!(
        error
            .as_str()
            .is_some_and(|text| text.contains("max feerate exceeded"))
    );
    let unbound = json!([hexes(&[&parent, &generous]), 0]);
    let reply = scene.node.call("submitpackage", unbound);
    assert_eq!(reply["package_msg"], "success", "{reply}");
}

#[test]
fn what_is_no_package_is_refused_as_a_whole() {
    let scene = Scene::new();
    let (a, b) = (scene.pay(0, FEE), scene.pay(1, FEE));
    let refused = |params: Value| scene.node.refused("submitpackage", params);
    let (code, text) = refused(json!([hexes(&[&a, &b])]));
    assert_eq!(code, -25);
    assert!(text.starts_with("package topology disallowed"), "{text}");
    assert_eq!(refused(json!([hexes(&[&a, &a])])).0, -25);
    let child = child(&[&a], FEE);
    assert_eq!(refused(json!([hexes(&[&child, &a])])).0, -25);
    assert_eq!(refused(json!([[]])).0, -8);
    assert_eq!(refused(json!([vec!["00"; 26]])).0, -8);
    assert_eq!(refused(json!([["00"]])).0, -22);
    assert_eq!(refused(json!([[5]])).0, -3);
    assert_eq!(refused(json!(["00"])).0, -3);
    assert_eq!(refused(json!([hexes(&[&a]), 2])).0, -8);
    // One alone is as good as sendrawtransaction.
    assert_eq!(scene.submit(&[&a])["package_msg"], "success");
}

#[test]
fn several_are_tested_on_each_other() {
    let scene = Scene::new();
    let parent = scene.pay(0, FEE);
    let good = child(&[&parent], FEE);
    let tested = scene.test(&[&parent, &good]);
    for (tested, tx) in [(&tested[0], &parent), (&tested[1], &good)] {
        assert_eq!(tested["allowed"], true, "{tested}");
        assert_eq!(tested["vsize"], tx.vsize());
        assert_eq!(tested["fees"]["base"], json!(0.0001));
        let own = json!([tx.compute_wtxid()]);
        assert_eq!(tested["fees"]["effective-includes"], own);
    }
    assert_eq!(scene.node.call("getrawmempool", json!([])), json!([]));
    // At the first that fails, nothing is said of the others.
    let poor = child(&[&parent], Amount::ZERO);
    let tested = scene.test(&[&parent, &poor]);
    assert!(tested[0]["allowed"].is_null() && tested[0]["package-error"].is_null());
    assert_eq!(tested[1]["allowed"], false);
    assert_eq!(tested[1]["reject-reason"], "min relay fee not met");
    let generous = child(&[&parent], Amount::from_sat(90_000_000));
    let tested = scene.test(&[&parent, &generous]);
    assert_eq!(tested[0]["allowed"], true);
    assert_eq!(tested[1]["reject-reason"], "max-fee-exceeded");
    // Alone its input is missing.
    assert_eq!(scene.test(&[&good])[0]["reject-reason"], "missing-inputs");

    for (package, error) in [
        (&[&good, &parent][..], "package-not-sorted"),
        (&[&parent, &parent], "package-contains-duplicates"),
        (&[&parent, &scene.pay(0, FEE + FEE)], "conflict-in-package"),
    ] {
        for tested in scene.test(package).as_array().expect("a list") {
            assert_eq!(tested["package-error"], error);
            assert!(tested["allowed"].is_null());
        }
    }
}
