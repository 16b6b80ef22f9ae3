//! Blocks on command.

use bitcoin::{Block, BlockHash, ScriptBuf, Transaction, Txid};
use chain::assemble::{self, BlockFrame};
use chain::{AcceptError, Timestamp};
use serde_json::{Value, json};

use super::args::{Args, address_from, decoded, hash_from};
use super::call::Handler::Write;
use super::call::{Call, Kind, Likeness, optional, required};
use super::candidate::test_block;
use super::error::{Failure, code};
use super::grind::grind;
use super::model::descriptor;
use super::reject::reject_reason;
use super::reply::Reply;
use super::reply::reply;
use crate::Api;
use node_core::{NodeCore, SubmitError};
use node_host::StopReason;

const MAX_TRIES: super::call::Param = optional(
    "maxtries",
    Kind::Number,
    "nonces to try in all; as many as it takes by default",
);

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "generateblock",
        params: &[
            required(
                "output",
                Kind::Text,
                "the address or descriptor that the block pays",
            ),
            optional(
                "transactions",
                Kind::Array,
                "ids of the mempool or transactions in hex, in block order",
            ),
            optional(
                "submit",
                Kind::Bool,
                "false to get the block's hex instead; true by default",
            ),
        ],
        help: "Mines one block with exactly the named transactions. It claims the subsidy and not the fees.",
        likeness: Likeness::Core,
        handler: Write(generate_block),
    },
    Call {
        name: "generatetoaddress",
        params: &[
            required("nblocks|num_blocks", Kind::Number, "blocks to mine"),
            required("address", Kind::Text, "the address that they pay"),
            MAX_TRIES,
        ],
        help: "Mines blocks at once and gives their hashes. The call takes as long as the difficulty asks.",
        likeness: Likeness::Subset("without maxtries it goes on until it finds"),
        handler: Write(generate_to_address),
    },
    Call {
        name: "generatetodescriptor",
        params: &[
            required("num_blocks", Kind::Number, "blocks to mine"),
            required(
                "descriptor",
                Kind::Text,
                "addr(), raw() or rawtr() that they pay",
            ),
            MAX_TRIES,
        ],
        help: "Mines blocks at once, as generatetoaddress does.",
        likeness: Likeness::Subset("addr(), raw() and rawtr() only"),
        handler: Write(generate_to_descriptor),
    },
];

fn generate_to_address(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let address = args
        .address(1)
        .map_err(|failure| Failure::not_found(format!("Error: {}", failure.message)))?;
    generate(
        node,
        args.int(0)?,
        &address.script_pubkey(),
        args.opt_int(2)?,
    )
}

fn generate_to_descriptor(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let script = descriptor::script_of(args.text(1)?)?;
    generate(node, args.int(0)?, &script, args.opt_int(2)?)
}

fn generate(
    node: &Api,
    count: i64,
    payout: &ScriptBuf,
    max_tries: Option<i64>,
) -> Result<Reply, Failure> {
    let mut hashes = Vec::new();
    let ended = generate_into(&mut hashes, node, count, payout, max_tries);
    match (ended, hashes.last()) {
        (Ok(()), _) => reply(&hashes),
        (Err(failure), None) => Err(failure),
        // What was mined stays mined: its hashes are told with the reason why there are no more.
        (Err(failure), Some(last)) => Err(Failure {
            message: format!(
                "{} of {count} blocks were mined, the last is {last}; then: {}",
                hashes.len(),
                failure.message
            ),
            ..failure
        }),
    }
}

/// Mines `count` blocks and adds their hashes to `hashes`, one by one.
fn generate_into(
    hashes: &mut Vec<BlockHash>,
    node: &Api,
    count: i64,
    payout: &ScriptBuf,
    max_tries: Option<i64>,
) -> Result<(), Failure> {
    let mut tries = max_tries.map(|tries| u64::try_from(tries).unwrap_or(0));
    let is_short =
        |hashes: &[BlockHash]| i64::try_from(hashes.len()).is_ok_and(|found| found < count);
    while is_short(hashes) && node.is_wanted() {
        let template = node.read(|core| core.template(node.now()))?;
        // A fresh extra nonce each time: no two calls, nor a call after invalidateblock, make the same block.
        let mut block = template.build(payout, rand::random());
        if !grind(node, &mut block, template.max_time, &mut tries)? {
            if tries == Some(0) {
                break;
            }
            continue;
        }
        let hash = block.block_hash();
        match submit_own(node, block) {
            Ok(()) => hashes.push(hash),
            // A peer's block came first.
            Err(failure) if failure.message == STALE => {}
            Err(failure) => return Err(failure),
        }
    }
    match node.stop().reason() {
        Some(StopReason::Failed(reason)) if is_short(hashes) => Err(Failure::internal(reason)),
        _ => Ok(()),
    }
}

const STALE: &str = "ProcessNewBlock, block not accepted: another block came first";

fn submit_own(node: &Api, block: Block) -> Result<(), Failure> {
    match node.submit_block(block) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::internal(STALE)),
        Err(SubmitError::Store(error)) => Err(error.into()),
        Err(error) => Err(Failure::internal(format!(
            "ProcessNewBlock, block not accepted: {error}"
        ))),
    }
}

fn generate_block(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let output = args.text(0)?;
    let payout = match address_from(output) {
        Ok(address) => address.script_pubkey(),
        Err(_) => descriptor::script_of(output)
            .map_err(|_| Failure::not_found("Error: Invalid address or descriptor"))?,
    };
    let listed = args.list(1)?;
    let submit = args.flag(2, true)?;
    let now = node.now();
    let mut block = node.read(|core| {
        let transactions = listed.iter().map(|item| transaction_from(core, item));
        let transactions = transactions.collect::<Result<Vec<Transaction>, Failure>>()?;
        let template = core.template(now)?;
        let frame = BlockFrame {
            parent: template.parent,
            height: template.height,
            bits: template.bits,
            time: template.time,
            coinbase_value: core.chain().params().subsidy_at(template.height),
        };
        Ok::<_, Failure>(assemble::block(
            &frame,
            &payout,
            rand::random(),
            b"/mend/",
            transactions,
        ))
    })?;
    match test_block(node, block.clone(), now.wall) {
        Ok(()) => {}
        Err(AcceptError::Store(error)) => return Err(error.into()),
        Err(error) => {
            let text = format!("TestBlockValidity failed: {}", reject_reason(&error));
            return Err(Failure::new(code::VERIFY, text));
        }
    }
    // One block is asked for: it stays valid when the time for its bits is over.
    if !grind(node, &mut block, Timestamp(u32::MAX), &mut None)? {
        return Err(Failure::misc("Failed to make block."));
    }
    let hash = block.block_hash();
    if !submit {
        let hex = bitcoin::consensus::encode::serialize_hex(&block);
        return reply(&json!({"hash": hash, "hex": hex}));
    }
    submit_own(node, block)?;
    reply(&json!({"hash": hash}))
}

fn transaction_from(core: &NodeCore, item: &Value) -> Result<Transaction, Failure> {
    let text = item
        .as_str()
        .ok_or_else(|| Failure::wrong_type("transactions must be strings"))?;
    if text.len() == 64 {
        let txid: Txid = hash_from(text, "txid")?;
        let entry = core
            .mempool()
            .get(&txid)
            .ok_or_else(|| Failure::not_found(format!("Transaction {text} not in mempool.")))?;
        return Ok(Transaction::clone(&entry.transaction));
    }
    decoded(
        text,
        &format!("Transaction decode failed for {text}. Make sure the tx has at least one input."),
    )
}
