//! What an operator may say against the rules' own judgement: `invalidateblock`, `reconsiderblock`, `preciousblock`.

use bitcoin::BlockHash;

use super::{Chain, Reorg};
use crate::store::StoreError;

impl Chain {
    /// Marks a block and its descendants invalid, by an operator's word. Call [`Chain::activate_best`] after it.
    ///
    /// Gives what was disconnected; nothing is connected yet. Genesis and unknown blocks are left alone.
    ///
    /// # Errors
    ///
    /// When storage fails, or a body that is needed for going back is lost: fatal.
    pub fn invalidate(&mut self, hash: &BlockHash) -> Result<Option<Reorg>, StoreError> {
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
            let disconnected = self.active[above..]
                .iter()
                .rev()
                .map(|&id| self.position(id))
                .collect();
            if !self.disconnect_to(parent, None)? {
                let lost = self.tree.hash(self.tip_id());
                return Err(StoreError::damaged(format_args!("block {lost}")));
            }
            change = Some(Reorg {
                fork: self.position(parent),
                disconnected,
                connected: Vec::new(),
            });
        }
        self.mark_failed(id);
        Ok(change)
    }

    /// Forgets that a block, its ancestors and descendants were found invalid. Call [`Chain::activate_best`] after it.
    pub fn reconsider(&mut self, hash: &BlockHash) {
        if let Some(id) = self.tree.id_of(hash) {
            for id in self.tree.clear_failed(id) {
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
