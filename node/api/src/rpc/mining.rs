//! The state of mining, the dial of the node's own miner, and blocks from miners of others.

use bitcoin::block::Header;
use bitcoin::{Address, Block, ScriptBuf, Transaction};
use chain::assemble::WITNESS_RESERVED_VALUE;
use chain::{AcceptError, Chain, Height};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{Args, address_from, decoded};
use super::blockchain::{tip_info, warnings};
use super::call::Handler::{Read, Write};
use super::call::{Call, Kind, Likeness, optional, required};
use super::error::{Failure, code};
use super::model::{Btc, bits_hex, difficulty, target_hex, work_float};
use super::reply::Reply;
use super::reply::{null, reply};
use super::templates::get_block_template;
use crate::Api;
use node_core::SubmitError;
use node_core::mempool::policy;
use node_host::{MiningSettings, TipSwitches};

/// The calls of this file, and `getblocktemplate`.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "getblocktemplate",
        params: &[optional(
            "template_request",
            Kind::Object,
            "rules (must have segwit), capabilities, longpollid, or mode proposal with data",
        )],
        help: "Gives what the next block may hold (BIP 22, 23, 9, 145); with a longpollid, once it has changed. It is never refused, \
               however old the tip and however few the peers. In mode proposal it tells whether a block would be valid but for its work. \
               With capability coinbasetxn and not coinbasevalue, a coinbase that pays the node's own mining address is given.",
        likeness: Likeness::Core,
        handler: get_block_template(),
    },
    Call {
        name: "getmininginfo",
        params: &[],
        help: "Gives the state of mining on the network, and of the node's own miner.",
        likeness: Likeness::Subset("mining is ours: the node's own miner"),
        handler: Read(get_mining_info),
    },
    Call {
        name: "getnetworkhashps",
        params: &[
            optional(
                "nblocks",
                Kind::Number,
                "blocks to look at; 120 by default, -1 for all",
            ),
            optional(
                "height",
                Kind::Number,
                "up to this height; the tip by default",
            ),
        ],
        help: "Estimates the network's hashes per second from the work and times of the last blocks.",
        likeness: Likeness::Core,
        handler: Read(get_network_hash_rate),
    },
    Call {
        name: "getstratuminfo",
        params: &[],
        help: "Gives what miners of others did and do on the Stratum endpoint: shares and blocks in all, and each connection with its \
               speed and difficulty. Without --stratum, listen is null.",
        likeness: Likeness::Ours,
        handler: Read(get_stratum_info),
    },
    Call {
        name: "setmining",
        params: &[
            optional(
                "active|settings",
                Kind::Any,
                "on or off; or one object with active, rate, address",
            ),
            optional(
                "rate",
                Kind::Any,
                "hashes per second at most; null or 0 for as many as it can",
            ),
            optional("address", Kind::Text, "whom the blocks pay"),
        ],
        help: "Turns the node's own miner on or off, and its dial. What is left out stays as it is.",
        likeness: Likeness::Ours,
        handler: Read(set_mining),
    },
    Call {
        name: "submitblock",
        params: &[
            required("hexdata", Kind::Text, "the block in hex"),
            optional(
                "dummy|workid|parameters",
                Kind::Any,
                "ignored, as BIP 22 wants it",
            ),
        ],
        help: "Takes a block from a miner. Gives null when it was taken, and BIP 22's word for the reason when not. A missing witness of the \
               coinbase is added.",
        likeness: Likeness::Core,
        handler: Write(submit_block),
    },
    Call {
        name: "submitheader",
        params: &[required("hexdata", Kind::Text, "the header in hex")],
        help: "Takes a header whose parent is known.",
        likeness: Likeness::Core,
        handler: Write(submit_header),
    },
];

/// A block in hex, with the coinbase's witness added where the commitment asks for it and the miner left it out.
pub(super) fn block_from(hex: &str) -> Result<Block, Failure> {
    let mut block: Block = decoded(hex, "Block decode failed")?;
    if !block.txdata.first().is_some_and(Transaction::is_coinbase) {
        return Err(Failure::undecodable("Block does not start with a coinbase"));
    }
    add_reserved_value(&mut block);
    Ok(block)
}

/// What Bitcoin Core's `UpdateUncommittedBlockStructures` does: miners without knowledge of witnesses omit it.
fn add_reserved_value(block: &mut Block) {
    let Some(coinbase) = block.txdata.first_mut() else {
        return;
    };
    let commits = |script: &ScriptBuf| {
        script.as_bytes().len() >= 38
            && script
                .as_bytes()
                .starts_with(&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed])
    };
    let commitment = coinbase
        .output
        .iter()
        .any(|output| commits(&output.script_pubkey));
    if let Some(input) = coinbase.input.first_mut()
        && commitment
        && input.witness.is_empty()
    {
        input.witness.push(WITNESS_RESERVED_VALUE);
    }
}

fn submit_block(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let block = block_from(args.text(0)?)?;
    match node.submit_block(block) {
        Ok(true) => null(),
        // It is here, and valid as far as is known, but another chain is better.
        Ok(false) => reply(&"inconclusive"),
        Err(SubmitError::Store(error)) => Err(error.into()),
        Err(error) => reply(&error.reject_reason()),
    }
}

fn submit_header(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let header: Header = decoded(args.text(0)?, "Block header decode failed")?;
    let result = node.act(|core, now, out| core.submit_header(now, &header, out).map(drop));
    match result {
        Ok(()) => null(),
        Err(AcceptError::UnknownParent { parent }) => Err(Failure::new(
            code::VERIFY,
            format!("Must submit previous header ({parent}) first"),
        )),
        Err(AcceptError::Rule(rule)) => Err(Failure::new(code::VERIFY, rule.reject_reason())),
        Err(AcceptError::KnownInvalid { .. }) => {
            Err(Failure::new(code::VERIFY, "duplicate-invalid"))
        }
        Err(AcceptError::InvalidParent { .. }) => Err(Failure::new(code::VERIFY, "bad-prevblk")),
        Err(AcceptError::Store(error)) => Err(error.into()),
    }
}

#[derive(Serialize)]
struct Next {
    height: Height,
    bits: String,
    difficulty: f64,
    target: String,
}

#[derive(Serialize)]
struct OwnMining {
    active: bool,
    rate: Option<u64>,
    address: Option<String>,
    threads: usize,
    hashespersecond: f64,
    hashes: u64,
    found: u64,
    stale: u64,
    pause: Option<&'static str>,
    tipswitches: TipSwitches,
}

#[derive(Serialize)]
struct MiningInfo {
    blocks: Height,
    bits: String,
    difficulty: f64,
    target: String,
    networkhashps: f64,
    pooledtx: usize,
    blockmintxfee: Btc,
    chain: &'static str,
    next: Next,
    warnings: Vec<String>,
    mining: OwnMining,
}

fn get_mining_info(node: &Api, _: &Args) -> Result<Reply, Failure> {
    let own = node.mining().status();
    let mining = OwnMining {
        active: own.settings.active,
        rate: own.settings.rate,
        address: own.settings.address.as_ref().map(Address::to_string),
        threads: own.settings.threads,
        hashespersecond: own.hashes_per_second,
        hashes: own.hashes,
        found: own.found,
        stale: own.stale,
        pause: own.pause,
        tipswitches: own.switches,
    };
    let now = node.now();
    let info = node.read(|core| {
        let chain = core.chain();
        let (tip, next) = (tip_info(chain), chain.next_block(now.wall));
        let mut warnings = warnings(core);
        if let Some(ahead) = core.chain_ahead(now) {
            warnings.push(format!("No block can be made: {ahead}"));
        }
        MiningInfo {
            blocks: tip.height,
            bits: bits_hex(tip.header.bits),
            difficulty: difficulty(tip.header.bits),
            target: target_hex(tip.header.bits),
            networkhashps: hash_rate(chain, 120, tip.height),
            pooledtx: core.mempool().len(),
            blockmintxfee: super::mempool::rate(policy::MIN_RELAY_FEE),
            chain: "regtest",
            next: Next {
                height: next.height,
                bits: bits_hex(next.bits),
                difficulty: difficulty(next.bits),
                target: target_hex(next.bits),
            },
            warnings,
            mining,
        }
    });
    reply(&info)
}

fn get_stratum_info(node: &Api, _: &Args) -> Result<Reply, Failure> {
    reply(&node.stratum().status())
}

fn get_network_hash_rate(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let blocks = args.opt_int(0)?.unwrap_or(120);
    let height = args.opt_int(1)?.unwrap_or(-1);
    if blocks < -1 || blocks == 0 {
        return Err(Failure::invalid(
            "Invalid nblocks. Must be a positive number or -1.",
        ));
    }
    let rate = node.read(|core| {
        let tip = core.chain().tip().height;
        let height = match u32::try_from(height) {
            _ if height == -1 => tip,
            Ok(height) if height <= tip.0 => Height(height),
            _ => return Err(Failure::invalid("Block does not exist at specified height")),
        };
        let span = u32::try_from(blocks).unwrap_or(height.0);
        Ok(hash_rate(core.chain(), span, height))
    })?;
    reply(&rate)
}

/// Work of the last `span` blocks up to `height` over the time between the earliest and the latest of them.
fn hash_rate(chain: &Chain, span: u32, height: Height) -> f64 {
    let span = span.min(height.0);
    let Some(last) = chain.at_height(height) else {
        return 0.0;
    };
    let window = (height.0 - span..=height.0).filter_map(|height| chain.at_height(Height(height)));
    let times: Vec<u32> = window.map(|info| info.header.time).collect();
    let first = chain.at_height(Height(height.0 - span));
    let (Some(first), Some(least), Some(most)) = (first, times.iter().min(), times.iter().max())
    else {
        return 0.0;
    };
    if most == least {
        return 0.0;
    }
    work_float(last.chain_work - first.chain_work) / f64::from(most - least)
}

fn set_mining(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let mut settings = node.mining().status().settings;
    match args.value(0) {
        Value::Null => {}
        Value::Bool(active) => settings.active = *active,
        Value::Object(given) => {
            for (name, value) in given {
                match name.as_str() {
                    "active" => {
                        settings.active = value
                            .as_bool()
                            .ok_or_else(|| Failure::wrong_type("active must be true or false"))?;
                    }
                    "rate" => settings.rate = rate_from(value)?,
                    "address" => set_address(&mut settings, value)?,
                    other => return Err(Failure::invalid(format!("Unknown setting {other}"))),
                }
            }
        }
        _ => {
            return Err(Failure::wrong_type(
                "active must be true, false or an object",
            ));
        }
    }
    if args.has(1) {
        settings.rate = rate_from(args.value(1))?;
    }
    if args.has(2) {
        set_address(&mut settings, args.value(2))?;
    }
    node.set_mining(settings).map_err(Failure::invalid)?;
    let settings = node.mining().status().settings;
    reply(&json!({
        "active": settings.active,
        "rate": settings.rate,
        "address": settings.address.map(|address| address.to_string()),
    }))
}

fn set_address(settings: &mut MiningSettings, value: &Value) -> Result<(), Failure> {
    let text = value
        .as_str()
        .ok_or_else(|| Failure::wrong_type("address must be a string"))?;
    settings.address = Some(address_from(text)?);
    Ok(())
}

fn rate_from(value: &Value) -> Result<Option<u64>, Failure> {
    match value {
        Value::Null => Ok(None),
        value => value
            .as_u64()
            .map(|rate| (rate > 0).then_some(rate))
            .ok_or_else(|| {
                Failure::wrong_type("rate must be a whole number of hashes per second, or null")
            }),
    }
}
