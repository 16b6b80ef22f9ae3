//! Into the mempool: one transaction.

use std::sync::Arc;

use bitcoin::{Amount, Transaction, TxOut};
use chain::rules::spend;
use rpc_client::amount_from;
use serde_json::Value;

use super::find::coins_of;
use super::transaction_from;
use crate::Api;
use crate::rpc::args::Args;
use crate::rpc::error::{Failure, code};
use crate::rpc::reply::Reply;
use crate::rpc::reply::reply;
use node_core::mempool::{MempoolError, SatPerKvb};

/// What `maxfeerate` is by default: 0.1 BTC per 1000 virtual bytes.
const DEFAULT_MAX_FEE_RATE: Amount = Amount::from_sat(10_000_000);

/// What the caller does not want to lose by mistake.
pub(super) struct Limits {
    pub(super) max_fee_rate: Option<SatPerKvb>,
    max_burn: Amount,
}

impl Limits {
    pub(super) fn new(fee_rate: &Value, burn: &Value) -> Result<Limits, Failure> {
        let amount = |value: &Value, otherwise: Amount| match value {
            Value::Null => Ok(otherwise),
            given => amount_from(given).ok_or_else(|| Failure::wrong_type("Invalid amount")),
        };
        let fee_rate = amount(fee_rate, DEFAULT_MAX_FEE_RATE)?;
        if fee_rate >= Amount::ONE_BTC {
            return Err(Failure::invalid(
                "Fee rates larger than or equal to 1BTC/kvB are not accepted",
            ));
        }
        Ok(Limits {
            max_fee_rate: (fee_rate > Amount::ZERO).then_some(SatPerKvb(fee_rate.to_sat())),
            max_burn: amount(burn, Amount::ZERO)?,
        })
    }

    pub(super) fn allow_fee(&self, fee: Amount, vsize: u64) -> bool {
        self.max_fee_rate
            .is_none_or(|limit| fee <= limit.fee_for(vsize))
    }

    pub(super) fn check_burn(&self, transaction: &Transaction) -> Result<(), Failure> {
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
pub(super) fn refusal(error: &MempoolError) -> Failure {
    let reason = error.reject_reason();
    let text = match error {
        MempoolError::MissingInput { .. } => reason.into_owned(),
        MempoolError::AlreadyConfirmed(_) => "Transaction outputs already in utxo set".to_owned(),
        _ => format!("{reason}, {error}"),
    };
    Failure::new(error.rpc_code(), text)
}

pub(super) fn send(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let transaction = transaction_from(args.text(0)?)?;
    let limits = Limits::new(args.value(1), args.value(2))?;
    limits.check_burn(&transaction)?;
    check_signatures_early(node, &transaction, &[])?;
    let txid = node.act(|core, now, out| {
        if limits.max_fee_rate.is_some()
            && let Ok(candidate) = core.test_accept(now, transaction.clone())
            && !limits.allow_fee(candidate.fee, candidate.vsize)
        {
            let text = "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)";
            return Err(Failure::new(code::VERIFY, text));
        }
        match core.submit_transaction(now, transaction, out) {
            // The transaction is there, signed in another way: that is success.
            Err(MempoolError::OtherWitnessHere(txid)) => Ok(txid),
            submitted => submitted.map_err(|error| refusal(&error)),
        }
    });
    reply(&txid?)
}

/// Checks signatures before the node's lock is taken, since they take most of the time, and notes the good ones. Those that are
/// not good, or cannot be checked, are left to the node, which says why. It may spend `others`, which are not in the mempool yet.
pub(super) fn check_signatures_early(
    node: &Api,
    transaction: &Transaction,
    others: &[Arc<Transaction>],
) -> Result<(), Failure> {
    let wtxid = transaction.compute_wtxid();
    let (signatures, coins) = node.read(|core| {
        let signatures = Arc::clone(core.signatures());
        let known = signatures.contains(&wtxid);
        let coins = if known {
            None
        } else {
            coins_of(core, transaction, others)?
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
