//! The tree of all blocks of a record.

use std::collections::BTreeMap;

use bitcoin::{BlockHash, Txid};
use serde::{Deserialize, Serialize};

use super::{Block, Problem};

/// A block by its place in the order in which blocks became known; 0 is the genesis block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(u32);

/// A block's place, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// A block and its place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// When it became known.
    pub t: u64,
    /// Its hash.
    pub hash: BlockHash,
    /// Its parent; the genesis block is its own.
    pub parent: BlockId,
    /// Its height.
    pub height: u32,
    /// Its own work: expected number of hashes.
    pub work: u64,
    /// Work of all blocks from genesis (not included) to it.
    pub chain_work: u128,
    /// Who found it.
    pub found_by: Option<usize>,
    /// What its coinbase gives, in satoshi.
    pub reward_sat: u64,
    /// Id of its coinbase; the genesis block has none here.
    pub coinbase: Option<Txid>,
    /// Its other transactions.
    pub payments: Vec<Txid>,
}

/// All blocks, genesis first, parents before children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    all: Vec<Placed>,
    by_hash: BTreeMap<BlockHash, BlockId>,
}

impl BlockId {
    /// The genesis block.
    pub const GENESIS: BlockId = BlockId(0);
}

impl Blocks {
    pub(super) fn new(genesis: BlockHash) -> Blocks {
        Blocks {
            all: vec![Placed {
                t: 0,
                hash: genesis,
                parent: BlockId::GENESIS,
                height: 0,
                work: 0,
                chain_work: 0,
                found_by: None,
                reward_sat: 0,
                coinbase: None,
                payments: Vec::new(),
            }],
            by_hash: BTreeMap::from([(genesis, BlockId::GENESIS)]),
        }
    }

    pub(super) fn add(&mut self, block: Block) -> Result<BlockId, Problem> {
        let parent = self.known(&block.parent)?;
        let above = self.get(parent);
        let expected = above.height + 1;
        let chain_work = above.chain_work + u128::from(block.work);
        if block.height != expected {
            return Err(Problem::Height {
                hash: block.hash,
                got: block.height,
                expected,
            });
        }
        let id = BlockId(u32::try_from(self.all.len()).map_err(|_| Problem::TooManyBlocks)?);
        if self.by_hash.insert(block.hash, id).is_some() {
            return Err(Problem::BlockTwice(block.hash));
        }
        self.all.push(Placed {
            t: block.t,
            hash: block.hash,
            parent,
            height: block.height,
            work: block.work,
            chain_work,
            found_by: block.found_by,
            reward_sat: block.reward_sat,
            coinbase: Some(block.coinbase),
            payments: block.payments,
        });
        Ok(id)
    }

    pub(super) fn known(&self, hash: &BlockHash) -> Result<BlockId, Problem> {
        self.id(hash).ok_or(Problem::UnknownBlock(*hash))
    }

    /// The block with a hash.
    pub fn id(&self, hash: &BlockHash) -> Option<BlockId> {
        self.by_hash.get(hash).copied()
    }

    /// A block of this record.
    ///
    /// # Panics
    ///
    /// With an id of another record.
    pub fn get(&self, id: BlockId) -> &Placed {
        &self.all[id.0 as usize]
    }

    /// Where a block is.
    pub fn position(&self, id: BlockId) -> Position {
        let Placed { height, hash, .. } = *self.get(id);
        Position { height, hash }
    }

    /// Number of blocks, without genesis.
    pub fn len(&self) -> usize {
        self.all.len() - 1
    }

    /// Whether nothing was mined.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All blocks but genesis, in the order in which they became known.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (BlockId, &Placed)> {
        let numbered = self.all.iter().enumerate().skip(1);
        numbered.map(|(index, block)| (BlockId(index as u32), block))
    }

    /// A block, its parent, and so on: the genesis block is the last.
    pub fn ancestors(&self, from: BlockId) -> impl Iterator<Item = BlockId> {
        let parent = |id: &BlockId| (*id != BlockId::GENESIS).then(|| self.get(*id).parent);
        std::iter::successors(Some(from), parent)
    }

    /// The blocks above `below` up to `tip`, lowest first; all down to genesis if `below` is no ancestor.
    pub fn path(&self, below: BlockId, tip: BlockId) -> Vec<BlockId> {
        let until = |id: &BlockId| *id != below && *id != BlockId::GENESIS;
        let mut path: Vec<BlockId> = self.ancestors(tip).take_while(until).collect();
        path.reverse();
        path
    }

    /// The ancestor of a block at a height; the block itself if it is lower.
    pub fn ancestor_at(&self, of: BlockId, height: u32) -> BlockId {
        let mut ancestors = self.ancestors(of);
        let found = ancestors.find(|id| self.get(*id).height <= height);
        found.unwrap_or(BlockId::GENESIS)
    }

    /// The last block that two chains share.
    pub fn common(&self, a: BlockId, b: BlockId) -> BlockId {
        let height = self.get(a).height.min(self.get(b).height);
        let mut a = self.ancestor_at(a, height);
        let mut b = self.ancestor_at(b, height);
        while a != b {
            (a, b) = (self.get(a).parent, self.get(b).parent);
        }
        a
    }

    /// Whether `below` is `tip` or one of its ancestors.
    pub fn is_on_chain(&self, below: BlockId, tip: BlockId) -> bool {
        self.ancestor_at(tip, self.get(below).height) == below
    }
}
