//! Coins: the set of unspent outputs, and proofs that a transaction is in a block.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::merkle_tree::MerkleBlock;
use bitcoin::{Amount, BlockHash, OutPoint, ScriptBuf, Txid};
use chain::tree::HeaderInfo;
use chain::{Coin, FrozenChain, Height, history};
use serde::Serialize;
use serde_json::Value;

use super::args::{Args, decoded, hash_from};
use super::blockchain::{by_hash_or_height, known_header, read_body};
use super::call::Handler::{Read, Scan};
use super::call::{Call, Kind, Likeness, optional, required};
use super::coins::{check_active, told};
use super::error::Failure;
use super::model::script::ScriptPubKey;
use super::model::{Btc, descriptor};
use super::rawtransactions::find::blocks_to_look_into;
use super::reply::Reply;
use super::reply::reply;
use crate::Api;

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "dumptxoutset",
        params: &[
            required(
                "path",
                Kind::Text,
                "the file to write, in the data directory unless it is absolute; it must not be there",
            ),
            optional("type", Kind::Text, "latest (default)"),
            optional("options", Kind::Object, "taken for compatibility"),
        ],
        help: "Writes all unspent outputs of the tip to a file, and gives its hash.",
        likeness: Likeness::Subset("a format of our own; only of the tip"),
        handler: Scan(dump),
    },
    Call {
        name: "gettxout",
        params: &[
            required("txid", Kind::Text, "the transaction's id"),
            required("n", Kind::Number, "the output's index"),
            optional(
                "include_mempool",
                Kind::Bool,
                "count what the mempool spends and creates; true by default",
            ),
            optional(
                "hash_or_height",
                Kind::Any,
                "the active block at which the output is meant, without the mempool; the tip by default. It reads the blocks above",
            ),
        ],
        help: "Gives an unspent output, or null if it is spent or was never there; at an earlier block too.",
        likeness: Likeness::Core,
        handler: Read(get_tx_out),
    },
    Call {
        name: "gettxoutproof",
        params: &[
            required("txids", Kind::Array, "ids of transactions in one block"),
            optional(
                "blockhash",
                Kind::Text,
                "the block; found by the index or an unspent output of theirs otherwise",
            ),
        ],
        help: "Gives a proof in hex that transactions are in a block.",
        likeness: Likeness::Core,
        handler: Read(get_proof),
    },
    Call {
        name: "gettxoutsetinfo",
        params: &[
            optional(
                "hash_type",
                Kind::Text,
                "hash_serialized_3 (default), muhash or none",
            ),
            optional(
                "hash_or_height",
                Kind::Any,
                "the active block at which they are meant; the tip by default. It takes back the blocks above, one by one; not for hash_serialized_3",
            ),
            optional("use_index", Kind::Bool, "taken for compatibility"),
        ],
        help: "Gives number, sum and hash of all unspent outputs. It reads them all and takes its time.",
        likeness: Likeness::Subset(
            "at an earlier block without its figures (block_info, unspendable)",
        ),
        handler: Scan(get_set_info),
    },
    Call {
        name: "scantxoutset",
        params: &[
            required(
                "action",
                Kind::Text,
                "start; abort and status do nothing, since a scan is over when it answers",
            ),
            optional(
                "scanobjects",
                Kind::Array,
                "descriptors: addr(), raw(), rawtr()",
            ),
        ],
        help: "Lists the unspent outputs of some scripts.",
        likeness: Likeness::Subset("addr(), raw() and rawtr() only"),
        handler: Scan(scan),
    },
    Call {
        name: "verifytxoutproof",
        params: &[required("proof", Kind::Text, "what gettxoutproof gave")],
        help: "Gives the transactions that a proof proves to be in a block of the active chain; none if it is wrong.",
        likeness: Likeness::Core,
        handler: Read(verify_proof),
    },
];

#[derive(Serialize)]
struct Output {
    bestblock: BlockHash,
    confirmations: u32,
    value: Btc,
    #[serde(rename = "scriptPubKey")]
    script: ScriptPubKey,
    coinbase: bool,
}

fn get_tx_out(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let outpoint = OutPoint {
        txid: args.hash(0)?,
        vout: args.count(1)?,
    };
    let with_mempool = args.flag(2, true)?;
    if args.has(3) {
        return past_tx_out(node, args, &outpoint);
    }
    let output = node.read(|core| {
        let tip = core.chain().tip();
        if with_mempool {
            if core.mempool().spender(&outpoint).is_some() {
                return Ok(None);
            }
            if let Some(entry) = core.mempool().get(&outpoint.txid) {
                let output = entry.transaction.output.get(outpoint.vout as usize);
                return Ok(output.map(|output| Output {
                    bestblock: tip.hash,
                    confirmations: 0,
                    value: Btc(output.value),
                    script: ScriptPubKey::new(&output.script_pubkey),
                    coinbase: false,
                }));
            }
        }
        let coin = core.chain().proved_coin(&outpoint)?;
        Ok::<_, Failure>(coin.map(|coin| Output {
            bestblock: tip.hash,
            confirmations: tip.height.0.saturating_sub(coin.height.0) + 1,
            value: Btc(coin.output.value),
            script: ScriptPubKey::new(&coin.output.script_pubkey),
            coinbase: coin.coinbase,
        }))
    })?;
    reply(&output)
}

fn past_tx_out(node: &Api, args: &Args, outpoint: &OutPoint) -> Result<Reply, Failure> {
    let chain = node.frozen_chain()?;
    let block = by_hash_or_height(&chain, args.value(3))?;
    check_active(&chain, &block.hash)?;
    let coin = history::coin_at(&chain, outpoint, block.height).map_err(told)?;
    reply(&coin.map(|coin| Output {
        bestblock: block.hash,
        confirmations: block.height.0.saturating_sub(coin.height.0) + 1,
        value: Btc(coin.output.value),
        script: ScriptPubKey::new(&coin.output.script_pubkey),
        coinbase: coin.coinbase,
    }))
}

#[derive(Serialize)]
struct SetInfo {
    height: Height,
    bestblock: BlockHash,
    txouts: u64,
    bogosize: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash_serialized_3: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    muhash: Option<String>,
    total_amount: Btc,
    transactions: u64,
    disk_size: u64,
}

fn get_set_info(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let kind = args.opt_text(0)?.unwrap_or("hash_serialized_3");
    if !["hash_serialized_3", "muhash", "none"].contains(&kind) {
        return Err(Failure::invalid(format!(
            "'{kind}' is not a valid hash_type"
        )));
    }
    let chain = node.frozen_chain()?;
    let tip = chain.tip();
    if args.has(1) {
        let block = by_hash_or_height(&chain, args.value(1))?;
        if block.hash != tip.hash {
            return past_set_info(&chain, &block, kind);
        }
    }
    let stats = chain.coin_set_stats(kind == "hash_serialized_3")?;
    reply(&SetInfo {
        height: tip.height,
        bestblock: tip.hash,
        txouts: stats.coins,
        bogosize: stats.bogo_bytes,
        hash_serialized_3: stats.serialized.map(|hash| hash.to_string()),
        muhash: (kind == "muhash").then(|| stats.muhash.to_string()),
        total_amount: Btc(stats.total),
        transactions: stats.transactions,
        disk_size: chain.coins_disk_bytes()?,
    })
}

#[derive(Serialize)]
struct PastSetInfo {
    height: Height,
    bestblock: BlockHash,
    txouts: u64,
    bogosize: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    muhash: Option<String>,
    total_amount: Btc,
}

/// Of an earlier block. As in Bitcoin Core, which keeps an index for it, without number of transactions and size on disk.
fn past_set_info(chain: &FrozenChain, block: &HeaderInfo, kind: &str) -> Result<Reply, Failure> {
    if kind == "hash_serialized_3" {
        return Err(Failure::invalid(
            "hash_serialized_3 hash type cannot be queried for a specific block",
        ));
    }
    check_active(chain, &block.hash)?;
    let past = history::coins_at(chain, block.height).map_err(told)?;
    reply(&PastSetInfo {
        height: past.block.height,
        bestblock: past.block.hash,
        txouts: past.coins,
        bogosize: past.bogo_bytes,
        muhash: (kind == "muhash").then(|| past.muhash.to_string()),
        total_amount: Btc(past.total),
    })
}

#[derive(Serialize)]
struct Unspent {
    txid: Txid,
    vout: u32,
    #[serde(rename = "scriptPubKey")]
    script: String,
    desc: String,
    amount: Btc,
    coinbase: bool,
    height: Height,
    blockhash: Option<BlockHash>,
    confirmations: u32,
}

#[derive(Serialize)]
struct Scanned {
    success: bool,
    txouts: u64,
    height: Height,
    bestblock: BlockHash,
    unspents: Vec<Unspent>,
    total_amount: Btc,
}

fn scan(node: &Api, args: &Args) -> Result<Reply, Failure> {
    match args.text(0)? {
        "start" => {}
        // A scan is over when its call answers.
        "abort" => return reply(&false),
        "status" => return super::reply::null(),
        other => return Err(Failure::invalid(format!("Invalid action '{other}'"))),
    }
    if !args.has(1) {
        let text = "scanobjects argument is required for the start action";
        return Err(Failure::misc(text));
    }
    let mut wanted: BTreeMap<ScriptBuf, String> = BTreeMap::new();
    for object in args.list(1)? {
        let text = object
            .as_str()
            .or_else(|| object["desc"].as_str())
            .ok_or_else(|| {
                Failure::invalid("Scan object needs to be either a string or an object")
            })?;
        let script = descriptor::script_of(text)?;
        let described = descriptor::of_script(&script);
        wanted.insert(script, described);
    }
    let chain = node.frozen_chain()?;
    let tip = chain.tip();
    let (mut txouts, mut total) = (0, Amount::ZERO);
    let mut found: Vec<(OutPoint, Coin)> = Vec::new();
    chain.for_each_coin(|outpoint, coin| {
        txouts += 1;
        if wanted.contains_key(&coin.output.script_pubkey) {
            total += coin.output.value;
            found.push((outpoint, coin));
        }
        Ok(())
    })?;
    let unspents = found.into_iter().map(|(outpoint, coin)| Unspent {
        txid: outpoint.txid,
        vout: outpoint.vout,
        script: coin.output.script_pubkey.to_hex_string(),
        desc: wanted[&coin.output.script_pubkey].clone(),
        amount: Btc(coin.output.value),
        coinbase: coin.coinbase,
        height: coin.height,
        blockhash: chain.at_height(coin.height).map(|info| info.hash),
        confirmations: tip.height.0.saturating_sub(coin.height.0) + 1,
    });
    reply(&Scanned {
        success: true,
        txouts,
        height: tip.height,
        bestblock: tip.hash,
        unspents: unspents.collect(),
        total_amount: Btc(total),
    })
}

fn get_proof(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let list = args.list(0)?;
    let id = |value: &Value| {
        let text = value
            .as_str()
            .ok_or_else(|| Failure::wrong_type("txids must be strings"))?;
        hash_from::<Txid>(text, "txid")
    };
    let wanted: Vec<Txid> = list.iter().map(id).collect::<Result<_, _>>()?;
    if wanted.is_empty() {
        return Err(Failure::invalid("Parameter 'txids' cannot be empty"));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = wanted.iter().find(|txid| !seen.insert(**txid)) {
        let text = format!("Invalid parameter, duplicated txid: {twice}");
        return Err(Failure::invalid(text));
    }
    let block: Option<BlockHash> = args.opt_hash(1)?;
    let info = match &block {
        Some(hash) => node.read(|core| known_header(core.chain(), hash))?,
        None => block_of_any(node, &wanted)?,
    };
    let body = read_body(node, &info.hash)?;
    if !wanted.iter().all(|txid| body.txids().contains(txid)) {
        return Err(Failure::not_found(
            "Not all transactions found in specified or retrieved block",
        ));
    }
    let proof = MerkleBlock::from_block_with_predicate(body.block(), |txid| wanted.contains(txid));
    reply(&serialize_hex(&proof))
}

/// The block that holds one of these transactions.
fn block_of_any(node: &Api, wanted: &[Txid]) -> Result<HeaderInfo, Failure> {
    for txid in wanted {
        for info in blocks_to_look_into(node, txid)? {
            if read_body(node, &info.hash)?.txids().contains(txid) {
                return Ok(info);
            }
        }
    }
    Err(Failure::not_found("Transaction not yet in block"))
}

fn verify_proof(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let proof: MerkleBlock = decoded(args.text(0)?, "Proof decode failed")?;
    let (mut matched, mut indexes) = (Vec::new(), Vec::new());
    if proof.extract_matches(&mut matched, &mut indexes).is_err() {
        return reply(&[(); 0]);
    }
    let info = node.read(|core| {
        let info = core.chain().tree().get(&proof.header.block_hash());
        info.filter(|info| core.chain().is_active(&info.hash))
    });
    let info = info.ok_or_else(|| Failure::not_found("Block not found in chain"))?;
    // A proof that claims another number of transactions proves nothing (CVE-2017-12842).
    if info.tx_count != proof.txn.num_transactions() {
        return reply(&[(); 0]);
    }
    reply(&matched)
}

fn dump(node: &Api, args: &Args) -> Result<Reply, Failure> {
    if !matches!(args.opt_text(1)?, None | Some("" | "latest")) {
        return Err(Failure::invalid(
            "Invalid snapshot type: only latest is possible",
        ));
    }
    let path = node.data_dir().path().join(args.text(0)?);
    let shown = path.display();
    if path.exists() {
        let text = format!(
            "{shown} already exists. If you are sure this is what you want, move it out of the way first."
        );
        return Err(Failure::invalid(text));
    }
    let chain = node.frozen_chain()?;
    let info = chain::snapshot::dump_to_file(&chain, &path)
        .map_err(|error| Failure::misc(format!("cannot write {shown}: {error}")))?;
    reply(&serde_json::json!({
        "coins_written": info.stats.coins,
        "base_hash": info.base.hash,
        "base_height": info.base.height,
        "path": path,
        "txoutset_hash": info.stats.serialized.map(|hash| hash.to_string()),
    }))
}
