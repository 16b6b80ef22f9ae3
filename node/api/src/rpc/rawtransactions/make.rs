//! Transactions and scripts from what a caller describes, and shown again.

use std::collections::BTreeSet;

use bitcoin::absolute::LockTime;
use bitcoin::hex::DisplayHex;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::{
    Address, Amount, Network, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, opcodes,
    transaction,
};
use rpc_client::amount_from;
use serde_json::{Value, json};

use super::{legacy, unfinished_from};
use crate::Api;
use crate::rpc::args::{Args, address_from};
use crate::rpc::error::Failure;
use crate::rpc::mempool::outpoint_from;
use crate::rpc::model::descriptor;
use crate::rpc::model::script::{asm, kind};
use crate::rpc::model::transaction::{DecodedTransaction, Detail};
use crate::rpc::reply::Reply;
use crate::rpc::reply::reply;

pub(super) fn create(_: &Api, args: &Args) -> Result<Reply, Failure> {
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
    if args.has(3)
        && replaceable
        && !transaction.input.is_empty()
        && !transaction
            .input
            .iter()
            .any(|input| input.sequence.is_rbf())
    {
        return Err(Failure::invalid(
            "Invalid parameter combination: Sequence number(s) contradict replaceable option",
        ));
    }
    reply(&legacy::encode(&transaction).to_lower_hex_string())
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
    let mut named = BTreeSet::new();
    pairs
        .into_iter()
        .map(|(name, value)| {
            let output = output_from(name, value)?;
            if !named.insert(output.script_pubkey.clone())
                || (name == "data" && !named.insert(ScriptBuf::new()))
            {
                return Err(Failure::invalid(match name.as_str() {
                    "data" => "Invalid parameter, duplicate key: data".to_owned(),
                    address => format!("Invalid parameter, duplicated address: {address}"),
                }));
            }
            Ok(output)
        })
        .collect()
}

fn output_from(name: &str, value: &Value) -> Result<TxOut, Failure> {
    if name == "data" {
        let hex = value.as_str().filter(|hex| !hex.is_empty());
        let hex = hex.ok_or_else(|| Failure::invalid("Data must be hexadecimal string"))?;
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

pub(super) fn decode(_: &Api, args: &Args) -> Result<Reply, Failure> {
    let form = args.has(1).then(|| args.flag(1, true)).transpose()?;
    let transaction = unfinished_from(args.text(0)?, form)?;
    reply(&DecodedTransaction::new(&transaction, Detail::default()))
}

pub(super) fn decode_script(_: &Api, args: &Args) -> Result<Reply, Failure> {
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
