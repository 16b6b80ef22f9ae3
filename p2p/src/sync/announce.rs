//! [`Announcements`]: blocks that are pushed to us, from the announcement to the body.
//!
//! The header decides whether it is forwarded: its work is checked here, what depends on the ancestors by the chain, and
//! the verdict is given before any body is looked at. Then the block is rebuilt from the mempool; what is missing is asked
//! from the announcer; and if that does not work out, the whole body from anyone.

use std::collections::BTreeMap;

use bitcoin::bip152::{HeaderAndShortIds, PrefilledTransaction, ShortId};
use bitcoin::block::Header;
use bitcoin::{BlockHash, Transaction};
use chain::rules::header::check_proof_of_work;
use chain::{CheckedBlock, Standing};

use super::blame::Origin;
use super::bodies::Bodies;
use super::compact::PartialBlock;
use super::header_sync::HeaderSync;
use super::outbox::{Context, Handed};
use super::peers::Peers;
use super::status::StatusRounds;
use super::timing::{
    BODY_PAUSE, BODY_PAUSE_MAX, MAX_ORPHANS, MAX_PARTIAL_BLOCKS, MAX_PARTIAL_TRIES, doubled,
};
use super::{Action, GossipId, HeaderProblem, KnownHeader, RequestId, blame};
use crate::wire::limits::MAX_ANNOUNCEMENT_BYTES;
use crate::wire::{Gossip, Request, Verdict};
use crate::{Mono, PeerNum};

/// The announcement of a block of ours: short ids, or the header alone if they would not fit a message.
///
/// `nonce` keys the short ids; it should differ from node to node, so that no two ids collide everywhere.
pub fn announcement(block: &CheckedBlock, nonce: u64) -> Gossip {
    let header = block.block().header;
    let coinbase = &block.block().txdata[0];
    let header_and_counts = 80 + 8 + 3 + 3 + 3 + 1;
    let short_ids = 6 * (block.txids().len() - 1);
    if header_and_counts + short_ids + coinbase.total_size() > MAX_ANNOUNCEMENT_BYTES {
        return Gossip::Header(header);
    }
    // As `HeaderAndShortIds::from_block` makes it, with ids that were computed before.
    let keys = ShortId::calculate_siphash_keys(&header, nonce);
    let short_id = |wtxid| ShortId::with_siphash_keys(wtxid, keys);
    Gossip::Block(Box::new(HeaderAndShortIds {
        header,
        nonce,
        short_ids: block.wtxids().iter().skip(1).map(short_id).collect(),
        prefilled_txs: vec![PrefilledTransaction {
            idx: 0,
            tx: coinbase.clone(),
        }],
    }))
}

/// An announcement whose header is with the chain.
#[derive(Debug)]
struct Pending {
    peer: PeerNum,
    /// `None` for an orphan that was ignored when it came.
    verdict: Option<GossipId>,
    header: Header,
    short_ids: Option<Box<HeaderAndShortIds>>,
}

/// A block that is rebuilt next.
#[derive(Debug)]
struct ToRebuild {
    peer: PeerNum,
    short_ids: Box<HeaderAndShortIds>,
}

/// A block whose missing transactions were asked for, or will be.
#[derive(Debug)]
struct Rebuilding {
    peer: PeerNum,
    partial: PartialBlock,
    missing: Vec<u32>,
    asked: Option<RequestId>,
    tries: u32,
    retry_at: Mono,
}

/// Blocks that are pushed to us.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    /// Boxed, as most maps here hold one block for a moment and are empty again.
    pending: BTreeMap<BlockHash, Box<Pending>>,
    to_rebuild: BTreeMap<BlockHash, ToRebuild>,
    rebuilding: BTreeMap<BlockHash, Rebuilding>,
    /// Headers whose parent was not known: the last one of each peer.
    orphans: BTreeMap<PeerNum, Header>,
}

/// The parts of the engine that an announcement concerns.
pub(super) struct Parts<'a> {
    pub(super) peers: &'a mut Peers,
    pub(super) status: &'a mut StatusRounds,
    pub(super) headers: &'a mut HeaderSync,
    pub(super) bodies: &'a mut Bodies,
}

/// What to do with an announced header.
enum Course {
    /// Hand it to the chain, which decides the verdict.
    Consider,
    /// Its parent is not known.
    Orphan,
    /// Already known, and its body is still missing.
    BodyMissing(KnownHeader),
    /// Nothing to gain.
    Ignore,
    /// It does not have the work that it states.
    Bad(String),
}

impl Announcements {
    pub(super) fn leave(&mut self, bodies: &mut Bodies, now: Mono, peer: PeerNum) {
        self.orphans.remove(&peer);
        let mut stays = |hash: &BlockHash, announcer: PeerNum| {
            if announcer == peer {
                bodies.release(now, hash, Some(peer));
            }
            announcer != peer
        };
        self.to_rebuild
            .retain(|hash, block| stays(hash, block.peer));
        self.rebuilding
            .retain(|hash, block| stays(hash, block.peer));
    }

    /// A block was announced by gossip.
    pub(super) fn received(
        &mut self,
        cx: &mut Context<'_>,
        parts: &mut Parts<'_>,
        peer: PeerNum,
        id: GossipId,
        gossip: Gossip,
    ) {
        let (header, short_ids) = match gossip {
            Gossip::Block(block) => (block.header, Some(block)),
            Gossip::Header(header) => (header, None),
            Gossip::Transaction(_) => {
                cx.out.push(Action::Verdict {
                    id,
                    verdict: Verdict::Ignore,
                });
                return;
            }
        };
        let hash = header.block_hash();
        match course(cx, &header, &hash) {
            Course::Consider if !self.pending.contains_key(&hash) => {
                parts.status.peer_knows(peer, hash);
                let verdict = Some(id);
                let announced = Pending {
                    peer,
                    verdict,
                    header,
                    short_ids,
                };
                self.pending.insert(hash, Box::new(announced));
                cx.out
                    .accept_headers(peer, vec![header], Handed::Announced(hash));
            }
            Course::BodyMissing(known) => {
                parts.status.peer_knows(peer, hash);
                parts.status.gossiped(hash);
                cx.out.push(Action::Verdict {
                    id,
                    verdict: Verdict::Accept,
                });
                self.fetch_body(cx, parts.bodies, peer, known, short_ids);
            }
            Course::Orphan => {
                cx.out.push(Action::Verdict {
                    id,
                    verdict: Verdict::Ignore,
                });
                if parts.peers.contains(peer) {
                    if self.orphans.len() < MAX_ORPHANS || self.orphans.contains_key(&peer) {
                        self.orphans.insert(peer, header);
                    }
                    parts.headers.claimed(cx, parts.peers, peer, hash, None);
                }
            }
            Course::Bad(reason) => {
                cx.out.push(Action::Verdict {
                    id,
                    verdict: Verdict::Reject,
                });
                cx.out.punish(peer, reason);
            }
            Course::Consider | Course::Ignore => {
                parts.status.peer_knows(peer, hash);
                cx.out.push(Action::Verdict {
                    id,
                    verdict: Verdict::Ignore,
                });
            }
        }
    }

    /// Hands on announcements whose parent has come since.
    pub(super) fn adopt_orphans(&mut self, cx: &mut Context<'_>) {
        let pending = &mut self.pending;
        self.orphans.retain(|peer, header| {
            if cx.chain.header(&header.prev_blockhash).is_none() {
                return true;
            }
            let hash = header.block_hash();
            if matches!(course(cx, header, &hash), Course::Consider) && !pending.contains_key(&hash)
            {
                let orphan = Pending {
                    peer: *peer,
                    verdict: None,
                    header: *header,
                    short_ids: None,
                };
                pending.insert(hash, Box::new(orphan));
                cx.out
                    .accept_headers(*peer, vec![*header], Handed::Announced(hash));
            }
            false
        });
    }

    /// The chain judged the header of an announcement.
    pub(super) fn header_processed(
        &mut self,
        cx: &mut Context<'_>,
        parts: &mut Parts<'_>,
        hash: BlockHash,
        error: Option<&HeaderProblem>,
    ) {
        let Some(pending) = self.pending.remove(&hash) else {
            return;
        };
        let Pending {
            peer,
            verdict,
            header,
            short_ids,
        } = *pending;
        let judgement = match error {
            None => Verdict::Accept,
            Some(HeaderProblem::Rule(rule)) if rule.standing() == Standing::Never => {
                Verdict::Reject
            }
            Some(_) => Verdict::Ignore,
        };
        if let Some(id) = verdict {
            cx.out.push(Action::Verdict {
                id,
                verdict: judgement,
            });
        }
        match error {
            None => {
                if verdict.is_some() {
                    parts.status.gossiped(hash);
                }
                if let Some(known) = cx.chain.header(&hash) {
                    self.fetch_body(cx, parts.bodies, peer, known, short_ids);
                }
            }
            Some(HeaderProblem::UnknownParent) if parts.peers.contains(peer) => {
                self.orphans.insert(peer, header);
                parts.headers.claimed(cx, parts.peers, peer, hash, None);
            }
            // Whoever forwards has checked the header; what it cannot know is our operator's mind.
            Some(problem @ HeaderProblem::Rule(_)) => {
                let direction = parts.peers.get(peer).map(|peer| peer.direction);
                if let Some(reason) = direction.and_then(|way| blame::for_header(problem, way)) {
                    cx.out.punish(peer, reason);
                }
            }
            Some(_) => {}
        }
    }

    /// Wants the body. It is rebuilt in a call of its own, so that the verdict is carried out before: peers need not wait for it.
    fn fetch_body(
        &mut self,
        cx: &mut Context<'_>,
        bodies: &mut Bodies,
        peer: PeerNum,
        known: KnownHeader,
        short_ids: Option<Box<HeaderAndShortIds>>,
    ) {
        let hash = known.hash;
        if !bodies.want_announced(cx, known, peer) {
            return;
        }
        let Some(short_ids) = short_ids else { return };
        let places = self.to_rebuild.len() + self.rebuilding.len();
        if places < MAX_PARTIAL_BLOCKS && bodies.reserve(&hash, peer) {
            self.to_rebuild.insert(hash, ToRebuild { peer, short_ids });
            cx.out.push(Action::RebuildBlock { hash });
        }
    }

    /// Rebuilds a block, and asks its announcer for what is missing.
    pub(super) fn rebuild(&mut self, cx: &mut Context<'_>, bodies: &mut Bodies, hash: BlockHash) {
        let Some(ToRebuild { peer, short_ids }) = self.to_rebuild.remove(&hash) else {
            return;
        };
        let Ok(partial) = PartialBlock::rebuild(&short_ids, cx.pool) else {
            return bodies.release(cx.now, &hash, None);
        };
        let missing = partial.missing();
        if missing.is_empty() {
            if let Some(block) = partial.finish() {
                bodies.deliver(cx, peer, hash, block, Origin::Rebuilt);
            }
            return;
        }
        let mut block = Rebuilding {
            peer,
            partial,
            missing,
            asked: None,
            tries: 0,
            retry_at: cx.now,
        };
        block.ask(cx, hash);
        self.rebuilding.insert(hash, block);
    }

    /// Missing transactions came, or none if the peer does not have the block yet.
    pub(super) fn transactions_received(
        &mut self,
        cx: &mut Context<'_>,
        bodies: &mut Bodies,
        id: RequestId,
        transactions: Vec<Transaction>,
    ) {
        let Some(hash) = self.asked_by(id) else {
            return;
        };
        let Some(mut block) = self.rebuilding.remove(&hash) else {
            return;
        };
        block.asked = None;
        if transactions.is_empty() && block.tries < MAX_PARTIAL_TRIES {
            block.retry_at = cx.now + doubled(BODY_PAUSE, block.tries, BODY_PAUSE_MAX);
            self.rebuilding.insert(hash, block);
            return;
        }
        let filled = block.partial.fill(transactions);
        match block.partial.finish() {
            Some(rebuilt) if filled => {
                bodies.deliver(cx, block.peer, hash, rebuilt, Origin::Rebuilt);
            }
            _ => bodies.release(cx.now, &hash, None),
        }
    }

    /// The announcer did not give the missing transactions: the whole body will do.
    pub(super) fn transactions_failed(
        &mut self,
        cx: &Context<'_>,
        bodies: &mut Bodies,
        id: RequestId,
    ) {
        if let Some(hash) = self.asked_by(id)
            && let Some(block) = self.rebuilding.remove(&hash)
        {
            bodies.release(cx.now, &hash, Some(block.peer));
        }
    }

    /// Asks again for what was not there yet.
    pub(super) fn retry(&mut self, cx: &mut Context<'_>) {
        for (hash, block) in &mut self.rebuilding {
            if block.asked.is_none() && block.retry_at <= cx.now {
                block.ask(cx, *hash);
            }
        }
    }

    pub(super) fn next_due(&self) -> Option<Mono> {
        let waiting = self
            .rebuilding
            .values()
            .filter(|block| block.asked.is_none());
        waiting.map(|block| block.retry_at).min()
    }

    fn asked_by(&self, id: RequestId) -> Option<BlockHash> {
        let mut all = self.rebuilding.iter();
        all.find(|(_, block)| block.asked == Some(id))
            .map(|(hash, _)| *hash)
    }
}

impl Rebuilding {
    fn ask(&mut self, cx: &mut Context<'_>, block: BlockHash) {
        let request = Request::BlockTransactions {
            block,
            indexes: self.missing.clone(),
        };
        self.asked = Some(cx.out.request(cx.now, self.peer, request));
        self.tries += 1;
    }
}

fn course(cx: &Context<'_>, header: &Header, hash: &BlockHash) -> Course {
    let tip_work = cx.chain.tip().chain_work;
    if let Some(known) = cx.chain.header(hash) {
        let useful = known.may_be_valid && !known.has_body && known.chain_work >= tip_work;
        return if useful {
            Course::BodyMissing(known)
        } else {
            Course::Ignore
        };
    }
    if let Err(rule) = check_proof_of_work(header, cx.params) {
        return Course::Bad(format!("announced a bad header: {rule}"));
    }
    match cx.chain.header(&header.prev_blockhash) {
        None => Course::Orphan,
        Some(parent) if !parent.may_be_valid => Course::Ignore,
        Some(parent) if parent.chain_work + header.work() < tip_work => Course::Ignore,
        Some(_) => Course::Consider,
    }
}
