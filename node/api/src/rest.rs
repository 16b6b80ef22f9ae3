//! `/rest/`: the chain without a password, as Bitcoin Core's REST serves it. Off unless `--rest` is given.
//!
//! Each path ends in `.bin`, `.hex` or `.json`.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bitcoin::consensus::encode::serialize;
use bitcoin::hex::DisplayHex;
use bitcoin::{BlockHash, OutPoint, Transaction, Txid};
use chain::Height;
use chain::tree::HeaderInfo;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Api;
use crate::rpc::args::Args;
use crate::rpc::blockchain::read_body;
use crate::rpc::call::Handler;
use crate::rpc::error::{Failure, code};
use crate::rpc::reply::Reply;
use crate::rpc::reply::reply;
use crate::rpc::table;
use node_core::NodeCore;

/// Most headers in one answer, as in Bitcoin Core.
const MAX_HEADERS: usize = 2_000;
/// Most outpoints in one question about coins, as in Bitcoin Core.
const MAX_OUTPOINTS: usize = 15;

/// The routes.
pub(crate) fn router(node: Api) -> Router {
    Router::new()
        .route("/rest/chaininfo.json", get(chain_info))
        .route("/rest/mempool/{what}", get(mempool))
        .route("/rest/block/{name}", get(block))
        .route("/rest/block/notxdetails/{name}", get(block_without_details))
        .route("/rest/blockhashbyheight/{name}", get(hash_by_height))
        .route("/rest/headers/{name}", get(headers))
        .route("/rest/headers/{count}/{name}", get(headers_by_count))
        .route("/rest/tx/{name}", get(transaction))
        .route("/rest/getutxos/{*rest}", get(coins))
        .with_state(node)
}

/// What a path ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bin,
    Hex,
    Json,
}

/// Why there is no answer.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(text: impl Into<String>) -> Refusal {
        Refusal(StatusCode::BAD_REQUEST, text.into())
    }

    fn not_found(text: impl Into<String>) -> Refusal {
        Refusal(StatusCode::NOT_FOUND, text.into())
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        match failure.code {
            -5 => Refusal::not_found(failure.message),
            -20 | -32_603 => Refusal(StatusCode::INTERNAL_SERVER_ERROR, failure.message),
            _ => Refusal::bad(failure.message),
        }
    }
}

impl From<chain::StoreError> for Refusal {
    fn from(error: chain::StoreError) -> Refusal {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, format!("{}\r\n", self.1)).into_response()
    }
}

type Answer = Result<Response, Refusal>;

async fn working(node: Api, work: impl FnOnce(&Api) -> Answer + Send + 'static) -> Response {
    let worker = node.clone();
    match node.background().public(move || work(&worker)).await {
        Ok(Ok(response)) => response,
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn split(name: &str) -> Result<(&str, Form), Refusal> {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let form = match ending {
        "bin" => Form::Bin,
        "hex" => Form::Hex,
        "json" => Form::Json,
        _ => {
            let text = "output format not found (available: .bin, .hex, .json)";
            return Err(Refusal::not_found(text));
        }
    };
    Ok((stem, form))
}

fn raw(bytes: Vec<u8>, form: Form) -> Response {
    match form {
        Form::Hex => format!("{}\n", bytes.to_lower_hex_string()).into_response(),
        Form::Bin | Form::Json => {
            ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()
        }
    }
}

fn json_text(text: &str) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, format!("{text}\n")).into_response()
}

fn parsed<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Refusal> {
    text.parse()
        .map_err(|_| Refusal::bad(format!("Invalid {what}: {text}")))
}

/// The JSON that a call gives.
fn by_call(node: &Api, method: &str, params: Value) -> Answer {
    let call = table::find(method).ok_or_else(|| Refusal::not_found("no such call"))?;
    let args = Args::new(call.description(), params)?;
    let result: Reply = match call.handler {
        Handler::Read(work) => work(node, &args)?,
        _ => {
            return Err(Refusal::not_found("no such call"));
        }
    };
    Ok(json_text(result.get()))
}

async fn chain_info(State(node): State<Api>) -> Response {
    working(node, |node| by_call(node, "getblockchaininfo", json!([]))).await
}

async fn mempool(State(node): State<Api>, Path(what): Path<String>) -> Response {
    working(node, move |node| match what.as_str() {
        "info.json" => by_call(node, "getmempoolinfo", json!([])),
        "contents.json" => by_call(node, "getrawmempool", json!([true])),
        _ => Err(Refusal::bad(
            "Invalid URI format. Expected /rest/mempool/<info|contents>.json",
        )),
    })
    .await
}

async fn block(State(node): State<Api>, Path(name): Path<String>) -> Response {
    working(node, move |node| block_answer(node, &name, 3)).await
}

async fn block_without_details(State(node): State<Api>, Path(name): Path<String>) -> Response {
    working(node, move |node| block_answer(node, &name, 1)).await
}

fn block_answer(node: &Api, name: &str, verbosity: i64) -> Answer {
    let (stem, form) = split(name)?;
    let hash: BlockHash = parsed(stem, "hash")?;
    if form == Form::Json {
        return by_call(node, "getblock", json!([hash, verbosity]));
    }
    node.read(|core| known(core, &hash).map(drop))?;
    let body = read_body(node, &hash).map_err(|failure| match failure.code {
        code::MISC => Refusal::not_found(format!("{hash} not available (not fully downloaded)")),
        _ => failure.into(),
    })?;
    Ok(raw(serialize(body.block()), form))
}

fn known(core: &NodeCore, hash: &BlockHash) -> Result<HeaderInfo, Refusal> {
    let info = core.chain().tree().get(hash);
    info.ok_or_else(|| Refusal::not_found(format!("{hash} not found")))
}

async fn hash_by_height(State(node): State<Api>, Path(name): Path<String>) -> Response {
    working(node, move |node| {
        let (stem, form) = split(&name)?;
        let height: u32 = parsed(stem, "height")?;
        let info = node.read(|core| core.chain().at_height(Height(height)));
        let info = info.ok_or_else(|| Refusal::not_found("Block height out of range"))?;
        Ok(match form {
            Form::Json => json_text(&json!({"blockhash": info.hash}).to_string()),
            Form::Hex => format!("{}\n", info.hash).into_response(),
            Form::Bin => raw(serialize(&info.hash), form),
        })
    })
    .await
}

#[derive(Debug, Deserialize)]
struct Count {
    count: Option<usize>,
}

async fn headers(
    State(node): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<Count>,
) -> Response {
    working(node, move |node| {
        headers_answer(node, query.count.unwrap_or(5), &name)
    })
    .await
}

async fn headers_by_count(
    State(node): State<Api>,
    Path((count, name)): Path<(usize, String)>,
) -> Response {
    working(node, move |node| headers_answer(node, count, &name)).await
}

fn headers_answer(node: &Api, count: usize, name: &str) -> Answer {
    if !(1..=MAX_HEADERS).contains(&count) {
        let text = format!(
            "Header count is invalid or out of acceptable range (1-{MAX_HEADERS}): {count}"
        );
        return Err(Refusal::bad(text));
    }
    let (stem, form) = split(name)?;
    let hash: BlockHash = parsed(stem, "hash")?;
    let found = node.read(|core| {
        let chain = core.chain();
        let Some(first) = chain
            .tree()
            .get(&hash)
            .filter(|info| chain.is_active(&info.hash))
        else {
            return Vec::new();
        };
        (first.height.0..)
            .map_while(|height| chain.at_height(Height(height)))
            .take(count)
            .collect::<Vec<HeaderInfo>>()
    });
    if form == Form::Json {
        let mut texts = Vec::with_capacity(found.len());
        for info in &found {
            let fields =
                node.read(|core| crate::rpc::model::block::HeaderFields::new(core.chain(), info));
            texts.push(reply(&fields)?.get().to_owned());
        }
        return Ok(json_text(&format!("[{}]", texts.join(","))));
    }
    let bytes = found
        .iter()
        .flat_map(|info| serialize(&info.header))
        .collect();
    Ok(raw(bytes, form))
}

async fn transaction(State(node): State<Api>, Path(name): Path<String>) -> Response {
    working(node, move |node| {
        let (stem, form) = split(&name)?;
        let txid: Txid = parsed(stem, "hash")?;
        let verbosity = if form == Form::Json { 1 } else { 0 };
        if form == Form::Json {
            return by_call(node, "getrawtransaction", json!([txid, verbosity]));
        }
        let call = table::find("getrawtransaction").ok_or_else(|| Refusal::not_found(""))?;
        let args = Args::new(call.description(), json!([txid, verbosity]))?;
        let Handler::Read(work) = call.handler else {
            return Err(Refusal::not_found(""));
        };
        let hex: String = serde_json::from_str(work(node, &args)?.get()).unwrap_or_default();
        let bytes = bitcoin::hex::FromHex::from_hex(&hex).unwrap_or_default();
        Ok(raw(bytes, form))
    })
    .await
}

async fn coins(State(node): State<Api>, Path(rest): Path<String>) -> Response {
    working(node, move |node| coins_answer(node, &rest)).await
}

/// `checkmempool/TXID-N/TXID-N.json`: which of the outputs are unspent, and what they are.
fn coins_answer(node: &Api, rest: &str) -> Answer {
    let (stem, form) = split(rest)?;
    let mut parts = stem.split('/').peekable();
    let with_mempool = parts.next_if(|part| *part == "checkmempool").is_some();
    let outpoint = |part: &str| {
        let (txid, vout) = part
            .split_once('-')
            .ok_or_else(|| Refusal::bad("Parse error"))?;
        let vout = parsed(vout, "index")?;
        Ok(OutPoint {
            txid: parsed(txid, "hash")?,
            vout,
        })
    };
    let wanted = parts
        .map(outpoint)
        .collect::<Result<Vec<OutPoint>, Refusal>>()?;
    if wanted.is_empty() || wanted.len() > MAX_OUTPOINTS {
        let text = format!(
            "Error: max outpoints exceeded (max: {MAX_OUTPOINTS}, tried: {})",
            wanted.len()
        );
        return Err(Refusal::bad(text));
    }
    let (tip, found) = node.read(|core| {
        let found = wanted
            .iter()
            .map(|outpoint| unspent(core, outpoint, with_mempool));
        let found = found.collect::<Result<Vec<_>, Refusal>>()?;
        Ok::<_, Refusal>((core.chain().tip(), found))
    })?;
    let bitmap: String = found
        .iter()
        .map(|coin| if coin.is_some() { '1' } else { '0' })
        .collect();
    if form == Form::Json {
        let mut texts = Vec::new();
        for coin in found.into_iter().flatten() {
            texts.push(reply(&coin)?.get().to_owned());
        }
        return Ok(json_text(&format!(
            "{{\"chainHeight\":{},\"chaintipHash\":\"{}\",\"bitmap\":\"{bitmap}\",\"utxos\":[{}]}}",
            tip.height,
            tip.hash,
            texts.join(",")
        )));
    }
    let mut bits = vec![0_u8; wanted.len().div_ceil(8)];
    for (index, coin) in found.iter().enumerate() {
        bits[index / 8] |= u8::from(coin.is_some()) << (index % 8);
    }
    let mut bytes = serialize(&tip.height.0);
    bytes.extend(serialize(&tip.hash));
    bytes.extend(serialize(&bits));
    let outputs: Vec<&Unspent> = found.iter().flatten().collect();
    bytes.extend(serialize(&bitcoin::VarInt::from(outputs.len())));
    for coin in outputs {
        // As Bitcoin Core: a version that is always 0, the height, the output.
        bytes.extend(serialize(&0_u32));
        bytes.extend(serialize(&coin.height));
        bytes.extend(serialize(&coin.output));
    }
    Ok(raw(bytes, form))
}

/// An unspent output; unconfirmed ones have the height 2^31 - 1, as in Bitcoin Core.
#[derive(serde::Serialize)]
struct Unspent {
    height: u32,
    value: crate::rpc::model::Btc,
    #[serde(rename = "scriptPubKey")]
    script: crate::rpc::model::script::ScriptPubKey,
    #[serde(skip)]
    output: bitcoin::TxOut,
}

const MEMPOOL_HEIGHT: u32 = 0x7fff_ffff;

fn unspent(
    core: &NodeCore,
    outpoint: &OutPoint,
    with_mempool: bool,
) -> Result<Option<Unspent>, Refusal> {
    let pool = core.mempool();
    if with_mempool && pool.spender(outpoint).is_some() {
        return Ok(None);
    }
    let shown = |height: u32, output: bitcoin::TxOut| Unspent {
        height,
        value: crate::rpc::model::Btc(output.value),
        script: crate::rpc::model::script::ScriptPubKey::new(&output.script_pubkey),
        output,
    };
    let index = usize::try_from(outpoint.vout).unwrap_or(usize::MAX);
    let unconfirmed = pool.get(&outpoint.txid).filter(|_| with_mempool);
    if let Some(entry) = unconfirmed {
        let transaction: &Transaction = &entry.transaction;
        return Ok(transaction
            .output
            .get(index)
            .cloned()
            .map(|output| shown(MEMPOOL_HEIGHT, output)));
    }
    let coin = core.chain().coin(outpoint)?;
    Ok(coin.map(|coin| shown(coin.height.0, coin.output)))
}
