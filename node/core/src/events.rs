//! What happened on a node, as one ordered, numbered stream.

use std::borrow::Cow;

use bitcoin::{BlockHash, Txid};
use chain::{Cure, Height};
use p2p::PeerNum;

use crate::mempool::RemovalReason;
use crate::mode::Mode;

/// One thing that happened. Numbered by the host in the order in which the core told it.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeEvent {
    /// A block joined the active chain.
    BlockConnected {
        /// Its hash.
        hash: BlockHash,
        /// Its height.
        height: Height,
    },
    /// A block left the active chain.
    BlockDisconnected {
        /// Its hash.
        hash: BlockHash,
        /// Its height.
        height: Height,
    },
    /// A block was found invalid.
    BlockInvalid {
        /// Its hash.
        hash: BlockHash,
        /// Its height.
        height: Height,
        /// Core's reject string.
        reason: Cow<'static, str>,
    },
    /// A stored body does not match its hash any more: it is not served, and fetched again.
    BlockDamaged {
        /// Its hash.
        hash: BlockHash,
        /// Its height.
        height: Height,
    },
    /// A damaged body was replaced.
    BlockRestored {
        /// Its hash.
        hash: BlockHash,
        /// Its height.
        height: Height,
    },
    /// Something stored is damaged, and being put right; that takes a while. The tip stands still meanwhile.
    Healing {
        /// What is damaged, and what is done.
        problem: String,
    },
    /// Something stored that was damaged was put right.
    Healed {
        /// What, and how.
        cure: Cure,
    },
    /// A snapshot of coins replaced those that were here: its block is the tip, and the blocks below it were left out.
    SnapshotLoaded {
        /// Its block's hash.
        hash: BlockHash,
        /// The block's height.
        height: Height,
    },
    /// The best header chain grew or changed.
    HeaderTip {
        /// Its tip.
        hash: BlockHash,
        /// The tip's height.
        height: Height,
    },
    /// A transaction entered the mempool.
    TransactionAdded {
        /// Its id.
        txid: Txid,
    },
    /// A transaction left the mempool.
    TransactionRemoved {
        /// Its id.
        txid: Txid,
        /// Why.
        reason: RemovalReason,
    },
    /// A peer was connected.
    PeerUp {
        /// Its number.
        peer: PeerNum,
        /// Its address.
        address: String,
    },
    /// A peer is gone.
    PeerDown {
        /// Its number.
        peer: PeerNum,
        /// In words.
        reason: String,
    },
    /// The node works in another mode now.
    ModeChanged {
        /// The new mode.
        mode: Mode,
    },
}
