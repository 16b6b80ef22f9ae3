//! [`SyncEngine`]: headers first, then bodies from several peers; sans-IO.
//!
//! Each phase has a file and owns its state; this one only dispatches:
//!
//! | file | decides |
//! |---|---|
//! | `status` | when to tell our tip and to ask for others' |
//! | `header_sync`, `header_turns`, `header_fetch`, `presync`, `groups` | from a claim of more work to headers in the tree |
//! | `bodies`, `window`, `withheld`, `refill`, `wants`, `stall` | which block is asked of whom |
//! | `announce`, `rebuild`, `compact`, `overdue` | pushed blocks: verdict, rebuilding, what is missing, who else has it |
//! | `mempool_sync` | transactions whose gossip was lost, and parents of orphans |
//! | `blame`, `broken` | whether a peer is at fault |
//! | `serve`, `served` | answers to peers (apart from the engine: reads the chain) |

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::BlockHash;
use chain::{CheckedBlock, Height, Params};

mod announce;
mod blame;
mod bodies;
mod broken;
mod budget;
mod compact;
mod groups;
mod header_batch;
mod header_fetch;
mod header_sync;
mod header_turns;
mod io;
mod locator;
mod mempool_sync;
mod outbox;
mod overdue;
mod peers;
mod presync;
mod rebuild;
mod refill;
mod senders;
mod serve;
mod served;
mod stall;
mod status;
mod timing;
mod view;
mod wants;
mod window;
mod withheld;

pub use announce::announcement;
pub use io::{Action, BlockOutcome, GossipId, HeaderProblem, Input, RequestId};
pub use serve::{Answer, OpenedBlocks, StoredBlocks, answer};
pub use served::ServedBlocks;
pub use view::{ChainView, KnownHeader, PoolView};

use announce::{Announcements, Parts};
use bodies::Bodies;
use broken::Broken;
use header_sync::HeaderSync;
use mempool_sync::MempoolSync;
use outbox::{Context, Handed, Kind, Outbox};
use overdue::Overdue;
use peers::Peers;
use status::StatusRounds;
use timing::earlier;

use crate::wire::{Gossip, Request, Response, TipStatus};
use crate::{Direction, Mono, PeerGroup, PeerNum};

/// Decides what to ask of whom. The same inputs, times and views give the same actions.
#[derive(Debug)]
pub struct SyncEngine {
    params: Arc<Params>,
    peers: Peers,
    status: StatusRounds,
    headers: HeaderSync,
    bodies: Bodies,
    announcements: Announcements,
    overdue: Overdue,
    mempool: MempoolSync,
    outbox: Outbox,
    broken: Broken,
    /// The earliest time at which something is due, as last computed.
    due: Option<Mono>,
    /// The wake-up that the host was last asked for and that has not come yet.
    armed: Option<Mono>,
}

impl SyncEngine {
    /// An engine without peers. `seed` spreads its requests in time and has no other effect; two nodes should differ in it.
    pub fn new(params: Arc<Params>, seed: u64) -> SyncEngine {
        SyncEngine {
            params,
            peers: Peers::default(),
            status: StatusRounds::new(seed),
            headers: HeaderSync::new(),
            bodies: Bodies::new(),
            announcements: Announcements::default(),
            overdue: Overdue::default(),
            mempool: MempoolSync::default(),
            outbox: Outbox::default(),
            broken: Broken::default(),
            due: None,
            armed: None,
        }
    }

    /// Advances the engine by one input.
    ///
    /// `now` only moves forward.
    #[must_use = "actions are the engine's only way to act"]
    pub fn handle(
        &mut self,
        now: Mono,
        input: Input,
        chain: &impl ChainView,
        pool: &impl PoolView,
    ) -> Vec<Action> {
        let mut outbox = std::mem::take(&mut self.outbox);
        let mut broken = std::mem::take(&mut self.broken);
        let params = Arc::clone(&self.params);
        let cx = &mut Context {
            now,
            chain,
            pool,
            params: &params,
            broken: &mut broken,
            out: &mut outbox,
        };
        self.dispatch(cx, input);
        self.settle(cx);
        let actions = outbox.take_actions();
        self.outbox = outbox;
        self.broken = broken;
        actions
    }

    fn dispatch(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::PeerUp {
                peer,
                direction,
                group,
            } => self.peer_up(cx, peer, direction, group),
            Input::PeerDown { peer } => self.peer_gone(cx, peer),
            Input::PeerStatus { peer, status } if self.peers.contains(peer) => {
                self.peer_told(cx, peer, status);
                self.status.was_asked(cx, peer, &status);
            }
            Input::Response { peer, id, response } => self.response(cx, peer, id, response),
            Input::RequestFailed {
                peer,
                id,
                malformed,
            } => {
                if let Some(asked) = cx.out.settle(id, peer) {
                    if malformed {
                        cx.out.punish(peer, "sent a malformed answer");
                    }
                    self.request_failed(cx, peer, id, asked.kind);
                }
            }
            Input::Announcement { peer, id, gossip } => {
                let (announcements, mut parts) = self.announcement_parts();
                announcements.received(cx, &mut parts, peer, id, gossip);
            }
            Input::HeadersProcessed {
                peer,
                accepted,
                error,
            } => {
                self.headers_processed(cx, peer, accepted, error);
            }
            Input::BlockProcessed {
                peer,
                hash,
                outcome,
            } => {
                if outcome == BlockOutcome::Accepted
                    && self.overdue.arrived(cx.now, &self.peers, &hash, Some(peer))
                {
                    self.status.was_late(&hash);
                }
                self.bodies.processed(cx, &self.peers, hash, &outcome);
            }
            Input::RebuildBlock { hash } => {
                let bodies = &mut self.bodies;
                self.announcements.rebuilding.rebuild(cx, bodies, hash);
            }
            Input::ParentsMissing { peer, txids } => self.mempool.want_parents(cx, peer, &txids),
            Input::AddressesWanted { peer } => {
                if self.peers.contains(peer) {
                    cx.out.request(cx.now, peer, Request::Peers);
                }
            }
            Input::ChainChanged => self.bodies.target_due = true,
            Input::PeerStatus { .. } | Input::Tick => {}
        }
    }

    fn peer_up(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerNum,
        direction: Direction,
        group: PeerGroup,
    ) {
        self.peers.join(peer, direction, group);
        self.headers.join(peer, direction, group);
        self.bodies.join(cx.now, peer);
        self.mempool.join(peer);
        self.status.join(cx, peer);
        if direction == Direction::Outbound {
            cx.out.request(cx.now, peer, Request::Peers);
        }
    }

    fn peer_gone(&mut self, cx: &mut Context<'_>, peer: PeerNum) {
        if self.peers.leave(peer) {
            cx.out.forget_peer(peer);
            self.status.leave(peer);
            self.headers.leave(cx.now, peer);
            self.announcements.leave(&mut self.bodies, cx.now, peer);
            self.bodies.leave(cx.now, peer);
            self.mempool.leave(cx, peer);
        }
    }

    /// A peer told its tip.
    fn peer_told(&mut self, cx: &Context<'_>, peer: PeerNum, status: TipStatus) {
        let before = self.peers.get(peer).and_then(|peer| peer.best);
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.status = Some(status);
        }
        let work = Some(status.chain_work);
        self.headers
            .claimed(cx, &mut self.peers, peer, status.hash, work);
        // A peer that has no more than we have gives nothing to fetch, and takes nothing away if nothing is fetched.
        let best = self.peers.get(peer).and_then(|peer| peer.best);
        if let (Some(before), Some(best)) = (before, best)
            && best.hash != before.hash
            && cx
                .chain
                .ancestor(&best.hash, before.height)
                .is_none_or(|at| at.hash != before.hash)
        {
            // It came over from another branch, and got payments back that were confirmed there.
            self.mempool.compare_again(peer);
        }
        let tip_work = cx.chain.tip().chain_work;
        let has_more = best.is_some_and(|best| best.chain_work > tip_work);
        self.bodies.target_due |= has_more || self.bodies.target.is_some();
    }

    fn response(&mut self, cx: &mut Context<'_>, peer: PeerNum, id: RequestId, response: Response) {
        let Some(asked) = cx.out.settle(id, peer) else {
            return;
        };
        if asked.kind != Kind::of_response(&response) {
            cx.out
                .punish(peer, "answered something else than it was asked");
            return self.request_failed(cx, peer, id, asked.kind);
        }
        match response {
            Response::Status(status) => {
                self.peer_told(cx, peer, status);
                self.status.answered(cx, peer, &status);
            }
            Response::Headers(headers) => {
                self.headers.answered(cx, &mut self.peers, peer, headers);
                self.bodies.target_due = true;
            }
            Response::Blocks(blocks) => self.bodies.received(cx, id, peer, blocks),
            Response::BlockTransactions(transactions) => {
                let bodies = &mut self.bodies;
                let rebuilding = &mut self.announcements.rebuilding;
                rebuilding.received(cx, bodies, id, transactions);
            }
            Response::MempoolIds(ids) => self.mempool.ids_received(cx, peer, ids),
            Response::Transactions(transactions) => {
                self.mempool.transactions_received(cx, peer, transactions);
            }
            Response::Peers(addresses) => cx.out.push(Action::LearnPeers { peer, addresses }),
        }
    }

    fn request_failed(&mut self, cx: &mut Context<'_>, peer: PeerNum, id: RequestId, kind: Kind) {
        match kind {
            Kind::Status => self.status.failed(cx, peer),
            Kind::Headers => self.headers.failed(cx, peer),
            Kind::Blocks => self.bodies.failed(cx, id, peer),
            Kind::BlockTransactions => {
                let rebuilding = &mut self.announcements.rebuilding;
                rebuilding.failed(cx, &mut self.bodies, id);
            }
            Kind::MempoolIds => self.mempool.ids_failed(peer),
            Kind::Transactions => self.mempool.transactions_failed(cx, peer),
            Kind::Peers => {}
        }
    }

    fn headers_processed(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerNum,
        accepted: usize,
        error: Option<HeaderProblem>,
    ) {
        match cx.out.take_handed(peer) {
            Some(Handed::Fetched) => {
                self.headers
                    .processed(cx, &mut self.peers, peer, accepted, error.as_ref());
            }
            Some(Handed::Announced(hash)) => {
                let (announcements, mut parts) = self.announcement_parts();
                announcements.header_processed(cx, &mut parts, hash, error.as_ref());
            }
            None => {}
        }
        self.announcements.adopt_orphans(cx, &mut self.headers);
        self.bodies.target_due = true;
    }

    fn announcement_parts(&mut self) -> (&mut Announcements, Parts<'_>) {
        let parts = Parts {
            peers: &mut self.peers,
            status: &mut self.status,
            headers: &mut self.headers,
            bodies: &mut self.bodies,
            overdue: &mut self.overdue,
        };
        (&mut self.announcements, parts)
    }

    /// What follows from any input: time-outs that are due, peers to forget, requests that have become possible.
    fn settle(&mut self, cx: &mut Context<'_>) {
        self.forget_dismissed(cx);
        if self.due.is_some_and(|due| due <= cx.now) {
            self.run_timers(cx);
        }
        self.headers.schedule(cx, &mut self.peers);
        let rebuilding = &mut self.announcements.rebuilding;
        rebuilding.run(cx, &self.peers, &mut self.bodies);
        self.bodies.follow(cx, &self.peers);
        self.bodies.refill(cx, &self.peers);
        self.mempool.schedule(cx, &self.peers);
        let catching_up = self.bodies.wants.len() > 0;
        self.status.watch_tip(cx, catching_up);
        self.status.run(cx);
        self.forget_dismissed(cx);
        self.plan_wake_up(cx);
    }

    fn run_timers(&mut self, cx: &mut Context<'_>) {
        while let Some((id, asked)) = cx.out.take_expired(cx.now) {
            self.request_failed(cx, asked.peer, id, asked.kind);
        }
        self.overdue.run(cx, &mut self.status);
        self.mempool.run(cx);
        self.bodies.relieve_stalled(cx);
        self.bodies.notice_withholding(cx);
        self.bodies.wants.wake(cx.now);
        self.bodies.refill_due = true;
        self.forget_dismissed(cx);
    }

    fn forget_dismissed(&mut self, cx: &mut Context<'_>) {
        for peer in cx.out.take_dismissed() {
            self.peer_gone(cx, peer);
        }
    }

    fn plan_wake_up(&mut self, cx: &mut Context<'_>) {
        let due = earlier(cx.out.next_due(), self.status.next_due());
        let due = earlier(due, self.headers.next_due(cx.now));
        let due = earlier(due, self.bodies.next_due(cx.now));
        let due = earlier(due, self.overdue.next_due());
        let due = earlier(due, self.mempool.next_due());
        self.due = earlier(due, self.announcements.rebuilding.next_due(cx.now));
        self.armed = self.armed.filter(|armed| *armed > cx.now);
        // A wake-up that comes too early is cheap; one for every small change would not be.
        if let Some(due) = self.due
            && self.armed.is_none_or(|armed| due < armed)
        {
            let due = due.max(cx.now);
            self.armed = Some(due);
            cx.out.push(Action::WakeAt(due));
        }
    }

    /// The announcement of a block of ours, to be gossiped. `nonce` keys its short ids and should be random.
    pub fn announce(&mut self, block: &CheckedBlock, nonce: u64) -> Gossip {
        self.status.gossiped(block.hash());
        announcement(block, nonce)
    }

    /// What is going on, for RPC, logs and tests.
    pub fn progress(&self) -> SyncProgress {
        let best_claim = self.peers.best_claim();
        SyncProgress {
            peers: self.peers.len(),
            fetching_headers: self.headers.is_fetching(),
            blocks_in_flight: self.bodies.in_flight(),
            blocks_missing: self.bodies.wants.len(),
            best_claim,
        }
    }

    /// As [`SyncProgress::fetching_headers`], for what is asked after every input.
    pub fn is_fetching_headers(&self) -> bool {
        self.headers.is_fetching()
    }

    /// The chain that is being fetched, if there is one.
    pub fn download(&self) -> Option<Download> {
        let target = self.bodies.target?;
        Some(Download {
            height: target.height,
            last_body: self.bodies.last_body,
        })
    }

    /// What one peer told and owes, for `getpeerinfo`.
    pub fn peer(&self, peer: PeerNum) -> Option<PeerSync> {
        let status = self.peers.get(peer)?.status;
        let in_flight = self.bodies.peers.get(&peer)?.in_flight.clone();
        Some(PeerSync { status, in_flight })
    }

    /// An operator wants a block of one peer, whether or not it is on the best chain. Asked once. Acted on with the next input.
    pub fn want_block_from(&mut self, hash: BlockHash, peer: PeerNum) {
        self.bodies.want_ordered(hash, peer);
    }

    /// A body was found damaged: fetch it again by hash, from anyone. Acted on with the next input.
    pub fn want_block(&mut self, hash: BlockHash) {
        self.bodies.want_damaged(hash);
    }
}

/// The state of synchronisation as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncProgress {
    /// Connected peers.
    pub peers: usize,
    /// Headers are being fetched from someone who claims more work than we have headers for.
    pub fetching_headers: bool,
    /// Bodies are asked for and not here yet.
    pub blocks_in_flight: usize,
    /// Bodies that are wanted and not stored yet, within the moving window.
    pub blocks_missing: usize,
    /// Best tip that any peer claims.
    pub best_claim: Option<TipStatus>,
}

/// The best chain that a peer has by headers of checked work, and that is worth more than ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download {
    /// Its end.
    pub height: Height,
    /// When a missing body of it last came.
    pub last_body: Option<Mono>,
}

/// One peer's part in synchronisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSync {
    /// Its last told tip.
    pub status: Option<TipStatus>,
    /// Blocks asked of it and not here yet.
    pub in_flight: BTreeSet<BlockHash>,
}
