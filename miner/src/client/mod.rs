//! The external miner: templates from nodes by `getblocktemplate`, blocks to them by `submitblock`.
//!
//! [`feed`] keeps the newest template, by long poll, from whichever node answers; [`mine`] searches it; [`submit`] hands in
//! what it finds; [`report`] tells people and programs about it.

mod feed;
mod report;
mod submit;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::{BlockHash, ScriptBuf, Transaction};
use rpc_client::{Client, RpcError};

use crate::search::{Job, SearchOutcome, Searcher};
use crate::stop::StopFlag;

use feed::{Feed, Offer};
pub(crate) use report::{Event, Report, Style};
use submit::{Submitter, Verdict};

/// How long a call that does not wait for anything may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time without a newer template the node is asked again, so that the header's time keeps up.
const TEMPLATE_LIFE: Duration = Duration::from_secs(30);
/// How long to wait for the template that must follow a block of ours.
const NEXT_TEMPLATE: Duration = Duration::from_secs(5);
/// Pause after a node refused a block, so that a lasting fault does not become a flood.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// What to mine.
pub(crate) struct Order {
    /// Where blocks pay to.
    pub(crate) script_pubkey: ScriptBuf,
    /// Whether version bits are rolled where a template allows it.
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

/// Mines until the order is filled or `done` is raised; gives how many blocks were accepted.
///
/// # Errors
///
/// When no node will ever answer: each refuses the login, or is no node.
pub(crate) fn mine(
    clients: Vec<Client>,
    searcher: &Searcher,
    order: &Order,
    report: &Arc<Report>,
    done: &StopFlag,
) -> Result<u64, RpcError> {
    let counts = Counts::default();
    let feed = Feed::start(clients, done.clone(), report.clone());
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            report.keep_current(searcher, &counts, done, || {
                feed.end_old_search(TEMPLATE_LIFE)
            });
            feed.close();
        });
        let result = Shift::new(searcher, order, report, &counts, &feed, done).work();
        done.stop();
        result
    });
    report.end(searcher, &counts);
    result.map(|()| counts.read()[0])
}

/// One run of the miner.
struct Shift<'a> {
    searcher: &'a Searcher,
    order: &'a Order,
    report: &'a Report,
    counts: &'a Counts,
    feed: &'a Feed,
    done: &'a StopFlag,
    /// The parent of the blocks that were last searched for.
    parent: Option<BlockHash>,
    /// The last block that nobody answered for: it may be on a node all the same.
    lost: Option<(u64, BlockHash)>,
}

impl<'a> Shift<'a> {
    fn new(
        searcher: &'a Searcher,
        order: &'a Order,
        report: &'a Report,
        counts: &'a Counts,
        feed: &'a Feed,
        done: &'a StopFlag,
    ) -> Self {
        Self {
            searcher,
            order,
            report,
            counts,
            feed,
            done,
            parent: None,
            lost: None,
        }
    }

    fn work(mut self) -> Result<(), RpcError> {
        // Two miners that pay the same address must not do the same work.
        let mut extra_nonce = std::hash::RandomState::new().build_hasher().finish();
        let mut after = 0;
        let mut told = false;
        while !self.is_over() {
            let Some(offer) = self.feed.newest(after)? else {
                break;
            };
            self.take_up(&offer);
            if self.is_over() {
                break;
            }
            extra_nonce = extra_nonce.wrapping_add(1);
            let template = &offer.template;
            let candidate = template.candidate(&self.order.script_pubkey, extra_nonce);
            let roll = self.order.roll_version || !template.varies();
            let mut job = Job {
                header: candidate.header,
                target: template.target,
                version_mask: if roll { template.version_mask } else { 0 },
            };
            if !template.varies() {
                // The coinbase is the node's and may not be changed: only the version is left.
                job = job.rolling_from(extra_nonce);
            }
            if template.pays_the_node() && !std::mem::replace(&mut told, true) {
                let url = self.feed.clients()[offer.source].url();
                self.report.event(&Event::PaysTheNode { url });
            }
            let stop = StopFlag::new();
            self.feed.stop_when_newer(&offer, &stop);
            after = 0;
            match self.searcher.search(&job, &stop) {
                SearchOutcome::Found(header) => {
                    self.hand_in(&offer, &header, &candidate.coinbase);
                }
                // The same again would be searched in vain.
                SearchOutcome::Exhausted if !template.varies() => after = offer.sequence,
                SearchOutcome::Exhausted => {}
                SearchOutcome::Stopped => self.feed.refresh_if_old(&offer, TEMPLATE_LIFE),
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let [found, ..] = self.counts.read();
        self.done.is_stopped() || self.order.blocks.is_some_and(|blocks| found >= blocks)
    }

    /// Tells of a new parent, and settles what became of the block before.
    fn take_up(&mut self, offer: &Offer) {
        let template = &offer.template;
        if self.parent == Some(template.parent) {
            return;
        }
        self.parent = Some(template.parent);
        if let Some((height, hash)) = self.lost.take_if(|(_, hash)| *hash == template.parent) {
            self.count(height, hash, &Verdict::Accepted);
        }
        if self.is_over() {
            return;
        }
        self.report.event(&Event::Template {
            url: self.feed.clients()[offer.source].url(),
            height: template.height,
            transactions: template.transaction_count(),
            bits: format!("{:08x}", template.bits.to_consensus()),
        });
    }

    /// Submits a block and gets the template after it.
    fn hand_in(&mut self, offer: &Offer, header: &Header, coinbase: &Transaction) {
        let verdict = Submitter {
            clients: self.feed.clients(),
            report: self.report,
            done: self.done,
        }
        .submit(offer, header, coinbase);
        let (height, hash) = (offer.template.height, header.block_hash());
        self.count(height, hash, &verdict);
        if matches!(verdict, Verdict::Lost(_)) {
            self.lost = Some((height, hash));
        }
        if self.is_over() {
            return;
        }
        if verdict != Verdict::Accepted {
            self.done.sleep(AFTER_REFUSAL);
        }
        // Whatever is offered then, even the same: with another extra nonce it is another block.
        self.feed.refresh(offer.source);
        self.feed.wait_newer(offer, NEXT_TEMPLATE);
    }

    fn count(&self, height: u64, hash: BlockHash, verdict: &Verdict) {
        let count = match verdict {
            Verdict::Accepted => Some(&self.counts.found),
            Verdict::Stale(_) => Some(&self.counts.stale),
            Verdict::Rejected(_) => Some(&self.counts.rejected),
            Verdict::Lost(_) => None,
        };
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.report.event(&Event::Block {
            height,
            hash,
            verdict: verdict.name(),
            reason: verdict.reason(),
        });
    }
}
