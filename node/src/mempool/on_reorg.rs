//! Following the active chain: what blocks confirm or contradict goes, what blocks lost comes back.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::Txid;
use chain::rules::transaction as rules;
use chain::{BlockPosition, CheckedBlock, Reorg, StoreError};

use super::accept::{NextBlock, footing_of};
use super::entry::{Entry, Footing, memory_bytes};
use super::error::MempoolError;
use super::{Change, Mempool, RemovalReason, Surroundings};

/// Bytes of memory of what one reorg may give back. The oldest come first: the younger may depend on them.
const MAX_RETURNED_BYTES: usize = 20_000_000;

impl Mempool {
    /// Follows a change of the active chain that has happened.
    ///
    /// Transactions of connected blocks go, and those that they contradict. Transactions of disconnected blocks come back,
    /// oldest first. What is not valid on the new tip goes: spends of lost coins or of coinbases that are immature again, and
    /// what is locked again.
    ///
    /// # Errors
    ///
    /// When the store cannot be read: fatal.
    pub fn on_reorg(
        &mut self,
        reorg: &Reorg,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        // While a chain is being fetched nothing is here: then no body need be read.
        if !self.is_empty() {
            for position in &reorg.connected {
                if let Some(block) = world.chain.block(&position.hash)? {
                    self.confirm(&block, position, changes);
                }
            }
        }
        if !reorg.disconnected.is_empty() {
            self.take_back_all(reorg, world, changes)?;
            self.drop_what_became_invalid(reorg, world, changes)?;
            self.evict_to_size(world.now, changes);
        }
        self.refused.clear();
        self.note_block(world.now);
        Ok(())
    }

    fn confirm(
        &mut self,
        block: &CheckedBlock,
        position: &BlockPosition,
        changes: &mut Vec<Change>,
    ) {
        for (tx, txid) in block.block().txdata.iter().zip(block.txids()).skip(1) {
            if let Some(entry) = self.graph.get(txid) {
                for child in entry.children.clone() {
                    self.note_confirmed_parent(&child, position);
                }
                self.remove_one(txid, RemovalReason::Confirmed, changes);
                continue;
            }
            let conflicts = self.conflicts_of(tx);
            if !conflicts.is_empty() {
                let gone = self.graph.with_descendants(conflicts);
                self.remove_all(&gone, RemovalReason::Conflict, changes);
            }
        }
    }

    fn note_confirmed_parent(&mut self, child: &Txid, position: &BlockPosition) {
        let Some(entry) = self.graph.get(child) else {
            return;
        };
        let youngest_coin = entry.footing.youngest_coin.max(Some(position.height));
        let footing = Footing {
            youngest_coin,
            ..entry.footing
        };
        self.graph.set_footing(child, footing);
    }

    fn take_back_all(
        &mut self,
        reorg: &Reorg,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let mut bytes = 0;
        for position in reorg.disconnected.iter().rev() {
            let Some(block) = world.chain.block(&position.hash)? else {
                continue;
            };
            for tx in block.block().txdata.iter().skip(1) {
                bytes += memory_bytes(tx);
                if bytes > MAX_RETURNED_BYTES {
                    return Ok(());
                }
                // Confirmed on the new side too, contradicted by it, or not standard: then it stays away.
                if let Err(MempoolError::Store(error)) =
                    self.take_back(Arc::new(tx.clone()), world, changes)
                {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn drop_what_became_invalid(
        &mut self,
        reorg: &Reorg,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let place = NextBlock::of(world.chain);
        let mut invalid = BTreeSet::new();
        let mut moved = Vec::new();
        for entry in self.graph.entries() {
            if !rules::is_final(&entry.transaction, place.height, place.median_time_past) {
                invalid.insert(entry.txid);
            } else if stands_on_moved_ground(entry, reorg, place, world) {
                match self.recheck(entry, place, world) {
                    Ok(footing) => moved.push((entry.txid, footing)),
                    Err(MempoolError::Store(error)) => return Err(error),
                    Err(_) => {
                        invalid.insert(entry.txid);
                    }
                }
            }
        }
        for (txid, footing) in moved {
            self.graph.set_footing(&txid, footing);
        }
        let gone = self.graph.with_descendants(invalid);
        self.remove_all(&gone, RemovalReason::Reorg, changes);
        Ok(())
    }

    /// Checks an entry again on the new tip: its coins, their maturity and its relative locks. Signatures stay good.
    fn recheck(
        &self,
        entry: &Entry,
        place: NextBlock,
        world: &Surroundings<'_>,
    ) -> Result<Footing, MempoolError> {
        let tx = &entry.transaction;
        let coins = self.coins_of(tx, entry.txid, world.chain)?;
        rules::check_amounts(tx, &coins, place.height, world.chain.params())?;
        place.check_relative_locks(tx, &coins, world.chain)?;
        Ok(footing_of(tx, &coins, place.height))
    }
}

/// Whether the reorg may have changed what an entry stands on: a coin above the fork, a coinbase that is too young for the
/// new height, or a relative lock.
fn stands_on_moved_ground(
    entry: &Entry,
    reorg: &Reorg,
    place: NextBlock,
    world: &Surroundings<'_>,
) -> bool {
    let maturity = world.chain.params().coinbase_maturity;
    let immature = |height: chain::Height| place.height.0.saturating_sub(height.0) < maturity;
    let footing = &entry.footing;
    footing
        .youngest_coin
        .is_some_and(|height| height > reorg.fork.height)
        || footing.youngest_coinbase.is_some_and(immature)
        || footing.relative_lock
}
