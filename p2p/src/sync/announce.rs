//! [`Announcements`]: blocks that are pushed to us, from the announcement to the body.
//!
//! The header decides whether it is forwarded: its work is checked here, what depends on the ancestors by the chain, and
//! the verdict is given before any body is looked at. Then the block is rebuilt from the mempool (`rebuild`), and when that takes
//! too long, others are asked (`overdue`). Who announces a block is not taken to have it.

use std::collections::BTreeMap;

use bitcoin::BlockHash;
use bitcoin::bip152::{HeaderAndShortIds, PrefilledTransaction, ShortId};
use bitcoin::block::Header;
use chain::rules::header::check_proof_of_work;
use chain::{CheckedBlock, Standing};

use super::bodies::Bodies;
use super::header_sync::HeaderSync;
use super::outbox::{Context, Handed};
use super::overdue::Overdue;
use super::peers::Peers;
use super::rebuild::Rebuilding;
use super::status::StatusRounds;
use super::timing::MAX_ORPHANS;
use super::{Action, GossipId, HeaderProblem, KnownHeader, blame};
use crate::wire::limits::MAX_ANNOUNCEMENT_BYTES;
use crate::wire::{Gossip, Verdict};
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

/// Blocks that are pushed to us.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    /// Boxed, as most maps here hold one block for a moment and are empty again.
    pending: BTreeMap<BlockHash, Box<Pending>>,
    pub(super) rebuilding: Rebuilding,
    /// Headers whose parent was not known: the last one of each peer.
    orphans: BTreeMap<PeerNum, Header>,
}

/// The parts of the engine that an announcement concerns.
pub(super) struct Parts<'a> {
    pub(super) peers: &'a mut Peers,
    pub(super) status: &'a mut StatusRounds,
    pub(super) headers: &'a mut HeaderSync,
    pub(super) bodies: &'a mut Bodies,
    pub(super) overdue: &'a mut Overdue,
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
        self.rebuilding.leave(bodies, now, peer);
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
            Gossip::Transaction(_) | Gossip::Again { .. } => {
                cx.out.push(Action::Verdict {
                    id,
                    verdict: Verdict::Ignore,
                });
                return;
            }
        };
        let hash = header.block_hash();
        match course(cx, &header, &hash) {
            Course::Consider
                if !self.pending.contains_key(&hash) && parts.headers.may_announce(cx, peer) =>
            {
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
                parts.status.gossiped(hash);
                cx.out.push(Action::Verdict {
                    id,
                    verdict: Verdict::Accept,
                });
                self.fetch_body(cx, parts, peer, known, short_ids);
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
                cx.out.push(Action::Verdict {
                    id,
                    verdict: Verdict::Ignore,
                });
            }
        }
    }

    /// Hands on announcements whose parent has come since.
    pub(super) fn adopt_orphans(&mut self, cx: &mut Context<'_>, headers: &mut HeaderSync) {
        let pending = &mut self.pending;
        self.orphans.retain(|peer, header| {
            if cx.chain.header(&header.prev_blockhash).is_none() {
                return true;
            }
            let hash = header.block_hash();
            if matches!(course(cx, header, &hash), Course::Consider)
                && !pending.contains_key(&hash)
                && headers.may_announce(cx, *peer)
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
                    self.fetch_body(cx, parts, peer, known, short_ids);
                }
            }
            Some(HeaderProblem::UnknownParent) if parts.peers.contains(peer) => {
                self.orphans.insert(peer, header);
                parts.headers.claimed(cx, parts.peers, peer, hash, None);
            }
            // Whoever forwards has checked the header; what it cannot know is our operator's mind.
            Some(problem @ HeaderProblem::Rule(_)) => {
                let direction = parts.peers.get(peer).map(|peer| peer.direction);
                if let Some(reason) =
                    direction.and_then(|way| blame::for_header(problem, way, false))
                {
                    cx.out.punish(peer, reason);
                }
            }
            Some(_) => {}
        }
    }

    /// Wants the body: rebuilt, if that is possible, and in time.
    fn fetch_body(
        &mut self,
        cx: &mut Context<'_>,
        parts: &mut Parts<'_>,
        peer: PeerNum,
        known: KnownHeader,
        short_ids: Option<Box<HeaderAndShortIds>>,
    ) {
        if !parts.bodies.want_announced(cx, known, peer) {
            return;
        }
        let patience = parts.overdue.patience(parts.peers, peer);
        parts.overdue.announced(cx, parts.peers, known.hash, peer);
        if let Some(short_ids) = short_ids {
            self.rebuilding
                .plan(cx, parts.bodies, peer, patience, known.hash, short_ids);
        }
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
