//! Transactions as bytes: making, showing, testing, sending.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::{
    Address, Amount, BlockHash, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Txid, Witness, opcodes, transaction,
};
use chain::tree::HeaderInfo;
use chain::{Coin, Height};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{Args, address_from, decoded};
use super::blockchain::{known_header, no_body};
use super::error::{Failure, code};
use super::mempool::outpoint_from;
use super::model::block::{confirmations, spent_coins, take};
use super::model::script::{asm, kind};
use super::model::transaction::{DecodedTransaction, Detail, LocatedTransaction, Place};
use super::model::{Btc, amount_from, descriptor};
use super::registry::Handler::Works;
use super::registry::{Call, Kind, Likeness, Param, optional, required};
use super::request::Reply;
use super::server::reply;
use crate::core::NodeCore;
use crate::host::NodeHandle;
use crate::mempool::{FeeRate, MempoolError, SatPerKvb};

const MAX_FEE_RATE: Param = optional(
    "maxfeerate",
    Kind::Any,
    "refuse what pays more than this, in BTC per 1000 virtual bytes; 0.1 by default, 0 for no limit",
);
/// What `maxfeerate` is by default: 0.1 BTC per 1000 virtual bytes.
const DEFAULT_MAX_FEE_RATE: Amount = Amount::from_sat(10_000_000);
/// How many transactions can be tested together.
const MAX_PACKAGE: usize = 25;
/// Outputs that are looked at to find the block of a confirmed transaction.
const MAX_OUTPUTS_TRIED: u32 = 200;

/// The calls of this file.
pub(super) const CALLS: &[Call] = &[
    Call {
        name: "createrawtransaction",
        params: &[
            required(
                "inputs",
                Kind::Array,
                "objects with txid, vout and perhaps sequence",
            ),
            required(
                "outputs",
                Kind::Any,
                "a list of {address: amount} or {\"data\": hex}; or one object of them",
            ),
            optional(
                "locktime",
                Kind::Number,
                "the lock time; above 0 it also makes inputs non-final",
            ),
            optional(
                "replaceable",
                Kind::Bool,
                "mark as replaceable (BIP 125); true by default",
            ),
            optional("version", Kind::Number, "the version, 1 to 3; 2 by default"),
        ],
        help: "Makes an unsigned transaction and gives its hex.",
        likeness: Likeness::Core,
        handler: Works(create),
    },
    Call {
        name: "decoderawtransaction",
        params: &[
            required("hexstring", Kind::Text, "the transaction in hex"),
            optional("iswitness", Kind::Bool, "taken for compatibility"),
        ],
        help: "Shows a transaction that is given in hex.",
        likeness: Likeness::Core,
        handler: Works(decode),
    },
    Call {
        name: "decodescript",
        params: &[required("hexstring", Kind::Text, "the script in hex")],
        help: "Shows a script that is given in hex.",
        likeness: Likeness::Subset("p2sh and segwit wrappings are not given"),
        handler: Works(decode_script),
    },
    Call {
        name: "getrawtransaction",
        params: &[
            required("txid", Kind::Text, "the transaction's id"),
            optional(
                "verbosity|verbose",
                Kind::Any,
                "0 for hex (default), 1 for an object, 2 with fee and what it spends",
            ),
            optional("blockhash", Kind::Text, "the block to look into"),
        ],
        help: "Gives a transaction of the mempool, of the named block, or of any block as long as one of its outputs is unspent. The \
               genesis transactions are found as well.",
        likeness: Likeness::Subset(
            "without a block hash, a confirmed transaction is found only while one of its outputs is unspent",
        ),
        handler: Works(get),
    },
    Call {
        name: "sendrawtransaction",
        params: &[
            required("hexstring", Kind::Text, "the transaction in hex"),
            MAX_FEE_RATE,
            optional(
                "maxburnamount",
                Kind::Any,
                "BTC that OP_RETURN outputs may burn at most; 0 by default",
            ),
        ],
        help: "Puts a signed transaction into the mempool and tells it to peers. Gives its id.",
        likeness: Likeness::Core,
        handler: Works(send),
    },
    Call {
        name: "submitpackage",
        params: &[
            required(
                "package",
                Kind::Array,
                "transactions in hex, parents before children",
            ),
            MAX_FEE_RATE,
            optional(
                "maxburnamount",
                Kind::Any,
                "BTC that OP_RETURN outputs may burn at most; 0 by default",
            ),
        ],
        help: "Puts several signed transactions into the mempool, in order, each judged by itself.",
        likeness: Likeness::Subset(
            "each transaction must pay for itself; a child does not pay for its parents",
        ),
        handler: Works(submit_package),
    },
    Call {
        name: "testmempoolaccept",
        params: &[
            required(
                "rawtxs",
                Kind::Array,
                "transactions in hex, parents before children",
            ),
            MAX_FEE_RATE,
        ],
        help: "Tells whether the mempool would take transactions, without keeping them.",
        likeness: Likeness::Subset(
            "each is tested by itself: a child of another one misses its inputs",
        ),
        handler: Works(test_accept),
    },
];

fn transaction_from(hex: &str) -> Result<Transaction, Failure> {
    decoded(
        hex,
        "TX decode failed. Make sure the tx has at least one input.",
    )
}

fn create(_: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let lock_time = match args.opt_int(2)? {
        None => 0,
        Some(time) => u32::try_from(time)
            .map_err(|_| Failure::invalid("Invalid parameter, locktime out of range"))?,
    };
    let replaceable = args.flag(3, true)?;
    let version = args.opt_int(4)?.unwrap_or(2);
    if !(1..=3).contains(&version) {
        return Err(Failure::invalid(
            "Invalid parameter, version out of range(1~3)",
        ));
    }
    let default_sequence = match (replaceable, lock_time) {
        (true, _) => Sequence::ENABLE_RBF_NO_LOCKTIME,
        (false, 0) => Sequence::MAX,
        (false, _) => Sequence::ENABLE_LOCKTIME_NO_RBF,
    };
    let input = args.list(0)?.iter().map(|value| {
        let sequence = match &value["sequence"] {
            Value::Null => default_sequence,
            given => given
                .as_u64()
                .and_then(|number| u32::try_from(number).ok())
                .map(Sequence)
                .ok_or_else(|| {
                    Failure::invalid("Invalid parameter, sequence number is out of range")
                })?,
        };
        Ok(TxIn {
            previous_output: outpoint_from(value)?,
            script_sig: ScriptBuf::new(),
            sequence,
            witness: Witness::new(),
        })
    });
    let transaction = Transaction {
        version: transaction::Version(i32::try_from(version).unwrap_or(2)),
        lock_time: LockTime::from_consensus(lock_time),
        input: input.collect::<Result<_, Failure>>()?,
        output: outputs_from(args.value(1))?,
    };
    reply(&serialize_hex(&transaction))
}

fn outputs_from(value: &Value) -> Result<Vec<TxOut>, Failure> {
    let pairs: Vec<(&String, &Value)> = match value {
        Value::Object(object) => object.iter().collect(),
        Value::Array(list) => {
            let objects = list.iter().map(|item| match item.as_object() {
                Some(object) if object.len() == 1 => Ok(object.iter()),
                _ => Err(Failure::invalid(
                    "Invalid parameter, key-value pair must contain exactly one key",
                )),
            });
            objects
                .collect::<Result<Vec<_>, Failure>>()?
                .into_iter()
                .flatten()
                .collect()
        }
        _ => {
            return Err(Failure::invalid(
                "Invalid parameter, output argument must be non-null",
            ));
        }
    };
    pairs
        .into_iter()
        .map(|(name, value)| output_from(name, value))
        .collect()
}

fn output_from(name: &str, value: &Value) -> Result<TxOut, Failure> {
    if name == "data" {
        let hex = value.as_str().unwrap_or_default();
        let bytes: Vec<u8> = bitcoin::hex::FromHex::from_hex(hex)
            .map_err(|_| Failure::invalid("Data must be hexadecimal string"))?;
        let push = PushBytesBuf::try_from(bytes)
            .map_err(|_| Failure::invalid("Data is too long for one push"))?;
        return Ok(TxOut {
            value: Amount::ZERO,
            script_pubkey: Builder::new()
                .push_opcode(opcodes::all::OP_RETURN)
                .push_slice(push)
                .into_script(),
        });
    }
    let address = address_from(name)?;
    let value = amount_from(value).ok_or_else(|| Failure::wrong_type("Invalid amount"))?;
    Ok(TxOut {
        value,
        script_pubkey: address.script_pubkey(),
    })
}

fn decode(_: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let transaction = transaction_from(args.text(0)?)?;
    reply(&DecodedTransaction::new(&transaction, Detail::default()))
}

fn decode_script(_: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let script = ScriptBuf::from_hex(args.text(0)?)
        .map_err(|_| Failure::invalid("argument must be hexadecimal string"))?;
    let mut shown = json!({
        "asm": asm(&script),
        "desc": descriptor::of_script(&script),
        "type": kind(&script),
    });
    if let Ok(address) = Address::from_script(&script, Network::Regtest) {
        shown["address"] = address.to_string().into();
    }
    reply(&shown)
}

/// A transaction with what is known of it.
struct Found {
    transaction: Transaction,
    spent: Option<Vec<Coin>>,
    place: Option<Place>,
}

fn get(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let txid: Txid = args.hash(0)?;
    let verbosity = args.verbosity(1, 0)?;
    let block: Option<BlockHash> = args.opt_hash(2)?;
    let (found, in_active_chain) = node.read(|core| {
        let info = match &block {
            Some(hash) => Some(known_header(core.chain(), hash).map_err(|_| {
                Failure::not_found("Block hash not found")
            })?),
            None => None,
        };
        let active = info.map(|info| core.chain().is_active(&info.hash));
        let found = match info {
            Some(info) => in_block(core, &info, &txid)?.ok_or_else(|| {
                Failure::not_found("No such transaction found in the provided block. Use gettransaction for wallet transactions.")
            })?,
            None => anywhere(core, &txid)?,
        };
        Ok::<_, Failure>((found, active))
    })?;
    if verbosity <= 0 {
        return reply(&serialize_hex(&found.transaction));
    }
    let detail = Detail {
        spent: found.spent.as_deref().filter(|_| verbosity >= 2),
        prevouts: true,
        hex: true,
    };
    reply(&LocatedTransaction {
        in_active_chain,
        transaction: DecodedTransaction::new(&found.transaction, detail),
        place: found.place,
    })
}

fn anywhere(core: &NodeCore, txid: &Txid) -> Result<Found, Failure> {
    if let Some(entry) = core.mempool().get(txid) {
        let transaction = Transaction::clone(&entry.transaction);
        let spent = coins_of(core, &transaction)?;
        return Ok(Found {
            transaction,
            spent,
            place: None,
        });
    }
    let genesis = core.chain().at_height(Height::GENESIS);
    if let Some(info) = genesis
        && let Some(found) = in_block(core, &info, txid)?
    {
        return Ok(found);
    }
    for vout in 0..MAX_OUTPUTS_TRIED {
        let coin = core.chain().coin(&OutPoint { txid: *txid, vout })?;
        if let Some(info) = coin.and_then(|coin| core.chain().at_height(coin.height))
            && let Some(found) = in_block(core, &info, txid)?
        {
            return Ok(found);
        }
    }
    Err(Failure::not_found(
        "No such mempool transaction, nor a confirmed one with an unspent output. Name the block hash to look into a block.",
    ))
}

fn in_block(core: &NodeCore, info: &HeaderInfo, txid: &Txid) -> Result<Option<Found>, Failure> {
    let body = core.chain().block(&info.hash)?.ok_or_else(no_body)?;
    let Some(index) = body.txids().iter().position(|known| known == txid) else {
        return Ok(None);
    };
    let transaction = body.block().txdata[index].clone();
    let coins = spent_coins(core.chain(), info)?;
    let mut rest = coins.as_deref();
    for earlier in body.block().txdata.iter().take(index).skip(1) {
        take(&mut rest, earlier.input.len());
    }
    let spent = if index > 0 {
        take(&mut rest, transaction.input.len())
    } else {
        None
    };
    Ok(Some(Found {
        spent: spent.map(<[Coin]>::to_vec),
        transaction,
        place: Some(Place {
            blockhash: info.hash,
            confirmations: confirmations(core.chain(), info).max(0),
            time: info.header.time,
            blocktime: info.header.time,
        }),
    }))
}

/// The coins that an unconfirmed transaction spends, of the chain and the mempool.
fn coins_of(core: &NodeCore, transaction: &Transaction) -> Result<Option<Vec<Coin>>, Failure> {
    let mut coins = Vec::with_capacity(transaction.input.len());
    for input in &transaction.input {
        let outpoint = input.previous_output;
        let coin = match core.mempool().get(&outpoint.txid) {
            Some(parent) => {
                let output = parent.transaction.output.get(outpoint.vout as usize);
                output.map(|output| Coin {
                    output: output.clone(),
                    height: core.chain().tip().height.next(),
                    coinbase: false,
                })
            }
            None => core.chain().coin(&outpoint)?,
        };
        match coin {
            Some(coin) => coins.push(coin),
            None => return Ok(None),
        }
    }
    Ok(Some(coins))
}

/// What the caller does not want to lose by mistake.
struct Limits {
    max_fee_rate: Option<SatPerKvb>,
    max_burn: Amount,
}

impl Limits {
    fn new(fee_rate: &Value, burn: &Value) -> Result<Limits, Failure> {
        let amount = |value: &Value, otherwise: Amount| match value {
            Value::Null => Ok(otherwise),
            given => amount_from(given).ok_or_else(|| Failure::wrong_type("Invalid amount")),
        };
        let fee_rate = amount(fee_rate, DEFAULT_MAX_FEE_RATE)?;
        if fee_rate > Amount::ONE_BTC {
            return Err(Failure::invalid(
                "Fee rates larger than or equal to 1BTC/kvB are not accepted",
            ));
        }
        Ok(Limits {
            max_fee_rate: (fee_rate > Amount::ZERO).then_some(SatPerKvb(fee_rate.to_sat())),
            max_burn: amount(burn, Amount::ZERO)?,
        })
    }

    fn allow_fee(&self, fee: Amount, vsize: u64) -> bool {
        self.max_fee_rate
            .is_none_or(|limit| fee <= limit.fee_for(vsize))
    }

    fn check_burn(&self, transaction: &Transaction) -> Result<(), Failure> {
        let burns =
            |output: &TxOut| output.script_pubkey.is_op_return() && output.value > self.max_burn;
        if transaction.output.iter().any(burns) {
            let text = "Unspendable output exceeds maximum configured by user (maxburnamount)";
            return Err(Failure::new(code::VERIFY, text));
        }
        Ok(())
    }
}

/// Bitcoin Core's code, its reject string, and what exactly is wrong.
fn refusal(error: &MempoolError) -> Failure {
    let reason = error.reject_reason();
    let text = match error {
        MempoolError::MissingInput { .. } => reason.into_owned(),
        MempoolError::AlreadyConfirmed(_) => "Transaction outputs already in utxo set".to_owned(),
        _ => format!("{reason}, {error}"),
    };
    Failure::new(error.rpc_code(), text)
}

fn send(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let transaction = transaction_from(args.text(0)?)?;
    let limits = Limits::new(args.value(1), args.value(2))?;
    limits.check_burn(&transaction)?;
    reply(&take_in(node, transaction, &limits)?)
}

/// Puts a transaction into the mempool unless it pays more than the caller wants.
fn take_in(node: &NodeHandle, transaction: Transaction, limits: &Limits) -> Result<Txid, Failure> {
    node.act(|core, now, out| {
        if limits.max_fee_rate.is_some()
            && let Ok(candidate) = core.test_accept(now, transaction.clone())
            && !limits.allow_fee(candidate.fee, candidate.vsize)
        {
            let text = "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)";
            return Err(Failure::new(code::VERIFY, text));
        }
        match core.submit_transaction(now, transaction, out) {
            Ok(txid) => Ok(txid),
            Err(error) => Err(refusal(&error)),
        }
    })
}

fn package_from(args: &Args) -> Result<Vec<Transaction>, Failure> {
    let list = args.list(0)?;
    if list.is_empty() || list.len() > MAX_PACKAGE {
        let text = format!("Array must contain between 1 and {MAX_PACKAGE} transactions.");
        return Err(Failure::invalid(text));
    }
    let hex = |value: &Value| {
        let text = value
            .as_str()
            .ok_or_else(|| Failure::wrong_type("rawtxs must be strings"))?;
        transaction_from(text)
    };
    list.iter().map(hex).collect()
}

#[derive(Serialize)]
struct Verdict {
    txid: Txid,
    wtxid: bitcoin::Wtxid,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    vsize: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fees: Option<Fees>,
    #[serde(rename = "reject-reason", skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(rename = "reject-details", skip_serializing_if = "Option::is_none")]
    details: Option<String>,
}

#[derive(Serialize)]
struct Fees {
    base: Btc,
    #[serde(rename = "effective-feerate")]
    rate: Btc,
    #[serde(rename = "effective-includes")]
    includes: Vec<bitcoin::Wtxid>,
}

fn test_accept(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let package = package_from(args)?;
    let limits = Limits::new(args.value(1), &Value::Null)?;
    let now = node.now();
    let results = node.read(|core| {
        let tested = package
            .iter()
            .map(|transaction| core.test_accept(now, transaction.clone()));
        tested.collect::<Vec<_>>()
    });
    let verdicts = package.iter().zip(results).map(|(transaction, result)| {
        let (txid, wtxid) = (transaction.compute_txid(), transaction.compute_wtxid());
        let mut verdict = Verdict {
            txid,
            wtxid,
            allowed: false,
            vsize: None,
            fees: None,
            reason: None,
            details: None,
        };
        match result {
            Ok(accepted) if !limits.allow_fee(accepted.fee, accepted.vsize) => {
                verdict.reason = Some("max-fee-exceeded".to_owned());
            }
            Ok(accepted) => {
                verdict.allowed = true;
                verdict.vsize = Some(accepted.vsize);
                verdict.fees = Some(Fees {
                    base: Btc(accepted.fee),
                    rate: super::mempool::rate(
                        FeeRate {
                            fee: accepted.fee,
                            vsize: accepted.vsize,
                        }
                        .per_kvb(),
                    ),
                    includes: vec![wtxid],
                });
            }
            Err(error) => {
                verdict.reason = Some(match &error {
                    MempoolError::MissingInput { .. } => "missing-inputs".to_owned(),
                    other => other.reject_reason().into_owned(),
                });
                verdict.details = Some(error.to_string());
            }
        }
        verdict
    });
    reply(&verdicts.collect::<Vec<Verdict>>())
}

fn submit_package(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let package = package_from(args)?;
    let limits = Limits::new(args.value(1), args.value(2))?;
    for transaction in &package {
        limits.check_burn(transaction)?;
    }
    let mut results = serde_json::Map::new();
    let mut failed = false;
    for transaction in package {
        let wtxid = transaction.compute_wtxid().to_string();
        let txid = transaction.compute_txid();
        let vsize = transaction.vsize();
        let result = match take_in(node, transaction, &limits) {
            Ok(_) => json!({"txid": txid, "vsize": vsize}),
            Err(failure) => {
                failed = true;
                json!({"txid": txid, "error": failure.message})
            }
        };
        results.insert(wtxid, result);
    }
    let message = if failed {
        "transaction failed"
    } else {
        "success"
    };
    reply(&json!({
        "package_msg": message,
        "tx-results": results,
        "replaced-transactions": [],
    }))
}
