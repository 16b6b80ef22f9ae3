//! [`Rebuilding`]: announced blocks that are put together from the mempool, and what is missing from peers.
//!
//! The announcer is asked first, again and again while it says that it has not got the body yet: it most likely forwarded the
//! announcement before. After its patience is over, those that are known to have the block are asked beside it; and after
//! the same time once more the whole body is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitcoin::bip152::HeaderAndShortIds;
use bitcoin::{BlockHash, Transaction};

use super::blame::Origin;
use super::bodies::Bodies;
use super::compact::PartialBlock;
use super::outbox::Context;
use super::peers::{Peer, Peers};
use super::timing::{
    BODY_PAUSE, BODY_PAUSE_MAX, MAX_PARTIAL_BLOCKS, MAX_PARTIAL_SOURCES, MAX_PARTIAL_TRIES,
    PART_PATIENCE, doubled,
};
use super::{Action, RequestId};
use crate::wire::Request;
use crate::{Mono, PeerNum};

/// A block that is rebuilt next.
#[derive(Debug)]
struct ToRebuild {
    announcer: PeerNum,
    patience: Duration,
    short_ids: Box<HeaderAndShortIds>,
}

/// A block whose missing transactions were asked for, or will be.
#[derive(Debug)]
struct Parts {
    announcer: PeerNum,
    partial: PartialBlock,
    missing: Vec<u32>,
    asked: BTreeMap<RequestId, PeerNum>,
    tried: BTreeSet<PeerNum>,
    /// How often the announcer was asked, and when it is asked again.
    tries: u32,
    again_at: Option<Mono>,
    /// From here on others are asked.
    others_at: Mono,
}

/// Blocks that are being rebuilt. Boxed, as most maps here hold one block for a moment and are empty again.
#[derive(Debug, Default)]
pub(super) struct Rebuilding {
    next: BTreeMap<BlockHash, ToRebuild>,
    under_way: BTreeMap<BlockHash, Box<Parts>>,
}

impl Rebuilding {
    /// Rebuilds a block in a call of its own, so that the verdict is carried out before: peers need not wait for it.
    pub(super) fn plan(
        &mut self,
        cx: &mut Context<'_>,
        bodies: &mut Bodies,
        announcer: PeerNum,
        patience: Duration,
        hash: BlockHash,
        short_ids: Box<HeaderAndShortIds>,
    ) {
        let places = self.next.len() + self.under_way.len();
        if places < MAX_PARTIAL_BLOCKS && bodies.reserve(&hash, announcer) {
            let block = ToRebuild {
                announcer,
                patience,
                short_ids,
            };
            self.next.insert(hash, block);
            cx.out.push(Action::RebuildBlock { hash });
        }
    }

    /// A peer is gone. What was asked of it is asked of others, or the body as a whole.
    pub(super) fn leave(&mut self, bodies: &mut Bodies, now: Mono, peer: PeerNum) {
        self.next.retain(|hash, block| {
            if block.announcer == peer {
                bodies.release(now, hash, Some(peer));
            }
            block.announcer != peer
        });
        self.under_way.retain(|hash, block| {
            block.asked.retain(|_, asked| *asked != peer);
            if block.announcer == peer {
                block.again_at = None;
            }
            let waits = !block.asked.is_empty() || block.again_at.is_some();
            if !waits {
                bodies.release(now, hash, Some(peer));
            }
            waits
        });
    }

    /// Rebuilds a block, and asks its announcer for what is missing.
    pub(super) fn rebuild(&mut self, cx: &mut Context<'_>, bodies: &mut Bodies, hash: BlockHash) {
        let Some(block) = self.next.remove(&hash) else {
            return;
        };
        let ToRebuild {
            announcer,
            patience,
            short_ids,
        } = block;
        let Ok(partial) = PartialBlock::rebuild(&short_ids, cx.pool) else {
            return bodies.release(cx.now, &hash, None);
        };
        let missing = partial.missing();
        if missing.is_empty() {
            if let Some(block) = partial.finish() {
                bodies.deliver(cx, announcer, hash, block, Origin::Rebuilt);
            }
            return;
        }
        let mut parts = Box::new(Parts {
            announcer,
            partial,
            missing,
            asked: BTreeMap::new(),
            tried: BTreeSet::new(),
            tries: 0,
            again_at: None,
            others_at: cx.now + patience,
        });
        parts.ask_announcer(cx, hash);
        self.under_way.insert(hash, parts);
    }

    /// Missing transactions came, or none if the peer does not have the block yet. What comes from nobody's fault wrong is
    /// healed by the whole body.
    pub(super) fn received(
        &mut self,
        cx: &mut Context<'_>,
        bodies: &mut Bodies,
        id: RequestId,
        transactions: Vec<Transaction>,
    ) {
        let Some((hash, peer)) = self.asked_by(id) else {
            return;
        };
        if transactions.is_empty() {
            return self.gave_nothing(cx, bodies, id, hash, peer);
        }
        let Some(mut block) = self.under_way.remove(&hash) else {
            return;
        };
        let filled = block.partial.fill(transactions);
        match block.partial.finish() {
            Some(rebuilt) if filled => bodies.deliver(cx, peer, hash, rebuilt, Origin::Rebuilt),
            _ => bodies.release(cx.now, &hash, None),
        }
    }

    /// An empty answer is no progress: the time of the announcer goes on.
    fn gave_nothing(
        &mut self,
        cx: &Context<'_>,
        bodies: &mut Bodies,
        id: RequestId,
        hash: BlockHash,
        peer: PeerNum,
    ) {
        let Some(block) = self.under_way.get_mut(&hash) else {
            return;
        };
        block.asked.remove(&id);
        if peer == block.announcer && block.tries < MAX_PARTIAL_TRIES {
            let pause = doubled(BODY_PAUSE, block.tries, BODY_PAUSE_MAX);
            block.again_at = Some(cx.now + pause);
        } else if block.asked.is_empty() && block.again_at.is_none() {
            self.under_way.remove(&hash);
            bodies.release(cx.now, &hash, None);
        }
    }

    /// A peer did not give the missing transactions: the whole body will do.
    pub(super) fn failed(&mut self, cx: &Context<'_>, bodies: &mut Bodies, id: RequestId) {
        let Some((hash, peer)) = self.asked_by(id) else {
            return;
        };
        if let Some(block) = self.under_way.get_mut(&hash) {
            block.asked.remove(&id);
            if block.asked.is_empty() && block.again_at.is_none() {
                self.under_way.remove(&hash);
                bodies.release(cx.now, &hash, Some(peer));
            }
        }
    }

    /// Asks again, asks others, and gives up, each when its time has come.
    pub(super) fn run(&mut self, cx: &mut Context<'_>, peers: &Peers, bodies: &mut Bodies) {
        self.under_way.retain(|hash, block| {
            if block.again_at.is_some_and(|at| at <= cx.now) {
                block.ask_announcer(cx, *hash);
            }
            if cx.now < block.others_at {
                return true;
            }
            block.ask_others(cx, peers, *hash);
            let over = cx.now >= block.whole_at();
            if over {
                bodies.release(cx.now, hash, Some(block.announcer));
            }
            !over
        });
    }

    pub(super) fn next_due(&self, now: Mono) -> Option<Mono> {
        let due = |block: &Parts| {
            let others = Some(block.others_at).filter(|at| *at > now);
            block
                .again_at
                .into_iter()
                .chain(others)
                .chain([block.whole_at()])
                .min()
        };
        self.under_way.values().filter_map(|block| due(block)).min()
    }

    fn asked_by(&self, id: RequestId) -> Option<(BlockHash, PeerNum)> {
        let mut all = self.under_way.iter();
        all.find_map(|(hash, block)| Some((*hash, *block.asked.get(&id)?)))
    }
}

impl Parts {
    /// From here on the whole body is asked for.
    fn whole_at(&self) -> Mono {
        self.others_at + PART_PATIENCE
    }

    fn ask_announcer(&mut self, cx: &mut Context<'_>, hash: BlockHash) {
        self.again_at = None;
        self.tries += 1;
        self.ask(cx, hash, self.announcer);
    }

    fn ask_others(&mut self, cx: &mut Context<'_>, peers: &Peers, hash: BlockHash) {
        for (number, peer) in peers.iter() {
            if self.asked.len() >= MAX_PARTIAL_SOURCES {
                return;
            }
            let fresh = !self.tried.contains(&number) && !cx.out.is_dismissed(number);
            if fresh && has_block(cx, peer, &hash) {
                self.ask(cx, hash, number);
            }
        }
    }

    fn ask(&mut self, cx: &mut Context<'_>, block: BlockHash, peer: PeerNum) {
        let indexes = self.missing.clone();
        let request = Request::BlockTransactions { block, indexes };
        let id = cx.out.request(cx.now, peer, request);
        self.asked.insert(id, peer);
        self.tried.insert(peer);
    }
}

/// Whether a peer's own word says that it has a block.
fn has_block(cx: &Context<'_>, peer: &Peer, hash: &BlockHash) -> bool {
    let Some(header) = cx.chain.header(hash) else {
        return false;
    };
    let at = peer
        .best
        .and_then(|best| cx.chain.ancestor(&best.hash, header.height));
    at.is_some_and(|at| at.hash == *hash)
}
