//! What peers can say to each other: requests, responses and gossip, in Bitcoin's consensus encoding.
//!
//! Each message is one tag byte and its fields. Every count is checked against [`limits`] and against the bytes that
//! follow before anything is allocated, and nothing may be left over at the end.

mod error;
mod gossip;
pub mod limits;
mod reader;
mod request;
mod response;

pub use error::WireError;

use std::sync::Arc;

use bitcoin::bip152::HeaderAndShortIds;
use bitcoin::block::Header;
use bitcoin::{BlockHash, Transaction, Txid, Work};
use chain::{CheckedBlock, Height};

/// The end of a node's active chain, as told to peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipStatus {
    /// Hash of the tip.
    pub hash: BlockHash,
    /// Its height. A claim until its headers are here.
    pub height: Height,
    /// Its chain work. A claim as well.
    pub chain_work: Work,
}

/// What a peer can be asked. Every request gets one response.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// "This is my tip; what is yours?" Answered by [`Response::Status`].
    Status(TipStatus),
    /// Headers after the first locator hash that is on the peer's active chain. Answered by [`Response::Headers`].
    Headers {
        /// From [`chain::tree::BlockTree::locator`].
        locator: Vec<BlockHash>,
        /// Stop after this one; all zeros for "as many as fit".
        stop: BlockHash,
    },
    /// Bodies by hash. Answered by [`Response::Blocks`] with a prefix of what was asked, as far as it fits the size limit.
    Blocks(Vec<BlockHash>),
    /// Some transactions of one block. Answered by [`Response::BlockTransactions`].
    BlockTransactions {
        /// The block.
        block: BlockHash,
        /// Positions in it, ascending.
        indexes: Vec<u32>,
    },
    /// The ids of everything in the mempool (a bounded number). Answered by [`Response::MempoolIds`].
    MempoolIds,
    /// Transactions of the mempool by id. Answered by [`Response::Transactions`] with those that are there.
    Transactions(Vec<Txid>),
    /// Addresses of other nodes. Answered by [`Response::Peers`].
    Peers,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug)]
pub enum Response {
    /// See [`Request::Status`].
    Status(TipStatus),
    /// See [`Request::Headers`]. Linked, ascending; empty: nothing after the locator.
    Headers(Vec<Header>),
    /// See [`Request::Blocks`]: raw blocks in the order asked, from the first on; stops at the first one that is missing.
    Blocks(Vec<BlockBytes>),
    /// See [`Request::BlockTransactions`]. Empty: the block is not here, or only given as a whole.
    BlockTransactions(Vec<Transaction>),
    /// See [`Request::MempoolIds`].
    MempoolIds(Vec<Txid>),
    /// See [`Request::Transactions`].
    Transactions(Vec<Transaction>),
    /// See [`Request::Peers`]: multiaddresses with a peer id.
    Peers(Vec<String>),
}

/// A block on the wire: encoded only when it is written, decoded on arrival.
#[derive(Clone, Debug)]
pub enum BlockBytes {
    /// On its way out: shared with the chain.
    Ours(Arc<CheckedBlock>),
    /// As it came in: decoded, not checked.
    Theirs(Box<bitcoin::Block>),
}

impl BlockBytes {
    /// The block.
    pub fn block(&self) -> &bitcoin::Block {
        match self {
            BlockBytes::Ours(block) => block.block(),
            BlockBytes::Theirs(block) => block,
        }
    }

    /// Its hash: known for ours, computed for theirs.
    pub fn hash(&self) -> BlockHash {
        match self {
            BlockBytes::Ours(block) => block.hash(),
            BlockBytes::Theirs(block) => block.block_hash(),
        }
    }

    /// The block, owned; ours is copied.
    pub fn into_block(self) -> bitcoin::Block {
        match self {
            BlockBytes::Ours(block) => block.block().clone(),
            BlockBytes::Theirs(block) => *block,
        }
    }
}

/// A block announcement or a transaction, spread to everyone.
#[derive(Clone, Debug)]
pub enum Gossip {
    /// A new block: enough for a peer to rebuild it from its mempool (BIP 152).
    Block(Box<HeaderAndShortIds>),
    /// A new block whose short ids would not fit one message: the header alone.
    Header(Header),
    /// A new transaction, whole.
    Transaction(Arc<Transaction>),
    /// A transaction that did not spread when it was new, because it was not good then, or that may have been lost since. Gossip
    /// that was heard once is not passed on again for a while; this is known by `salt` as well.
    Again {
        /// Whole.
        transaction: Arc<Transaction>,
        /// What makes it news: random. Who has the transaction does not pass it on, whatever its salt.
        salt: u64,
    },
}

/// What a node found out about a gossiped item, which decides whether it is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it.
    Accept,
    /// Do not forward it; the sender did nothing wrong.
    Ignore,
    /// Do not forward it, and hold it against the sender.
    Reject,
}
