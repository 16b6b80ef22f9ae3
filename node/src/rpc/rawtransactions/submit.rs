//! Into the mempool: one transaction, several, or none of them but a verdict.

use std::sync::Arc;

use bitcoin::{Amount, Transaction, TxOut, Txid};
use chain::rules::spend;
use serde::Serialize;
use serde_json::{Value, json};

use super::find::coins_of;
use super::transaction_from;
use crate::host::NodeHandle;
use crate::mempool::{FeeRate, MempoolError, SatPerKvb};
use crate::rpc::args::Args;
use crate::rpc::error::{Failure, code};
use crate::rpc::model::{Btc, amount_from};
use crate::rpc::request::Reply;
use crate::rpc::server::reply;

/// What `maxfeerate` is by default: 0.1 BTC per 1000 virtual bytes.
const DEFAULT_MAX_FEE_RATE: Amount = Amount::from_sat(10_000_000);
/// How many transactions can be tested together.
const MAX_PACKAGE: usize = 25;

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

pub(super) fn send(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
    let transaction = transaction_from(args.text(0)?)?;
    let limits = Limits::new(args.value(1), args.value(2))?;
    limits.check_burn(&transaction)?;
    reply(&take_in(node, transaction, &limits)?)
}

/// Puts a transaction into the mempool unless it pays more than the caller wants.
fn take_in(node: &NodeHandle, transaction: Transaction, limits: &Limits) -> Result<Txid, Failure> {
    check_signatures_early(node, &transaction)?;
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

/// Checks signatures before the node's lock is taken, since they take most of the time, and notes the good ones. Those that are
/// not good, or cannot be checked, are left to the node, which says why.
fn check_signatures_early(node: &NodeHandle, transaction: &Transaction) -> Result<(), Failure> {
    let wtxid = transaction.compute_wtxid();
    let (signatures, coins) = node.read(|core| {
        let signatures = Arc::clone(core.signatures());
        let known = signatures.contains(&wtxid);
        let coins = if known {
            None
        } else {
            coins_of(core, transaction)?
        };
        Ok::<_, Failure>((signatures, coins))
    })?;
    if let Some(coins) = coins
        && spend::check_coins(transaction, transaction.compute_txid(), &coins).is_ok()
    {
        signatures.insert(wtxid);
    }
    Ok(())
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

pub(super) fn test_accept(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
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
                    rate: crate::rpc::mempool::rate(
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

pub(super) fn submit_package(node: &NodeHandle, args: &Args) -> Result<Reply, Failure> {
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
