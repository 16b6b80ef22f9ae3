//! [`FrozenChain`]: one committed state of a chain, to be read at leisure.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::load::DamagedHeaders;
use super::pending::Pending;
use super::{Chain, ChainOptions, CureCounts, OnDamage};
use crate::coins::CoinCache;
use crate::params::Params;
use crate::probe::Probes;
use crate::store::{FILE_NAME, OpenError, Store, StoreError};

/// A chain that is only read: nothing can be given to it, and it never changes.
///
/// Bodies that it finds damaged are listed in its own [`Chain::damaged`].
#[derive(Debug)]
pub struct FrozenChain(Chain);

impl Deref for FrozenChain {
    type Target = Chain;

    fn deref(&self) -> &Chain {
        &self.0
    }
}

impl FrozenChain {
    /// Opens the chain in `dir` without changing the file, also one that was not closed cleanly: what a process that writes would
    /// mend is mended in memory. The state is that of the last commit; blocks above it are not connected. Others may read at the same
    /// time, and nobody writes.
    ///
    /// # Errors
    ///
    /// What is wrong with the directory or the file, and what to do; [`OpenError::InUse`] while a process writes.
    pub fn open(
        dir: &Path,
        params: impl Into<Arc<Params>>,
        options: ChainOptions,
    ) -> Result<FrozenChain, OpenError> {
        FrozenChain::open_file(&dir.join(FILE_NAME), params, options)
    }

    /// As [`FrozenChain::open`], of a database under any name.
    pub(crate) fn open_file(
        path: &Path,
        params: impl Into<Arc<Params>>,
        options: ChainOptions,
    ) -> Result<FrozenChain, OpenError> {
        let params = params.into();
        let (store, tip) = Store::open_read_only(path, &params, options.database_bytes())?;
        Chain::load_at(store, tip, params, options, DamagedHeaders::Refuse).map(FrozenChain)
    }
}

impl Chain {
    /// The chain as it is now, to be read while the chain itself goes on: for walks over all coins, verifying, copying. Commits
    /// what is pending first. It keeps replaced pages in the file while it lives, so drop it soon. Damage that it finds, other than of
    /// bodies, is noted for the chain to heal.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn frozen(&mut self) -> Result<FrozenChain, StoreError> {
        self.flush()?;
        Ok(FrozenChain(Chain {
            params: Arc::clone(&self.params),
            tree: self.tree.clone(),
            active: self.active.clone(),
            snapshot_base: self.snapshot_base,
            flushed: self.flushed,
            coins: CoinCache::new(),
            store: self.store.pinned()?,
            pending: Pending::default(),
            damaged: Mutex::new(self.damaged_set().clone()),
            found: Arc::clone(&self.found),
            doubtful: BTreeSet::new(),
            on_damage: OnDamage::default(),
            heals_in_steps: false,
            healing: None,
            cures: Vec::new(),
            cure_counts: CureCounts::default(),
            last_healed: None,
            coins_budget_bytes: self.coins_budget_bytes,
            is_flushed_by_host: true,
            work_left: None,
            probes: Probes::default(),
        }))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use bitcoin::Amount;

    use crate::fixtures::{GENESIS, TestChain};
    use crate::verify::{VerifyLevel, verify};

    #[test]
    fn a_frozen_chain_stays_as_it_was_while_the_chain_goes_on_and_turns_back() {
        let mut net = TestChain::new();
        let [alice, bob] = TestChain::rich_keys();
        let payment = net.pay(&alice, &bob, Amount::ONE_BTC);
        net.mine("a1").including(&payment).mine("a2");
        let frozen = net.chain_mut().frozen().unwrap();
        let then = frozen.coin_set_stats(true).unwrap();

        net.fork_at(GENESIS).mine("b1").mine("b2").mine("b3");
        net.chain_mut().flush().unwrap();
        assert_ne!(net.chain().coin_set_stats(true).unwrap(), then);

        assert_eq!(frozen.tip().hash, net.hash("a2"));
        assert_eq!(frozen.coin_set_stats(true).unwrap(), then);
        let body = frozen.block(&net.hash("a2")).unwrap().unwrap();
        assert_eq!(body.block(), net.block("a2"));
        let report = verify(&frozen, VerifyLevel::Reconnect, 0, &mut |_, _| {}).unwrap();
        assert_eq!((report.blocks, report.problems), (2, vec![]));
    }
}
