//! What an operator may say against the rules' own judgement: `invalidateblock`, `reconsiderblock`, `preciousblock`.

use bitcoin::BlockHash;

use super::{BlockPosition, Chain, StepLimit};
use crate::store::StoreError;
use crate::tree::NodeId;
use crate::units::Height;

/// Why a block was not invalidated. But for the last, nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum InvalidateError {
    /// A body that is needed for going back is lost.
    #[error(
        "block {} at height {} would have to be disconnected, and its body is lost or damaged; it is fetched again when a peer that has it is connected: try again then", .block.hash, .block.height
    )]
    LostBody {
        /// The block.
        block: BlockPosition,
    },
    /// Coins came from a snapshot: there is no way back below it.
    #[error(
        "the coins were loaded from a snapshot of height {base}, so the chain cannot be taken back below it; invalidate a block above, or sync a new data directory"
    )]
    BelowSnapshot {
        /// Height of the snapshot's block.
        base: Height,
    },
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Chain {
    /// Marks a block and its descendants invalid, by an operator's word. Call [`Chain::activate_best`] after it, or
    /// [`Chain::activate_step`] until [`Chain::is_at_best`]: it leaves the block then. Genesis and unknown blocks are left alone.
    ///
    /// # Errors
    ///
    /// When the chain cannot be taken back below the block: nothing has changed then. Or when storage fails: fatal.
    pub fn invalidate(&mut self, hash: &BlockHash) -> Result<(), InvalidateError> {
        self.settle_damaged();
        let Some(id) = self.tree.id_of(hash) else {
            return Ok(());
        };
        let Some(parent) = self.tree.parent(id) else {
            return Ok(());
        };
        if self.is_active_id(id) {
            self.check_way_back(parent)?;
        }
        self.tree.mark_invalidated(id);
        self.pending.touch(id);
        Ok(())
    }

    /// Checks that the active blocks above `fork` can be taken back. Of the first step's the bodies are read: one that is damaged is
    /// quarantined. Further down what is known of them has to do; where that is wrong, the way back ends above the lost body until
    /// another has come.
    fn check_way_back(&mut self, fork: NodeId) -> Result<(), InvalidateError> {
        let first = self.tree.height(fork).next();
        if let Some(BlockPosition { height: base, .. }) = self.snapshot_base()
            && first <= base
        {
            return Err(InvalidateError::BelowSnapshot { base });
        }
        let mut transactions = 0;
        let mut lost = None;
        for &id in self.active[first.0 as usize..].iter().rev() {
            transactions += self.tree.tx_count(id);
            let is_lost = if transactions > StepLimit::default().transactions {
                !self.tree.status(id).has_body
            } else {
                self.body(id)?.is_none()
            };
            if is_lost {
                lost = Some(id);
                break;
            }
        }
        let Some(id) = lost else {
            return Ok(());
        };
        self.quarantine(id);
        let block = self.position(id);
        Err(InvalidateError::LostBody { block })
    }

    /// Forgets that a block, its ancestors and descendants were found invalid, by rules or by an operator. Call
    /// [`Chain::activate_best`] after it.
    pub fn reconsider(&mut self, hash: &BlockHash) {
        if let Some(id) = self.tree.id_of(hash) {
            for id in self.tree.reconsider(id) {
                self.pending.touch(id);
            }
        }
    }

    /// Treats a block as if it were seen before all others of equal work. Call [`Chain::activate_best`] after it.
    pub fn prefer(&mut self, hash: &BlockHash) {
        if let Some(id) = self.tree.id_of(hash) {
            self.tree.prefer(id);
        }
    }
}
