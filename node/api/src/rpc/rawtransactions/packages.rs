//! Several transactions at once: tested, or put into the mempool.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::{Transaction, Txid, Wtxid};
use serde::Serialize;
use serde_json::Value;

use super::submit::{Limits, check_signatures_early, refusal};
use super::transaction_from;
use crate::Api;
use crate::rpc::args::Args;
use crate::rpc::error::{Failure, code};
use crate::rpc::model::Btc;
use crate::rpc::reply::Reply;
use crate::rpc::reply::reply;
use node_core::mempool::MempoolError;
use node_core::mempool::package::{self, Fit, Judgement, MAX_PACKAGE_COUNT};

fn package_from(args: &Args) -> Result<Vec<Arc<Transaction>>, Failure> {
    let list = args.list(0)?;
    if list.is_empty() || list.len() > MAX_PACKAGE_COUNT {
        let text = format!("Array must contain between 1 and {MAX_PACKAGE_COUNT} transactions.");
        return Err(Failure::invalid(text));
    }
    let hex = |value: &Value| {
        let text = value
            .as_str()
            .ok_or_else(|| Failure::wrong_type("rawtxs must be strings"))?;
        Ok(Arc::new(transaction_from(text)?))
    };
    list.iter().map(hex).collect()
}

/// Most of the work, outside of the node's lock.
fn check_all_signatures_early(node: &Api, package: &[Arc<Transaction>]) -> Result<(), Failure> {
    for (place, transaction) in package.iter().enumerate() {
        check_signatures_early(node, transaction, &package[..place])?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Fees {
    base: Btc,
    #[serde(rename = "effective-feerate", skip_serializing_if = "Option::is_none")]
    rate: Option<Btc>,
    #[serde(rename = "effective-includes", skip_serializing_if = "Vec::is_empty")]
    includes: Vec<Wtxid>,
}

impl Fees {
    fn of(fit: &Fit) -> Fees {
        Fees {
            base: Btc(fit.fee),
            rate: Some(crate::rpc::mempool::rate(fit.effective.per_kvb())),
            includes: fit.includes.clone(),
        }
    }
}

#[derive(Serialize)]
struct Tested {
    txid: Txid,
    wtxid: Wtxid,
    #[serde(rename = "package-error", skip_serializing_if = "Option::is_none")]
    package_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vsize: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fees: Option<Fees>,
    #[serde(rename = "reject-reason", skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(rename = "reject-details", skip_serializing_if = "Option::is_none")]
    details: Option<String>,
}

impl Tested {
    /// Nothing is said of it.
    fn unjudged(transaction: &Transaction) -> Tested {
        Tested {
            txid: transaction.compute_txid(),
            wtxid: transaction.compute_wtxid(),
            package_error: None,
            allowed: None,
            vsize: None,
            fees: None,
            reason: None,
            details: None,
        }
    }

    fn fill_in(&mut self, judgement: &Judgement, limits: &Limits) {
        match judgement {
            Judgement::Fit(fit) if !limits.allow_fee(fit.fee, fit.vsize) => {
                self.allowed = Some(false);
                self.reason = Some("max-fee-exceeded".to_owned());
            }
            Judgement::Fit(fit) => {
                self.allowed = Some(true);
                self.vsize = Some(fit.vsize);
                self.fees = Some(Fees::of(fit));
            }
            Judgement::Refused(error) => {
                self.allowed = Some(false);
                self.reason = Some(match error {
                    MempoolError::MissingInput { .. } => "missing-inputs".to_owned(),
                    other => other.reject_reason().into_owned(),
                });
                self.details = Some(error.to_string());
            }
            Judgement::AlreadyHere { .. } | Judgement::OtherWitness(_) | Judgement::NotJudged => {}
        }
    }
}

pub(super) fn test_accept(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let package = package_from(args)?;
    let limits = Limits::new(args.value(1), &Value::Null)?;
    let mut tested: Vec<Tested> = package.iter().map(|tx| Tested::unjudged(tx)).collect();
    if let Err(error) = package::check_form(&package) {
        for tested in &mut tested {
            tested.package_error = Some(error.to_string());
        }
        return reply(&tested);
    }
    check_all_signatures_early(node, &package)?;
    let judgements = node.act(|core, now, out| core.test_package(now, &package, out));
    for (tested, judgement) in tested.iter_mut().zip(&judgements) {
        tested.fill_in(judgement, &limits);
        if tested.reason.as_deref() == Some("max-fee-exceeded") {
            // As in Core, nothing is said of those that come after.
            break;
        }
    }
    reply(&tested)
}

#[derive(Serialize)]
struct Submitted {
    txid: Txid,
    #[serde(rename = "other-wtxid", skip_serializing_if = "Option::is_none")]
    other_wtxid: Option<Wtxid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vsize: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fees: Option<Fees>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Submitted {
    fn new(txid: Txid, judgement: Option<&Judgement>) -> Submitted {
        let mut submitted = Submitted {
            txid,
            other_wtxid: None,
            vsize: None,
            fees: None,
            error: None,
        };
        match judgement {
            Some(Judgement::Fit(fit)) => {
                submitted.vsize = Some(fit.vsize);
                submitted.fees = Some(Fees::of(fit));
            }
            Some(Judgement::AlreadyHere { fee, vsize }) => {
                submitted.vsize = Some(*vsize);
                submitted.fees = Some(Fees {
                    base: Btc(*fee),
                    rate: None,
                    includes: Vec::new(),
                });
            }
            Some(Judgement::OtherWitness(wtxid)) => submitted.other_wtxid = Some(*wtxid),
            Some(Judgement::Refused(error)) => submitted.error = Some(refusal(error).message),
            Some(Judgement::NotJudged) | None => {
                submitted.error = Some("package-not-validated".to_owned());
            }
        }
        submitted
    }
}

#[derive(Serialize)]
struct PackageReply {
    package_msg: String,
    #[serde(rename = "tx-results")]
    results: BTreeMap<Wtxid, Submitted>,
    #[serde(rename = "replaced-transactions")]
    replaced: Vec<Txid>,
}

impl PackageReply {
    fn new(
        message: &str,
        package: &[Arc<Transaction>],
        judgements: &[Judgement],
        replaced: impl IntoIterator<Item = Txid>,
    ) -> PackageReply {
        let result = |(place, transaction): (usize, &Arc<Transaction>)| {
            let submitted = Submitted::new(transaction.compute_txid(), judgements.get(place));
            (transaction.compute_wtxid(), submitted)
        };
        PackageReply {
            package_msg: message.to_owned(),
            results: package.iter().enumerate().map(result).collect(),
            replaced: replaced.into_iter().collect(),
        }
    }
}

pub(super) fn submit_package(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let package = package_from(args)?;
    let limits = Limits::new(args.value(1), args.value(2))?;
    for transaction in &package {
        limits.check_burn(transaction)?;
    }
    if package.len() > 1 && !package::is_child_with_parents(&package) {
        let text =
            "package topology disallowed. not child-with-parents or parents depend on each other.";
        return Err(Failure::new(code::VERIFY, text));
    }
    if let Err(error) = package::check_form(&package) {
        return reply(&PackageReply::new(&error.to_string(), &package, &[], []));
    }
    check_all_signatures_early(node, &package)?;
    let outcome = node
        .act(|core, now, out| core.submit_package(now, &package, limits.max_fee_rate, out))
        .map_err(|error| refusal(&error))?;
    let message = match outcome.is_success() {
        true => "success",
        false => "transaction failed",
    };
    let replaced = outcome.replaced.iter().copied();
    reply(&PackageReply::new(
        message,
        &package,
        &outcome.judgements,
        replaced,
    ))
}
