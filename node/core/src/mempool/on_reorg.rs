//! Following the active chain: what blocks confirm or contradict goes, what blocks lost comes back, and with it what only they
//! contradicted.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{Transaction, Txid};
use chain::pause;
use chain::rules::transaction as rules;
use chain::{BlockPosition, CheckedBlock, Height, Reorg, StoreError, Timestamp};

use super::accept::{NextBlock, footing_of};
use super::entry::{Entry, Footing, memory_bytes};
use super::error::MempoolError;
use super::evict::EXPIRY_S;
use super::{Change, Mempool, RemovalReason, Surroundings};

/// Bytes of memory of what one reorg may give back to the mempool. The oldest come first: the younger may depend on them, and
/// are set aside.
const MAX_RETURNED_BYTES: usize = 20_000_000;

/// What a change of chains gives back to the mempool.
#[derive(Debug)]
pub struct Returning {
    transactions: Vec<Arc<Transaction>>,
    bytes: usize,
    room: usize,
}

impl Default for Returning {
    fn default() -> Returning {
        Returning {
            transactions: Vec::new(),
            bytes: 0,
            room: MAX_RETURNED_BYTES,
        }
    }
}

impl Returning {
    fn is_full(&self) -> bool {
        self.bytes >= self.room
    }

    fn add(&mut self, transaction: Arc<Transaction>) {
        self.bytes += memory_bytes(&transaction);
        self.transactions.push(transaction);
    }
}

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
        self.confirm_blocks(&reorg.connected, world, changes)?;
        let mut returning = Returning::default();
        if !reorg.disconnected.is_empty() {
            self.take_back_all(reorg, world, &mut returning, changes)?;
            return self.settle_on(reorg.fork.height, returning, world, changes);
        }
        if self.aside.added() != set_aside_before {
            // What was contradicted just now may have been all that kept another out.
            self.take_back_from_aside(world, &mut returning, changes)?;
        }
        self.note_change(world.now);
        Ok(returning.transactions)
    }

    /// Blocks have joined the active chain: their transactions go, and those that they contradict. The first half of
    /// [`Mempool::on_reorg`], for a change of chains that goes on.
    ///
    /// # Errors
    ///
    /// When the store cannot be read: fatal.
    pub fn confirm_blocks(
        &mut self,
        blocks: &[BlockPosition],
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        // While a chain is being fetched nothing is here: then no body need be read.
        if self.is_empty() && self.aside.is_empty() {
            return Ok(());
        }
        for position in blocks {
            if let Some(block) = world.chain.block(&position.hash)? {
                self.confirm(&block, position, world.now, changes);
            }
        }
        Ok(())
    }

    /// Takes back the transactions of a block that has left the active chain, while there is room in `returning`. What must wait
    /// for others is set aside. Gives how many transactions the block had.
    ///
    /// # Errors
    ///
    /// When the store cannot be read: fatal.
    pub fn take_back_block(
        &mut self,
        position: &BlockPosition,
        returning: &mut Returning,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<usize, StoreError> {
        if returning.is_full() {
            return Ok(0);
        }
        self.take_back_of(position, &mut |_| Ok(false), returning, world, changes)
    }

    /// After all that left the chain above `fork` was taken back: what is not valid on the new tip goes, and what was set aside is
    /// tried again. Gives all that came back and stays.
    ///
    /// # Errors
    ///
    /// When the store cannot be read: fatal.
    pub fn settle_on(
        &mut self,
        fork: Height,
        mut returning: Returning,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Vec<Arc<Transaction>>, StoreError> {
        self.drop_what_became_invalid(fork, world, changes)?;
        self.take_back_from_aside(world, &mut returning, changes)?;
        self.note_change(world.now);
        Ok(returning.transactions)
    }

    fn note_change(&mut self, now: Timestamp) {
        let oldest = now.0.saturating_sub(EXPIRY_S);
        self.aside.expire(Timestamp(oldest));
        self.refused.clear();
        self.note_block(now);
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
        self.graph.take_out_confirmed(txids, position.height);
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
        returning: &mut Returning,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let mut confirmed = None;
        let mut is_confirmed = |txid: &Txid| {
            let confirmed = match &mut confirmed {
                Some(confirmed) => confirmed,
                None => confirmed.insert(txids_of(&reorg.connected, world)?),
            };
            Ok(confirmed.contains(txid))
        };
        for position in reorg.disconnected.iter().rev() {
            self.take_back_of(position, &mut is_confirmed, returning, world, changes)?;
        }
        Ok(())
    }

    fn take_back_of(
        &mut self,
        position: &BlockPosition,
        is_confirmed: &mut dyn FnMut(&Txid) -> Result<bool, StoreError>,
        returning: &mut Returning,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<usize, StoreError> {
        let Some(block) = world.chain.block(&position.hash)? else {
            return Ok(0);
        };
        for (tx, txid) in block.block().txdata.iter().zip(block.txids()).skip(1) {
            let transaction = Arc::new(tx.clone());
            let result = match returning.is_full() {
                true => None,
                false => Some(self.take_back(Arc::clone(&transaction), world, changes)),
            };
            match result {
                Some(Ok(())) => returning.add(transaction),
                Some(Err(MempoolError::Store(error))) => return Err(error),
                // Not standard: then it stays away.
                Some(Err(refusal)) if !refusal.may_pass_on_another_branch() => {}
                // What finds no room waits beside it, as far as there is room.
                None | Some(Err(_)) => {
                    // Confirmed on the new side too, and all its outputs are spent again: that looks the same.
                    if !is_confirmed(txid)? {
                        self.aside.add(transaction, *txid, world.now);
                    }
                }
            }
        }
        Ok(block.txids().len())
    }

    /// Tries what was set aside, oldest first, until nothing more comes back. Of `returning` stays what finds room.
    fn take_back_from_aside(
        &mut self,
        world: &Surroundings<'_>,
        returning: &mut Returning,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let returned = &mut returning.transactions;
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
                break;
            }
        }
        self.evict_to_size(world.now, changes);
        returned.retain(|transaction| self.graph.get(&transaction.compute_txid()).is_some());
        Ok(())
    }

    fn drop_what_became_invalid(
        &mut self,
        fork: Height,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let place = NextBlock::of(world.chain);
        let mut invalid = BTreeSet::new();
        let mut moved = Vec::new();
        for entry in self.graph.entries() {
            if !rules::is_final(&entry.transaction, place.height, place.median_time_past) {
                invalid.insert(entry.txid);
            } else if stands_on_moved_ground(entry, fork, place, world) {
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
    fork: Height,
    place: NextBlock,
    world: &Surroundings<'_>,
) -> bool {
    let maturity = world.chain.params().coinbase_maturity;
    let immature = |height: Height| place.height.0.saturating_sub(height.0) < maturity;
    let footing = &entry.footing;
    footing.youngest_coin.is_some_and(|height| height > fork)
        || footing.youngest_coinbase.is_some_and(immature)
        || footing.relative_lock
}

#[cfg(test)]
mod tests;
