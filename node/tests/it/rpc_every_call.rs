//! Every call of the table, once as it is meant and once as it is not. The table itself says what must be here: a call without both
//! fails the test.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Transaction};
use chain::Params;
use chain::fixtures::{Key, Payment, test_params_with};
use node_api::rpc::table;
use serde_json::{Value, json};

use crate::support_node::{ADDRESS, RunningNode, eventually, options};

const UNKNOWN: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// A node with three blocks and two payments that wait, the second of which spends the first; and what was called so far.
struct Scene {
    node: RunningNode,
    blocks: Vec<String>,
    payment: Transaction,
    child: Transaction,
    /// One that was not sent.
    unsent: Transaction,
    good: RefCell<BTreeSet<String>>,
    bad: RefCell<BTreeSet<String>>,
    folder: tempfile::TempDir,
}

/// A network on which alice has two coins from the start.
fn params() -> Params {
    let coin = || (Key::p2tr("alice").address(), Amount::ONE_BTC);
    test_params_with(&[coin(), coin()])
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
        let params = params();
        let fee = Amount::from_sat(1_000);
        let pay = |index: usize| {
            let (outpoint, coin) = params.genesis_coins().nth(index).expect("a coin");
            Payment::new()
                .spend(outpoint, &coin.output, &alice)
                .pay(&bob, Amount::ONE_BTC - fee)
                .sign()
        };
        let (payment, unsent) = (pay(0), pay(1));
        let child = Payment::new()
            .spend_output_of(&payment, 0, &bob)
            .pay(&alice, Amount::ONE_BTC - fee * 2)
            .sign();
        let mut options = options(folder.path());
        options.params = params;
        options.txindex = true;
        let node = RunningNode::start_with(options);
        let blocks = node.mine(3);
        let scene = Scene {
            node,
            blocks,
            payment,
            child,
            unsent,
            good: RefCell::default(),
            bad: RefCell::default(),
            folder,
        };
        for transaction in [&scene.payment, &scene.child] {
            scene.good("sendrawtransaction", json!([serialize_hex(transaction)]));
        }
        scene
    }

    /// A call that must succeed.
    #[track_caller]
    fn good(&self, method: &str, params: Value) -> Value {
        self.good_at(&self.node, method, params)
    }

    /// The same at another node.
    #[track_caller]
    fn good_at(&self, node: &RunningNode, method: &str, params: Value) -> Value {
        self.good.borrow_mut().insert(method.to_owned());
        node.call(method, params)
    }

    /// A call that must fail with `code`.
    #[track_caller]
    fn bad(&self, method: &str, params: Value, code: i64) -> String {
        self.bad.borrow_mut().insert(method.to_owned());
        let (got, message) = self.node.refused(method, params.clone());
        assert_eq!(got, code, "{method} {params}: {message}");
        assert!(!message.is_empty());
        message
    }
}

#[test]
fn every_call_is_called_well_and_badly() {
    let scene = Scene::new();
    blocks(&scene);
    chain_of_blocks(&scene);
    coins(&scene);
    mempool(&scene);
    transactions(&scene);
    network(&scene);
    mining(&scene);
    waiting(&scene);
    the_node(&scene);
    what_moves_the_chain(&scene);
    // Nothing takes parameters that it does not know.
    for call in table::all() {
        let too_many = vec![Value::Null; call.params.len() + 1];
        let help = scene.bad(call.name, json!(too_many), -1);
        assert!(help.starts_with(call.name), "{help}");
        scene.bad(call.name, json!({"nonsense": 1}), -8);
    }
    let names: BTreeSet<String> = table::all().map(|call| call.name.to_owned()).collect();
    scene.good.borrow_mut().insert("stop".to_owned());
    assert_eq!(names, scene.good.take(), "each has a happy path above");
    assert_eq!(names, scene.bad.take());
    scene.node.stop().expect("a clean stop");
    drop(scene.folder);
}

fn blocks(scene: &Scene) {
    let [first, _, tip] = [0, 1, 2].map(|index| scene.blocks[index].as_str());
    assert_eq!(scene.good("getbestblockhash", json!([])), tip);
    assert_eq!(scene.good("getblockcount", json!([])), 3);
    assert_eq!(scene.good("getblockhash", json!([1])), first);
    for height in [4, -1, 5_000_000_000_i64] {
        scene.bad("getblockhash", json!([height]), -8);
    }
    scene.bad("getblockhash", json!(["1"]), -3);
    scene.bad("getblockhash", json!([1.5]), -1);
    scene.bad("getblockhash", json!([1e300]), -1);
    assert_eq!(scene.good("getblock", json!([tip]))["height"], 3);
    scene.bad("getblock", json!([UNKNOWN]), -5);
    scene.bad("getblock", json!(["12"]), -8);
    scene.bad("getblock", json!([tip, "2"]), -3);
    assert_eq!(scene.good("getblockheader", json!([first]))["nTx"], 1);
    scene.bad("getblockheader", json!([UNKNOWN]), -5);
    scene.bad("getblockheader", json!([first, 1]), -3);
    assert!(scene.good("getblockfilter", json!([tip]))["filter"].is_string());
    scene.bad("getblockfilter", json!([UNKNOWN]), -5);
    assert_eq!(scene.good("getblockstats", json!([tip]))["height"], 3);
    scene.bad("getblockstats", json!([UNKNOWN]), -5);
    scene.bad("getblockstats", json!([4]), -8);
    scene.bad("getblockstats", json!([1, ["nonsense"]]), -8);
    assert_eq!(
        scene.good("getchaintxstats", json!([2]))["window_block_count"],
        2
    );
    scene.bad("getchaintxstats", json!([3]), -8);
    scene.bad("getchaintxstats", json!([1, UNKNOWN]), -5);
    let deployments = scene.good("getdeploymentinfo", json!([first]));
    assert_eq!(deployments["height"], 1);
    scene.bad("getdeploymentinfo", json!([UNKNOWN]), -5);
    assert_eq!(scene.good("getblockchaininfo", json!([]))["blocks"], 3);
    assert!(scene.good("getdifficulty", json!([])).is_number());
    let tips = scene.good("getchaintips", json!([]));
    assert_eq!(tips[0]["status"], "active");
    let states = scene.good("getchainstates", json!([]));
    assert_eq!(states["headers"], 3);
}

fn chain_of_blocks(scene: &Scene) {
    assert_eq!(scene.good("verifychain", json!([4, 0])), true);
    scene.bad("verifychain", json!([5]), -8);
    scene.good("backup", json!(["copy"]));
    assert!(scene.folder.path().join("copy/manifest.json").exists());
    scene.bad("backup", json!(["copy"]), -1);
    let dumped = scene.good("dumptxoutset", json!(["coins.dat"]));
    assert_eq!(dumped["base_height"], 3);
    scene.bad("dumptxoutset", json!(["coins.dat"]), -8);
    scene.bad("dumptxoutset", json!(["more.dat", "rollback"]), -8);
    let hash = &dumped["txoutset_hash"];
    scene.bad("loadtxoutset", json!(["nothing.dat", hash]), -8);
    scene.bad("loadtxoutset", json!(["coins.dat", "12"]), -8);
    scene.bad("loadtxoutset", json!(["coins.dat", hash]), -32_603);
    let (_folder, fresh) = sibling();
    let file = scene.folder.path().join("coins.dat");
    scene.good_at(&fresh, "loadtxoutset", json!([file, hash]));
    assert_eq!(fresh.call("getblockcount", json!([])), 3);
    // The index follows what is on disk, so it may be a commit behind the tip.
    eventually("the index at the tip", || {
        scene.good("getindexinfo", json!([]))["txindex"]["synced"] == true
    });
    assert_eq!(scene.good("getindexinfo", json!(["nonsense"])), json!({}));
    assert_eq!(scene.good("getscrubinfo", json!([]))["enabled"], true);
}

fn coins(scene: &Scene) {
    let block = scene.node.call("getblock", json!([scene.blocks[0]]));
    let txid = &block["tx"][0];
    let output = scene.good("gettxout", json!([txid, 0]));
    assert_eq!(output["coinbase"], true);
    assert_eq!(scene.good("gettxout", json!([txid, 9])), Value::Null);
    scene.bad("gettxout", json!(["12", 0]), -8);
    scene.bad("gettxout", json!([txid]), -1);
    let spent = &scene.payment.input[0].previous_output;
    let with_mempool = json!([spent.txid, spent.vout]);
    assert_eq!(scene.good("gettxout", with_mempool), Value::Null);
    let without = json!([spent.txid, spent.vout, false]);
    assert_eq!(scene.good("gettxout", without)["value"], json!(1.0));
    assert_eq!(scene.good("gettxoutsetinfo", json!(["none"]))["height"], 3);
    scene.bad("gettxoutsetinfo", json!(["md5"]), -8);
    let past = scene.good("gettxoutsetinfo", json!(["muhash", 1]));
    assert_eq!(
        (&past["height"], &past["bestblock"]),
        (&json!(1), &json!(scene.blocks[0]))
    );
    scene.bad("gettxoutsetinfo", json!(["hash_serialized_3", 1]), -8);
    scene.bad("gettxoutsetinfo", json!(["muhash", 9]), -8);
    assert_eq!(
        scene.good("gettxout", json!([txid, 0, false, 0])),
        Value::Null
    );
    assert_eq!(
        scene.good("gettxout", json!([txid, 0, false, 1]))["confirmations"],
        1
    );
    let hashes = scene.good("getcoinhashes", json!([1]));
    assert_eq!(hashes["ranges"][0]["muhash"], past["muhash"]);
    let halves = json!([["", "80"], ["80", ""]]);
    let halves = scene.good("getcoinhashes", json!([scene.blocks[0], halves]));
    let count = |half: usize| halves["ranges"][half]["coins"].as_u64();
    assert_eq!(
        count(0).zip(count(1)).map(|(a, b)| a + b),
        past["txouts"].as_u64()
    );
    scene.bad("getcoinhashes", json!([1, [["80", "80"]]]), -8);
    scene.bad("getcoinhashes", json!([1, [["80", ""], ["00", "80"]]]), -8);
    scene.bad("getcoinhashes", json!([1, [["8", ""]]]), -8);
    let listed = scene.good("listcoins", json!([1, "", ""]));
    assert_eq!(
        listed.as_array().map(Vec::len),
        past["txouts"]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
    );
    scene.bad("listcoins", json!([1, "80", "00"]), -8);
    scene.bad("listcoins", json!([UNKNOWN, "", ""]), -5);
    let object = format!("addr({ADDRESS})");
    let found = scene.good("scantxoutset", json!(["start", [object]]));
    assert_eq!(found["unspents"].as_array().map(Vec::len), Some(3));
    scene.bad("scantxoutset", json!(["start", ["pkh(x)"]]), -5);
    scene.bad("scantxoutset", json!(["begin"]), -8);
    let proof = scene.good("gettxoutproof", json!([[txid]]));
    scene.bad("gettxoutproof", json!([[]]), -8);
    scene.bad("gettxoutproof", json!([[UNKNOWN]]), -5);
    scene.bad("gettxoutproof", json!([[txid, txid]]), -8);
    let proven = scene.good("verifytxoutproof", json!([proof]));
    assert_eq!(&proven[0], txid);
    scene.bad("verifytxoutproof", json!(["zz"]), -22);
}

fn mempool(scene: &Scene) {
    let (parent, child) = (scene.payment.compute_txid(), scene.child.compute_txid());
    let ancestors = scene.good("getmempoolancestors", json!([child]));
    assert_eq!(ancestors, json!([parent]));
    let shown = scene.good("getmempoolancestors", json!([child, true]));
    assert_eq!(shown[parent.to_string()]["descendantcount"], 2);
    scene.bad("getmempoolancestors", json!([UNKNOWN]), -5);
    let descendants = scene.good("getmempooldescendants", json!([parent]));
    assert_eq!(descendants, json!([child]));
    scene.bad("getmempooldescendants", json!([UNKNOWN]), -5);
    let entry = scene.good("getmempoolentry", json!([child]));
    assert_eq!(entry["depends"], json!([parent]));
    assert_eq!(entry["ancestorcount"], 2);
    assert_eq!(entry["fees"]["ancestor"], json!(0.00002));
    scene.bad("getmempoolentry", json!([UNKNOWN]), -5);
    scene.bad("getmempoolentry", json!(["x"]), -8);
    assert_eq!(scene.good("getmempoolinfo", json!([]))["size"], 2);
    let all = scene.good("getrawmempool", json!([false, true]));
    assert_eq!(all["txids"].as_array().map(Vec::len), Some(2));
    scene.bad("getrawmempool", json!([true, true]), -8);
    let saved = scene.good("savemempool", json!([]));
    assert!(
        saved["filename"]
            .as_str()
            .is_some_and(|name| name.ends_with("mempool.dat"))
    );
    scene.bad("savemempool", json!([1]), -1);
    assert_eq!(
        scene.good("importmempool", json!(["mempool.dat"])),
        json!({})
    );
    scene.bad("importmempool", json!(["nothing.dat"]), -1);
    scene.bad(
        "importmempool",
        json!(["mempool.dat", {"use_current_time": 1}]),
        -3,
    );
    let asked = json!([[{"txid": parent, "vout": 0}, {"txid": child, "vout": 0}]]);
    let spending = scene.good("gettxspendingprevout", asked);
    assert_eq!(spending[0]["spendingtxid"], child.to_string());
    assert!(spending[1]["spendingtxid"].is_null());
    scene.bad("gettxspendingprevout", json!([[]]), -8);
    scene.bad("gettxspendingprevout", json!([[{"txid": parent}]]), -8);
    scene.bad(
        "gettxspendingprevout",
        json!([[{"txid": parent, "vout": -1}]]),
        -8,
    );
    scene.bad("gettxspendingprevout", json!([[{"vout": 0}]]), -3);
    assert!(scene.good("estimatesmartfee", json!([6]))["feerate"].is_number());
    scene.bad("estimatesmartfee", json!([1_009]), -8);
    scene.bad("estimatesmartfee", json!([6, "lazy"]), -8);
}

fn transactions(scene: &Scene) {
    let parent = scene.payment.compute_txid();
    let input = json!([{"txid": parent, "vout": 0}]);
    let raw = scene.good("createrawtransaction", json!([input, [{ADDRESS: 0.5}]]));
    let decoded = scene.good("decoderawtransaction", json!([raw]));
    assert_eq!(decoded["vin"][0]["txid"], parent.to_string());
    scene.bad(
        "createrawtransaction",
        json!([input, [{ADDRESS: "NaN"}]]),
        -3,
    );
    scene.bad(
        "createrawtransaction",
        json!([input, [{ADDRESS: 1}], -1]),
        -8,
    );
    scene.bad("createrawtransaction", json!([input, {"data": "zz"}]), -8);
    scene.bad("createrawtransaction", json!([[{"txid": parent}], {}]), -8);
    scene.bad("decoderawtransaction", json!(["zz"]), -22);
    let script = "0014751e76e8199196d454941c45d1b3a323f1433bd6";
    let shown = scene.good("decodescript", json!([script]));
    assert_eq!(shown["type"], "witness_v0_keyhash");
    assert_eq!(shown["address"], ADDRESS);
    scene.bad("decodescript", json!(["zz"]), -8);
    let shown = scene.good("getrawtransaction", json!([parent, 2]));
    assert_eq!(shown["fee"], json!(0.00001));
    scene.bad("getrawtransaction", json!([UNKNOWN]), -5);
    scene.bad("getrawtransaction", json!([parent, 1, UNKNOWN]), -5);
    let unsent = serialize_hex(&scene.unsent);
    let tested = scene.good("testmempoolaccept", json!([[unsent]]));
    assert_eq!(tested[0]["allowed"], true);
    scene.bad("testmempoolaccept", json!([[]]), -8);
    scene.bad("testmempoolaccept", json!([["zz"]]), -22);
    scene.bad("testmempoolaccept", json!([[unsent], 2]), -8);
    scene.bad("sendrawtransaction", json!(["zz"]), -22);
    scene.bad("sendrawtransaction", json!([unsent, 0.000_000_01]), -25);
    let sent = scene.good("submitpackage", json!([[unsent]]));
    assert_eq!(sent["package_msg"], "success");
    scene.bad("submitpackage", json!([[]]), -8);
    scene.bad("submitpackage", json!([[unsent, unsent]]), -25);
}

fn network(scene: &Scene) {
    let nobody = "/ip4/127.0.0.1/tcp/1";
    scene.good("addnode", json!([nobody, "add"]));
    scene.bad("addnode", json!([nobody, "add"]), -23);
    scene.bad("addnode", json!([nobody, "befriend"]), -1);
    let added = scene.good("getaddednodeinfo", json!([nobody]));
    assert_eq!(added[0]["connected"], false);
    scene.bad("getaddednodeinfo", json!(["/ip4/127.0.0.1/tcp/2"]), -24);
    scene.good("addnode", json!([nobody, "remove"]));
    scene.bad("addnode", json!([nobody, "remove"]), -24);
    assert_eq!(scene.good("getconnectioncount", json!([])), 0);
    assert_eq!(scene.good("getpeerinfo", json!([])), json!([]));
    assert_eq!(scene.good("getnodeaddresses", json!([0])), json!([]));
    scene.bad("getnodeaddresses", json!([-1]), -8);
    assert!(scene.good("getnetworkinfo", json!([]))["subversion"].is_string());
    assert!(scene.good("getnettotals", json!([]))["totalbytesrecv"].is_u64());
    scene.good("ping", json!([]));
    scene.good("setban", json!(["10.0.0.1", "add", 60]));
    let banned = scene.good("listbanned", json!([]));
    assert_eq!(banned[0]["address"], "10.0.0.1");
    scene.bad("setban", json!(["10.0.0.1", "add"]), -23);
    scene.bad("setban", json!(["10.0.0.0/8", "add"]), -30);
    scene.bad("setban", json!(["10.0.0.2", "remove"]), -30);
    scene.bad("setban", json!(["10.0.0.2", "add", -5]), -8);
    scene.bad("setban", json!(["10.0.0.2", "pardon"]), -1);
    scene.good("clearbanned", json!([]));
    assert_eq!(scene.good("listbanned", json!([])), json!([]));
    assert_eq!(scene.good("setnetworkactive", json!([false])), false);
    assert_eq!(scene.good("setnetworkactive", json!([true])), true);
    scene.bad("setnetworkactive", json!(["yes"]), -3);
    scene.bad("disconnectnode", json!(["127.0.0.1:1"]), -29);
    scene.bad("disconnectnode", json!([nobody, 1]), -32_602);
    scene.bad("getblockfrompeer", json!([UNKNOWN, 1]), -1);
    // Both need a peer: see below.
    with_a_peer(scene);
}

/// A fresh node of the same network.
fn sibling() -> (tempfile::TempDir, RunningNode) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.params = params();
    let node = RunningNode::start_with(options);
    (folder, node)
}

/// A second node whose block is known here by its header only.
fn with_a_peer(scene: &Scene) {
    let (_folder, other) = sibling();
    let stale = other.mine(1);
    let header = other.call("getblockheader", json!([stale[0], false]));
    scene.good("submitheader", json!([header]));
    scene.bad("submitheader", json!(["00"]), -22);
    let address = &other.started.listen[0];
    scene.good("addnode", json!([address, "onetry"]));
    crate::support_node::eventually("a connection", || {
        scene.node.call("getconnectioncount", json!([])) == 1
    });
    let peer = &scene.node.call("getpeerinfo", json!([]))[0]["id"];
    scene.good("getblockfrompeer", json!([stale[0], peer]));
    crate::support_node::eventually("the block", || {
        scene
            .node
            .client
            .call("getblock", json!([stale[0]]))
            .is_ok()
    });
    scene.bad("getblockfrompeer", json!([stale[0], peer]), -1);
    scene.good("disconnectnode", json!({"nodeid": peer}));
}

fn mining(scene: &Scene) {
    let template = scene.good("getblocktemplate", json!([{"rules": ["segwit"]}]));
    assert_eq!(template["height"], 4);
    assert_eq!(template["transactions"].as_array().map(Vec::len), Some(3));
    scene.bad("getblocktemplate", json!([{}]), -8);
    scene.bad(
        "getblocktemplate",
        json!([{"mode": "haste", "rules": ["segwit"]}]),
        -8,
    );
    assert_eq!(scene.good("getmininginfo", json!([]))["blocks"], 3);
    assert!(scene.good("getnetworkhashps", json!([2, 3])).is_number());
    scene.bad("getnetworkhashps", json!([0]), -8);
    scene.bad("getnetworkhashps", json!([1, 9]), -8);
    assert!(scene.good("getstratuminfo", json!([])).is_object());
    let dial = scene.good("setmining", json!([{"rate": 1_000, "address": ADDRESS}]));
    assert_eq!(dial["active"], false);
    scene.bad("setmining", json!([{"speed": 1}]), -8);
    scene.bad("setmining", json!([{"rate": "fast"}]), -3);
    scene.bad("setmining", json!([true, null, "x"]), -5);
}

fn waiting(scene: &Scene) {
    let tip = &scene.blocks[2];
    assert_eq!(scene.good("waitforblock", json!([tip, 1_000]))["height"], 3);
    scene.bad("waitforblock", json!(["12", 1]), -8);
    scene.bad("waitforblock", json!([tip, -1]), -1);
    assert_eq!(scene.good("waitforblockheight", json!([3, 1]))["height"], 3);
    scene.bad("waitforblockheight", json!(["3"]), -3);
    scene.bad("waitforblockheight", json!([3, -1]), -1);
    let waited = scene.good("waitfornewblock", json!([1, UNKNOWN]));
    assert_eq!(waited["height"], 3);
    scene.bad("waitfornewblock", json!([-1]), -1);
    let events = scene.good("waitforevents", json!([0, 1, 2]));
    assert_eq!(events["events"].as_array().map(Vec::len), Some(2));
    scene.bad("waitforevents", json!([-1]), -8);
    scene.bad("waitforevents", json!([0, 1, -1]), -8);
}

fn the_node(scene: &Scene) {
    let help = scene.good("help", json!(["getblock"]));
    assert!(
        help.as_str()
            .is_some_and(|text| text.starts_with("getblock "))
    );
    scene.bad("help", json!([5]), -3);
    assert!(scene.good("getmemoryinfo", json!([]))["resident"].is_u64());
    scene.bad("getmemoryinfo", json!(["everything"]), -8);
    let running = scene.good("getrpcinfo", json!([]));
    assert_eq!(running["active_commands"][0]["method"], "getrpcinfo");
    assert!(scene.good("uptime", json!([])).is_u64());
    scene.good("setmocktime", json!([0]));
    scene.bad("setmocktime", json!([-1]), -8);
    let valid = scene.good("validateaddress", json!([ADDRESS]));
    assert_eq!(valid["witness_version"], 0);
    assert_eq!(
        scene.good("validateaddress", json!(["x"]))["isvalid"],
        false
    );
    scene.bad("validateaddress", json!([5]), -3);
    let descriptor = format!("addr({ADDRESS})");
    let info = scene.good("getdescriptorinfo", json!([descriptor]));
    assert_eq!(info["checksum"].as_str().map(str::len), Some(8));
    scene.bad("getdescriptorinfo", json!(["nonsense"]), -5);
    scene.bad("stop", json!(["soon"]), -3);
}

fn what_moves_the_chain(scene: &Scene) {
    let made = scene.good("generateblock", json!([ADDRESS, [], false]));
    assert!(made["hex"].is_string());
    scene.bad("generateblock", json!(["x", []]), -5);
    scene.bad("generateblock", json!([ADDRESS, [UNKNOWN]]), -5);
    scene.bad("generateblock", json!([ADDRESS, [5]]), -3);
    assert_eq!(scene.good("submitblock", json!([made["hex"]])), Value::Null);
    assert_eq!(scene.good("submitblock", json!([made["hex"]])), "duplicate");
    scene.bad("submitblock", json!(["00"]), -22);
    let mined = scene.good("generatetoaddress", json!([1, ADDRESS]));
    scene.bad("generatetoaddress", json!([1, "x"]), -5);
    scene.bad("generatetoaddress", json!(["1", ADDRESS]), -3);
    let object = format!("addr({ADDRESS})");
    let more = scene.good("generatetodescriptor", json!([1, object]));
    scene.bad("generatetodescriptor", json!([1, "nonsense"]), -5);
    assert_eq!(scene.node.call("getblockcount", json!([])), 6);
    for call in ["invalidateblock", "preciousblock", "reconsiderblock"] {
        scene.bad(call, json!([UNKNOWN]), -5);
        scene.bad(call, json!(["12"]), -8);
    }
    scene.good("invalidateblock", json!([mined[0]]));
    assert_eq!(scene.node.call("getblockcount", json!([])), 4);
    scene.good("reconsiderblock", json!([mined[0]]));
    assert_eq!(scene.node.call("getbestblockhash", json!([])), more[0]);
    scene.good("preciousblock", json!([more[0]]));
}
