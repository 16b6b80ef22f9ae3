//! What a core wants done.

use chain::StoreError;
use p2p::AnswerToken;
use p2p::book::Complaint;
use p2p::sync::{GossipId, RequestId, StoredBlocks};
use p2p::wire::{Gossip, Request, Response, Verdict};
use p2p::{Mono, PeerNum};

use crate::events::NodeEvent;
use crate::mempool::Change;

/// One act for the host.
#[derive(Debug)]
pub enum Output {
    /// Dial a multiaddress.
    Dial(String),
    /// End a connection.
    Disconnect {
        /// Whose.
        peer: PeerNum,
        /// Why, for the log.
        reason: String,
    },
    /// Refuse a peer's identity, or allow it again.
    Ban {
        /// Its identity in text form.
        peer_id: String,
        /// Refuse or allow.
        banned: bool,
    },
    /// Networking on or off.
    SetActive(bool),
    /// Ask a peer.
    Request {
        /// Whom.
        peer: PeerNum,
        /// Echoed in the answer.
        id: RequestId,
        /// What.
        request: Request,
    },
    /// Answer a peer; `None` drops its request.
    Answer {
        /// Which request.
        token: AnswerToken,
        /// The answer.
        response: Option<Response>,
    },
    /// Answer a peer with blocks once they are opened, which needs no core. Tell one that turns out to be damaged by
    /// [`Input::BlockDamaged`](crate::Input::BlockDamaged).
    AnswerBlocks {
        /// Which request.
        token: AnswerToken,
        /// As they lie on disk.
        blocks: StoredBlocks,
    },
    /// Spread to everyone.
    Publish(Gossip),
    /// Say whether gossip is forwarded.
    Verdict {
        /// Which item.
        id: GossipId,
        /// Forward it or not.
        verdict: Verdict,
    },
    /// Tell the operator that an address of his leads nowhere.
    Complaint(Complaint),
    /// Tell listeners.
    Event(NodeEvent),
    /// Call `handle` with a tick at this time, at the latest. Replaces an earlier one.
    WakeAt(Mono),
    /// Storage failed: stop with this error and a non-zero exit.
    Fatal(StoreError),
}

/// Tells what changed in the mempool.
pub(super) fn tell_changes(changes: &[Change], out: &mut Vec<Output>) {
    out.extend(changes.iter().map(|change| {
        Output::Event(match *change {
            Change::Added(txid) => NodeEvent::TransactionAdded { txid },
            Change::Removed(txid, reason) => NodeEvent::TransactionRemoved { txid, reason },
        })
    }));
}
