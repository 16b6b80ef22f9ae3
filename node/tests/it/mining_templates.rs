//! `getblocktemplate` and `submitblock` field by field, as Bitcoin Core has them and BIP 22, 23 and 145 define them.
#![expect(
    clippy::disallowed_methods,
    reason = "a real node runs in real time: how long it holds a call is measured"
)]

use std::time::{Duration, Instant};

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Amount, Block, Transaction};
use chain::Params;
use chain::fixtures::{Key, Payment, grind, test_params_with};
use node_host::MiningSettings;
use serde_json::{Value, json};

use crate::support_node::{ADDRESS, RunningNode, options};

/// A node on which alice has two coins from the start.
struct Scene {
    node: RunningNode,
    params: Params,
    alice: Key,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene::paying(None)
    }

    fn paying(address: Option<&str>) -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let alice = Key::p2tr("alice");
        let coin = (alice.address(), Amount::ONE_BTC);
        let params = test_params_with(&[coin.clone(), coin]);
        let mut options = options(folder.path());
        options.params = params.clone();
        options.mining = MiningSettings {
            address: address.map(|text| {
                let address: bitcoin::Address<_> = text.parse().expect("an address");
                address.assume_checked()
            }),
            ..options.mining
        };
        Scene {
            node: RunningNode::start_with(options),
            params,
            alice,
            _folder: folder,
        }
    }

    /// Sends a payment of alice's coin to herself, and one that spends its output.
    fn pay(&self) -> [Transaction; 2] {
        let (outpoint, coin) = self.params.genesis_coins().next().expect("a coin");
        let first = Payment::new()
            .spend(outpoint, &coin.output, &self.alice)
            .pay(&self.alice, Amount::from_sat(99_990_000))
            .sign();
        let second = Payment::new()
            .spend_output_of(&first, 0, &self.alice)
            .pay(&self.alice, Amount::from_sat(99_970_000))
            .sign();
        for payment in [&first, &second] {
            let hex = serialize_hex(payment);
            self.node.call("sendrawtransaction", json!([hex]));
        }
        [first, second]
    }

    fn template(&self, request: Value) -> Value {
        self.node.call("getblocktemplate", json!([request]))
    }

    /// A block that is made elsewhere, on the tip, without its witnesses' reserved value if `bare`.
    fn block(&self, bare: bool) -> Block {
        let made = self.node.call("generateblock", json!([ADDRESS, [], false]));
        let mut block: Block =
            deserialize_hex(made["hex"].as_str().expect("hex")).expect("a block");
        if bare {
            block.txdata[0].input[0].witness.clear();
        }
        block
    }

    fn submit(&self, block: &Block) -> Value {
        self.node.call("submitblock", json!([serialize_hex(block)]))
    }
}

fn segwit() -> Value {
    json!({"rules": ["segwit"]})
}

#[test]
fn every_field_has_bitcoin_cores_type_and_meaning() {
    let scene = Scene::new();
    let payments = scene.pay();
    let template = scene.template(segwit());
    let tip = scene.node.call("getbestblockhash", json!([]));
    assert_eq!(template["capabilities"], json!(["proposal"]));
    assert_eq!(template["version"], 0x2000_0000);
    assert_eq!(template["rules"], json!(["csv", "!segwit", "taproot"]));
    assert_eq!(template["vbavailable"], json!({}));
    assert_eq!(template["vbrequired"], 0);
    assert_eq!(template["previousblockhash"], tip);
    assert_eq!(template["coinbaseaux"], json!({}));
    assert_eq!(template["coinbasevalue"], 5_000_030_000_u64);
    assert_eq!(
        template["mutable"],
        json!(["time", "transactions", "prevblock"])
    );
    assert_eq!(template["noncerange"], "00000000ffffffff");
    assert_eq!(template["sigoplimit"], 80_000);
    assert_eq!(
        (&template["sizelimit"], &template["weightlimit"]),
        (&json!(4_000_000), &json!(4_000_000))
    );
    assert_eq!(template["height"], 1);
    let bits = template["bits"].as_str().expect("text");
    assert_eq!(bits, "207fffff");
    assert_eq!(template["target"], format!("7fffff{}", "0".repeat(58)));
    let (least, now) = (template["mintime"].as_u64(), template["curtime"].as_u64());
    assert!(least.expect("a number") <= now.expect("a number"));
    let id = template["longpollid"].as_str().expect("text");
    assert!(id.starts_with(tip.as_str().expect("text")) && id.len() > 64);
    assert!(template.get("coinbasetxn").is_none());

    let listed = template["transactions"].as_array().expect("a list");
    assert_eq!(listed.len(), 2);
    for (entry, payment) in listed.iter().zip(&payments) {
        assert_eq!(entry["data"], serialize_hex(payment));
        assert_eq!(entry["txid"], payment.compute_txid().to_string());
        assert_eq!(entry["hash"], payment.compute_wtxid().to_string());
        assert_eq!(entry["weight"], payment.weight().to_wu());
    }
    assert_eq!(
        (&listed[0]["fee"], &listed[1]["fee"]),
        (&json!(10_000), &json!(20_000))
    );
    assert_eq!(
        (&listed[0]["depends"], &listed[1]["depends"]),
        (&json!([]), &json!([1]))
    );
    // A key path spend costs no signature operations: BIP 342 has a budget of its own.
    assert_eq!(listed[0]["sigops"], 0);

    // The commitment, from its definition in BIP 141: the root over 0 and the two hashes, and 32 zero bytes.
    let [one, two] = [0, 1].map(|i| payments[i].compute_wtxid().to_byte_array());
    let pair = |left: [u8; 32], right: [u8; 32]| {
        sha256d::Hash::hash(&[left, right].concat()).to_byte_array()
    };
    let root = pair(pair([0; 32], one), pair(two, two));
    let commitment = pair(root, [0; 32]);
    let hex: String = commitment
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        template["default_witness_commitment"],
        format!("6a24aa21a9ed{hex}")
    );
}

#[test]
fn a_template_is_asked_for_as_the_standards_say() {
    let scene = Scene::new();
    let refused = |params: Value| scene.node.refused("getblocktemplate", params);
    let (code, text) = refused(json!([{}]));
    assert!(
        code == -8 && text.contains("{\"rules\": [\"segwit\"]}"),
        "{text}"
    );
    assert_eq!(refused(json!([])).0, -8);
    assert_eq!(refused(json!([{"rules": ["csv"]}])).0, -8);
    assert_eq!(
        refused(json!([{"rules": ["segwit"], "mode": "dance"}])).0,
        -8
    );
    assert_eq!(refused(json!([{"rules": ["segwit"], "mode": 7}])).0, -8);
    assert_eq!(refused(json!([{"mode": "proposal"}])).0, -3);
    assert_eq!(refused(json!([{"mode": "proposal", "data": "zz"}])).0, -22);
    assert_eq!(refused(json!(["segwit"])).0, -3);
    scene.template(json!({"rules": ["segwit", "taproot"], "mode": "template"}));
    // As public-pool asks: by name.
    let named = json!({"template_request": {"rules": ["segwit"], "mode": "template",
        "capabilities": ["serverlist", "proposal"]}});
    assert_eq!(scene.node.call("getblocktemplate", named)["height"], 1);
}

#[test]
fn a_template_is_given_without_peers_and_on_an_old_tip() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    // The genesis block of 2011 is the tip, and there is nobody to ask for a newer one.
    options.params = Params::bitcoin_regtest();
    let node = RunningNode::start_with(options);
    let template = node.call("getblocktemplate", json!([segwit()]));
    assert_eq!(template["height"], 1);
    assert_eq!(node.call("getconnectioncount", json!([])), 0);
}

#[test]
fn a_long_poll_waits_for_the_tip_and_an_old_id_is_answered_at_once() {
    let scene = Scene::new();
    let id = scene.template(segwit())["longpollid"].clone();
    let client = scene.node.client.clone();
    let poll = json!([{"rules": ["segwit"], "longpollid": id}]);
    let (asked, poll_again) = (Instant::now(), poll.clone());
    let waiter = std::thread::spawn(move || {
        let reply = client.call("getblocktemplate", poll);
        (reply, asked.elapsed())
    });
    std::thread::sleep(Duration::from_millis(300));
    let hash = scene.node.mine(1).remove(0);
    let (reply, took) = waiter.join().expect("joined");
    let reply = reply.expect("answered");
    assert_eq!(reply["previousblockhash"], hash);
    assert_eq!(reply["height"], 2);
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert_ne!(reply["longpollid"], id);
    // It is out of date: no need to wait.
    let reply = scene.node.call("getblocktemplate", poll_again);
    assert_eq!(reply["previousblockhash"], hash);
}

#[test]
fn the_nodes_own_coinbase_is_given_to_who_wants_no_other() {
    let scene = Scene::paying(Some(ADDRESS));
    scene.pay();
    let both = json!({"rules": ["segwit"], "capabilities": ["coinbasetxn", "coinbasevalue"]});
    assert!(scene.template(both).get("coinbasetxn").is_none());
    let wish = json!({"rules": ["segwit"], "capabilities": ["coinbasetxn"]});
    let template = scene.template(wish.clone());
    let given = &template["coinbasetxn"];
    let data = given["data"].as_str().expect("hex");
    let coinbase: Transaction = deserialize_hex(data).expect("a transaction");
    assert!(coinbase.is_coinbase() && coinbase.input[0].witness.is_empty());
    assert_eq!(coinbase.output[0].value.to_sat(), 5_000_030_000);
    let commitment = coinbase.output[1].script_pubkey.to_hex_string();
    assert_eq!(template["default_witness_commitment"], commitment);
    assert_eq!(given["txid"], coinbase.compute_txid().to_string());
    assert_eq!(
        (&given["fee"], &given["required"]),
        (&json!(-30_000), &json!(true))
    );
    assert!(
        template["mutable"]
            .as_array()
            .expect("a list")
            .contains(&json!("coinbase/append"))
    );
    let other = scene.template(wish);
    assert_ne!(
        other["coinbasetxn"]["data"], data,
        "two miners do not get the same"
    );
    // Without an address there is nobody to pay.
    let nobody = Scene::new();
    let wish = json!({"rules": ["segwit"], "capabilities": ["coinbasetxn"]});
    assert!(nobody.template(wish).get("coinbasetxn").is_none());
}

#[test]
fn proposals_are_judged_but_for_their_work() {
    let scene = Scene::new();
    let judge = |block: &Block| {
        let data = serialize_hex(block);
        scene.template(json!({"mode": "proposal", "data": data}))
    };
    let good = scene.block(false);
    assert_eq!(judge(&good), Value::Null);
    let mut unmined = good.clone();
    unmined.header.nonce = unmined.header.nonce.wrapping_add(1);
    assert_eq!(judge(&unmined), Value::Null, "work is not asked for");
    let mut changed = good.clone();
    changed.header.merkle_root = bitcoin::TxMerkleNode::all_zeros();
    assert_eq!(judge(&changed), "bad-txnmrklroot");
    let mut greedy = good.clone();
    greedy.txdata[0].output[0].value += Amount::from_sat(1);
    greedy.header.merkle_root = greedy.compute_merkle_root().expect("a coinbase");
    assert_eq!(judge(&greedy), "bad-cb-amount");
    let mut early = good.clone();
    early.header.time = 1;
    assert_eq!(judge(&early), "time-too-old");
    assert_eq!(scene.submit(&good), Value::Null);
    assert_eq!(judge(&good), "duplicate");
    let next = scene.block(false);
    let hash = scene.node.call("getbestblockhash", json!([]));
    scene.node.call("invalidateblock", json!([hash]));
    assert_eq!(judge(&good), "duplicate-invalid");
    assert_eq!(judge(&next), "inconclusive-not-best-prevblk");
    assert_eq!(
        scene.node.call("getblockcount", json!([])),
        0,
        "proposals change nothing"
    );
}

#[test]
fn submitted_blocks_are_answered_in_the_words_of_bip_22() {
    let scene = Scene::new();
    let first = scene.block(true);
    let sibling = scene.block(true);
    assert_eq!(
        scene.submit(&first),
        Value::Null,
        "the reserved value is added"
    );
    assert_eq!(scene.submit(&first), "duplicate");
    assert_eq!(scene.submit(&sibling), "inconclusive", "valid, but second");
    let remined = |change: fn(&mut Block)| {
        let mut block = scene.block(true);
        change(&mut block);
        block.header.merkle_root = block.compute_merkle_root().expect("a coinbase");
        grind(&mut block.header);
        block
    };
    let greedy = remined(|block| block.txdata[0].output[0].value += Amount::from_sat(1));
    assert_eq!(scene.submit(&greedy), "bad-cb-amount");
    assert_eq!(scene.submit(&greedy), "duplicate-invalid");
    let early = remined(|block| block.header.time = 1);
    assert_eq!(scene.submit(&early), "time-too-old");
    let orphan = remined(|block| block.header.prev_blockhash = bitcoin::BlockHash::all_zeros());
    assert_eq!(scene.submit(&orphan), "prev-blk-not-found");
    let mut easy = scene.block(true);
    easy.header.nonce = 0;
    while easy.header.validate_pow(easy.header.target()).is_ok() {
        easy.header.nonce += 1;
    }
    assert_eq!(scene.submit(&easy), "high-hash");
    assert_eq!(scene.node.refused("submitblock", json!(["00"])).0, -22);
    assert_eq!(scene.node.call("getblockcount", json!([])), 1);
    // With a second parameter, as by miners that got a workid; and by name.
    let block = serialize_hex(&scene.block(true));
    let params = json!([block, {"workid": "x"}]);
    assert_eq!(scene.node.call("submitblock", params), Value::Null);
    let block = serialize_hex(&scene.block(true));
    assert_eq!(
        scene.node.call("submitblock", json!({"hexdata": block})),
        Value::Null
    );
}

/// Puts the node's clock exactly two hours behind the median of its chain, and gives what it shows.
fn chain_two_hours_ahead(node: &RunningNode) -> u64 {
    node.call("setmocktime", json!([1_800_000_000]));
    node.mine(12);
    let info = node.call("getblockchaininfo", json!([]));
    let clock = info["mediantime"].as_u64().expect("a time") - 7_200;
    node.call("setmocktime", json!([clock]));
    clock
}

#[test]
fn while_the_chain_is_ahead_of_the_clock_no_work_is_handed_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    let clock = chain_two_hours_ahead(&node);
    for (call, params) in [
        ("getblocktemplate", json!([segwit()])),
        ("generatetoaddress", json!([1, ADDRESS])),
        ("generateblock", json!([ADDRESS, []])),
    ] {
        let (code, message) = node.refused(call, params);
        assert_eq!(code, -1, "{call}");
        let expected = "7201 s ahead of this machine's clock, and 7200 s are allowed; wait 1 s";
        assert!(message.contains(expected), "{call}: {message}");
    }
    let info = node.call("getmininginfo", json!([]));
    let warning = info["warnings"][0].as_str().expect("a warning");
    assert!(warning.starts_with("No block can be made: "), "{warning}");
    node.call("setmocktime", json!([clock + 1]));
    assert_eq!(node.mine(1).len(), 1);
    let info = node.call("getmininginfo", json!([]));
    assert_eq!(info["blocks"], 13);
}

#[test]
fn blocks_that_were_mined_before_a_failure_are_named_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    let clock = chain_two_hours_ahead(&node);
    node.call("setmocktime", json!([clock + 2]));
    let (code, message) = node.refused("generatetoaddress", json!([50, ADDRESS]));
    let tip = node.call("getbestblockhash", json!([]));
    let tip = tip.as_str().expect("a hash");
    let made = node
        .call("getblockcount", json!([]))
        .as_u64()
        .expect("a height")
        - 12;
    assert_eq!(code, -1);
    assert!(made > 0);
    assert!(
        message.starts_with(&format!(
            "{made} of 50 blocks were mined, the last is {tip}; then: "
        )),
        "{message}"
    );
    assert!(
        message.contains("ahead of this machine's clock"),
        "{message}"
    );
}

#[test]
fn the_own_miner_pauses_while_the_chain_is_ahead_of_the_clock() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    let clock = chain_two_hours_ahead(&node);
    node.call("setmining", json!([true, null, ADDRESS]));
    let mining = || node.call("getmininginfo", json!([]))["mining"].clone();
    crate::support_node::eventually("a pause", || {
        mining()["pause"] == "the chain is ahead of this machine's clock"
    });
    assert_eq!(node.call("getblockcount", json!([])), 12);
    assert_eq!(mining()["stale"], 0, "nothing was searched in vain");
    node.call("setmocktime", json!([clock + 60]));
    crate::support_node::eventually("more blocks", || {
        node.call("getblockcount", json!([])).as_u64() > Some(12)
    });
    assert_eq!(mining()["stale"], 0);
}

#[test]
fn a_template_of_the_default_network_says_for_which_times_its_bits_are_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.params = Params::local();
    let node = RunningNode::start_with(options);
    node.mine(1);
    let tip = node.call(
        "getblockheader",
        json!([node.call("getbestblockhash", json!([]))]),
    );
    let tip_time = tip["time"].as_u64().expect("a time");
    node.call("setmocktime", json!([tip_time + 10]));
    let template = node.call("getblocktemplate", json!([segwit()]));
    assert_eq!(template["maxtime"], tip_time + 39);
    assert_eq!(template["mutable"], json!(["transactions", "prevblock"]));
    // A long poll ends when the time for other bits has come.
    let request = json!([{"rules": ["segwit"], "longpollid": template["longpollid"]}]);
    node.call("setmocktime", json!([tip_time + 42]));
    let next = node.call("getblocktemplate", request);
    assert_eq!(
        (&next["mintime"], &next["maxtime"]),
        (&json!(tip_time + 40), &json!(tip_time + 44))
    );
}

#[test]
fn a_new_tip_is_searched_on_soon() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.params = Params::local();
    options.mining = MiningSettings {
        active: true,
        address: Some(
            ADDRESS
                .parse::<bitcoin::Address<_>>()
                .expect("valid")
                .assume_checked(),
        ),
        ..options.mining
    };
    let node = RunningNode::start_with(options);
    crate::support_node::eventually("three blocks", || {
        node.call("getblockcount", json!([])).as_u64() >= Some(3)
    });
    let switches = node.call("getmininginfo", json!([]))["mining"]["tipswitches"].clone();
    assert!(switches["count"].as_u64() >= Some(2), "{switches}");
    // 20 ms on a machine that does nothing else; tests share theirs.
    assert!(switches["worst_s"].as_f64() < Some(5.0), "{switches}");
}
