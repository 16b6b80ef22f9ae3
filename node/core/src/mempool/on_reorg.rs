//! Following the active chain: what blocks confirm or contradict goes, what blocks lost comes back, and with it what only they
//! contradicted.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{Transaction, Txid};
use chain::pause;
use chain::rules::transaction as rules;
use chain::{BlockPosition, CheckedBlock, Reorg, StoreError, Timestamp};

use super::accept::{NextBlock, footing_of};
use super::entry::{Entry, Footing, memory_bytes};
use super::error::MempoolError;
use super::evict::EXPIRY_S;
use super::{Change, Mempool, RemovalReason, Surroundings};

/// Bytes of memory of what one reorg may give back to the mempool. The oldest come first: the younger may depend on them, and
/// are set aside.
const MAX_RETURNED_BYTES: usize = 20_000_000;

impl Mempool {
    /// Follows a change of the active chain that has happened.
    ///
    /// Transactions of connected blocks go, and those that they contradict. Transactions of disconnected blocks come back,
    /// oldest first. What is not valid on the new tip goes: spends of lost coins or of coinbases that are immature again, and
    /// what is locked again.
    ///
    /// What went because the chain contradicts it is set aside, and tried again here. Gives what came back so: others may not
    /// have it any more.
    ///
    /// # Errors
    ///
    /// When the store cannot be read: fatal.
    pub fn on_reorg(
        &mut self,
        reorg: &Reorg,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Arc<Transaction>>, StoreError> {
        let set_aside_before = self.aside.added();
        // While a chain is being fetched nothing is here: then no body need be read.
        if !(self.is_empty() && self.aside.is_empty()) {
            for position in &reorg.connected {
                if let Some(block) = world.chain.block(&position.hash)? {
                    self.confirm(&block, position, world.now, changes);
                }
            }
        }
        let gave_back = !reorg.disconnected.is_empty();
        let mut returned = Vec::new();
        if gave_back {
            self.take_back_all(reorg, world, &mut returned, changes)?;
            self.drop_what_became_invalid(reorg, world, changes)?;
        }
        // What was contradicted just now may have been all that kept another out.
        if gave_back || self.aside.added() != set_aside_before {
            self.take_back_from_aside(world, &mut returned, changes)?;
            self.evict_to_size(world.now, changes);
            returned.retain(|transaction| self.graph.get(&transaction.compute_txid()).is_some());
        }
        let oldest = world.now.0.saturating_sub(EXPIRY_S);
        self.aside.expire(Timestamp(oldest));
        self.refused.clear();
        self.note_block(world.now);
        Ok(returned)
    }

    fn confirm(
        &mut self,
        block: &CheckedBlock,
        position: &BlockPosition,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let mut confirmed = Vec::new();
        for (tx, txid) in block.block().txdata.iter().zip(block.txids()).skip(1) {
            pause::point();
            if self.graph.get(txid).is_some() {
                confirmed.push(*txid);
                continue;
            }
            self.aside.remove(txid);
            let conflicts = self.conflicts_of(tx);
            if !conflicts.is_empty() {
                self.remove_confirmed(&std::mem::take(&mut confirmed), position, changes);
                let gone = self.graph.with_descendants(conflicts);
                self.set_aside(&gone, RemovalReason::Conflict, now, changes);
            }
        }
        self.remove_confirmed(&confirmed, position, changes);
    }

    /// Removes entries that the block at `position` holds, in its order.
    fn remove_confirmed(
        &mut self,
        txids: &[Txid],
        position: &BlockPosition,
        changes: &mut Vec<Change>,
    ) {
        self.graph.remove_confirmed(txids, position.height);
        self.sequence += txids.len() as u64;
        let removed = |txid: &Txid| Change::Removed(*txid, RemovalReason::Confirmed);
        changes.extend(txids.iter().map(removed));
    }

    /// Removes a set that is closed under descendants, and keeps it for another change of the chain.
    fn set_aside(
        &mut self,
        set: &BTreeSet<Txid>,
        reason: RemovalReason,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        for txid in self.graph.ancestors_first(set) {
            if let Some(entry) = self.graph.get(&txid) {
                let transaction = Arc::clone(&entry.transaction);
                self.aside.add(transaction, txid, now);
            }
        }
        self.remove_all(set, reason, changes);
    }

    fn take_back_all(
        &mut self,
        reorg: &Reorg,
        world: &Surroundings<'_>,
        returned: &mut Vec<Arc<Transaction>>,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let mut bytes = 0;
        let mut confirmed = None;
        for position in reorg.disconnected.iter().rev() {
            let Some(block) = world.chain.block(&position.hash)? else {
                continue;
            };
            for (tx, txid) in block.block().txdata.iter().zip(block.txids()).skip(1) {
                let transaction = Arc::new(tx.clone());
                let full = bytes >= MAX_RETURNED_BYTES;
                let result = match full {
                    true => None,
                    false => Some(self.take_back(Arc::clone(&transaction), world, changes)),
                };
                match result {
                    Some(Ok(())) => {
                        bytes += memory_bytes(tx);
                        returned.push(transaction);
                    }
                    Some(Err(MempoolError::Store(error))) => return Err(error),
                    // Not standard: then it stays away.
                    Some(Err(refusal)) if !refusal.may_pass_on_another_branch() => {}
                    // What finds no room waits beside it, as far as there is room.
                    None | Some(Err(_)) => {
                        // Confirmed on the new side too, and all its outputs are spent again: that looks the same.
                        let confirmed = match &mut confirmed {
                            Some(confirmed) => confirmed,
                            None => confirmed.insert(txids_of(&reorg.connected, world)?),
                        };
                        if !confirmed.contains(txid) {
                            self.aside.add(transaction, *txid, world.now);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Tries what was set aside, oldest first, until nothing more comes back.
    fn take_back_from_aside(
        &mut self,
        world: &Surroundings<'_>,
        returned: &mut Vec<Arc<Transaction>>,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        loop {
            let before = returned.len();
            for (txid, transaction) in self.aside.oldest_first() {
                match self.take_back(Arc::clone(&transaction), world, changes) {
                    Ok(()) => returned.push(transaction),
                    Err(MempoolError::Store(error)) => return Err(error),
                    Err(refusal) if refusal.may_pass_on_another_branch() => {}
                    Err(_) => self.aside.remove(&txid),
                }
            }
            if returned.len() == before {
                return Ok(());
            }
        }
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
        self.set_aside(&gone, RemovalReason::Reorg, world.now, changes);
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

/// The transactions of some blocks.
fn txids_of(
    blocks: &[BlockPosition],
    world: &Surroundings<'_>,
) -> Result<BTreeSet<Txid>, StoreError> {
    let mut txids = BTreeSet::new();
    for position in blocks {
        if let Some(block) = world.chain.block(&position.hash)? {
            txids.extend(block.txids());
        }
    }
    Ok(txids)
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
