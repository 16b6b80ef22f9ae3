//! Writing to disk.

use std::path::Path;

use super::Chain;
use super::base::find_snapshot_base;
use super::write_out::Flush;
use crate::coins::CoinCache;
use crate::probe::Stage;
use crate::store::{Batch, CoinsAtTip, HeaderRow, OpenCommit, StoreError, block_key};
use crate::tree::NodeId;

/// Bytes of pending bodies and undo data above which [`Chain::flush_when_large`] writes them.
const LARGE_PENDING_BYTES: usize = 8 << 20;

/// Bytes of bodies that are committed by themselves when coins are about to follow, while signatures are under way, so that
/// there is less to make durable after the last verdict.
const WORTH_A_COMMIT_BYTES: usize = 1 << 20;

/// What a changed coin takes on disk, about, in bytes.
const COIN_BYTES: usize = 80;

impl Chain {
    /// Commits everything since the last flush in one redb transaction.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal. The disk then holds the state of the last flush.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        while let Err(error) = self.try_flush() {
            self.heal(error)?;
        }
        self.is_healthy();
        Ok(())
    }

    fn try_flush(&mut self) -> Result<(), StoreError> {
        self.settle_damaged();
        if self.pending.is_empty() && self.coins.change_count() == 0 {
            return Ok(());
        }
        let batch = Batch {
            coins: Some(self.coins_at(self.tip_id())),
            ..self.pending_batch()
        };
        self.commit(&batch)?;
        self.all_flushed();
        Ok(())
    }

    /// Commits headers, bodies and undo data, and leaves coins and tip on disk behind: cheap, for it only appends. After a
    /// crash the blocks above the stored tip are connected again by [`Chain::activate_best`].
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn flush_bodies(&mut self) -> Result<(), StoreError> {
        while let Err(error) = self.try_flush_bodies() {
            self.heal(error)?;
        }
        self.is_healthy();
        Ok(())
    }

    /// As [`Chain::flush_bodies`], while coins of blocks are applied that are not kept yet: nothing can be healed meanwhile.
    pub(super) fn try_flush_bodies(&mut self) -> Result<(), StoreError> {
        self.settle_damaged();
        if self.pending.is_empty() {
            return Ok(());
        }
        self.commit(&self.pending_batch())?;
        self.pending = Default::default();
        Ok(())
    }

    /// Commits what has grown large, for a sync or an import: coins when their cache is full, else bodies above 8 MiB. Not where the
    /// host does so: see [`Chain::leave_flushing_to_host`].
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn flush_when_large(&mut self) -> Result<(), StoreError> {
        if self.is_flushed_by_host {
            return Ok(());
        }
        match self.flush_due() {
            Some(Flush::Everything) => self.flush(),
            Some(Flush::Bodies) => self.flush_bodies(),
            None => Ok(()),
        }
    }

    /// Writes what has grown large, or everything if `all`, while other threads check the signatures of the blocks up to
    /// `tip`, whose coins are applied already. Coins count only if the verdicts are good: then
    /// [`Chain::finish_flush`] takes what this gives, else it is dropped.
    pub(super) fn begin_flush(
        &mut self,
        tip: NodeId,
        all: bool,
    ) -> Result<Option<OpenCommit>, StoreError> {
        let large = self.flush_due().filter(|_| !self.is_flushed_by_host);
        if all || large == Some(Flush::Everything) {
            if self.pending.bytes() > WORTH_A_COMMIT_BYTES {
                self.try_flush_bodies()?;
            }
            let batch = Batch {
                coins: Some(self.coins_at(tip)),
                bodies: self.pending_batch().bodies,
                ..Batch::default()
            };
            let open = self.store.begin_commit()?;
            self.store.write(&open, &batch, &self.params)?;
            return Ok(Some(open));
        }
        if large == Some(Flush::Bodies) {
            self.try_flush_bodies()?;
        }
        Ok(None)
    }

    /// Commits what [`Chain::begin_flush`] has begun: its `tip` is the tip now.
    pub(super) fn finish_flush(&mut self, open: OpenCommit) -> Result<(), StoreError> {
        let batch = Batch {
            bodies: Vec::new(),
            ..self.pending_batch()
        };
        self.probes.run(Stage::Commit, || {
            self.store.write(&open, &batch, &self.params)?;
            self.store.finish_commit(open)
        })?;
        self.all_flushed();
        Ok(())
    }

    pub(super) fn pending_is_large(&self) -> bool {
        self.pending.bytes() > LARGE_PENDING_BYTES
    }

    pub(super) fn coins_are_large(&self) -> bool {
        self.coins.memory_bytes() > self.coins_budget_bytes
    }

    pub(super) fn all_flushed(&mut self) {
        self.flushed = self.tip_id();
        self.coins.flushed(self.coins_budget_bytes / 2);
        self.pending = Default::default();
    }

    /// Bytes (about) that wait for the next flush; 0 when all is committed.
    pub fn unflushed_bytes(&self) -> usize {
        self.pending.bytes() + self.coins.change_count() * COIN_BYTES
    }

    /// Goes back to genesis without undo data, and forgets all coins, on disk too, and what rules said of blocks on the ground of
    /// these coins. The blocks stay, and what an operator said of them: [`Chain::activate_best`] connects them again.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn reset_to_genesis(&mut self) -> Result<(), StoreError> {
        let genesis = self.active[0];
        let mut coins = CoinCache::new();
        self.create_allocations(&mut coins);
        for id in self.tree.forget_failures() {
            self.pending.touch(id);
        }
        self.replace_coins(genesis, coins)
    }

    /// Makes `tip` the active tip with `coins`, whatever was active before, and forgets all other coins: on disk first, in one
    /// commit with what is pending.
    pub(super) fn replace_coins(
        &mut self,
        tip: NodeId,
        coins: CoinCache,
    ) -> Result<(), StoreError> {
        self.settle_damaged();
        let batch = Batch {
            forget_coins: true,
            coins: Some(CoinsAtTip {
                changes: coins.changes(),
                tip: self.tree.hash(tip),
            }),
            ..self.pending_batch()
        };
        self.commit(&batch)?;
        drop(batch);
        let genesis = self.active[0];
        self.active.truncate(1);
        self.active.extend(self.tree.path(genesis, tip));
        self.snapshot_base = find_snapshot_base(&self.tree, &self.active);
        self.coins = coins;
        self.tree.reset_tip(tip);
        self.all_flushed();
        Ok(())
    }

    /// Writes what is committed to a new database file.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        self.store.copy_to(path)
    }

    pub(super) fn commit(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        self.probes
            .run(Stage::Commit, || self.store.commit(batch, &self.params))
    }

    pub(super) fn coins_at(&self, tip: NodeId) -> CoinsAtTip<'_> {
        CoinsAtTip {
            changes: self.coins.changes(),
            tip: self.tree.hash(tip),
        }
    }

    pub(super) fn pending_batch(&self) -> Batch<'_> {
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
            ..Batch::default()
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
