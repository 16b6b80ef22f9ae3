//! The coins at a block, and in ranges: for telling two nodes apart.

use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::{BlockHash, OutPoint, Txid};
use chain::history::{self, COIN_KEY_BYTES, CoinKey, CoinRange, HistoryError};
use chain::{Coin, Height};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::Args;
use super::blockchain::by_hash_or_height;
use super::call::Handler::Scan;
use super::call::{Call, Kind, Likeness, Param, optional, required};
use super::error::Failure;
use super::model::Btc;
use super::reply::{Reply, reply};
use crate::Api;

/// Ranges of one call.
const MAX_RANGES: usize = 4_096;
/// Coins that are listed by one call.
const MAX_LISTED: usize = 10_000;

const BLOCK: Param = required(
    "hash_or_height",
    Kind::Any,
    "the active block at which the coins are meant",
);

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "getcoinhashes",
        params: &[
            BLOCK,
            optional(
                "ranges",
                Kind::Array,
                "pairs of keys, in order and apart: the first that belongs to the range, and the first behind it; all coins by default",
            ),
        ],
        help: "Gives number and MuHash of the coins in each of some ranges, as they were after a block. A key is up to 72 hexadecimal digits: \
               the txid as it is hashed (the shown one reversed), then the index of the output in 4 bytes, highest first; what is left out at its \
               end is zero, and an empty second key means that the range has no end. \
               Two nodes whose coins differ are told apart by it in a logarithmic number of questions (mend compare).",
        likeness: Likeness::Ours,
        handler: Scan(hashes),
    },
    Call {
        name: "listcoins",
        params: &[
            BLOCK,
            required("from", Kind::Text, "the first key, as for getcoinhashes"),
            required(
                "to",
                Kind::Text,
                "the first key behind the range; empty for no end",
            ),
        ],
        help: "Lists the coins of a range as they were after a block, in order of their keys; 10,000 at most.",
        likeness: Likeness::Ours,
        handler: Scan(list),
    },
];

fn hashes(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let ranges = match args.list(1)? {
        [] => vec![CoinRange::ALL],
        given => given.iter().map(range_from).collect::<Result<_, _>>()?,
    };
    if ranges.len() > MAX_RANGES {
        return Err(Failure::invalid(format!(
            "at most {MAX_RANGES} ranges at a time"
        )));
    }
    let apart = |pair: &[CoinRange]| pair[0].to.is_some_and(|to| to <= pair[1].from);
    if !ranges.windows(2).all(apart) {
        return Err(Failure::invalid(
            "the ranges must be in order and must not overlap",
        ));
    }
    let chain = node.frozen_chain()?;
    let block = by_hash_or_height(&chain, args.value(0))?;
    check_active(&chain, &block.hash)?;
    let found = history::range_hashes_at(&chain, block.height, &ranges).map_err(told)?;
    let shown = found
        .iter()
        .map(|range| json!({"coins": range.coins, "muhash": range.muhash.to_string()}));
    reply(&json!({
        "height": block.height,
        "blockhash": block.hash,
        "ranges": shown.collect::<Vec<Value>>(),
    }))
}

#[derive(Serialize)]
struct Listed {
    txid: Txid,
    vout: u32,
    key: String,
    value: Btc,
    height: Height,
    coinbase: bool,
    #[serde(rename = "scriptPubKey")]
    script: String,
}

fn list(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let range = range_of(args.text(1)?, args.text(2)?)?;
    let chain = node.frozen_chain()?;
    let block = by_hash_or_height(&chain, args.value(0))?;
    check_active(&chain, &block.hash)?;
    let coins = history::list_at(&chain, block.height, &range, MAX_LISTED).map_err(told)?;
    let shown = coins
        .into_iter()
        .map(|(outpoint, coin)| listed(&outpoint, &coin));
    reply(&shown.collect::<Vec<Listed>>())
}

fn listed(outpoint: &OutPoint, coin: &Coin) -> Listed {
    Listed {
        txid: outpoint.txid,
        vout: outpoint.vout,
        key: history::key_of(outpoint).to_lower_hex_string(),
        value: Btc(coin.output.value),
        height: coin.height,
        coinbase: coin.coinbase,
        script: coin.output.script_pubkey.to_hex_string(),
    }
}

/// Blocks of other branches have no coins to tell of.
pub(super) fn check_active(chain: &chain::Chain, hash: &BlockHash) -> Result<(), Failure> {
    match chain.is_active(hash) {
        true => Ok(()),
        false => Err(Failure::invalid("Block is not in main chain")),
    }
}

/// Why the past cannot be told.
pub(super) fn told(error: HistoryError) -> Failure {
    match error {
        HistoryError::Store(error) => error.into(),
        HistoryError::TooMany(_) => Failure::invalid(error.to_string()),
        HistoryError::BelowSnapshot { .. } | HistoryError::Damaged(_) => {
            Failure::misc(error.to_string())
        }
    }
}

fn range_from(pair: &Value) -> Result<CoinRange, Failure> {
    match (&pair[0], &pair[1]) {
        (Value::String(from), Value::String(to)) => range_of(from, to),
        _ => Err(Failure::wrong_type("a range must be a pair of keys")),
    }
}

fn range_of(from: &str, to: &str) -> Result<CoinRange, Failure> {
    let from = key_from(from)?;
    let to = match to {
        "" => None,
        to => Some(key_from(to)?),
    };
    match to.is_none_or(|to| from < to) {
        true => Ok(CoinRange { from, to }),
        false => Err(Failure::invalid("a range must end behind its beginning")),
    }
}

fn key_from(text: &str) -> Result<CoinKey, Failure> {
    let bytes = Vec::<u8>::from_hex(text).ok();
    let bytes = bytes.filter(|bytes| bytes.len() <= COIN_KEY_BYTES);
    let Some(bytes) = bytes else {
        return Err(Failure::invalid(
            "a key must have at most 72 hexadecimal digits, two for a byte",
        ));
    };
    let mut key = [0; COIN_KEY_BYTES];
    key[..bytes.len()].copy_from_slice(&bytes);
    Ok(key)
}
