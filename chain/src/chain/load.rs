//! A chain from what a database holds.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bitcoin::BlockHash;

use super::base::find_snapshot_base;
use super::pending::Pending;
use super::{BlockPosition, Chain, ChainOptions, CureCounts, OnDamage};
use crate::coins::CoinCache;
use crate::coins::encoding::{PackedCoin, encode_undo};
use crate::params::Params;
use crate::probe::Probes;
use crate::rules::block_alone;
use crate::store::{HeaderRow, Loaded, OpenError, Store, StoreError, StoreFault, Table};
use crate::tree::{BlockTree, NodeId};
use crate::units::Height;

const GENESIS: NodeId = NodeId(0);

/// What can be wrong with stored headers.
enum LoadError {
    Store(StoreError),
    Damaged(String),
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> LoadError {
        LoadError::Store(error)
    }
}

/// What is done about rows of headers that are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DamagedHeaders {
    /// The database is refused.
    Refuse,
    /// They are made again as far as possible. Those that are not, and those that follow them, are left out, and come from peers.
    Mend,
}

/// The headers of a database.
struct LoadedTree {
    tree: BlockTree,
    active: Vec<NodeId>,
    /// Blocks whose header was damaged and is whole again, and whether it is known what an operator said of them.
    mended: Vec<(BlockPosition, bool)>,
}

impl Chain {
    /// The chain that `store` holds, or genesis, committed, if it holds none yet.
    pub(super) fn load(
        store: Store,
        loaded: Loaded,
        params: Arc<Params>,
        options: ChainOptions,
        damaged: DamagedHeaders,
    ) -> Result<Chain, OpenError> {
        match loaded {
            Loaded::AtTip(tip) => Chain::load_at(store, tip, params, options, damaged),
            Loaded::New => {
                let path = store.path().to_owned();
                let mut chain = Chain::at_genesis(store, params, options);
                match chain.flush() {
                    Ok(()) => Ok(chain),
                    Err(error) => Err(OpenError::Io {
                        path,
                        problem: error.problem,
                    }),
                }
            }
        }
    }

    /// The chain that `store` holds, with the coins of `tip`.
    pub(super) fn load_at(
        store: Store,
        tip: BlockHash,
        params: Arc<Params>,
        options: ChainOptions,
        damaged: DamagedHeaders,
    ) -> Result<Chain, OpenError> {
        let path = store.path().to_owned();
        let problem = match load_tree(&store, &params, tip, damaged) {
            Ok(LoadedTree {
                tree,
                active,
                mended,
            }) => {
                let mut chain = Chain::assemble(store, params, options, tree, active);
                for (block, marks_known) in mended {
                    chain.write_header_again(block, marks_known);
                }
                return Ok(chain);
            }
            Err(LoadError::Store(error)) if error.cause != StoreFault::Damage => {
                return Err(OpenError::Io {
                    path,
                    problem: error.problem,
                });
            }
            Err(LoadError::Store(error)) => error.problem,
            Err(LoadError::Damaged(problem)) => problem,
        };
        Err(OpenError::Damaged { path, problem })
    }

    fn assemble(
        store: Store,
        params: Arc<Params>,
        options: ChainOptions,
        tree: BlockTree,
        active: Vec<NodeId>,
    ) -> Chain {
        Chain {
            damaged: Mutex::new(lost_bodies(&tree, &active)),
            found: Arc::default(),
            doubtful: BTreeSet::new(),
            on_damage: OnDamage::default(),
            heals_in_steps: false,
            healing: None,
            cures: Vec::new(),
            cure_counts: CureCounts::default(),
            last_healed: None,
            snapshot_base: find_snapshot_base(&tree, &active),
            flushed: active.last().copied().unwrap_or(GENESIS),
            params,
            tree,
            active,
            coins: CoinCache::new(),
            store,
            pending: Pending::default(),
            coins_budget_bytes: options.coins_bytes(),
            is_flushed_by_host: false,
            work_left: None,
            probes: Probes::default(),
        }
    }

    /// A chain of genesis alone, nothing of it committed.
    pub(super) fn at_genesis(store: Store, params: Arc<Params>, options: ChainOptions) -> Chain {
        let tree = new_tree(&params);
        let mut chain = Chain::assemble(store, params, options, tree, vec![GENESIS]);
        let mut coins = CoinCache::new();
        chain.create_allocations(&mut coins);
        chain.coins = coins;
        chain.pending.touch(GENESIS);
        chain.add_genesis_body();
        chain.pending.add_undo(GENESIS, encode_undo(&[]));
        chain
    }

    /// Writes the body of genesis with the next flush: it is part of the parameters, so nobody else has to be asked for it.
    pub(super) fn add_genesis_body(&mut self) {
        let genesis = block_alone::check(self.params.genesis.clone(), &self.params)
            .expect("parameters come with a verified genesis block");
        self.pending.add_body(GENESIS, Arc::new(genesis));
    }

    /// The outputs of genesis' transactions are unspent coins, except its coinbase's, as in Bitcoin.
    pub(super) fn create_allocations(&self, coins: &mut CoinCache) {
        for (outpoint, coin) in self.params.genesis_coins() {
            coins.create(&outpoint, PackedCoin::pack(&coin));
        }
    }
}

/// Active blocks whose bodies were quarantined before. Those below a snapshot of coins were never here, nor connected here.
fn lost_bodies(tree: &BlockTree, active: &[NodeId]) -> BTreeSet<BlockHash> {
    let is_lost = |id: &&NodeId| {
        let status = tree.status(**id);
        status.connected && !status.has_body
    };
    let lost = active.iter().filter(is_lost);
    lost.map(|&id| tree.hash(id)).collect()
}

fn new_tree(params: &Params) -> BlockTree {
    let transactions = u32::try_from(params.genesis.txdata.len()).expect("a block is small");
    BlockTree::new(&params.genesis.header, transactions)
}

fn load_tree(
    store: &Store,
    params: &Params,
    tip: BlockHash,
    damaged: DamagedHeaders,
) -> Result<LoadedTree, LoadError> {
    // redb believes what it reads here, the number of rows too.
    store.prove_branches(Table::Headers)?;
    let mut tree = new_tree(params);
    let mut mended = Vec::new();
    store.read(|disk| {
        tree.reserve(usize::try_from(disk.header_count()?).unwrap_or(0));
        let mend = |block, row: Option<HeaderRow>, error| -> Result<_, LoadError> {
            if damaged == DamagedHeaders::Refuse {
                return Err(LoadError::Store(error));
            }
            let marks_known = row.is_some();
            let row = match row {
                Some(row) => Some(row),
                None => disk.header_by_body(block)?,
            };
            mended.extend(row.map(|_| (block, marks_known)));
            Ok(row)
        };
        disk.for_each_header(mend, |row| {
            let is_left_out = damaged == DamagedHeaders::Mend
                && row.height > Height::GENESIS
                && tree.id_of(&row.header.prev_blockhash).is_none();
            match is_left_out {
                true => Ok(()),
                false => load_header(&mut tree, &row),
            }
        })
    })?;
    mended.retain(|(block, _)| tree.id_of(&block.hash).is_some());
    let tip = tree
        .id_of(&tip)
        .ok_or_else(|| LoadError::Damaged(format!("the header of its tip {tip} is missing")))?;
    tree.finish_loading(tip);
    let mut active = vec![GENESIS];
    active.extend(tree.path(GENESIS, tip));
    Ok(LoadedTree {
        tree,
        active,
        mended,
    })
}

fn load_header(tree: &mut BlockTree, row: &HeaderRow) -> Result<(), LoadError> {
    let HeaderRow {
        hash,
        height,
        header,
        ..
    } = row;
    let id = tree
        .insert(header, *hash)
        .filter(|&id| tree.height(id) == *height)
        .ok_or_else(|| LoadError::Damaged(format!("header {hash} at height {height} is wrong")))?;
    tree.restore(id, row.status, row.tx_count);
    Ok(())
}
