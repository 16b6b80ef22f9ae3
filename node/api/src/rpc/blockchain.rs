//! Blocks, headers and branches.

use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::consensus::encode::serialize_hex;
use chain::tree::HeaderInfo;
use chain::verify::VerifyLevel;
use chain::{Chain, CheckedBlock, Coin, Height, StoredBlock};
use p2p::PeerNum;
use serde::Serialize;
use serde_json::value::RawValue;

use super::args::Args;
use super::call::Handler::{Read, Scan, Write};
use super::call::{Call, Kind, Likeness, optional, required};
use super::error::{Failure, code};
use super::model::block::{BlockParts, HeaderFields, spent_coins};
use super::model::{bits_hex, difficulty, target_hex, work_hex};
use super::reply::Reply;
use super::reply::{null, reply};
use crate::Api;
use node_core::{Mode, NodeCore, OperatorError};

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "getbestblockhash",
        params: &[],
        help: "Gives the hash of the active tip.",
        likeness: Likeness::Core,
        handler: Read(|node, _| reply(&node.read(|core| core.chain().tip().hash))),
    },
    Call {
        name: "getblock",
        params: &[
            required("blockhash", Kind::Text, "the block's hash"),
            optional(
                "verbosity|verbose",
                Kind::Any,
                "0 for hex, 1 for an object with transaction ids (default), 2 with transactions, 3 with what they spend",
            ),
        ],
        help: "Gives a block. Confirmations are -1 when it is not on the active chain.",
        likeness: Likeness::Core,
        handler: Read(get_block),
    },
    Call {
        name: "getblockchaininfo",
        params: &[],
        help: "Gives the state of the chain. `initialblockdownload` means: known peers have blocks that are not here.",
        likeness: Likeness::Subset(
            "chain is always regtest; network, network_digest, genesis_hash and mode are ours",
        ),
        handler: Read(get_blockchain_info),
    },
    Call {
        name: "getblockcount",
        params: &[],
        help: "Gives the height of the active tip; genesis has height 0.",
        likeness: Likeness::Core,
        handler: Read(|node, _| reply(&node.read(|core| core.chain().tip().height))),
    },
    Call {
        name: "getblockfrompeer",
        params: &[
            required(
                "blockhash",
                Kind::Text,
                "the block's hash, whose header must be known",
            ),
            required("peer_id", Kind::Number, "the peer's number in getpeerinfo"),
        ],
        help: "Fetches a block from one peer although the sync would not ask for it. Gives an empty object at once; the block is asked for once.",
        likeness: Likeness::Core,
        handler: Read(get_block_from_peer),
    },
    Call {
        name: "getblockhash",
        params: &[required(
            "height",
            Kind::Number,
            "the height in the active chain",
        )],
        help: "Gives the hash of the active chain's block at a height.",
        likeness: Likeness::Core,
        handler: Read(get_block_hash),
    },
    Call {
        name: "getblockheader",
        params: &[
            required("blockhash", Kind::Text, "the block's hash"),
            optional(
                "verbose",
                Kind::Bool,
                "true for an object (default), false for hex",
            ),
        ],
        help: "Gives a header, also of blocks whose body is not here.",
        likeness: Likeness::Core,
        handler: Read(get_block_header),
    },
    Call {
        name: "getchaintips",
        params: &[],
        help: "Lists the ends of all known branches: active, valid-fork, valid-headers, headers-only, invalid.",
        likeness: Likeness::Core,
        handler: Read(get_chain_tips),
    },
    Call {
        name: "getdeploymentinfo",
        params: &[optional(
            "blockhash",
            Kind::Text,
            "the block after which is asked; the tip by default",
        )],
        help: "Gives the state of consensus changes. All are active here from the start, but for BIP 34's height.",
        likeness: Likeness::Core,
        handler: Read(get_deployment_info),
    },
    Call {
        name: "getdifficulty",
        params: &[],
        help: "Gives the difficulty of the active tip, as a multiple of Bitcoin's difficulty 1.",
        likeness: Likeness::Core,
        handler: Read(|node, _| {
            let bits = node.read(|core| tip_info(core.chain()).header.bits);
            reply(&difficulty(bits))
        }),
    },
    Call {
        name: "invalidateblock",
        params: &[required("blockhash", Kind::Text, "the block's hash")],
        help: "Treats a block and its descendants as invalid; the best chain without it becomes active.",
        likeness: Likeness::Core,
        handler: Write(|node, args| judge(node, args, Judgement::Invalid)),
    },
    Call {
        name: "preciousblock",
        params: &[required("blockhash", Kind::Text, "the block's hash")],
        help: "Treats a block as if it had come before all others of equal work.",
        likeness: Likeness::Core,
        handler: Write(|node, args| judge(node, args, Judgement::Preferred)),
    },
    Call {
        name: "reconsiderblock",
        params: &[required("blockhash", Kind::Text, "the block's hash")],
        help: "Forgets that a block, its ancestors and its descendants were found or called invalid.",
        likeness: Likeness::Core,
        handler: Write(|node, args| judge(node, args, Judgement::Open)),
    },
    Call {
        name: "verifychain",
        params: &[
            optional(
                "checklevel",
                Kind::Number,
                "0 to 4: bodies, undo data, disconnecting, connecting again; 3 by default",
            ),
            optional(
                "nblocks",
                Kind::Number,
                "blocks from the tip down; 6 by default, 0 for all",
            ),
        ],
        help: "Looks at what is stored, and tells whether all is well. The node goes on meanwhile. Damaged bodies are fetched again.",
        likeness: Likeness::Core,
        handler: Scan(verify_chain),
    },
];

/// A known header, or -5 as BDK needs it.
pub(super) fn known_header(chain: &Chain, hash: &BlockHash) -> Result<HeaderInfo, Failure> {
    let info = chain.tree().get(hash);
    info.ok_or_else(|| Failure::not_found("Block not found"))
}

/// The tip's header.
pub(super) fn tip_info(chain: &Chain) -> HeaderInfo {
    let tip = chain.tip().hash;
    chain.tree().get(&tip).expect("the tip is in the tree")
}

/// The error for a block whose header alone is known.
fn no_body(chain: &Chain, hash: &BlockHash) -> Failure {
    Failure::misc(if chain.is_below_snapshot(hash) {
        "Block not available (loaded from snapshot; getblockfrompeer fetches it)"
    } else {
        "Block not available (not fully downloaded)"
    })
}

/// A body to be opened, or why there is none.
fn stored_body(chain: &Chain, hash: &BlockHash) -> Result<StoredBlock, Failure> {
    let stored = chain.stored_block(hash)?;
    stored.ok_or_else(|| no_body(chain, hash))
}

/// The block that a height or a hash means.
pub(super) fn by_hash_or_height(
    chain: &Chain,
    value: &serde_json::Value,
) -> Result<HeaderInfo, Failure> {
    if let Some(text) = value.as_str() {
        return known_header(chain, &super::args::hash_from(text, "hash_or_height")?);
    }
    let height = value
        .as_i64()
        .ok_or_else(|| Failure::wrong_type("hash_or_height must be a height or a block hash"))?;
    let tip = chain.tip().height.0;
    if height < 0 {
        return Err(Failure::invalid(format!(
            "Target block height {height} is negative"
        )));
    }
    u32::try_from(height)
        .ok()
        .and_then(|height| chain.at_height(Height(height)))
        .ok_or_else(|| {
            Failure::invalid(format!(
                "Target block height {height} after current tip {tip}"
            ))
        })
}

fn get_block(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let hash: BlockHash = args.hash(0)?;
    let verbosity = args.verbosity(1, 1)?;
    let (stored, header, spent) = node.read(|core| {
        let chain = core.chain();
        let info = known_header(chain, &hash)?;
        let stored = stored_body(chain, &hash)?;
        let spent = if verbosity >= 2 {
            spent_coins(chain, &info)?
        } else {
            None
        };
        Ok::<_, Failure>((stored, HeaderFields::new(chain, &info), spent))
    })?;
    let body = opened(node, &hash, stored)?;
    if verbosity <= 0 {
        return reply(&serialize_hex(body.block()));
    }
    let parts = BlockParts {
        header,
        body,
        spent,
    };
    reply(&parts.shown(verbosity))
}

/// A body, decoded and checked while the node goes on.
pub(crate) fn read_body(node: &Api, hash: &BlockHash) -> Result<Arc<CheckedBlock>, Failure> {
    let stored = node.read(|core| stored_body(core.chain(), hash))?;
    opened(node, hash, stored)
}

/// As [`read_body`], with what the block spent; `None` if it was never connected.
pub(super) fn read_body_and_spent(
    node: &Api,
    info: &HeaderInfo,
) -> Result<(Arc<CheckedBlock>, Option<Vec<Coin>>), Failure> {
    let (stored, spent) = node.read(|core| {
        let stored = stored_body(core.chain(), &info.hash)?;
        Ok::<_, Failure>((stored, spent_coins(core.chain(), info)?))
    })?;
    Ok((opened(node, &info.hash, stored)?, spent))
}

fn opened(node: &Api, hash: &BlockHash, stored: StoredBlock) -> Result<Arc<CheckedBlock>, Failure> {
    match stored.open() {
        Some(body) => Ok(body),
        // Damaged: reading it once more lets the chain take note, and fetch it again.
        None => node.read(|core| {
            let chain = core.chain();
            chain.block(hash)?.ok_or_else(|| no_body(chain, hash))
        }),
    }
}

fn get_block_hash(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let height = u32::try_from(args.int(0)?).ok().map(Height);
    let info = node.read(|core| height.and_then(|height| core.chain().at_height(height)));
    match info {
        Some(info) => reply(&info.hash),
        None => Err(Failure::invalid("Block height out of range")),
    }
}

fn get_block_header(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let hash: BlockHash = args.hash(0)?;
    let verbose = args.flag(1, true)?;
    node.read(|core| {
        let info = known_header(core.chain(), &hash)?;
        if verbose {
            reply(&HeaderFields::new(core.chain(), &info))
        } else {
            reply(&serialize_hex(&info.header))
        }
    })
}

#[derive(Serialize)]
struct ChainInfo {
    chain: &'static str,
    blocks: Height,
    headers: Height,
    bestblockhash: BlockHash,
    bits: String,
    target: String,
    difficulty: f64,
    time: u32,
    mediantime: u32,
    verificationprogress: f64,
    initialblockdownload: bool,
    chainwork: String,
    size_on_disk: u64,
    pruned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pruneheight: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    automatic_pruning: Option<bool>,
    warnings: Vec<String>,
    network: String,
    network_digest: String,
    genesis_hash: BlockHash,
    mode: Mode,
}

fn get_blockchain_info(node: &Api, _: &Args) -> Result<Reply, Failure> {
    let size_on_disk = database_bytes(node);
    let info = node.read(|core| {
        let chain = core.chain();
        let (tip, info) = (chain.tip(), tip_info(chain));
        let headers = chain.tree().best_header().height.max(tip.height);
        let base = chain.snapshot_base();
        ChainInfo {
            chain: "regtest",
            blocks: tip.height,
            headers,
            bestblockhash: tip.hash,
            bits: bits_hex(info.header.bits),
            target: target_hex(info.header.bits),
            difficulty: difficulty(info.header.bits),
            time: tip.time.0,
            mediantime: tip.median_time_past.0,
            verificationprogress: f64::from(tip.height.0 + 1) / f64::from(headers.0 + 1),
            initialblockdownload: core.is_syncing(),
            chainwork: work_hex(tip.chain_work),
            size_on_disk,
            // Nothing is ever pruned, but blocks below a snapshot are not here.
            pruned: base.is_some(),
            pruneheight: base.map(|base| base.height.next()),
            automatic_pruning: base.map(|_| false),
            warnings: warnings(core),
            network: chain.params().name.clone(),
            network_digest: chain.params().digest.to_string(),
            genesis_hash: chain.params().genesis_hash,
            mode: core.mode(),
        }
    });
    reply(&info)
}

/// What an operator should know, in sentences.
pub(super) fn warnings(core: &NodeCore) -> Vec<String> {
    let text = match core.mode() {
        Mode::Stale => "No block came for much longer than expected: the network may be cut",
        Mode::Behind => {
            "Headers of more work are known whose blocks no peer gives: add another peer"
        }
        Mode::DiskLow => "The disk is nearly full: free space, mining and the mempool pause",
        Mode::ReadOnly => "Storage failed: check the disk and start the node again",
        Mode::Starting | Mode::Syncing | Mode::Healthy | Mode::Isolated => return Vec::new(),
    };
    vec![text.to_owned()]
}

/// Bytes of the database file.
pub(super) fn database_bytes(node: &Api) -> u64 {
    let path = node.data_dir().path().join("chain.redb");
    std::fs::metadata(path).map_or(0, |file| file.len())
}

#[derive(Serialize)]
struct Tip {
    height: Height,
    hash: BlockHash,
    branchlen: u32,
    status: &'static str,
}

fn get_chain_tips(node: &Api, _: &Args) -> Result<Reply, Failure> {
    let tips = node.read(|core| core.chain().chain_tips());
    let shown = tips.iter().map(|tip| Tip {
        height: tip.block.height,
        hash: tip.block.hash,
        branchlen: tip.branch_length,
        status: tip.status.as_str(),
    });
    reply(&shown.collect::<Vec<Tip>>())
}

fn get_deployment_info(node: &Api, args: &Args) -> Result<Reply, Failure> {
    #[derive(Serialize)]
    struct Deployment {
        #[serde(rename = "type")]
        kind: &'static str,
        active: bool,
        height: u32,
    }
    let hash: Option<BlockHash> = args.opt_hash(0)?;
    let (info, bip34) = node.read(|core| {
        let chain = core.chain();
        let info = match &hash {
            Some(hash) => known_header(chain, hash)?,
            None => tip_info(chain),
        };
        Ok::<_, Failure>((info, chain.params().bip34_height))
    })?;
    let buried = |height: u32| Deployment {
        kind: "buried",
        // Of the block after the one that is asked for.
        active: info.height.0 + 1 >= height,
        height,
    };
    let names = ["bip65", "bip66", "csv", "segwit", "taproot"];
    let mut deployments: std::collections::BTreeMap<&str, Deployment> =
        names.iter().map(|name| (*name, buried(0))).collect();
    deployments.insert("bip34", buried(bip34.0));
    reply(&serde_json::json!({
        "hash": info.hash,
        "height": info.height,
        "deployments": deployments,
    }))
}

fn get_block_from_peer(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let hash: BlockHash = args.hash(0)?;
    let peer = u64::try_from(args.int(1)?).map_or(PeerNum(u64::MAX), PeerNum);
    node.act(|core, now, out| {
        let info = core.chain().tree().get(&hash);
        let info = info.ok_or_else(|| Failure::misc("Block header missing"))?;
        if info.status.has_body {
            return Err(Failure::misc("Block already downloaded"));
        }
        core.fetch_block(now, &hash, peer, out)
            .map_err(operator_failure)
    })?;
    reply(&RawValue::from_string("{}".to_owned()).expect("an empty object"))
}

#[derive(Clone, Copy)]
enum Judgement {
    Invalid,
    Preferred,
    Open,
}

fn judge(node: &Api, args: &Args, judgement: Judgement) -> Result<Reply, Failure> {
    let hash: BlockHash = args.hash(0)?;
    node.act(|core, now, out| {
        known_header(core.chain(), &hash)?;
        let marked = match judgement {
            Judgement::Invalid => core.mark_invalid(now, &hash, out),
            Judgement::Preferred => core.mark_preferred(&hash),
            Judgement::Open => core.mark_open(&hash),
        };
        marked.map_err(operator_failure)
    })?;
    // In steps, so that others are answered in between.
    let step = || node.act(|core, now, out| core.carry_on(now, out).map_err(operator_failure));
    while step()? {}
    null()
}

fn operator_failure(error: OperatorError) -> Failure {
    match error {
        OperatorError::UnknownBlock(_) => Failure::not_found("Block not found"),
        OperatorError::UnknownPeer(_) => Failure::misc("Peer does not exist"),
        OperatorError::Genesis => Failure::invalid(error.to_string()),
        OperatorError::NoWayBack(error) => Failure::new(code::DATABASE, error.to_string()),
        OperatorError::Store(error) => error.into(),
    }
}

fn verify_chain(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let level = args.opt_int(0)?.unwrap_or(3);
    let level = u8::try_from(level).ok().filter(|level| *level <= 4);
    let level = level.ok_or_else(|| Failure::invalid("checklevel must be between 0 and 4"))?;
    let depth = if args.has(1) { args.count(1)? } else { 6 };
    let level = VerifyLevel::from_number(level);
    let chain = node.frozen_chain()?;
    let report = chain::verify::verify(&chain, level, depth, &mut |_, _| {})?;
    for hash in chain.damaged() {
        // The node itself learns of it, and fetches the block again.
        node.read(|core| core.chain().block(&hash))?;
    }
    for problem in &report.problems {
        tracing::error!(target: "chain", %problem, "damaged data");
    }
    reply(&report.problems.is_empty())
}
