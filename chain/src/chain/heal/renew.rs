//! A new database in the place of a damaged one, from all bodies that can be read.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::Chain;
use super::Cure;
use crate::chain::{ChainOptions, StepLimit};
use crate::params::Params;
use crate::rules::spend::SignatureCache;
use crate::store::{Damage, DirectoryLock, Store, StoreError};

/// What is done between two looks at memory.
const STEP: StepLimit = StepLimit {
    blocks: 100,
    transactions: usize::MAX,
};

impl Chain {
    /// A chain of genesis alone in a new database beside that of the directory: see [`Chain::take_name`].
    pub(crate) fn unnamed(
        lock: &DirectoryLock,
        params: Arc<Params>,
        options: ChainOptions,
    ) -> Result<Chain, StoreError> {
        let store = Store::unnamed(lock, options.database_bytes())?;
        Ok(Chain::at_genesis(store, params, options))
    }

    /// Takes the place of the directory's database, which is kept under the name that is given.
    pub(crate) fn take_name(&mut self) -> Result<Option<PathBuf>, StoreError> {
        self.flush()?;
        self.store.take_name()
    }

    /// Makes a new database from the headers in memory and all bodies that can still be read, connects them with all checks,
    /// and puts it in the place of this one, whose file is kept under another name. What rules said of blocks is judged anew;
    /// what an operator said stays. Bodies that cannot be read are [`Chain::damaged`] after it.
    ///
    /// Everything is made beside the damaged file, which is left as it is until the new one is whole.
    pub(super) fn renew(&mut self, damage: &Damage) -> Result<(), StoreError> {
        let options = ChainOptions {
            cache_bytes: self.store.cache_bytes() + self.coins_budget_bytes,
        };
        let old_tip = self.tip_id();
        let store = self.store.beside()?;
        let mut new = Chain::at_genesis(store, Arc::clone(&self.params), options);
        new.tree = self.tree.clone();
        new.tree.forget_blocks();
        let (mut bodies, mut lost) = (0, 0);
        for id in self.tree.ids().skip(1) {
            new.pending.touch(id);
            let was_here = self.tree.status(id).has_body;
            match self.body(id) {
                Ok(Some(body)) => {
                    bodies += 1;
                    let transactions = u32::try_from(body.txids().len()).expect("a block is small");
                    new.tree.add_body(id, transactions);
                    new.pending.add_body(id, body);
                }
                Err(error) if error.damage.is_none() => return Err(error),
                Ok(None) | Err(_) => {
                    if was_here || self.damaged_set().contains(&self.tree.hash(id)) {
                        lost += 1;
                        new.damaged_set().insert(self.tree.hash(id));
                    }
                }
            }
            if new.pending_is_large() {
                new.flush_bodies()?;
            }
        }
        // Of chains of equal work the one that was active stays so.
        new.tree.prefer(old_tip);
        let signatures = SignatureCache::default();
        while new
            .activate_step(&signatures, &mut Vec::new(), STEP)?
            .is_some()
        {
            new.flush_when_large()?;
        }
        new.flush()?;
        let kept = new.store.take_name()?;
        new.probes = self.probes.clone();
        new.on_damage = self.on_damage;
        new.cure_counts = self.cure_counts;
        new.cures = std::mem::take(&mut self.cures);
        new.tell_cure(Cure::Database {
            damage: damage.to_string(),
            kept,
            bodies,
            lost,
            before: Some(self.tree.height(old_tip)),
            after: new.tip().height,
        });
        *self = new;
        Ok(())
    }
}
