//! cpuminer-opt by getblocktemplate, replayed: its requests byte by byte, its coinbase, its way to the commitment and the
//! merkle root, and its submissions. Written from what it does, with nothing of the node's own code for blocks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::{Amount, Transaction};
use chain::fixtures::{Key, Payment, TEST_GENESIS_TIME};
use chain::genesis::GenesisSpec;
use serde_json::{Value, json};

use crate::support_node::{RunningNode, options};

const GET_TEMPLATE: &str = r#"{"method": "getblocktemplate", "params": [{"capabilities": ["coinbasetxn", "coinbasevalue", "longpoll", "workid"], "rules": ["segwit"]}], "id":0}"#;
const GET_INFO: &str = r#"{"method": "getmininginfo", "params": [], "id":8}"#;
/// The script of `bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080`.
const PAYOUT: &str = "0014751e76e8199196d454941c45d1b3a323f1433bd6";

/// The miner, with the user that the node's tests know.
struct Cpuminer {
    address: String,
}

impl Cpuminer {
    /// What libcurl sends for it, and what its JSON library then looks at: status 200, `result` and `error` both there.
    fn call(&self, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).expect("connected");
        let user = STANDARD.encode("alice:secret");
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {user}\r\nAccept-Encoding: deflate, gzip\r\n\
             Content-Type: application/json\r\nX-Mining-Extensions: longpoll noncerange reject-reason\r\n\
             User-Agent: cpuminer-opt-26.1-x64L\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}\r\n",
            self.address,
            body.len() + 2,
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        let reply: Value = serde_json::from_str(body).expect("JSON");
        // Without the key it gives up: "JSON-RPC call failed: (unknown reason)".
        assert!(reply.get("result").is_some(), "{reply}");
        assert_eq!(reply.get("error"), Some(&Value::Null), "{reply}");
        reply["result"].clone()
    }
}

fn hash_of_pair(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    sha256d::Hash::hash(&[left.as_slice(), right].concat()).to_byte_array()
}

fn merkle_root(mut level: Vec<[u8; 32]>) -> [u8; 32] {
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| hash_of_pair(&pair[0], pair.last().expect("one or two")))
            .collect();
    }
    level[0]
}

/// 64 hex digits as they are shown, in the order of hashing.
fn internal(hash: &Value) -> [u8; 32] {
    let mut bytes = <[u8; 32]>::from_hex(hash.as_str().expect("text")).expect("a hash");
    bytes.reverse();
    bytes
}

/// Its coinbase: version 1, the height as plain bytes without a minimal opcode, no witness, and the commitment that it
/// computes itself from each `hash`.
fn coinbase(template: &Value) -> Vec<u8> {
    let height = template["height"].as_u64().expect("a number");
    let mut pushed = Vec::new();
    let mut rest = height;
    while rest > 0 {
        pushed.push((rest & 0xff) as u8);
        if (0x80..0x100).contains(&rest) {
            pushed.push(0);
        }
        rest >>= 8;
    }
    let payout = Vec::from_hex(PAYOUT).expect("hex");
    let wtxids = template["transactions"].as_array().expect("a list").iter();
    let mut leaves = vec![[0; 32]];
    leaves.extend(wtxids.map(|tx| internal(&tx["hash"])));
    let commitment = hash_of_pair(&merkle_root(leaves), &[0; 32]);
    let value = template["coinbasevalue"].as_u64().expect("a number");
    let mut bytes = vec![1, 0, 0, 0, 1];
    bytes.extend([0; 32]);
    bytes.extend([0xff; 4]);
    bytes.push(pushed.len() as u8 + 1);
    bytes.push(pushed.len() as u8);
    bytes.extend(&pushed);
    bytes.extend([0xff; 4]);
    bytes.push(2);
    bytes.extend(value.to_le_bytes());
    bytes.push(payout.len() as u8);
    bytes.extend(payout);
    bytes.extend([0; 8]);
    bytes.extend([38, 0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed]);
    bytes.extend(commitment);
    bytes.extend([0; 4]);
    bytes
}

/// A block on the template in hex, with its work.
fn mine(template: &Value) -> String {
    let coinbase = coinbase(template);
    let others = template["transactions"].as_array().expect("a list");
    let mut leaves = vec![sha256d::Hash::hash(&coinbase).to_byte_array()];
    leaves.extend(others.iter().map(|tx| internal(&tx["txid"])));
    let bits = <[u8; 4]>::from_hex(template["bits"].as_str().expect("text")).expect("bits");
    let number = |key: &str| template[key].as_u64().expect("a number") as u32;
    let mut header = Vec::new();
    header.extend(number("version").to_le_bytes());
    header.extend(internal(&template["previousblockhash"]));
    header.extend(merkle_root(leaves));
    header.extend(number("curtime").to_le_bytes());
    header.extend(bits.iter().rev());
    let target = internal(&template["target"]);
    let nonce = (0_u32..).find(|nonce| {
        let tried = [header.as_slice(), &nonce.to_le_bytes()].concat();
        let hash = sha256d::Hash::hash(&tried).to_byte_array();
        hash.iter().rev().le(target.iter().rev())
    });
    header.extend(nonce.expect("one of two meets it").to_le_bytes());
    let mut hex = header.to_lower_hex_string();
    assert!(others.len() < 0xfc, "one byte counts them");
    hex.push_str(&format!("{:02x}", others.len() + 1));
    hex.push_str(&coinbase.to_lower_hex_string());
    for transaction in others {
        hex.push_str(transaction["data"].as_str().expect("hex"));
    }
    hex
}

#[test]
fn it_mines_a_fresh_network_from_height_one_with_payments() {
    let folder = tempfile::tempdir().expect("a folder");
    let alice = Key::p2wpkh("alice");
    let mut spec = GenesisSpec::trivial("fresh", TEST_GENESIS_TIME)
        .allocate(&alice.address(), Amount::ONE_BTC);
    // As on the built-in network: it writes heights 1 to 16 otherwise than BIP 34's other users.
    spec.bip34_height = 17;
    let params = spec.mine().expect("mined").verify().expect("valid");
    let mut options = options(folder.path());
    options.params = params.clone();
    let node = RunningNode::start_with(options);
    let miner = Cpuminer {
        address: node
            .started
            .rpc
            .strip_prefix("http://")
            .expect("a URL")
            .to_owned(),
    };
    let (outpoint, coin) = params.genesis_coins().next().expect("a coin");
    let first = Payment::new()
        .spend(outpoint, &coin.output, &alice)
        .pay(&alice, Amount::from_sat(99_990_000))
        .sign();
    let pay_on = |previous: &Transaction, sat: u64| {
        Payment::new()
            .spend_output_of(previous, 0, &alice)
            .pay(&alice, Amount::from_sat(sat))
            .sign()
    };
    let second = pay_on(&first, 99_980_000);
    let third = pay_on(&second, 99_970_000);
    for height in 1..=20_u64 {
        match height {
            4 => drop(node.call("sendrawtransaction", json!([serialize_hex(&first)]))),
            17 => {
                node.call("sendrawtransaction", json!([serialize_hex(&second)]));
                node.call("sendrawtransaction", json!([serialize_hex(&third)]));
            }
            _ => {}
        }
        let template = miner.call(GET_TEMPLATE);
        assert_eq!(template["height"], height);
        let version = template["version"].as_u64().expect("a number");
        assert!(version & 0xff <= 4, "it refuses others");
        let rules = template["rules"].as_array().expect("a list");
        assert!(
            rules.contains(&json!("!segwit")),
            "or it makes no commitment"
        );
        assert!(
            !template["mutable"]
                .as_array()
                .expect("a list")
                .contains(&json!("submit/coinbase"))
        );
        // After each template it asks for the difficulty, and ignores a whole number.
        let info = miner.call(GET_INFO);
        assert!(info["difficulty"].is_f64(), "{info}");
        assert!(info["networkhashps"].is_number());
        assert_eq!(info["blocks"], height - 1);
        let block = mine(&template);
        let submit = format!(r#"{{"method": "submitblock", "params": ["{block}"], "id":4}}"#);
        assert_eq!(miner.call(&submit), Value::Null, "height {height}");
        assert_eq!(node.call("getblockcount", json!([])), height);
        // It goes on with the old template until it asks again: another nonce is a sibling, harmless and inconclusive.
        assert_eq!(miner.call(&submit), "duplicate");
    }
    let hash = node.call("getblockhash", json!([17]));
    let block = node.call("getblock", json!([hash, 1]));
    assert_eq!(block["nTx"], 3);
    let paid = node.call("scantxoutset", json!(["start", [format!("raw({PAYOUT})")]]));
    assert_eq!(paid["total_amount"], json!(50.0 * 20.0 + 0.0003), "{paid}");
}

#[test]
fn where_heights_are_checked_from_one_on_its_first_blocks_are_told_why_not() {
    let folder = tempfile::tempdir().expect("a folder");
    // Bitcoin Core's regtest, which it cannot mine from height 1 either.
    let node = RunningNode::start(folder.path());
    let miner = Cpuminer {
        address: node
            .started
            .rpc
            .strip_prefix("http://")
            .expect("a URL")
            .to_owned(),
    };
    let block = mine(&miner.call(GET_TEMPLATE));
    let submit = format!(r#"{{"method": "submitblock", "params": ["{block}"], "id":4}}"#);
    assert_eq!(miner.call(&submit), "bad-cb-height");
    node.mine(16);
    let block = mine(&miner.call(GET_TEMPLATE));
    let submit = format!(r#"{{"method": "submitblock", "params": ["{block}"], "id":4}}"#);
    assert_eq!(miner.call(&submit), Value::Null);
}

#[test]
fn an_unknown_call_fails_fast() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = RunningNode::start(folder.path());
    let (code, _) = node.refused("getwork", json!([]));
    assert_eq!(code, -32601, "it falls back from getwork at once");
}
