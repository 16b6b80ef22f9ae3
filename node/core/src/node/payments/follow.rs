//! Following the chain.

use std::sync::Arc;

use bitcoin::Transaction;
use chain::{Reorg, StoreError};

use super::{Payments, Scope, tell_changes};
use crate::mempool::Surroundings;

/// Transactions that are gossiped anew when a change of the chain gives them back or makes them good again. Further ones are
/// found by peers that compare mempools.
const MAX_PUBLISHED_AGAIN: usize = 1_000;

impl Payments {
    /// Follows a change of the active chain that has happened, or a step of one that goes on.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(in crate::node) fn follow(
        &mut self,
        reorg: &Reorg,
        scope: &mut Scope<'_>,
    ) -> Result<(), StoreError> {
        if self.note_deep_step(reorg, scope)? {
            return Ok(());
        }
        let returned = self.follow_quietly(reorg, scope)?;
        publish_again(returned, scope);
        self.adopt_orphans_of_blocks(reorg, scope)
    }

    /// As [`Payments::follow`], at once, without a word to others. Gives what came back.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(in crate::node) fn follow_quietly(
        &mut self,
        reorg: &Reorg,
        scope: &mut Scope<'_>,
    ) -> Result<Vec<Arc<Transaction>>, StoreError> {
        let mut changes = Vec::new();
        let world = Surroundings {
            chain: scope.chain,
            signatures: &self.signatures,
            now: scope.now,
        };
        let returned = self.pool.on_reorg(reorg, &world, &mut changes);
        tell_changes(&changes, scope.out);
        returned
    }

    /// Tries orphans whose parents were in new blocks.
    fn adopt_orphans_of_blocks(
        &mut self,
        reorg: &Reorg,
        scope: &mut Scope<'_>,
    ) -> Result<(), StoreError> {
        for position in &reorg.connected {
            if self.orphans.is_empty() {
                return Ok(());
            }
            if let Some(block) = scope.chain.block(&position.hash)? {
                for txid in block.txids() {
                    self.adopt_children(*txid, scope)?;
                }
            }
        }
        Ok(())
    }
}

/// Gossips what a change of the chain gave back: others may not have it any more. Everyone under a name of its own: who has not
/// changed over yet cannot use it, and does not pass it on.
pub(super) fn publish_again(returned: Vec<Arc<Transaction>>, scope: &mut Scope<'_>) {
    for transaction in returned.into_iter().take(MAX_PUBLISHED_AGAIN) {
        scope.publish_again(transaction);
    }
}
