//! `/1/...`: the routes of bitcoinjs' regtest-server, as regtest-client asks for them.
//!
//! Answers are JSON, also where they are a single word; errors are a line of text. What needs an index of addresses
//! (`/a/ADDRESS/txs` and its like) is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{Address, Amount, Network, ScriptBuf, Transaction};
use http_server::read_body;
use serde_json::{Value, json};

use super::faucet::script_of;
use super::{Refusal, Shared, unspents, working};

/// The key that regtest-client sends unless it is told otherwise. It keeps accidents out, not people.
const KEY: &str = "satoshi";
/// Most blocks of one request. regtest-client mines up to 432 at once.
const MAX_BLOCKS: u32 = 1_000;
/// Largest transaction in hex: of the heaviest that is relayed.
const MAX_BODY_BYTES: usize = 1 << 20;

type App = State<Arc<Shared>>;
type Asked = Query<BTreeMap<String, String>>;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/b/best", get(best_block))
        .route("/b/{id}/height", get(block_height))
        .route("/b/{id}/header", get(block_header))
        .route("/t/push", post(push).put(push))
        .route("/t/{id}", get(transaction_hex))
        .route("/t/{id}/json", get(transaction))
        .route("/t/{id}/block", get(block_of_transaction))
        .route("/a/{address}/unspents", get(unspents_of))
        .route("/r/generate", post(generate))
        .route("/r/faucet", post(pay_address))
        .route("/r/faucetScript", post(pay_script))
}

pub(super) async fn nothing_here() -> Response {
    let text = "no such route; there are POST /faucet and, of regtest-server, /1/b/best, /1/b/ID/{height,header}, /1/t/ID, \
                /1/t/ID/{json,block}, /1/t/push, /1/a/ADDRESS/unspents, /1/r/{generate,faucet,faucetScript}";
    Refusal::new(StatusCode::NOT_FOUND, text).into_response()
}

/// Asks a node and answers with JSON.
async fn answer(
    shared: Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<Value, Refusal> + Send + 'static,
) -> Response {
    match working(shared, work).await {
        Ok(value) => {
            let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
            (kind, value.to_string()).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn best_block(State(shared): App) -> Response {
    answer(shared, |shared| block_named(shared, "best")).await
}

async fn block_height(State(shared): App, Path(id): Path<String>) -> Response {
    answer(shared, move |shared| {
        let block = block_named(shared, &id)?;
        let header = shared.node()?.ask("getblockheader", json!([block, true]))?;
        Ok(header["height"].clone())
    })
    .await
}

async fn block_header(State(shared): App, Path(id): Path<String>) -> Response {
    answer(shared, move |shared| {
        let block = block_named(shared, &id)?;
        Ok(shared.node()?.ask("getblockheader", json!([block, true]))?)
    })
    .await
}

/// A block's hash; `best` is the tip's.
fn block_named(shared: &Shared, id: &str) -> Result<Value, Refusal> {
    if id == "best" {
        return Ok(shared.node()?.ask("getbestblockhash", json!([]))?);
    }
    check_hash(id)?;
    Ok(json!(id))
}

fn check_hash(id: &str) -> Result<(), Refusal> {
    if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Refusal::bad(format!("{id:?} is not 64 hex digits")))
}

async fn transaction_hex(State(shared): App, Path(id): Path<String>) -> Response {
    answer(shared, move |shared| {
        check_hash(&id)?;
        Ok(shared
            .node()?
            .ask("getrawtransaction", json!([id, false]))?)
    })
    .await
}

async fn transaction(State(shared): App, Path(id): Path<String>) -> Response {
    answer(shared, move |shared| {
        check_hash(&id)?;
        let hex = shared
            .node()?
            .ask("getrawtransaction", json!([id, false]))?;
        let decoded = deserialize_hex(hex.as_str().unwrap_or_default());
        let decoded = decoded.map_err(|error| Refusal::internal(error.to_string()))?;
        Ok(shown(&decoded))
    })
    .await
}

/// A transaction as regtest-server shows it.
fn shown(transaction: &Transaction) -> Value {
    let ins = transaction.input.iter().map(|input| {
        json!({
            "txId": input.previous_output.txid,
            "vout": input.previous_output.vout,
            "script": input.script_sig.to_hex_string(),
            "sequence": input.sequence.to_consensus_u32(),
        })
    });
    let outs = transaction.output.iter().map(|output| {
        let mut shown = json!({
            "script": output.script_pubkey.to_hex_string(),
            "value": output.value.to_sat(),
        });
        if let Ok(address) = Address::from_script(&output.script_pubkey, Network::Regtest) {
            shown["address"] = address.to_string().into();
        }
        shown
    });
    json!({
        "txId": transaction.compute_txid(),
        "txHex": serialize_hex(transaction),
        "vsize": transaction.vsize(),
        "version": transaction.version.0,
        "locktime": transaction.lock_time.to_consensus_u32(),
        "ins": ins.collect::<Vec<Value>>(),
        "outs": outs.collect::<Vec<Value>>(),
    })
}

async fn block_of_transaction(State(shared): App, Path(id): Path<String>) -> Response {
    answer(shared, move |shared| {
        check_hash(&id)?;
        let shown = shared.node()?.ask("getrawtransaction", json!([id, true]))?;
        match &shown["blockhash"] {
            Value::Null => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "the transaction is in no block yet",
            )),
            block => Ok(block.clone()),
        }
    })
    .await
}

async fn push(State(shared): App, body: Body) -> Response {
    let body = match read_body(body, MAX_BODY_BYTES).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    answer(shared, move |shared| {
        let hex = std::str::from_utf8(&body).map_err(|_| Refusal::bad("the body is not hex"))?;
        let node = shared.node()?;
        Ok(node.ask("sendrawtransaction", json!([hex.trim()]))?)
    })
    .await
}

async fn unspents_of(State(shared): App, Path(address): Path<String>) -> Response {
    answer(shared, move |shared| {
        // regtest-client's faucetComplex asks by a script in hex.
        let script = match ScriptBuf::from_hex(&address) {
            Ok(script) => script,
            Err(_) => script_of(&address)?,
        };
        Ok(json!(unspents::of_script(&shared.node()?, &script)?))
    })
    .await
}

async fn generate(State(shared): App, Query(asked): Asked) -> Response {
    answer(shared, move |shared| {
        check_key(&asked)?;
        let count = match asked.get("count") {
            None => 1,
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| (1..=MAX_BLOCKS).contains(count))
                .ok_or_else(|| Refusal::bad(format!("count {text:?} is not 1 to {MAX_BLOCKS}")))?,
        };
        let node = shared.node()?;
        let address = shared.supervisor.network().nodes[node.node()]
            .address
            .clone();
        // Other requests go on meanwhile.
        Ok(json!(node.patient().generate(count, &address)?))
    })
    .await
}

async fn pay_address(State(shared): App, Query(asked): Asked) -> Response {
    answer(shared, move |shared| {
        check_key(&asked)?;
        let address = asked.get("address").ok_or_else(|| missing("address"))?;
        let given = shared.give(&script_of(address)?, value_of(&asked)?)?;
        Ok(json!(given.txid))
    })
    .await
}

async fn pay_script(State(shared): App, Query(asked): Asked) -> Response {
    answer(shared, move |shared| {
        check_key(&asked)?;
        let hex = asked.get("script").ok_or_else(|| missing("script"))?;
        let script = ScriptBuf::from_hex(hex)
            .map_err(|_| Refusal::bad(format!("script {hex:?} is not hex")))?;
        let given = shared.give(&script, value_of(&asked)?)?;
        Ok(json!(given.txid))
    })
    .await
}

fn check_key(asked: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if asked.get("key").is_some_and(|key| key == KEY) {
        return Ok(());
    }
    let text = format!("the key is missing or wrong; add key={KEY}");
    Err(Refusal::new(StatusCode::UNAUTHORIZED, text))
}

/// Satoshis.
fn value_of(asked: &BTreeMap<String, String>) -> Result<Amount, Refusal> {
    let text = asked.get("value").ok_or_else(|| missing("value"))?;
    let value = text
        .parse()
        .map_err(|_| Refusal::bad(format!("value {text:?} is no number of satoshis")))?;
    Ok(Amount::from_sat(value))
}

fn missing(name: &str) -> Refusal {
    Refusal::bad(format!("{name} is missing in the query"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        owned.collect()
    }

    #[test]
    fn the_key_is_asked_for() {
        assert_eq!(check_key(&asked(&[("key", "satoshi")])), Ok(()));
        for wrong in [&[][..], &[("key", "")], &[("key", "Satoshi")]] {
            let refusal = check_key(&asked(wrong)).expect_err("no key");
            assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
        }
    }

    #[test]
    fn values_are_whole_satoshis() {
        assert_eq!(value_of(&asked(&[("value", "7")])), Ok(Amount::from_sat(7)));
        for wrong in ["", "1.5", "-1", "NaN", "99999999999999999999"] {
            assert!(value_of(&asked(&[("value", wrong)])).is_err(), "{wrong}");
        }
        assert!(value_of(&asked(&[])).is_err());
    }

    #[test]
    fn hashes_have_64_digits() {
        assert_eq!(check_hash(&"aF".repeat(32)), Ok(()));
        for wrong in ["", "best", &"0".repeat(63), &"g".repeat(64)] {
            assert!(check_hash(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn transactions_have_the_names_that_regtest_client_reads() {
        let genesis = bitcoin::constants::genesis_block(Network::Regtest);
        let shown = shown(&genesis.txdata[0]);
        assert_eq!(shown["txId"], genesis.txdata[0].compute_txid().to_string());
        assert_eq!(shown["outs"][0]["value"], 5_000_000_000_u64);
        assert!(shown["outs"][0]["address"].is_null(), "P2PK has none");
        assert_eq!(shown["ins"][0]["vout"], 0xffff_ffff_u32);
        assert_eq!(shown["ins"][0]["sequence"], 0xffff_ffff_u32);
        for field in ["txHex", "vsize", "version", "locktime"] {
            assert!(!shown[field].is_null(), "{field}");
        }
    }
}
