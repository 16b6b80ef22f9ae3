//! What an operator may say against the rules' own judgement: `invalidateblock`, `reconsiderblock`, `preciousblock`.

use bitcoin::BlockHash;

use super::{BlockPosition, Chain, Reorg};
use crate::store::{StoreError, Table};
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
    /// Marks a block and its descendants invalid, by an operator's word. Call [`Chain::activate_best`] after it.
    ///
    /// Gives what was disconnected; nothing is connected yet. Genesis and unknown blocks are left alone.
    ///
    /// # Errors
    ///
    /// When a body that is needed for going back is not here, which is looked at before anything is changed; or when storage
    /// fails: fatal.
    pub fn invalidate(&mut self, hash: &BlockHash) -> Result<Option<Reorg>, InvalidateError> {
        self.settle_damaged();
        let Some((id, parent)) = self
            .tree
            .id_of(hash)
            .and_then(|id| Some((id, self.tree.parent(id)?)))
        else {
            return Ok(None);
        };
        let mut change = None;
        if self.is_active_id(id) {
            let above = self.tree.height(id).0 as usize;
            self.check_bodies_above(above)?;
            let disconnected = self.active[above..]
                .iter()
                .rev()
                .map(|&id| self.position(id))
                .collect();
            if !self.disconnect_to(parent, None)? {
                return Err(self.damaged_row(Table::Blocks, self.tip_id()).into());
            }
            change = Some(Reorg {
                fork: self.position(parent),
                disconnected,
                connected: Vec::new(),
            });
        }
        self.tree.mark_invalidated(id);
        self.pending.touch(id);
        Ok(change)
    }

    /// Reads the bodies of `active[first..]`, so that going back does not stop half-way. One that is damaged is quarantined.
    fn check_bodies_above(&mut self, first: usize) -> Result<(), InvalidateError> {
        if let Some(base) = self.snapshot_base()
            && first <= base.height.0 as usize
        {
            let base = base.height;
            return Err(InvalidateError::BelowSnapshot { base });
        }
        let path: Vec<NodeId> = self.active[first..].to_vec();
        for id in path.into_iter().rev() {
            if self.body(id)?.is_none() {
                self.quarantine(id);
                let block = self.position(id);
                return Err(InvalidateError::LostBody { block });
            }
        }
        Ok(())
    }

    /// Forgets that a block, its ancestors and descendants were found invalid, by rules or by an operator. Call [`Chain::activate_best`] after it.
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
