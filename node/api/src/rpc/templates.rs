//! `getblocktemplate`: templates, long polls and proposals (BIP 22, 23, 145).

use std::time::Duration;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hex::DisplayHex;
use bitcoin::{Block, BlockHash, ScriptBuf, Txid, Wtxid};
use chain::rules::MAX_BLOCK_SIGOPS_COST;
use chain::{AcceptError, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::args::{Args, decoded, hash_from};
use super::call::{Handler, Waiting};
use super::candidate::test_block;
use super::error::Failure;
use super::model::{bits_hex, target_hex};
use super::reject::reject_reason;
use super::reply::Reply;
use super::reply::{null, reply};
use crate::Api;
use node_core::BlockTemplate;

/// A long poll answers to a changed mempool only after this time, and then looks again at each pause: as in Bitcoin Core.
const MEMPOOL_PATIENCE: Duration = Duration::from_secs(60);
const MEMPOOL_PAUSE: Duration = Duration::from_secs(10);
/// Serialised size of a block, at most, by its weight limit.
const SIZE_LIMIT: u64 = 4_000_000;

/// The handler of `getblocktemplate`.
pub(super) const fn get_block_template() -> Handler {
    Handler::Wait(answer)
}

/// What a miner asks for.
#[derive(Debug, Default)]
struct Wish {
    /// In hex.
    proposal: Option<String>,
    long_poll: Option<LongPoll>,
    wants_coinbase: bool,
}

/// The template that a miner has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LongPoll {
    tip: BlockHash,
    pool_sequence: u64,
    /// The last time for which its bits are right.
    max_time: Timestamp,
}

impl LongPoll {
    /// From what [`LongPoll::id`] made; any other text waits for a change from now on.
    fn from_id(id: &str, node: &Api) -> LongPoll {
        let parsed = id.split_at_checked(64).and_then(|(tip, rest)| {
            let (sequence, max_time) = rest.split_once('-')?;
            Some(LongPoll {
                tip: hash_from(tip, "longpollid").ok()?,
                pool_sequence: sequence.parse().ok()?,
                max_time: Timestamp(max_time.parse().ok()?),
            })
        });
        parsed.unwrap_or_else(|| LongPoll {
            tip: node.tip().borrow().hash,
            pool_sequence: 0,
            max_time: Timestamp(u32::MAX),
        })
    }

    fn id(&self) -> String {
        format!("{}{}-{}", self.tip, self.pool_sequence, self.max_time)
    }
}

fn answer(node: Api, args: Args) -> Waiting {
    Box::pin(async move {
        let wish = wish_of(args.value(0), &node)?;
        if let Some(known) = &wish.long_poll {
            wait_for_change(&node, known).await?;
        }
        let work = move || match wish.proposal {
            Some(hex) => judge(&node, &hex),
            None => template(&node, wish.wants_coinbase),
        };
        let working = tokio::task::spawn_blocking(work).await;
        working.unwrap_or_else(|_| Err(Failure::internal("internal error, see the node's log")))
    })
}

fn wish_of(request: &Value, node: &Api) -> Result<Wish, Failure> {
    let words = |name: &str| -> Vec<&str> {
        let list = request[name].as_array().map(Vec::as_slice);
        list.unwrap_or_default()
            .iter()
            .filter_map(Value::as_str)
            .collect()
    };
    let mut wish = Wish::default();
    match &request["mode"] {
        Value::Null => {}
        Value::String(mode) if mode == "template" => {}
        Value::String(mode) if mode == "proposal" => {
            let data = request["data"]
                .as_str()
                .ok_or_else(|| Failure::wrong_type("Missing data String key for proposal"))?;
            wish.proposal = Some(data.to_owned());
            return Ok(wish);
        }
        _ => return Err(Failure::invalid("Invalid mode")),
    }
    if !words("rules").contains(&"segwit") {
        let text = "getblocktemplate must be called with the segwit rule set (call with {\"rules\": [\"segwit\"]})";
        return Err(Failure::invalid(text));
    }
    let capabilities = words("capabilities");
    wish.wants_coinbase =
        capabilities.contains(&"coinbasetxn") && !capabilities.contains(&"coinbasevalue");
    wish.long_poll = request["longpollid"]
        .as_str()
        .map(|id| LongPoll::from_id(id, node));
    Ok(wish)
}

/// Waits until the tip is another, the known bits are for an earlier time, or, after a minute, the mempool is another.
async fn wait_for_change(node: &Api, known: &LongPoll) -> Result<(), Failure> {
    let mut tip = node.tip();
    let mut patience = MEMPOOL_PATIENCE;
    loop {
        let changed = tip.wait_for(|tip| tip.hash != known.tip);
        // The second after the last one.
        let left = known.max_time.0.saturating_sub(node.now().wall.0);
        let bits_hold = Duration::from_secs(u64::from(left) + 1);
        if tokio::time::timeout(patience.min(bits_hold), changed)
            .await
            .is_ok()
            || node.now().wall > known.max_time
        {
            return Ok(());
        }
        if bits_hold <= patience {
            // The clock and the timer disagree by a little.
            continue;
        }
        let reader = node.clone();
        let reading =
            tokio::task::spawn_blocking(move || reader.read(|core| core.mempool().sequence()));
        let sequence = reading
            .await
            .map_err(|_| Failure::internal("internal error"))?;
        if sequence != known.pool_sequence {
            return Ok(());
        }
        patience = MEMPOOL_PAUSE;
    }
}

/// Tells whether a block would be valid but for its work.
fn judge(node: &Api, hex: &str) -> Result<Reply, Failure> {
    let block: Block = decoded(hex, "Block decode failed")?;
    let hash = block.block_hash();
    let known = node.read(|core| {
        let chain = core.chain();
        let info = chain.tree().get(&hash);
        match info.map(|info| info.status) {
            Some(status) if !status.may_be_valid() => Some("duplicate-invalid"),
            Some(status) if status.connected => Some("duplicate"),
            Some(_) => Some("duplicate-inconclusive"),
            None if block.header.prev_blockhash != chain.tip().hash => {
                Some("inconclusive-not-best-prevblk")
            }
            None => None,
        }
    });
    if let Some(known) = known {
        return reply(&known);
    }
    match test_block(node, block, node.now().wall) {
        Ok(()) => null(),
        Err(AcceptError::Store(error)) => Err(error.into()),
        Err(error) => reply(&reject_reason(&error)),
    }
}

#[derive(Serialize)]
struct TemplateFields {
    capabilities: [&'static str; 1],
    version: i32,
    rules: [&'static str; 3],
    vbavailable: Empty,
    vbrequired: u32,
    previousblockhash: BlockHash,
    transactions: Vec<TransactionFields>,
    coinbaseaux: Empty,
    coinbasevalue: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    coinbasetxn: Option<CoinbaseFields>,
    longpollid: String,
    target: String,
    mintime: u32,
    /// BIP 23; not in Bitcoin Core, where bits do not depend on the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    maxtime: Option<u32>,
    mutable: Vec<&'static str>,
    noncerange: &'static str,
    sigoplimit: u64,
    sizelimit: u64,
    weightlimit: u64,
    curtime: u32,
    bits: String,
    height: u32,
    default_witness_commitment: String,
}

/// An object without members.
#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct CoinbaseFields {
    data: String,
    txid: Txid,
    hash: Wtxid,
    depends: [u32; 0],
    fee: i64,
    sigops: u64,
    weight: u64,
    required: bool,
}

#[derive(Serialize)]
struct TransactionFields {
    data: String,
    txid: Txid,
    hash: Wtxid,
    depends: Vec<u32>,
    fee: u64,
    sigops: u64,
    weight: u64,
}

fn template(node: &Api, wants_coinbase: bool) -> Result<Reply, Failure> {
    let now = node.now();
    let (template, weight_limit) = node.read(|core| {
        let limit = core.chain().params().max_block_weight.to_wu();
        core.template(now).map(|template| (template, limit))
    })?;
    let commitment = template.commitment();
    let coinbase = if wants_coinbase {
        own_coinbase(node, &template, &commitment)
    } else {
        None
    };
    let transactions = template.transactions.iter().map(|entry| TransactionFields {
        data: serialize_hex(&*entry.transaction),
        txid: entry.txid,
        hash: entry.wtxid,
        depends: entry.depends.clone(),
        fee: entry.fee.to_sat(),
        sigops: entry.sigops,
        weight: entry.weight.to_wu(),
    });
    let known = LongPoll {
        tip: template.parent,
        pool_sequence: template.pool_sequence,
        max_time: template.max_time,
    };
    let mut mutable = vec!["transactions", "prevblock"];
    // Where the bits depend on the time, a miner that changes one would have to change the other.
    let any_later = template.max_time == Timestamp(u32::MAX);
    if any_later {
        mutable.insert(0, "time");
    }
    if coinbase.is_some() {
        // So that several miners can share it: BIP 23's basic mutations.
        mutable.push("coinbase/append");
    }
    reply(&TemplateFields {
        capabilities: ["proposal"],
        version: 0x2000_0000,
        rules: ["csv", "!segwit", "taproot"],
        vbavailable: Empty {},
        vbrequired: 0,
        previousblockhash: template.parent,
        transactions: transactions.collect(),
        coinbaseaux: Empty {},
        coinbasevalue: template.coinbase_value.to_sat(),
        coinbasetxn: coinbase,
        longpollid: known.id(),
        target: target_hex(template.bits),
        mintime: template.min_time.0,
        maxtime: (!any_later).then_some(template.max_time.0),
        mutable,
        noncerange: "00000000ffffffff",
        sigoplimit: MAX_BLOCK_SIGOPS_COST,
        sizelimit: SIZE_LIMIT.min(weight_limit),
        weightlimit: weight_limit,
        curtime: template.time.0,
        bits: bits_hex(template.bits),
        height: template.height.0,
        default_witness_commitment: commitment.as_bytes().to_lower_hex_string(),
    })
}

/// A coinbase that pays the node's own mining address, in the form without witness that miners build on.
fn own_coinbase(
    node: &Api,
    template: &BlockTemplate,
    commitment: &ScriptBuf,
) -> Option<CoinbaseFields> {
    let address = node.mining().status().settings.address?;
    let payout = address.script_pubkey();
    let mut coinbase = template.coinbase(&payout, rand::random(), commitment.clone());
    for input in &mut coinbase.input {
        input.witness.clear();
    }
    let fees: u64 = template
        .transactions
        .iter()
        .map(|entry| entry.fee.to_sat())
        .sum();
    Some(CoinbaseFields {
        data: serialize_hex(&coinbase),
        txid: coinbase.compute_txid(),
        hash: coinbase.compute_wtxid(),
        depends: [],
        fee: -i64::try_from(fees).unwrap_or(i64::MAX),
        sigops: 0,
        weight: coinbase.weight().to_wu(),
        required: true,
    })
}
