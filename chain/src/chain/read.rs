//! Reading: what is pending first, then the disk. Never changes anything but the list of damaged bodies.

use std::sync::Arc;

use bitcoin::{BlockHash, OutPoint};

use super::coins::ReadOnlyView;
use super::{CacheBudgets, Chain};
use crate::block::CheckedBlock;
use crate::coins::encoding::decode_undo;
use crate::coins::{Cached, Coin, CoinSetStats, CoinView, StatsBuilder, Visit, merge};
use crate::store::{Damage, Extent, Place, Snapshot, StoreError, Table, block_key};
use crate::tree::NodeId;

impl Chain {
    /// A body, checked against its hash on the way. `None`: not stored (or found damaged, and now quarantined).
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn block(&self, hash: &BlockHash) -> Result<Option<Arc<CheckedBlock>>, StoreError> {
        match self.tree.id_of(hash) {
            Some(id) => self.body(id),
            None => Ok(None),
        }
    }

    pub(super) fn body(&self, id: NodeId) -> Result<Option<Arc<CheckedBlock>>, StoreError> {
        let Some(stored) = self.stored_body(id)? else {
            return Ok(None);
        };
        let body = stored.open();
        if body.is_none() {
            self.damaged_set().insert(self.tree.hash(id));
        }
        Ok(body)
    }

    /// Bodies that were found damaged or lost, to be fetched again by hash and given to [`Chain::restore_body`].
    pub fn damaged(&self) -> Vec<BlockHash> {
        self.damaged_set().iter().copied().collect()
    }

    /// Whether reading found damage that [`Chain::settle_damaged`] has not dealt with.
    pub fn has_new_damage(&self) -> bool {
        let has_body = |hash| self.tree.get(hash).is_some_and(|info| info.status.has_body);
        self.damaged_set().iter().any(has_body)
    }

    /// Lets the tree know of bodies that reading found damaged: they count as missing from now on, and after the next flush
    /// also when the chain is opened again.
    pub fn settle_damaged(&mut self) {
        for hash in self.damaged() {
            let known = self.tree.id_of(&hash);
            if let Some(id) = known.filter(|&id| self.tree.status(id).has_body) {
                self.quarantine(id);
            }
        }
    }

    /// The body of `id` is no good: it is not served, and another is wanted. That of genesis is known.
    pub(super) fn quarantine(&mut self, id: NodeId) {
        if self.tree.parent(id).is_none() {
            self.damaged_set().remove(&self.tree.hash(id));
            self.add_genesis_body();
            self.cure_counts.bodies += 1;
            return;
        }
        self.damaged_set().insert(self.tree.hash(id));
        self.pending.remove_body(id);
        self.pending.touch(id);
        let is_active = self.is_active_id(id);
        self.tree.remove_body(id, is_active);
    }

    /// The coins that a block spent, in input order (for fees and `getblock` verbosity 3); `None` if never connected.
    ///
    /// # Errors
    ///
    /// When storage fails; or the data are damaged, and bodies that would tell are lost too.
    pub fn undo(&self, hash: &BlockHash) -> Result<Option<Vec<Coin>>, StoreError> {
        match self.tree.id_of(hash) {
            Some(id) if self.tree.status(id).connected => self.undo_by_id(id).map(Some),
            _ => Ok(None),
        }
    }

    pub(super) fn undo_by_id(&self, id: NodeId) -> Result<Vec<Coin>, StoreError> {
        match self.stored_undo(id) {
            Err(error) if error.damage.is_some() => self.undo_instead(id, error),
            undo => undo,
        }
    }

    fn stored_undo(&self, id: NodeId) -> Result<Vec<Coin>, StoreError> {
        let damaged = || self.damaged_row(Table::Undo, id);
        if let Some(undo) = self.pending.undo.get(&id) {
            return decode_undo(undo).map_err(|_| damaged());
        }
        let key = block_key(self.tree.height(id), &self.tree.hash(id));
        let undo = self
            .store
            .read(|disk| disk.undo(&key))?
            .ok_or_else(damaged)?;
        decode_undo(&undo).map_err(|_| damaged())
    }

    /// The row of a block in `table` is lost, or not of this block.
    pub(super) fn damaged_row(&self, table: Table, id: NodeId) -> StoreError {
        StoreError::damaged(Damage {
            table: Some(table),
            place: Place::Block(self.position(id)),
            extent: Extent::Row,
            problem: "it is lost, or of another block".to_owned(),
        })
    }

    /// An unspent coin of the active chain.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        match self.store.read(|disk| self.view(disk).coin(outpoint)) {
            Err(error) if error.damage.is_some() => {
                let coin = self.coin_instead(outpoint, error)?;
                Ok(coin.map(|coin| coin.unpack()))
            }
            found => found,
        }
    }

    /// As [`Chain::coin`], for whoever tells others: that a coin is not there is proved, too. That takes some 50 µs.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn proved_coin(&self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        let found = self.coin(outpoint)?;
        if found.is_some() || !matches!(self.coins.get(outpoint), Cached::Unknown) {
            return Ok(found);
        }
        let found = self.absent_coin(outpoint)?;
        Ok(found.map(|coin| coin.unpack()))
    }

    /// The coins of the tip, on the disk as `disk` shows it.
    pub(super) fn view<'a>(&'a self, disk: &'a Snapshot) -> ReadOnlyView<'a> {
        ReadOnlyView {
            cache: &self.coins,
            disk,
        }
    }

    /// Totals and hashes of all unspent coins, equal to Bitcoin Core's `gettxoutsetinfo`. `with_serialized` asks for
    /// `hash_serialized_3` as well.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn coin_set_stats(&self, with_serialized: bool) -> Result<CoinSetStats, StoreError> {
        let mut stats = StatsBuilder::new(with_serialized);
        self.for_each_packed_coin(&mut |outpoint, coin| {
            stats.add(outpoint, coin);
            Ok(())
        })?;
        Ok(stats.finish())
    }

    /// Calls `visit` with every unspent coin in order of txid and index. `visit` must not wait for anything: a database
    /// reader is open meanwhile.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal; or what `visit` returns.
    pub fn for_each_coin(
        &self,
        mut visit: impl FnMut(OutPoint, Coin) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.for_each_packed_coin(&mut |outpoint, coin| visit(outpoint, coin.unpack()))
    }

    /// Disk and cache merged, in key order.
    pub(crate) fn for_each_packed_coin(
        &self,
        visit: &mut Visit<'_, StoreError>,
    ) -> Result<(), StoreError> {
        let changes = self.coins.changes();
        self.store
            .read(|disk| {
                let mend = |outpoint, error| match self.coins.get(&outpoint) {
                    Cached::Unspent(coin) => Ok(Some(coin)),
                    Cached::Spent => Ok(None),
                    Cached::Unknown => self.coin_instead_on_a_walk(&outpoint, error),
                };
                merge(&changes, |base| disk.for_each_coin(mend, base), visit)
            })
            .inspect_err(|error| self.note_error(error))
    }

    /// How much memory coins and pages of the database may take.
    pub fn cache_budgets(&self) -> CacheBudgets {
        CacheBudgets {
            database_bytes: self.store.cache_bytes(),
            coins_bytes: self.coins_budget_bytes,
        }
    }

    /// Bytes of memory that coins take now.
    pub fn coins_memory_bytes(&self) -> usize {
        self.coins.memory_bytes()
    }

    /// Bytes that the coins take in the database file, 0 before the first flush in memory.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn coins_disk_bytes(&self) -> Result<u64, StoreError> {
        self.store.read(|disk| disk.coins_disk_bytes())
    }
}
