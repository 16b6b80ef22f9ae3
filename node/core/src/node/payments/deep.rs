//! [`DeepChange`]: a change of chains that takes many steps. Peers and people are answered in between, so the mempool follows in
//! steps as well: what joins is confirmed at once, what left is taken back when the new tip is reached.

use std::sync::Arc;

use bitcoin::Transaction;
use chain::{Reorg, StoreError};

use super::follow::publish_again;
use super::{Payments, Scope, tell_changes};
use crate::mempool::{Change, Mempool, Returning, Surroundings};

/// Transactions that are taken back in one step.
const TRANSACTIONS_PER_STEP: usize = 256;

/// A change of chains that goes on.
#[derive(Debug)]
pub(super) struct DeepChange {
    /// What has changed so far.
    reorg: Reorg,
    /// Blocks whose transactions were taken back, of `reorg.disconnected` from its end on.
    taken_back: usize,
    returning: Returning,
}

impl Payments {
    /// Takes note of a step of a deep change, if there is one: the mempool then follows in steps. `false`: it is an ordinary change.
    pub(super) fn note_deep_step(
        &mut self,
        step: &Reorg,
        scope: &mut Scope<'_>,
    ) -> Result<bool, StoreError> {
        let goes_on = scope.chain.is_between_chains();
        let arrives = self.deep.as_ref().is_some_and(|deep| deep.taken_back == 0) && !goes_on;
        if !goes_on && !arrives {
            return Ok(false);
        }
        let reorg = match self.deep.take() {
            Some(deep) => deep.reorg.then(step.clone()),
            None => step.clone(),
        };
        self.deep = Some(DeepChange {
            reorg,
            taken_back: 0,
            returning: Returning::default(),
        });
        let mut changes = Vec::new();
        let world = Surroundings {
            chain: scope.chain,
            signatures: &self.signatures,
            now: scope.now,
        };
        let followed = self
            .pool
            .confirm_blocks(&step.connected, &world, &mut changes);
        tell_changes(&changes, scope.out);
        followed.map(|()| true)
    }

    /// Whether the mempool waits for the end of a deep change.
    pub(in crate::node) fn is_changing_deeply(&self) -> bool {
        self.deep.is_some()
    }

    /// Takes some transactions back, if a deep change has come to its new tip. After the last the mempool is that of the tip.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(in crate::node) fn continue_deep_change(
        &mut self,
        scope: &mut Scope<'_>,
    ) -> Result<(), StoreError> {
        if self.deep.is_none() || scope.chain.is_between_chains() {
            return Ok(());
        }
        let Some(mut deep) = self.deep.take() else {
            return Ok(());
        };
        let mut changes = Vec::new();
        let world = Surroundings {
            chain: scope.chain,
            signatures: &self.signatures,
            now: scope.now,
        };
        let result = deep.take_back_some(&mut self.pool, &world, &mut changes);
        tell_changes(&changes, scope.out);
        match result? {
            None => self.deep = Some(deep),
            Some(returned) => publish_again(returned, scope),
        }
        Ok(())
    }
}

impl DeepChange {
    /// Takes transactions of the next blocks back, oldest first. After the last it gives what came back because others did.
    fn take_back_some(
        &mut self,
        mempool: &mut Mempool,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Option<Vec<Arc<Transaction>>>, StoreError> {
        let mut count = 0;
        let left = self.reorg.disconnected.iter().rev();
        for position in left.skip(self.taken_back) {
            if count >= TRANSACTIONS_PER_STEP {
                return Ok(None);
            }
            self.taken_back += 1;
            // A change that came meanwhile may have brought it back.
            if !world.chain.is_active(&position.hash) {
                let returning = &mut self.returning;
                count += mempool.take_back_block(position, returning, world, changes)?;
            }
        }
        let returning = std::mem::take(&mut self.returning);
        let returned = mempool.settle_on(self.reorg.fork.height, returning, world, changes)?;
        Ok(Some(returned))
    }
}
