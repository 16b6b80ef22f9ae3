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
    /// Blocks that joined, lowest first. Empty in a step of a deep change, where an operator took the chain back, and where healing
    /// had to leave out a block whose body is lost.
    pub connected: Vec<BlockPosition>,
}

impl Reorg {
    /// This change and `next`, which follows it, as one.
    #[must_use]
    pub fn then(mut self, next: Reorg) -> Reorg {
        for block in next.disconnected {
            // What joined and left again is no change.
            if self.connected.pop().is_none() {
                self.disconnected.push(block);
                self.fork = next.fork;
            }
        }
        for block in next.connected {
            // Nor what left and joined again.
            let is_back = self.connected.is_empty() && self.disconnected.last() == Some(&block);
            if is_back {
                self.disconnected.pop();
                self.fork = block;
            } else {
                self.connected.push(block);
            }
        }
        self
    }
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
    /// It is known, and it or an ancestor was found invalid.
    #[error("block {hash} or an ancestor is known to be invalid")]
    KnownInvalid {
        /// The block's hash.
        hash: BlockHash,
    },
    /// It is not known, and its parent or an ancestor was found invalid.
    #[error("the parent {parent} or an ancestor of it is known to be invalid")]
    InvalidParent {
        /// The parent's hash.
        parent: BlockHash,
    },
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use proptest::prelude::*;

    use super::*;

    /// Blocks of a tree of two branches from height 3: the tip's height, and on which branch.
    type Place = (u32, bool);

    fn block((height, branch): Place) -> BlockPosition {
        let branch = branch && height > 3;
        BlockPosition {
            hash: BlockHash::hash(&[height as u8, u8::from(branch)]),
            height: Height(height),
        }
    }

    fn change(from: Place, to: Place) -> Reorg {
        let fork = if from.1 == to.1 {
            from.0.min(to.0)
        } else {
            3.min(from.0).min(to.0)
        };
        Reorg {
            fork: block((fork, from.1)),
            disconnected: (fork + 1..=from.0)
                .rev()
                .map(|h| block((h, from.1)))
                .collect(),
            connected: (fork + 1..=to.0).map(|h| block((h, to.1))).collect(),
        }
    }

    proptest! {
        #[test]
        fn changes_that_follow_each_other_are_the_change_from_first_to_last(
            tips in proptest::collection::vec((0..10u32, any::<bool>()), 2..8),
        ) {
            let whole = tips
                .windows(2)
                .map(|pair| change(pair[0], pair[1]))
                .reduce(Reorg::then);
            prop_assert_eq!(whole, Some(change(tips[0], tips[tips.len() - 1])));
        }
    }
}
