//! Starting from a snapshot of coins, and telling that a node did.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use bitcoin::BlockHash;
use chain::coins::SetHash;
use chain::snapshot::{self, Trusted};
use chain::{Chain, Height};
use serde::Serialize;
use serde_json::json;

use super::args::Args;
use super::blockchain::tip_info;
use super::call::Handler::{Read, Write};
use super::call::{Call, Kind, Likeness, optional, required};
use super::error::Failure;
use super::model::{bits_hex, difficulty, target_hex};
use super::reply::Reply;
use super::reply::reply;
use crate::Api;

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "getchainstates",
        params: &[],
        help: "Gives the state of the coins: up to which block they are, and whether they came from a snapshot.",
        likeness: Likeness::Subset(
            "there is one chain state; one that came from a snapshot is never validated in the background",
        ),
        handler: Read(get_chain_states),
    },
    Call {
        name: "loadtxoutset",
        params: &[
            required(
                "path",
                Kind::Text,
                "the file that dumptxoutset wrote, in the data directory unless the path is absolute",
            ),
            required(
                "txoutset_hash",
                Kind::Text,
                "the hash of the coins that you trust, as dumptxoutset or gettxoutsetinfo tell it where the file was made",
            ),
            optional(
                "base_hash",
                Kind::Text,
                "the block that the coins must belong to; any that proves its work by default",
            ),
        ],
        help: "Replaces the coins by those of a snapshot, and goes on from its block. No peer is needed: the file holds the headers. \
               The blocks below are not fetched and never validated: trust the hash, or sync from peers instead. \
               The mempool must be empty, and the snapshot's chain must have more work than the active one.",
        likeness: Likeness::Subset(
            "the hash is an argument, for none is built in; a format of our own that holds the headers; no validation in the background",
        ),
        handler: Write(load),
    },
];

#[derive(Serialize)]
struct ChainState {
    blocks: Height,
    bestblockhash: BlockHash,
    bits: String,
    target: String,
    difficulty: f64,
    verificationprogress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot_blockhash: Option<BlockHash>,
    coins_db_cache_bytes: usize,
    coins_tip_cache_bytes: usize,
    validated: bool,
}

fn get_chain_states(node: &Api, _: &Args) -> Result<Reply, Failure> {
    let (headers, state) = node.read(|core| {
        let chain = core.chain();
        let headers = chain.tree().best_header().height;
        (headers, state_of(chain))
    });
    reply(&json!({"headers": headers, "chainstates": [state]}))
}

fn state_of(chain: &Chain) -> ChainState {
    let tip = tip_info(chain);
    let headers = chain.tree().best_header().height.max(tip.height);
    let base = chain.snapshot_base();
    let budgets = chain.cache_budgets();
    ChainState {
        blocks: tip.height,
        bestblockhash: tip.hash,
        bits: bits_hex(tip.header.bits),
        target: target_hex(tip.header.bits),
        difficulty: difficulty(tip.header.bits),
        verificationprogress: f64::from(tip.height.0 + 1) / f64::from(headers.0 + 1),
        snapshot_blockhash: base.map(|base| base.hash),
        coins_db_cache_bytes: budgets.database_bytes,
        coins_tip_cache_bytes: budgets.coins_bytes,
        validated: base.is_none(),
    }
}

fn load(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let path = node.data_dir().path().join(args.text(0)?);
    let coins: SetHash = args
        .text(1)?
        .parse()
        .map_err(|error| Failure::invalid(format!("txoutset_hash: {error}")))?;
    let base: Option<BlockHash> = args.opt_hash(2)?;
    let shown = path.display();
    let unable = |error: &dyn std::fmt::Display| {
        Failure::internal(format!("Unable to load UTXO snapshot: {error}. ({shown})"))
    };
    let file = File::open(&path).map_err(|error| {
        Failure::invalid(format!("Couldn't open file {shown} for reading: {error}"))
    })?;
    let params = node.read(|core| Arc::clone(core.chain().params()));
    let trusted = Trusted { coins, base };
    let now = node.now().wall;
    let snapshot = snapshot::read(&mut BufReader::new(file), &params, &trusted, now)
        .map_err(|error| unable(&error))?;
    let info = node
        .act(|core, now, out| core.load_snapshot(now, snapshot, out))
        .map_err(|error| unable(&error))?;
    reply(&json!({
        "coins_loaded": info.stats.coins,
        "tip_hash": info.base.hash,
        "base_height": info.base.height,
        "path": path,
    }))
}
