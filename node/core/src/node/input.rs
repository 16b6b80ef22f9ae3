//! What a core is told.

use bitcoin::BlockHash;
use p2p::AnswerToken;
use p2p::sync::{GossipId, RequestId};
use p2p::wire::{Gossip, Request, Response};
use p2p::{Direction, PeerNum};

/// One thing that happened outside the core.
#[derive(Debug)]
pub enum Input {
    /// The node listens here; the address ends in its own peer id.
    Listening {
        /// Full multiaddress.
        address: String,
    },
    /// A peer was connected.
    PeerUp {
        /// Its number.
        peer: PeerNum,
        /// Its identity in text form.
        peer_id: String,
        /// Its address, as dialled or seen.
        address: String,
        /// Who dialled.
        direction: Direction,
        /// What it calls itself.
        agent: String,
    },
    /// A peer is gone.
    PeerDown {
        /// Its number.
        peer: PeerNum,
        /// In words.
        reason: String,
    },
    /// A peer told where it listens.
    PeerListens {
        /// Its number.
        peer: PeerNum,
        /// Multiaddresses with its peer id.
        addresses: Vec<String>,
    },
    /// A dial reached a peer that is connected already. [`Input::DialFailed`] follows.
    DialMet {
        /// As it was given.
        address: String,
        /// Whom it reached: libp2p peer id in text form.
        peer_id: String,
    },
    /// A dial failed.
    DialFailed {
        /// As it was given.
        address: String,
        /// In words.
        reason: String,
        /// The reason will not pass by itself.
        lasting: bool,
    },
    /// A peer asks.
    Request {
        /// Who.
        peer: PeerNum,
        /// For the answer.
        token: AnswerToken,
        /// What.
        request: Request,
    },
    /// A peer answered.
    Response {
        /// Who.
        peer: PeerNum,
        /// Our request.
        id: RequestId,
        /// The answer.
        response: Response,
    },
    /// A request of ours failed.
    RequestFailed {
        /// Who was asked.
        peer: PeerNum,
        /// Our request.
        id: RequestId,
        /// What came was malformed.
        malformed: bool,
    },
    /// Gossip waits for a verdict.
    Gossip {
        /// Who passed it on.
        peer: PeerNum,
        /// For the verdict.
        id: GossipId,
        /// Decoded, not checked.
        gossip: Gossip,
    },
    /// Gossip that could not be decoded.
    MalformedGossip {
        /// Who sent it.
        peer: PeerNum,
    },
    /// A round-trip time was measured.
    Ping {
        /// Whose.
        peer: PeerNum,
        /// Microseconds.
        micros: u64,
    },
    /// A stored block did not hash to its id when it was opened for a peer.
    BlockDamaged {
        /// Which.
        hash: BlockHash,
    },
    /// Time has passed. May come early or twice.
    Tick,
}
