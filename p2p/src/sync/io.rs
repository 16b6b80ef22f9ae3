//! What goes into the engine and what comes out: [`Input`] and [`Action`].

use bitcoin::block::Header;
use bitcoin::{Block, BlockHash, Txid};
use chain::RuleError;

use crate::wire::{Gossip, Request, Response, TipStatus, Verdict};
use crate::{Direction, Mono, PeerGroup, PeerNum};

/// Names one request of ours; never used again within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names one gossiped item until its verdict is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GossipId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A connection was made.
    PeerUp {
        /// The peer.
        peer: PeerNum,
        /// Who dialled.
        direction: Direction,
        /// Whom it may be one with.
        group: PeerGroup,
    },
    /// A connection ended.
    PeerDown {
        /// The peer.
        peer: PeerNum,
    },
    /// A peer told its tip, by asking for ours. It is answered by [`answer`](super::answer), so it knows ours now.
    PeerStatus {
        /// The peer.
        peer: PeerNum,
        /// Its claim.
        status: TipStatus,
    },
    /// An answer to a request of ours.
    Response {
        /// Who answered.
        peer: PeerNum,
        /// Which request.
        id: RequestId,
        /// The answer.
        response: Response,
    },
    /// A request of ours failed: timed out, refused, or its answer could not be decoded.
    RequestFailed {
        /// Who was asked.
        peer: PeerNum,
        /// Which request.
        id: RequestId,
        /// Whether what came back was malformed, which is held against the peer.
        malformed: bool,
    },
    /// A gossiped block announcement.
    Announcement {
        /// The peer that passed it on.
        peer: PeerNum,
        /// For the verdict.
        id: GossipId,
        /// A [`Gossip::Block`] or [`Gossip::Header`].
        gossip: Gossip,
    },
    /// The headers of an [`Action::AcceptHeaders`] were handed to the chain. Told in the order of those actions.
    HeadersProcessed {
        /// Who sent them.
        peer: PeerNum,
        /// How many were accepted, from the first on.
        accepted: usize,
        /// Why the next one was not.
        error: Option<HeaderProblem>,
    },
    /// The block of an [`Action::AcceptBlock`] was handed to the chain. Told again, with the rule, when a block that
    /// was stored turns out to be invalid on connecting: the engine remembers who sent it.
    BlockProcessed {
        /// Who sent it.
        peer: PeerNum,
        /// Which block.
        hash: BlockHash,
        /// What came of it.
        outcome: BlockOutcome,
    },
    /// The turn of an [`Action::RebuildBlock`] has come.
    RebuildBlock {
        /// Which block.
        hash: BlockHash,
    },
    /// A peer sent a transaction that spends what is not here.
    ParentsMissing {
        /// Who sent it.
        peer: PeerNum,
        /// The transactions that it spends of and that are not here.
        txids: Vec<Txid>,
    },
    /// Addresses of other nodes are wanted.
    AddressesWanted {
        /// Whom to ask.
        peer: PeerNum,
    },
    /// The active tip or the best header changed.
    ChainChanged,
    /// The time asked for by [`Action::WakeAt`] has come, or not: a tick may come early or twice.
    Tick,
}

/// Why the chain refused a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderProblem {
    /// Its parent is not known.
    UnknownParent,
    /// It or an ancestor is known to be invalid.
    KnownInvalid,
    /// It breaks a rule.
    Rule(RuleError),
}

/// What the chain made of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockOutcome {
    /// Stored, or here already.
    Accepted,
    /// Its parent's header is not known.
    UnknownParent,
    /// It or an ancestor is known to be invalid.
    KnownInvalid,
    /// It breaks a rule, by itself or when it was connected.
    Rule(RuleError),
}

/// What the engine wants done. Outputs are its only way to act.
#[derive(Debug)]
pub enum Action {
    /// Send a request.
    Request {
        /// To whom.
        peer: PeerNum,
        /// Echoed in the answer.
        id: RequestId,
        /// What to ask.
        request: Request,
    },
    /// Hand headers to the chain, then tell the result by [`Input::HeadersProcessed`].
    AcceptHeaders {
        /// Who sent them.
        peer: PeerNum,
        /// Linked, ascending.
        headers: Vec<Header>,
    },
    /// Call with [`Input::RebuildBlock`], after what was said before this was carried out.
    RebuildBlock {
        /// An announced block.
        hash: BlockHash,
    },
    /// Hand a block to the chain, then tell the result by [`Input::BlockProcessed`].
    AcceptBlock {
        /// Who sent it (or the transactions it was rebuilt from).
        peer: PeerNum,
        /// The block.
        block: Block,
    },
    /// Transactions came that belong into the mempool.
    AcceptTransactions {
        /// Who sent them.
        peer: PeerNum,
        /// Decoded, not checked.
        transactions: Vec<bitcoin::Transaction>,
    },
    /// Give the verdict on gossip.
    Verdict {
        /// Which item.
        id: GossipId,
        /// Forward it or not.
        verdict: Verdict,
    },
    /// End the connection, and hold the reason against the peer. The engine has forgotten the peer already.
    Punish {
        /// The peer.
        peer: PeerNum,
        /// Why, in words for the log.
        reason: String,
    },
    /// End the connection to a peer that is of no use; nothing is held against it. The engine has forgotten it already.
    Disconnect {
        /// The peer.
        peer: PeerNum,
        /// Why, in words for the log.
        reason: String,
    },
    /// Addresses of other nodes were learnt.
    LearnPeers {
        /// Who told them.
        peer: PeerNum,
        /// Multiaddresses with a peer id.
        addresses: Vec<String>,
    },
    /// Call with [`Input::Tick`] at this time, at the latest. Replaces an earlier one.
    WakeAt(Mono),
}
