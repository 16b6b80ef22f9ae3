//! [`Submitter`]: hands blocks in, and finds out what became of them.

use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::{BlockHash, Transaction};
use rpc_client::Client;
use serde_json::{Value, json};

use super::feed::Offer;
use super::report::{Event, Report};
use crate::stop::StopFlag;

/// Pauses before each try to hand in a block: a node that restarts still wants it.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// Hands blocks in.
pub(super) struct Submitter<'a> {
    /// The nodes, the most preferred first.
    pub(super) clients: &'a [Client],
    pub(super) report: &'a Report,
    /// Once it is raised, nothing is tried again.
    pub(super) done: &'a StopFlag,
}

impl Submitter<'_> {
    /// Gives the block to the node its template came from, or where that is gone to the others; tries for some seconds.
    pub(super) fn submit(&self, offer: &Offer, header: &Header, coinbase: &Transaction) -> Verdict {
        let hex = offer.template.block_hex(header, coinbase);
        let others = (0..self.clients.len()).filter(|&i| i != offer.source);
        let order: Vec<_> = std::iter::once(offer.source).chain(others).collect();
        let mut lost = String::new();
        // Whether a node may have the block from an earlier try.
        let mut may_be_there = false;
        for (i, pause) in PAUSES.into_iter().enumerate() {
            self.done.sleep(pause);
            if i > 0 && self.done.is_stopped() {
                break;
            }
            for &i in &order {
                let mut params = vec![json!(hex)];
                let workid = offer.workid.clone().filter(|_| i == offer.source);
                params.extend(workid.map(Value::String));
                match self.clients[i].call("submitblock", Value::Array(params)) {
                    Ok(answer) if may_be_there && answer == "duplicate" => {
                        return verdict_on_ours(&self.clients[i], &header.block_hash());
                    }
                    Ok(answer) => return Verdict::from_answer(&answer),
                    Err(error) => {
                        may_be_there |= error.leaves_it_open();
                        self.report
                            .event(&Event::lost(self.clients[i].url(), &error));
                        lost = error.to_string();
                    }
                }
            }
        }
        Verdict::Lost(lost)
    }
}

/// What became of a block that a node has from us already. One that cannot tell took it at least.
fn verdict_on_ours(client: &Client, hash: &BlockHash) -> Verdict {
    let header = client.call("getblockheader", json!([hash]));
    let confirmations = header
        .ok()
        .and_then(|header| header["confirmations"].as_i64());
    match confirmations {
        Some(..0) => Verdict::Stale("duplicate".to_owned()),
        _ => Verdict::Accepted,
    }
}

/// What became of a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// Valid, but somebody else was first.
    Stale(String),
    Rejected(String),
    /// No node answered for it.
    Lost(String),
}

impl Verdict {
    /// Reads the result of `submitblock`: null, or a string of BIP 22.
    fn from_answer(answer: &Value) -> Self {
        match answer {
            Value::Null => Verdict::Accepted,
            Value::String(reason) => match reason.as_str() {
                "inconclusive" | "duplicate" | "duplicate-inconclusive" => {
                    Verdict::Stale(reason.clone())
                }
                stale if stale.starts_with("stale") => Verdict::Stale(reason.clone()),
                _ => Verdict::Rejected(reason.clone()),
            },
            other => Verdict::Rejected(other.to_string()),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Verdict::Accepted => "found",
            Verdict::Stale(_) => "stale",
            Verdict::Rejected(_) => "rejected",
            Verdict::Lost(_) => "lost",
        }
    }

    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Verdict::Accepted => None,
            Verdict::Stale(reason) | Verdict::Rejected(reason) | Verdict::Lost(reason) => {
                Some(reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_submitblock_have_the_meaning_of_bip_22() {
        assert_eq!(Verdict::from_answer(&Value::Null), Verdict::Accepted);
        for stale in ["inconclusive", "duplicate", "stale-prevblk", "stale-work"] {
            assert_eq!(
                Verdict::from_answer(&json!(stale)),
                Verdict::Stale(stale.to_owned())
            );
        }
        for rejected in ["high-hash", "bad-cb-height", "duplicate-invalid"] {
            assert_eq!(
                Verdict::from_answer(&json!(rejected)),
                Verdict::Rejected(rejected.to_owned())
            );
        }
    }
}
