//! [`Chain`]: the block tree, the coins and the store under one roof.
//!
//! Headers, bodies, undo data and coins change in memory and reach the disk together, in [`Chain::flush`]: the coins on disk
//! always belong to the tip on disk. Reading never needs `&mut`: what is pending is looked at first, then the disk.

mod accept;
mod activate;
mod base;
mod coins;
mod connect;
mod disconnect;
mod feed;
mod flush;
mod frozen;
mod heal;
mod load;
mod look;
mod operator;
mod pending;
mod read;
mod scratch;
mod stored;
mod template;
mod tips;
mod types;
mod write_out;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bitcoin::{BlockHash, Work};

use crate::coins::CoinCache;
use crate::params::Params;
use crate::probe::{Probe, Probes};
use crate::store::{Damage, DirectoryLock, OpenError, Store};
use crate::tree::{BlockTree, HeaderInfo, NodeId};
use crate::units::{Height, Timestamp};
use heal::Healing;
use load::DamagedHeaders;
use pending::Pending;

pub use activate::StepLimit;
pub(crate) use feed::Feed;
pub use frozen::FrozenChain;
pub use heal::{Cure, CureCounts, OnDamage};
pub use operator::InvalidateError;
pub(crate) use scratch::Scratch;
pub use stored::StoredBlock;
pub use template::{Candidate, NextBlock};
pub use tips::{BranchStatus, ChainTip};
pub use types::{
    AcceptError, Acceptance, BlockPosition, CacheBudgets, ChainOptions, Reorg, TipInfo,
};
pub use write_out::{Flush, Written};

/// The chain of one node.
///
/// After opening, and after every call that says so, [`Chain::activate_best`] moves the tip to the best chain.
pub struct Chain {
    params: Arc<Params>,
    tree: BlockTree,
    /// The active chain by height, genesis first. Never empty.
    active: Vec<NodeId>,
    /// The active block whose coins came from a snapshot, if there is one.
    snapshot_base: Option<NodeId>,
    /// The block whose coins are on disk.
    flushed: NodeId,
    coins: CoinCache,
    store: Store,
    pending: Pending,
    /// Bodies that were found damaged. Reading finds them, so this needs a lock.
    damaged: Mutex<BTreeSet<BlockHash>>,
    /// Other damage that was found here, or on a frozen copy, and is not healed yet.
    found: Arc<Mutex<Vec<Damage>>>,
    /// Blocks on which there is no verdict before a lost body is back.
    doubtful: BTreeSet<NodeId>,
    on_damage: OnDamage,
    heals_in_steps: bool,
    /// What is being healed in steps. The tip stands still meanwhile.
    healing: Option<Healing>,
    /// What was healed and not told yet.
    cures: Vec<Cure>,
    cure_counts: CureCounts,
    /// What was healed last, until something went well.
    last_healed: Option<Box<Damage>>,
    /// Bytes of coins in memory above which they are flushed.
    coins_budget_bytes: usize,
    /// Whether what has grown large waits for [`Chain::write_out`].
    is_flushed_by_host: bool,
    /// The work of the tip that was left in a deep change of chains, until a tip has as much again.
    work_left: Option<Work>,
    probes: Probes,
}

const _: fn() = || {
    fn is_shared_between_threads<T: Send + Sync>() {}
    is_shared_between_threads::<Chain>();
};

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain")
            .field("network", &self.params.name)
            .field("tip", &self.tip())
            .finish_non_exhaustive()
    }
}

impl Chain {
    /// Takes the lock of `dir` (created if absent) and opens the chain in it, as [`Chain::open_owned`].
    ///
    /// # Errors
    ///
    /// As [`Chain::open_owned`]; and when another owner has the directory.
    pub fn open(
        dir: &Path,
        params: impl Into<Arc<Params>>,
        options: ChainOptions,
    ) -> Result<Chain, OpenError> {
        Chain::open_owned(DirectoryLock::acquire(dir)?, params, options)
    }

    /// Opens the chain in a directory, or makes one if there is none. The chain holds the directory's lock as long as it lives. Call [`Chain::activate_best`] after it: bodies may lie ahead of the
    /// stored tip.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the directory or the file, and what to do; nothing is overwritten then.
    pub fn open_owned(
        lock: DirectoryLock,
        params: impl Into<Arc<Params>>,
        options: ChainOptions,
    ) -> Result<Chain, OpenError> {
        let params = params.into();
        let (store, loaded) = Store::open(lock, &params, options.database_bytes())?;
        Chain::load(store, loaded, params, options, DamagedHeaders::Refuse)
    }

    /// As [`Chain::open_owned`], but headers whose rows are damaged are made again: see [`Cure::Header`].
    pub(crate) fn open_mending(
        lock: DirectoryLock,
        params: Arc<Params>,
        options: ChainOptions,
    ) -> Result<Chain, OpenError> {
        let (store, loaded) = Store::open(lock, &params, options.database_bytes())?;
        Chain::load(store, loaded, params, options, DamagedHeaders::Mend)
    }

    /// A chain on any redb backend: memory in simulation, a failing one in crash tests.
    ///
    /// # Errors
    ///
    /// As [`Chain::open_owned`].
    pub fn open_backend(
        backend: impl redb::StorageBackend,
        params: impl Into<Arc<Params>>,
        options: ChainOptions,
    ) -> Result<Chain, OpenError> {
        let params = params.into();
        let (store, loaded) = Store::open_backend(backend, &params, options.database_bytes())?;
        Chain::load(store, loaded, params, options, DamagedHeaders::Refuse)
    }

    /// A chain in memory. Nothing is written until [`Chain::flush`], which then keeps its rows in a database in memory.
    /// Costs little: a simulation holds a thousand of them.
    pub fn in_memory(params: impl Into<Arc<Params>>) -> Chain {
        let options = ChainOptions {
            cache_bytes: 4 << 20,
        };
        let store = Store::in_memory(options.database_bytes());
        Chain::at_genesis(store, params.into(), options)
    }

    /// From now on `probe` is told when stages begin and end.
    pub fn set_probe(&mut self, probe: Arc<dyn Probe>) {
        self.probes = Probes::of(probe);
    }

    /// The network.
    pub fn params(&self) -> &Arc<Params> {
        &self.params
    }

    /// All headers.
    pub fn tree(&self) -> &BlockTree {
        &self.tree
    }

    /// The active tip.
    pub fn tip(&self) -> TipInfo {
        let id = self.tip_id();
        let info = self.tree.info(id);
        TipInfo {
            hash: info.hash,
            height: info.height,
            chain_work: info.chain_work,
            time: self.tree.time(id),
            median_time_past: self.tree.median_time_past(id),
        }
    }

    /// The block whose coins were committed last: what a crash leaves. It may have left the active chain.
    pub fn flushed_tip(&self) -> HeaderInfo {
        self.tree.info(self.flushed)
    }

    /// The active chain's block at `height`, `None` above the tip.
    pub fn at_height(&self, height: Height) -> Option<HeaderInfo> {
        let id = *self.active.get(height.0 as usize)?;
        Some(self.tree.info(id))
    }

    /// Whether `hash` is on the active chain.
    pub fn is_active(&self, hash: &BlockHash) -> bool {
        self.tree
            .id_of(hash)
            .is_some_and(|id| self.is_active_id(id))
    }

    fn is_active_id(&self, id: NodeId) -> bool {
        self.active.get(self.tree.height(id).0 as usize) == Some(&id)
    }

    /// Median time past of the active block at `height`, which must not be above the tip.
    pub(crate) fn median_time_past_at(&self, height: Height) -> Timestamp {
        self.tree.median_time_past(self.active[height.0 as usize])
    }

    /// The active tip's place in the tree: for what is asked so often that [`Chain::tip`] with its median would cost.
    pub fn tip_id(&self) -> NodeId {
        *self.active.last().expect("genesis is always active")
    }

    fn work(&self, id: NodeId) -> Work {
        self.tree.chain_work(id)
    }

    fn position(&self, id: NodeId) -> BlockPosition {
        BlockPosition {
            hash: self.tree.hash(id),
            height: self.tree.height(id),
        }
    }

    fn damaged_set(&self) -> std::sync::MutexGuard<'_, BTreeSet<BlockHash>> {
        self.damaged
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
