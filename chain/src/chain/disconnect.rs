//! Taking blocks back. Coins are written back by size on the way, and the tip on disk goes down with them: however deep it goes,
//! memory is bounded, and after a crash the tip is one on the way.

use super::Chain;
use crate::coins::undo_fits;
use crate::rules::spend::SignatureCache;
use crate::store::{StoreError, Table};
use crate::tree::NodeId;

impl Chain {
    /// Takes blocks back until `fork` is the tip, or until `max_transactions` (about) were taken back: one block at least. Stops
    /// above a block whose body is lost, which is not told: it is out of reach then.
    ///
    /// What leaves often comes back in other blocks: its signatures are remembered in `signatures`.
    pub(super) fn disconnect_towards(
        &mut self,
        fork: NodeId,
        max_transactions: usize,
        signatures: &SignatureCache,
    ) -> Result<(), StoreError> {
        let mut taken_back = 0;
        // Healing in a flush may have moved the tip elsewhere.
        while self.is_active_id(fork) && self.tip_id() != fork && taken_back < max_transactions {
            let tip = self.tip_id();
            let Some(body) = self.body(tip)? else {
                self.quarantine(tip);
                return Ok(());
            };
            let undo = self.undo_by_id(tip)?;
            if !undo_fits(&body, &undo) {
                return Err(self.damaged_row(Table::Undo, tip));
            }
            self.coins
                .disconnect_block(&body, self.tree.height(tip), &undo);
            self.active.pop();
            self.tree.set_tip(self.tip_id());
            taken_back += body.txids().len();
            for wtxid in body.wtxids().iter().skip(1) {
                signatures.insert(*wtxid);
            }
            self.flush_when_large()?;
        }
        Ok(())
    }

    /// Transactions of the active blocks above `fork`.
    pub(super) fn transactions_above(&self, fork: NodeId) -> usize {
        let above = self.active[self.tree.height(fork).0 as usize + 1..].iter();
        above.map(|&id| self.tree.tx_count(id)).sum()
    }
}
