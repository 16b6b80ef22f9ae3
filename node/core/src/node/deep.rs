//! [`DeepChange`]: a change of chains that takes many steps. Peers and people are answered in between, so the mempool follows in
//! steps as well: what joins is confirmed at once, what left is taken back when the new tip is reached.

use std::sync::Arc;

use bitcoin::Transaction;
use chain::{Reorg, StoreError};

use super::output::tell_changes;
use super::{NodeCore, Output};
use crate::mempool::{Change, Mempool, Returning, Surroundings};
use crate::now::Now;

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

impl NodeCore {
    /// Takes note of a step of a deep change, if there is one: the mempool then follows in steps. `false`: it is an ordinary change.
    pub(super) fn note_deep_step(
        &mut self,
        now: Now,
        step: &Reorg,
        out: &mut Vec<Output>,
    ) -> Result<bool, StoreError> {
        let arrives = match &self.deep {
            Some(deep) => deep.taken_back == 0 && !self.chain.is_between_chains(),
            None => false,
        };
        if !self.chain.is_between_chains() && !arrives {
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
            chain: &self.chain,
            signatures: &self.signatures,
            now: now.wall,
        };
        let followed = self
            .mempool
            .confirm_blocks(&step.connected, &world, &mut changes);
        tell_changes(&changes, out);
        followed.map(|()| true)
    }

    /// Whether the mempool waits for the end of a deep change.
    pub(super) fn is_changing_deeply(&self) -> bool {
        self.deep.is_some()
    }

    /// Takes some transactions back, if a deep change has come to its new tip. After the last the mempool is that of the tip.
    pub(super) fn continue_deep_change(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.chain.is_between_chains() {
            return;
        }
        let Some(mut deep) = self.deep.take() else {
            return;
        };
        let mut changes = Vec::new();
        let world = Surroundings {
            chain: &self.chain,
            signatures: &self.signatures,
            now: now.wall,
        };
        let result = deep.take_back_some(&mut self.mempool, &world, &mut changes);
        tell_changes(&changes, out);
        match result {
            Ok(None) => self.deep = Some(deep),
            Ok(Some(returned)) => self.publish_again(returned, out),
            Err(error) => self.fail(error, out),
        }
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
