//! The calls, each on its happy path and with its errors.
#![expect(
    clippy::disallowed_methods,
    reason = "a real node runs in real time: waits are bounded by the clock"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support_node::{ADDRESS, RunningNode, eventually};

const UNKNOWN: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn started() -> (tempfile::TempDir, RunningNode) {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    (folder, node)
}

#[test]
fn blocks_and_headers() {
    let (_folder, node) = started();
    let hashes = node.mine(3);
    assert_eq!(node.call("getblockcount", json!([])), 3);
    assert_eq!(node.call("getbestblockhash", json!([])), hashes[2].as_str());
    assert_eq!(node.call("getblockhash", json!([1])), hashes[0].as_str());
    assert_eq!(
        node.refused("getblockhash", json!([4])),
        (-8, "Block height out of range".into())
    );

    let block = node.call("getblock", json!([hashes[1]]));
    for field in [
        "hash",
        "confirmations",
        "size",
        "weight",
        "height",
        "version",
        "merkleroot",
        "tx",
        "time",
        "nonce",
        "bits",
        "difficulty",
        "chainwork",
        "nTx",
        "previousblockhash",
        "nextblockhash",
        "mediantime",
        "strippedsize",
        "versionHex",
    ] {
        assert!(!block[field].is_null(), "{field}");
    }
    assert_eq!(block["nextblockhash"], hashes[2].as_str());
    assert_eq!(block["confirmations"], 2);
    assert_eq!(block["nTx"], 1);
    let tip = node.call("getblock", json!([hashes[2], 2]));
    assert!(tip["nextblockhash"].is_null());
    assert_eq!(tip["tx"][0]["vout"][0]["scriptPubKey"]["address"], ADDRESS);
    assert!(node.call("getblock", json!([hashes[2], 0])).is_string());
    assert!(node.call("getblock", json!([hashes[2], false])).is_string());
    assert_eq!(
        node.refused("getblock", json!([UNKNOWN])),
        (-5, "Block not found".into())
    );
    assert_eq!(node.refused("getblock", json!(["12"])).0, -8);

    let header = node.call("getblockheader", json!([hashes[0]]));
    assert_eq!(header["height"], 1);
    assert_eq!(
        node.call("getblockheader", json!([hashes[0], false]))
            .as_str()
            .map(str::len),
        Some(160)
    );

    let info = node.call("getblockchaininfo", json!([]));
    assert_eq!(
        (&info["chain"], &info["blocks"]),
        (&json!("regtest"), &json!(3))
    );
    assert_eq!(info["initialblockdownload"], false);
    let stats = node.call("getblockstats", json!([3, ["txs", "subsidy"]]));
    assert_eq!(stats, json!({"txs": 1, "subsidy": 5_000_000_000_u64}));
    assert_eq!(node.refused("getblockstats", json!([9])).0, -8);
    assert_eq!(node.refused("getblockstats", json!([1, ["x"]])).0, -8);
    assert_eq!(node.call("getchaintxstats", json!([]))["txcount"], 4);
    assert_eq!(
        node.call("getdeploymentinfo", json!([]))["deployments"]["segwit"]["active"],
        true
    );
    assert!(node.call("getdifficulty", json!([])).is_number());
}

#[test]
fn branches_and_an_operators_word() {
    let (_folder, node) = started();
    let hashes = node.mine(5);
    node.call("invalidateblock", json!([hashes[3]]));
    assert_eq!(node.call("getblockcount", json!([])), 3);
    assert_eq!(
        node.call("getblock", json!([hashes[4]]))["confirmations"],
        -1
    );
    // The next block is another than the invalid one, although all else is the same.
    let other = node.mine(1);
    assert_ne!(other[0], hashes[3]);
    let tips = node.call("getchaintips", json!([]));
    let statuses: Vec<&str> = tips
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|tip| tip["status"].as_str())
        .collect();
    assert_eq!(statuses, ["invalid", "active"]);
    node.call("reconsiderblock", json!([hashes[3]]));
    assert_eq!(node.call("getbestblockhash", json!([])), hashes[4].as_str());
    let fork = node.call("getchaintips", json!([]));
    assert_eq!(fork[1]["status"], "valid-fork");
    assert_eq!(fork[1]["branchlen"], 1);
    node.call("preciousblock", json!([hashes[4]]));
    assert_eq!(node.refused("invalidateblock", json!([UNKNOWN])).0, -5);
    let genesis = node.call("getblockhash", json!([0]));
    assert_eq!(node.refused("invalidateblock", json!([genesis])).0, -8);
}

#[test]
fn waiting_for_blocks_and_events() {
    let (_folder, node) = started();
    let client = node.client.clone();
    let waiter = std::thread::spawn(move || client.call("waitfornewblock", json!([20_000])));
    std::thread::sleep(Duration::from_millis(100));
    let hashes = node.mine(1);
    let tip = waiter.join().expect("joined").expect("answered");
    assert_eq!(tip, json!({"hash": hashes[0], "height": 1}));

    let start = Instant::now();
    let tip = node.call("waitforblockheight", json!([5, 100]));
    assert_eq!(tip["height"], 1);
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(
        node.call("waitforblock", json!([hashes[0], 1_000]))["height"],
        1
    );
    assert_eq!(node.refused("waitfornewblock", json!([-1])).0, -1);

    let events = node.call("waitforevents", json!([0, 1_000]));
    let kinds: Vec<&str> = events["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect();
    assert!(kinds.contains(&"block-connected"), "{kinds:?}");
    let next = &events["next"];
    node.mine(1);
    let more = node.call("waitforevents", json!([next, 5_000]));
    assert!(more["events"][0]["n"] == *next, "{more}");
}

#[test]
fn templates_proposals_and_blocks_of_miners() {
    let (_folder, node) = started();
    let asking = json!([{"rules": ["segwit"]}]);
    assert_eq!(node.refused("getblocktemplate", json!([{}])).0, -8);
    assert_eq!(node.refused("getblocktemplate", json!([])).0, -8);
    let template = node.call("getblocktemplate", asking.clone());
    for field in [
        "version",
        "rules",
        "vbavailable",
        "vbrequired",
        "previousblockhash",
        "transactions",
        "coinbaseaux",
        "coinbasevalue",
        "longpollid",
        "target",
        "mintime",
        "mutable",
        "noncerange",
        "sigoplimit",
        "sizelimit",
        "weightlimit",
        "curtime",
        "bits",
        "height",
        "default_witness_commitment",
    ] {
        assert!(!template[field].is_null(), "{field}");
    }
    assert_eq!(
        (&template["height"], &template["coinbasevalue"]),
        (&json!(1), &json!(5_000_000_000_u64))
    );
    assert!(template["coinbasetxn"].is_null());

    // A long poll answers when the tip moves.
    let client = node.client.clone();
    let id = template["longpollid"].clone();
    let poll = json!([{"rules": ["segwit"], "longpollid": id}]);
    let waiter = std::thread::spawn(move || client.call("getblocktemplate", poll));
    std::thread::sleep(Duration::from_millis(100));
    let hashes = node.mine(1);
    let fresh = waiter.join().expect("joined").expect("answered");
    assert_eq!(fresh["previousblockhash"], hashes[0].as_str());

    // A block that was made elsewhere, sent with and without the coinbase's witness.
    let made = node.call("generateblock", json!([ADDRESS, [], false]));
    let hex = made["hex"].as_str().expect("hex").to_owned();
    let proposal = json!([{"mode": "proposal", "data": hex}]);
    assert_eq!(node.call("getblocktemplate", proposal), Value::Null);
    let mut block: bitcoin::Block =
        bitcoin::consensus::encode::deserialize_hex(&hex).expect("a block");
    block.txdata[0].input[0].witness.clear();
    let bare = bitcoin::consensus::encode::serialize_hex(&block);
    assert_eq!(node.call("submitblock", json!([bare])), Value::Null);
    assert_eq!(node.call("submitblock", json!([bare])), "duplicate");
    assert_eq!(node.call("getbestblockhash", json!([])), made["hash"]);

    block.header.prev_blockhash = UNKNOWN.parse().expect("a hash");
    let orphan = bitcoin::consensus::encode::serialize_hex(&block);
    assert!(node.call("submitblock", json!([orphan])).is_string());
    let proposal = json!([{"mode": "proposal", "data": orphan}]);
    assert_eq!(
        node.call("getblocktemplate", proposal),
        "inconclusive-not-best-prevblk"
    );
    assert_eq!(node.refused("submitblock", json!(["00"])).0, -22);
    assert_eq!(node.refused("submitheader", json!(["00"])).0, -22);
    let header = bitcoin::consensus::encode::serialize_hex(&block.header);
    assert_eq!(node.refused("submitheader", json!([header])).0, -25);

    let tip = node.call("getbestblockhash", json!([]));
    let child = node.call("generateblock", json!([ADDRESS, [], false]));
    node.call("invalidateblock", json!([tip]));
    let header = &child["hex"].as_str().expect("text")[..160];
    let refused = node.refused("submitheader", json!([header]));
    assert_eq!(refused, (-25, "bad-prevblk".to_owned()));
    node.call("reconsiderblock", json!([tip]));

    let info = node.call("getmininginfo", json!([]));
    assert!(info["difficulty"].is_f64(), "{info}");
    assert_eq!(info["blocks"], 2);
    assert!(node.call("getnetworkhashps", json!([])).is_number());
    assert_eq!(node.refused("getnetworkhashps", json!([0])).0, -8);
    assert_eq!(node.refused("generatetoaddress", json!([1, "x"])).0, -5);
    let none = node.call("generatetoaddress", json!([1, ADDRESS, 0]));
    assert_eq!(none, json!([]));
}

#[test]
fn coins_and_proofs() {
    let (_folder, node) = started();
    let hashes = node.mine(2);
    let block = node.call("getblock", json!([hashes[0]]));
    let txid = block["tx"][0].clone();
    let output = node.call("gettxout", json!([txid, 0]));
    assert_eq!(
        (&output["confirmations"], &output["coinbase"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(node.call("gettxout", json!([txid, 7])), Value::Null);

    let info = node.call("gettxoutsetinfo", json!(["muhash"]));
    assert_eq!((&info["txouts"], &info["height"]), (&json!(2), &json!(2)));
    assert_eq!(info["muhash"].as_str().map(str::len), Some(64));
    let info = node.call("gettxoutsetinfo", json!([]));
    assert_eq!(info["hash_serialized_3"].as_str().map(str::len), Some(64));
    assert_eq!(node.refused("gettxoutsetinfo", json!(["md5"])).0, -8);

    let scanned = node.call(
        "scantxoutset",
        json!(["start", [format!("addr({ADDRESS})")]]),
    );
    assert_eq!(scanned["unspents"].as_array().map(Vec::len), Some(2));
    assert_eq!(scanned["total_amount"], json!(100.0));
    assert_eq!(
        node.refused("scantxoutset", json!(["start", ["pkh(x)"]])).0,
        -5
    );

    let proof = node.call("gettxoutproof", json!([[txid]]));
    assert_eq!(node.call("verifytxoutproof", json!([proof])), json!([txid]));
    assert_eq!(node.refused("gettxoutproof", json!([[UNKNOWN]])).0, -5);

    let shown = node.call("getrawtransaction", json!([txid, 1]));
    assert_eq!(shown["blockhash"], hashes[0].as_str());
    let shown = node.call("getrawtransaction", json!([txid, true, hashes[0]]));
    assert_eq!(shown["in_active_chain"], true);
    assert_eq!(node.refused("getrawtransaction", json!([UNKNOWN])).0, -5);
    assert_eq!(
        node.refused("getrawtransaction", json!([txid, 1, hashes[1]]))
            .0,
        -5
    );
    // Explorers show genesis too.
    let genesis = node.call("getblock", json!([node.call("getblockhash", json!([0]))]));
    assert!(
        node.call("getrawtransaction", json!([genesis["tx"][0]]))
            .is_string()
    );
}

#[test]
fn transactions_from_outside() {
    let (_folder, node) = started();
    let input = json!([{"txid": UNKNOWN, "vout": 0}]);
    let raw = node.call(
        "createrawtransaction",
        json!([input, [{ADDRESS: 0.00001}, {"data": "00ff"}]]),
    );
    let decoded = node.call("decoderawtransaction", json!([raw]));
    assert_eq!(decoded["vout"][0]["value"], json!(0.00001));
    assert_eq!(decoded["vout"][1]["scriptPubKey"]["type"], "nulldata");
    assert_eq!(node.refused("sendrawtransaction", json!(["00"])).0, -22);
    let (code, message) = node.refused("sendrawtransaction", json!([raw]));
    assert!(code == -25 || code == -26, "{code} {message}");
    let tested = node.call("testmempoolaccept", json!([[raw]]));
    assert_eq!(tested[0]["allowed"], false);
    assert!(tested[0]["reject-reason"].is_string());
    assert_eq!(
        node.refused("createrawtransaction", json!([input, {ADDRESS: -1}]))
            .0,
        -3
    );
    assert_eq!(
        node.refused("createrawtransaction", json!([input, {"x": 1}]))
            .0,
        -5
    );

    assert_eq!(node.call("getrawmempool", json!([])), json!([]));
    assert_eq!(node.call("getrawmempool", json!([true])), json!({}));
    assert_eq!(node.refused("getrawmempool", json!([true, true])).0, -8);
    assert_eq!(node.call("getmempoolinfo", json!([]))["size"], 0);
    assert_eq!(node.refused("getmempoolentry", json!([UNKNOWN])).0, -5);
    assert_eq!(node.refused("getmempoolancestors", json!([UNKNOWN])).0, -5);
    assert!(node.call("estimatesmartfee", json!([6, "CONSERVATIVE"]))["feerate"].is_number());
    assert_eq!(node.refused("estimatesmartfee", json!([0])).0, -8);
    assert_eq!(
        node.call("validateaddress", json!([ADDRESS]))["isvalid"],
        true
    );
    assert_eq!(node.call("validateaddress", json!(["x"]))["isvalid"], false);
}

/// Outputs in the order of the caller, none twice, amounts as JSON numbers are written: as Bitcoin Core 31.
#[test]
fn raw_transactions_are_made_as_they_were_written() {
    const OTHER: &str = "bcrt1pqqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0sj9hjuh";
    let (_folder, node) = started();
    let input = json!([{"txid": UNKNOWN, "vout": 0}]);
    let made = |outputs: &str, more: &str| {
        let body = format!(
            r#"{{"method":"createrawtransaction","params":[{input},{outputs}{more}],"id":1}}"#
        );
        crate::rpc_http::answer(&node, &body)
    };
    let outputs = |hex: &Value| {
        let decoded = node.call("decoderawtransaction", json!([hex]));
        let list = decoded["vout"].as_array().expect("outputs").clone();
        let shown = |output: &Value| {
            output["scriptPubKey"]["address"]
                .as_str()
                .unwrap_or("data")
                .to_owned()
        };
        list.iter().map(shown).collect::<Vec<String>>()
    };
    for [first, second] in [[ADDRESS, OTHER], [OTHER, ADDRESS]] {
        let object = format!(r#"{{"{first}": 0.1, "data": "00", "{second}": "1e-3"}}"#);
        let answer = made(&object, "");
        assert_eq!(
            outputs(&answer["result"]),
            [first, "data", second],
            "{answer}"
        );
    }
    for (wrong, code) in [
        (format!(r#"{{"{ADDRESS}": 0.1, "{ADDRESS}": 0.2}}"#), -8),
        (
            format!(r#"[{{"{ADDRESS}": 0.1}}, {{"{ADDRESS}": 0.2}}]"#),
            -8,
        ),
        (r#"[{"data": "00"}, {"data": "01"}]"#.to_owned(), -8),
        (r#"{"data": null}"#.to_owned(), -8),
        (r#"{"data": ""}"#.to_owned(), -8),
        (format!(r#"{{"{ADDRESS}": ".5"}}"#), -3),
        (format!(r#"{{"{ADDRESS}": "01"}}"#), -3),
    ] {
        let answer = made(&wrong, "");
        assert_eq!(answer["error"]["code"], code, "{wrong}: {answer}");
    }
    let pays = format!(r#"{{"{ADDRESS}": 1}}"#);
    let final_input = json!([{"txid": UNKNOWN, "vout": 0, "sequence": 0xffff_ffff_u32}]);
    let (code, message) = node.refused(
        "createrawtransaction",
        json!([final_input, {ADDRESS: 1}, 0, true]),
    );
    assert_eq!(code, -8);
    assert!(message.contains("contradict replaceable"), "{message}");
    // Without inputs there is no mark of witnesses, and what is written so is read again.
    let empty = node.call("createrawtransaction", json!([[], {ADDRESS: 1}]));
    assert!(
        empty.as_str().expect("hex").starts_with("020000000001"),
        "{empty}"
    );
    assert_eq!(outputs(&empty), [ADDRESS]);
    let made = made(&pays, "")["result"].clone();
    assert_eq!(
        node.refused("decoderawtransaction", json!([empty, true])).0,
        -22
    );
    assert!(node.call("decoderawtransaction", json!([made, false]))["vin"].is_array());
    let (code, _) = node.refused("sendrawtransaction", json!([made, 1]));
    assert_eq!(code, -8, "a fee rate of 1 BTC for 1000 bytes is a mistake");
}

#[test]
fn the_node_itself() {
    let (folder, node) = started();
    let all = node.call("help", json!([]));
    for call in node_api::rpc::table::all() {
        assert!(
            all.as_str().is_some_and(|text| text.contains(call.name)),
            "{}",
            call.name
        );
        let help = node.call("help", json!([call.name]));
        assert!(
            help.as_str()
                .is_some_and(|text| text.starts_with(call.name))
        );
    }
    assert!(node.call("uptime", json!([])).is_u64());
    let running = node.call("getrpcinfo", json!([]));
    assert_eq!(running["active_commands"][0]["method"], "getrpcinfo");
    assert!(node.call("getmemoryinfo", json!([]))["resident"].as_u64() > Some(0));
    node.call("setmocktime", json!([2_000_000_000]));
    node.mine(1);
    let tip = node.call(
        "getblockheader",
        json!([node.call("getbestblockhash", json!([]))]),
    );
    assert_eq!(tip["time"], 2_000_000_000);
    node.call("setmocktime", json!([0]));
    assert_eq!(node.refused("setmocktime", json!([-1])).0, -8);

    let cookie = folder.path().join(".cookie");
    assert!(cookie.exists() && folder.path().join("node.json").exists());
    node.stop().expect("a clean stop");
    assert!(!cookie.exists() && !folder.path().join("node.json").exists());
    let again = RunningNode::start(folder.path());
    assert_eq!(again.call("getblockcount", json!([])), 1);
}

#[test]
fn two_nodes_are_joined_cut_and_joined_again() {
    let (_folder_a, a) = started();
    let (_folder_b, b) = started();
    a.mine(5);
    let address = &a.started.listen[0];
    b.call("addnode", json!([address, "onetry"]));
    eventually("b to follow a", || b.call("getblockcount", json!([])) == 5);
    let peers = b.call("getpeerinfo", json!([]));
    assert_eq!(peers[0]["peer_id"], a.started.peer_id.as_str());
    // Bytes are counted by peer: what is asked and answered by kind, the rest together.
    let got = |field: &str| peers[0]["bytesrecv_per_msg"][field].as_u64();
    assert!(got("response:headers") >= Some(5 * 80), "{peers}");
    assert!(got("*other*") > Some(0), "{peers}");
    assert!(peers[0]["bytessent_per_msg"]["request:headers"].as_u64() > Some(0));
    for (whole, parts) in [
        ("bytesrecv", "bytesrecv_per_msg"),
        ("bytessent", "bytessent_per_msg"),
    ] {
        let parts = peers[0][parts].as_object().expect("by kind").values();
        let sum: u64 = parts.filter_map(Value::as_u64).sum();
        assert_eq!(peers[0][whole], sum, "{peers}");
    }
    assert_eq!(b.call("getconnectioncount", json!([])), 1);
    assert_eq!(a.call("getnetworkinfo", json!([]))["connections_in"], 1);
    assert!(b.call("getnettotals", json!([]))["totalbytesrecv"].as_u64() > Some(0));

    b.call("setnetworkactive", json!([false]));
    eventually("the connection to end", || {
        a.call("getconnectioncount", json!([])) == 0
    });
    a.mine(2);
    b.mine(1);
    b.call("setnetworkactive", json!([true]));
    b.call("addnode", json!([address, "add"]));
    assert_eq!(b.refused("addnode", json!([address, "add"])).0, -23);
    assert_eq!(b.refused("addnode", json!([address, "befriend"])).0, -1);
    let tip = a.call("getbestblockhash", json!([]));
    eventually("b to give up its branch", || {
        b.call("getbestblockhash", json!([])) == tip
    });
    let info = b.call("getaddednodeinfo", json!([]));
    assert_eq!(info[0]["connected"], true);
    b.call("addnode", json!([address, "remove"]));
    assert_eq!(b.refused("addnode", json!([address, "remove"])).0, -24);

    let number = &b.call("getpeerinfo", json!([]))[0]["id"];
    b.call("disconnectnode", json!({"nodeid": number}));
    eventually("the connection to end", || {
        b.call("getconnectioncount", json!([])) == 0
    });
    assert_eq!(b.refused("disconnectnode", json!(["127.0.0.1:1"])).0, -29);
    b.call("setban", json!(["10.0.0.1", "add", 60]));
    assert_eq!(b.call("listbanned", json!([]))[0]["address"], "10.0.0.1");
    assert_eq!(b.refused("setban", json!(["10.0.0.1", "add"])).0, -23);
    b.call("clearbanned", json!([]));
    assert_eq!(b.refused("setban", json!(["10.0.0.1", "remove"])).0, -30);
}

#[test]
fn the_miner_has_a_dial() {
    let (_folder, node) = started();
    let (code, remedy) = node.refused("setmining", json!([true]));
    assert_eq!(code, -8);
    // The line that it proposes works.
    let (_, words) = remedy.split_once("setmining ").expect("a line to copy");
    let words: Vec<&str> = words.split(' ').collect();
    assert_eq!(words, ["true", "0", "bcrt1q..."], "{remedy}");
    node.call("setmining", json!([true, 0, ADDRESS]));
    node.call("setmining", json!([false]));
    node.call(
        "setmining",
        json!([{"active": true, "rate": 1_000, "address": ADDRESS}]),
    );
    eventually("blocks", || {
        node.call("getblockcount", json!([])).as_u64() >= Some(3)
    });
    let off = node.call("setmining", json!([false]));
    assert_eq!(
        (&off["active"], &off["rate"]),
        (&json!(false), &json!(1_000))
    );
    eventually("the search to end", || {
        let before = node.call("getblockcount", json!([]));
        std::thread::sleep(Duration::from_millis(100));
        before == node.call("getblockcount", json!([]))
    });
    let mining = &node.call("getmininginfo", json!([]))["mining"];
    assert!(mining["found"].as_u64() >= Some(3), "{mining}");
    assert!(mining["hashes"].as_u64() > Some(0), "{mining}");
}

#[test]
fn copies_of_the_chain_and_a_look_at_it() {
    let (folder, node) = started();
    let hashes = node.mine(4);
    assert_eq!(node.call("verifychain", json!([4, 0])), true);
    assert_eq!(node.refused("verifychain", json!([9])).0, -8);

    let manifest = node.call("backup", json!(["copy"]));
    assert_eq!(
        (&manifest["height"], &manifest["tip"]),
        (&json!(4), &json!(hashes[3]))
    );
    assert!(folder.path().join("copy/manifest.json").exists());
    assert_eq!(node.refused("backup", json!(["copy"])).0, -1);
    let dumped = node.call("dumptxoutset", json!(["coins.dat"]));
    assert_eq!(dumped["coins_written"], 4);
    let info = node.call("gettxoutsetinfo", json!([]));
    assert_eq!(dumped["txoutset_hash"], info["hash_serialized_3"]);
    assert_eq!(node.refused("dumptxoutset", json!(["coins.dat"])).0, -8);

    let filter = node.call("getblockfilter", json!([hashes[3]]));
    let again = node.call("getblockfilter", json!([hashes[3], "basic"]));
    assert_eq!(filter, again);
    let below = node.call("getblockfilter", json!([hashes[2]]));
    // A filter header commits to the filter and the header below (BIP 157).
    let bytes = |text: &Value| -> Vec<u8> {
        bitcoin::hex::FromHex::from_hex(text.as_str().expect("hex")).expect("hex")
    };
    let content = bitcoin::bip158::BlockFilter::new(&bytes(&filter["filter"]));
    let below = below["header"]
        .as_str()
        .expect("hex")
        .parse()
        .expect("a header");
    assert_eq!(content.filter_header(&below).to_string(), filter["header"]);
    assert_eq!(node.refused("getblockfilter", json!([UNKNOWN])).0, -5);
    assert_eq!(
        node.refused("getblockfilter", json!([hashes[0], "v9"])).0,
        -5
    );
}
