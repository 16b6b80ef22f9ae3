//! What goes into a chain and what comes out.

use bitcoin::{BlockHash, Work};

use crate::rules::error::RuleError;
use crate::store::StoreError;
pub use crate::units::BlockPosition;
use crate::units::{Height, Timestamp};

/// How a chain uses memory.
#[derive(Clone, Copy, Debug)]
pub struct ChainOptions {
    /// Bytes for redb's page cache and our coins cache together.
    pub cache_bytes: usize,
}

impl Default for ChainOptions {
    /// 128 MiB: enough for half a million changed coins between flushes.
    fn default() -> ChainOptions {
        ChainOptions {
            cache_bytes: 128 << 20,
        }
    }
}

impl ChainOptions {
    /// redb's share: a quarter, for coins missed by our cache are few and bodies are read once.
    pub(super) fn database_bytes(self) -> usize {
        self.cache_bytes / 4
    }

    /// The coins' share.
    pub(super) fn coins_bytes(self) -> usize {
        self.cache_bytes - self.database_bytes()
    }
}

/// How the memory of [`ChainOptions`] is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBudgets {
    /// Bytes for pages of the database.
    pub database_bytes: usize,
    /// Bytes for coins.
    pub coins_bytes: usize,
}

/// The end of the active chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipInfo {
    /// The tip.
    pub hash: BlockHash,
    /// Its height.
    pub height: Height,
    /// Work of the chain.
    pub chain_work: Work,
    /// The tip's own time.
    pub time: Timestamp,
    /// Its median time past.
    pub median_time_past: Timestamp,
}

/// A change of the active chain, as a value: what mempool, miner, RPC, events and pages read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reorg {
    /// The last block that both chains share.
    pub fork: BlockPosition,
    /// Blocks that left the active chain, old tip first.
    pub disconnected: Vec<BlockPosition>,
    /// Blocks that joined, lowest first. Only empty in what [`Chain::invalidate`](super::Chain::invalidate) gives, and where healing
    /// had to leave out a block whose body is lost.
    pub connected: Vec<BlockPosition>,
}

/// What became of a block that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// New, and stored (pending the next flush).
    Stored,
    /// Its body was here already.
    AlreadyHave,
}

/// Why a header or block was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It breaks a rule by itself or against its ancestors.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Its parent is not known: ask for the ancestors.
    #[error("the parent {parent} is not known")]
    UnknownParent {
        /// The parent's hash.
        parent: BlockHash,
    },
    /// It, or an ancestor, was found invalid before.
    #[error("block {hash} or an ancestor is known to be invalid")]
    KnownInvalid {
        /// The block's hash.
        hash: BlockHash,
    },
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}
