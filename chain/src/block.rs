//! [`CheckedBlock`]: a body that passed every rule it can pass by itself.

use std::sync::OnceLock;

use bitcoin::{Block, BlockHash, Txid, Wtxid};
use rayon::prelude::*;

/// Hashing fewer transactions than this is faster on one core.
const HASHES_WORTH_A_CORE: usize = 256;

/// A block whose body passed [`rules::block_alone::check`], the only place that makes one.
///
/// [`rules::block_alone::check`]: crate::rules::block_alone::check
#[derive(Clone, Debug)]
pub struct CheckedBlock {
    block: Block,
    hash: BlockHash,
    txids: Vec<Txid>,
    wtxids: OnceLock<Vec<Wtxid>>,
    total_bytes: usize,
}

impl CheckedBlock {
    pub(crate) fn new(block: Block, hash: BlockHash, txids: Vec<Txid>) -> CheckedBlock {
        CheckedBlock {
            total_bytes: block.total_size(),
            block,
            hash,
            txids,
            wtxids: OnceLock::new(),
        }
    }

    /// The block.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// Gives the block back, without its proof of having been checked.
    pub fn into_block(self) -> Block {
        self.block
    }

    /// Its hash.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Its length, encoded with witnesses.
    pub fn total_bytes(&self) -> usize {
        self.total_bytes
    }

    /// Transaction ids, in block order.
    pub fn txids(&self) -> &[Txid] {
        &self.txids
    }

    /// Transaction ids with witnesses, in block order; computed when first asked for. The coinbase's is its real one, not
    /// the zeros that stand for it in the witness commitment.
    pub fn wtxids(&self) -> &[Wtxid] {
        if let Some(wtxids) = self.wtxids.get() {
            return wtxids;
        }
        // Hashed before the cell is locked: a rayon worker that waits may take up another job that asks for these ids.
        let wtxids = self
            .block
            .txdata
            .par_iter()
            .with_min_len(HASHES_WORTH_A_CORE)
            .map(bitcoin::Transaction::compute_wtxid)
            .collect();
        self.wtxids.get_or_init(|| wtxids)
    }
}

/// The ids of a block's transactions, in block order.
pub(crate) fn compute_txids(block: &Block) -> Vec<Txid> {
    block
        .txdata
        .par_iter()
        .with_min_len(HASHES_WORTH_A_CORE)
        .map(bitcoin::Transaction::compute_txid)
        .collect()
}
