//! The external miner: templates from nodes by `getblocktemplate`, blocks to them by `submitblock`.
//!
//! [`feed`] keeps the newest template, by long poll, from whichever node answers; [`mine`] searches it and submits
//! what it finds; [`report`] tells people and programs about it.

mod feed;
mod report;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::{ScriptBuf, Transaction};
use rpc_client::{Client, RpcError};
use serde_json::{Value, json};

use crate::search::{Job, SearchOutcome, Searcher};
use crate::stop::StopFlag;

use feed::{Feed, Offer};
pub(crate) use report::{Event, Report, Style};

/// How long a call that does not wait for anything may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time without a newer template the node is asked again, so that the header's time keeps up.
const TEMPLATE_LIFE: Duration = Duration::from_secs(30);
/// How long to wait for the template that must follow a block of ours.
const NEXT_TEMPLATE: Duration = Duration::from_secs(5);
/// Pauses before each try to hand in a block.
const SUBMIT_PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// Pause after a node refused a block, so that a lasting fault does not become a flood.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// What to mine.
pub(crate) struct Order {
    /// Where blocks pay to.
    pub(crate) script_pubkey: ScriptBuf,
    /// Whether version bits may be rolled.
    pub(crate) roll_version: bool,
    /// Stop after so many accepted blocks.
    pub(crate) blocks: Option<u64>,
}

/// Blocks by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    found: AtomicU64,
    stale: AtomicU64,
    rejected: AtomicU64,
}

impl Counts {
    /// Accepted blocks, late ones, refused ones.
    pub(crate) fn read(&self) -> [u64; 3] {
        [&self.found, &self.stale, &self.rejected].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Mines until the order is filled.
///
/// # Errors
///
/// When no node will ever answer: each refuses the login, or is no node.
pub(crate) fn mine(
    clients: Vec<Client>,
    searcher: &Searcher,
    order: &Order,
    report: &Arc<Report>,
) -> Result<(), RpcError> {
    let counts = Counts::default();
    let done = StopFlag::new();
    let feed = Feed::start(clients, done.clone(), report.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            report.keep_current(searcher, &counts, &done, || {
                feed.end_old_search(TEMPLATE_LIFE)
            });
        });
        let result = Shift {
            searcher,
            order,
            report,
            counts: &counts,
            feed: &feed,
        }
        .work();
        done.stop();
        result
    })
}

/// One run of the miner.
struct Shift<'a> {
    searcher: &'a Searcher,
    order: &'a Order,
    report: &'a Report,
    counts: &'a Counts,
    feed: &'a Feed,
}

impl Shift<'_> {
    fn work(&self) -> Result<(), RpcError> {
        // Two miners that pay the same address must not do the same work.
        let mut extra_nonce = std::hash::RandomState::new().build_hasher().finish();
        let mut after = 0;
        let mut told = false;
        while !self.is_filled() {
            let offer = self.feed.newest(after)?;
            extra_nonce = extra_nonce.wrapping_add(1);
            let candidate = offer
                .template
                .candidate(&self.order.script_pubkey, extra_nonce);
            let mut job = Job {
                header: candidate.header,
                target: offer.template.target,
                roll_version: self.order.roll_version,
            };
            if !offer.template.varies() {
                // The coinbase is the node's and may not be changed: only the version is left.
                job = job.rolling_from(extra_nonce);
            }
            if offer.template.pays_the_node() && !std::mem::replace(&mut told, true) {
                let url = self.feed.clients()[offer.source].url();
                self.report.event(&Event::PaysTheNode { url });
            }
            let stop = StopFlag::new();
            self.feed.stop_when_newer(&offer, &stop);
            match self.searcher.search(&job, &stop) {
                SearchOutcome::Found(header) => {
                    after = self.hand_in(&offer, &header, &candidate.coinbase);
                }
                SearchOutcome::Exhausted => {}
                SearchOutcome::Stopped => self.feed.refresh_if_old(&offer, TEMPLATE_LIFE),
            }
        }
        Ok(())
    }

    fn is_filled(&self) -> bool {
        let [found, ..] = self.counts.read();
        self.order.blocks.is_some_and(|blocks| found >= blocks)
    }

    /// Submits a block and gets the template after it. Gives the sequence that templates must be newer than.
    fn hand_in(&self, offer: &Offer, header: &Header, coinbase: &Transaction) -> u64 {
        let verdict = self.submit(offer, header, coinbase);
        let (count, accepted) = match &verdict {
            Verdict::Accepted => (&self.counts.found, true),
            Verdict::Stale(_) => (&self.counts.stale, false),
            Verdict::Rejected(_) | Verdict::Lost(_) => (&self.counts.rejected, false),
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.report.event(&Event::Block {
            height: offer.template.height,
            hash: header.block_hash(),
            verdict: verdict.name(),
            reason: verdict.reason(),
        });
        if self.is_filled() {
            return 0;
        }
        if !accepted {
            std::thread::sleep(AFTER_REFUSAL);
        }
        self.feed.refresh(offer.source);
        self.feed.wait_newer(offer, NEXT_TEMPLATE);
        // Whatever is offered now, even the same: with another extra nonce it is another block.
        0
    }

    /// Gives the block to the node its template came from, or where that is gone to the others; tries for some
    /// seconds, since a node that restarts still wants it.
    fn submit(&self, offer: &Offer, header: &Header, coinbase: &Transaction) -> Verdict {
        let hex = offer.template.block_hex(header, coinbase);
        let clients = self.feed.clients();
        let others = (0..clients.len()).filter(|&i| i != offer.source);
        let order: Vec<_> = std::iter::once(offer.source).chain(others).collect();
        let mut lost = String::new();
        for pause in SUBMIT_PAUSES {
            std::thread::sleep(pause);
            for &i in &order {
                let mut params = vec![json!(hex)];
                params.extend(
                    offer
                        .workid
                        .clone()
                        .filter(|_| i == offer.source)
                        .map(Value::String),
                );
                match clients[i].call("submitblock", Value::Array(params)) {
                    Ok(answer) => return Verdict::from_answer(&answer),
                    Err(error) => {
                        self.report.event(&Event::lost(clients[i].url(), &error));
                        lost = error.to_string();
                    }
                }
            }
        }
        Verdict::Lost(lost)
    }
}

/// What became of a block.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    /// Valid, but somebody else was first.
    Stale(String),
    Rejected(String),
    /// No node took it.
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

    fn name(&self) -> &'static str {
        match self {
            Verdict::Accepted => "found",
            Verdict::Stale(_) => "stale",
            Verdict::Rejected(_) => "rejected",
            Verdict::Lost(_) => "lost",
        }
    }

    fn reason(&self) -> Option<&str> {
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
