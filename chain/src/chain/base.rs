//! The block of a snapshot of coins, below which a chain has no bodies: see [`crate::snapshot`].

use super::{BlockPosition, Chain, Reorg};
use crate::coins::CoinCache;
use crate::store::StoreError;
use crate::tree::{BlockTree, NodeId};

impl Chain {
    /// The block whose coins came from a snapshot, if the chain began with one: it and blocks below were not validated here,
    /// and the chain cannot be taken back below it.
    pub fn snapshot_base(&self) -> Option<BlockPosition> {
        self.snapshot_base.map(|id| self.position(id))
    }

    /// Whether a block belongs to the active chain and was left out because of a snapshot.
    pub fn is_below_snapshot(&self, hash: &bitcoin::BlockHash) -> bool {
        let (Some(base), Some(id)) = (self.snapshot_base, self.tree.id_of(hash)) else {
            return false;
        };
        self.is_active_id(id)
            && self.tree.height(id) <= self.tree.height(base)
            && !self.tree.status(id).connected
    }

    /// Makes `base` the active tip with the coins of a snapshot.
    pub(crate) fn move_to_snapshot(
        &mut self,
        base: NodeId,
        coins: CoinCache,
    ) -> Result<Reorg, StoreError> {
        let old_tip = self.tip_id();
        self.replace_coins(base, coins)?;
        Ok(self
            .change_since(old_tip)
            .expect("a snapshot has more work than the tip"))
    }
}

/// The highest active block that was never connected here: that of a snapshot.
pub(super) fn find_snapshot_base(tree: &BlockTree, active: &[NodeId]) -> Option<NodeId> {
    let never_connected = |id: &&NodeId| !tree.status(**id).connected;
    active.iter().rev().find(never_connected).copied()
}
