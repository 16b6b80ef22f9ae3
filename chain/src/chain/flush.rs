//! Writing to disk.

use std::path::Path;

use super::Chain;
use crate::coins::CoinCache;
use crate::probe::Stage;
use crate::store::{Batch, CoinsAtTip, HeaderRow, StoreError, block_key};
use crate::tree::NodeId;

/// Bytes of pending bodies and undo data above which [`Chain::flush_when_large`] writes them.
const LARGE_PENDING_BYTES: usize = 16 << 20;

/// What a changed coin takes on disk, about, in bytes.
const COIN_BYTES: usize = 80;

impl Chain {
    /// Commits everything since the last flush in one redb transaction.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal. The disk then holds the state of the last flush.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.settle_damaged();
        if self.pending.is_empty() && self.coins.change_count() == 0 {
            return Ok(());
        }
        let coins = CoinsAtTip {
            changes: self.coins.changes(),
            tip: self.tree.hash(self.tip_id()),
        };
        self.commit(&self.batch(Some(coins)))?;
        self.coins.flushed(self.coins_budget_bytes / 2);
        self.pending = Default::default();
        Ok(())
    }

    /// Commits headers, bodies and undo data, and leaves coins and tip on disk behind: cheap, for it only appends. After a
    /// crash the blocks above the stored tip are connected again by [`Chain::activate_best`].
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn flush_bodies(&mut self) -> Result<(), StoreError> {
        self.settle_damaged();
        if self.pending.is_empty() {
            return Ok(());
        }
        self.commit(&self.batch(None))?;
        self.pending = Default::default();
        Ok(())
    }

    /// Commits what has grown large, for a sync or an import: coins when their cache is full, else bodies above 16 MiB.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn flush_when_large(&mut self) -> Result<(), StoreError> {
        if self.coins.memory_bytes() > self.coins_budget_bytes {
            self.flush()
        } else if self.pending.bytes() > LARGE_PENDING_BYTES {
            self.flush_bodies()
        } else {
            Ok(())
        }
    }

    /// Bytes (about) that wait for the next flush; 0 when all is committed.
    pub fn unflushed_bytes(&self) -> usize {
        self.pending.bytes() + self.coins.change_count() * COIN_BYTES
    }

    /// Goes back to genesis without undo data, and forgets all coins, on disk too. The blocks stay:
    /// [`Chain::activate_best`] connects them again.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn reset_to_genesis(&mut self) -> Result<(), StoreError> {
        let genesis = self.active[0];
        let mut coins = CoinCache::new();
        self.create_allocations(&mut coins);
        self.replace_coins(genesis, coins)
    }

    /// Makes `tip` the active tip with `coins`, whatever was active before, and forgets all other coins, on disk too.
    pub(crate) fn replace_coins(
        &mut self,
        tip: NodeId,
        coins: CoinCache,
    ) -> Result<(), StoreError> {
        self.flush_bodies()?;
        let genesis = self.active[0];
        self.active.truncate(1);
        self.active.extend(self.tree.path(genesis, tip));
        self.coins = coins;
        self.tree.reset_tip(tip);
        let coins = CoinsAtTip {
            changes: self.coins.changes(),
            tip: self.tree.hash(tip),
        };
        let batch = Batch {
            forget_coins: true,
            ..self.batch(Some(coins))
        };
        self.commit(&batch)?;
        self.coins.flushed(self.coins_budget_bytes / 2);
        Ok(())
    }

    /// Writes what is committed to a new database file.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        self.store.copy_to(path)
    }

    fn commit(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        self.probes
            .run(Stage::Commit, || self.store.commit(batch, &self.params))
    }

    fn batch<'a>(&'a self, coins: Option<CoinsAtTip<'a>>) -> Batch<'a> {
        let key = |id: NodeId| block_key(self.tree.height(id), &self.tree.hash(id));
        let pending = &self.pending;
        Batch {
            headers: pending
                .headers
                .iter()
                .map(|&id| self.header_row(id))
                .collect(),
            bodies: pending
                .bodies
                .iter()
                .map(|(&id, body)| (key(id), body.clone()))
                .collect(),
            undo: pending
                .undo
                .iter()
                .map(|(&id, undo)| (key(id), undo.as_slice()))
                .collect(),
            coins,
            forget_coins: false,
        }
    }

    fn header_row(&self, id: NodeId) -> HeaderRow {
        let info = self.tree.info(id);
        HeaderRow {
            hash: info.hash,
            height: info.height,
            header: info.header,
            status: info.status,
            tx_count: info.tx_count,
        }
    }
}
