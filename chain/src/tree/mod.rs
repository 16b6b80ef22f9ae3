//! All known headers, by work: the block tree. Pure memory, no IO.
//!
//! Nodes are kept in order of insertion, parents first, so "all descendants of" is one pass upwards. About 145 bytes a
//! header, whatever their number.

mod candidates;
mod node;
mod skip;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Work};
use hashbrown::HashTable;

use crate::units::{Height, Timestamp};
use candidates::Candidate;
use node::{Links, NO_NODE, Node, Nodes, flag};

/// Most hashes in a locator, as in Bitcoin Core.
pub const MAX_LOCATOR: usize = 101;

/// How many block times the median time past looks at (BIP 113).
const MEDIAN_SPAN: usize = 11;

/// A header's place in the tree. Only valid for the tree that gave it; ids grow in order of insertion, parents first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

/// What is known about the validity and presence of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The body is stored (or pending).
    pub has_body: bool,
    /// It was connected once: all rules hold on its own chain.
    pub connected: bool,
    /// A rule failed in this very block.
    pub failed: bool,
    /// An operator invalidated this very block.
    pub invalidated: bool,
    /// An ancestor failed, or was invalidated.
    pub failed_ancestor: bool,
}

impl Status {
    /// Neither this block nor an ancestor is known to be invalid.
    pub fn may_be_valid(self) -> bool {
        !self.failed && !self.invalidated && !self.failed_ancestor
    }
}

/// One header with what the tree knows of it. A copy; asking is cheap.
#[derive(Clone, Copy, Debug)]
pub struct HeaderInfo {
    /// Its place.
    pub id: NodeId,
    /// Its hash.
    pub hash: BlockHash,
    /// The header.
    pub header: Header,
    /// Blocks since genesis.
    pub height: Height,
    /// Work of the chain up to and including it.
    pub chain_work: Work,
    /// What is known of its block.
    pub status: Status,
    /// Number of transactions, 0 while the body is unknown.
    pub tx_count: u32,
}

/// The active tip, as far as it is asked for with every message of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveTip {
    /// Its place.
    pub id: NodeId,
    /// Its hash.
    pub hash: BlockHash,
    /// Blocks since genesis.
    pub height: Height,
    /// Work of the chain up to and including it.
    pub chain_work: Work,
}

/// All known headers.
#[derive(Clone)]
pub struct BlockTree {
    nodes: Nodes,
    index: HashTable<u32>,
    best_header: NodeId,
    /// The active tip, as the chain last told. Copied from its node: whoever asks needs not go there.
    tip: ActiveTip,
    candidates: BTreeSet<Candidate>,
    /// Bodies whose parents are not complete yet, by parent.
    waiting: BTreeMap<NodeId, Vec<NodeId>>,
    next_sequence: i32,
    next_preferred_sequence: i32,
    /// Work of the tip when an operator last preferred a block.
    preferred_at_work: [u8; 32],
}

impl std::fmt::Debug for BlockTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockTree")
            .field("headers", &self.nodes.len())
            .field("best_header", &self.nodes.get(self.best_header).hash)
            .finish_non_exhaustive()
    }
}

/// Block hashes are uniform already; their first bytes (the last ones as people print them) are far from the zeros of
/// the proof of work, and cost work to choose.
fn index_hash(hash: &BlockHash) -> u64 {
    let bytes = hash.as_byte_array();
    u64::from_le_bytes(bytes[..8].try_into().expect("8 of 32 bytes"))
}

impl BlockTree {
    /// A tree of genesis alone, whose body is there and connected.
    pub(crate) fn new(genesis: &Header, tx_count: u32) -> BlockTree {
        let links = Links {
            parent: NO_NODE,
            skip: NO_NODE,
            height: 0,
        };
        let mut node = Node::new(
            genesis,
            genesis.block_hash(),
            links,
            genesis.work().to_be_bytes(),
        );
        node.set(flag::HAS_BODY | flag::COMPLETE | flag::CONNECTED);
        node.set_tx_count(tx_count);
        let hash = node.hash;
        let mut nodes = Nodes::default();
        let id = nodes.push(node);
        let tip = nodes.tip_at(id);
        let mut tree = BlockTree {
            nodes,
            index: HashTable::new(),
            best_header: id,
            tip,
            candidates: BTreeSet::new(),
            waiting: BTreeMap::new(),
            next_sequence: 1,
            next_preferred_sequence: -1,
            preferred_at_work: [0; 32],
        };
        tree.index
            .insert_unique(index_hash(&hash), id.0, |_| unreachable!("room for one"));
        tree.prune_candidates();
        tree
    }

    /// Adds a header whose parent is known, or finds the one that is there. The caller has checked its rules.
    pub(crate) fn insert(&mut self, header: &Header, hash: BlockHash) -> Option<NodeId> {
        if let Some(known) = self.id_of(&hash) {
            return Some(known);
        }
        let parent = self.id_of(&header.prev_blockhash)?;
        let links = Links {
            parent: parent.0,
            skip: self.nodes.skip_for_child(parent),
            height: self.nodes.get(parent).height + 1,
        };
        let parent_node = self.nodes.get(parent);
        let chain_work = Work::from_be_bytes(parent_node.chain_work) + header.work();
        let mut node = Node::new(header, hash, links, chain_work.to_be_bytes());
        if !parent_node.may_be_valid() {
            node.set(flag::FAILED_ANCESTOR);
        }
        let is_best =
            node.may_be_valid() && node.chain_work > self.nodes.get(self.best_header).chain_work;
        let id = self.nodes.push(node);
        let nodes = &self.nodes;
        self.index.insert_unique(index_hash(&hash), id.0, |&other| {
            index_hash(&nodes.get(NodeId(other)).hash)
        });
        if is_best {
            self.best_header = id;
        }
        Some(id)
    }

    /// Makes room for `headers` more.
    pub(crate) fn reserve(&mut self, headers: usize) {
        let nodes = &self.nodes;
        self.index
            .reserve(headers, |&other| index_hash(&nodes.get(NodeId(other)).hash));
    }

    /// Puts back what was known of a header when it was stored.
    pub(crate) fn restore(&mut self, id: NodeId, status: Status, tx_count: u32) {
        let node = self.nodes.get_mut(id);
        node.set_tx_count(tx_count);
        if status.connected {
            node.set(flag::CONNECTED);
        }
        if status.failed {
            node.set(flag::FAILED);
        }
        if status.invalidated {
            node.set(flag::INVALIDATED);
        }
        if status.has_body {
            node.set(flag::HAS_BODY);
        }
    }

    /// Derives what follows from the restored statuses: call once after loading, with the tip whose coins are stored.
    pub(crate) fn finish_loading(&mut self, tip: NodeId) {
        self.derive_failed_ancestors(1);
        self.rebuild_best_header();
        self.reset_tip(tip);
    }

    /// The coins now are those of `tip`, whatever was active before. Derives which blocks can be connected.
    pub(crate) fn reset_tip(&mut self, tip: NodeId) {
        self.set_tip(tip);
        self.waiting.clear();
        let active: BTreeSet<NodeId> = self.path(NodeId(0), tip).into_iter().collect();
        for id in self.nodes.ids_from(1) {
            let parent = NodeId(self.nodes.get(id).parent);
            let parent_is_complete = self.nodes.get(parent).has(flag::COMPLETE);
            let is_active = active.contains(&id);
            let node = self.nodes.get_mut(id);
            node.clear(flag::COMPLETE);
            // A damaged body on the active chain does not undo the coins that it made.
            if parent_is_complete && (node.has(flag::HAS_BODY) || is_active) {
                node.set(flag::COMPLETE);
                node.sequence = i32::from(!is_active);
            } else if node.has(flag::HAS_BODY) {
                self.waiting.entry(parent).or_default().push(id);
            }
        }
        self.next_sequence = 2;
        self.rebuild_candidates();
    }

    /// Forgets all bodies but genesis', and what rules said of blocks; headers stay, and what an operator said of them.
    pub(crate) fn forget_blocks(&mut self) {
        self.waiting.clear();
        for id in self.nodes.ids_from(1) {
            let node = self.nodes.get_mut(id);
            node.clear(flag::HAS_BODY | flag::CONNECTED | flag::COMPLETE | flag::FAILED);
            node.sequence = 0;
        }
        self.next_sequence = 1;
        self.derive_failed_ancestors(1);
        self.rebuild_best_header();
        self.set_tip(NodeId(0));
        self.rebuild_candidates();
    }

    /// All places, in order of insertion: parents before children.
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        self.nodes.ids_from(0)
    }

    /// The place of a header.
    pub fn id_of(&self, hash: &BlockHash) -> Option<NodeId> {
        let same = |&id: &u32| self.nodes.get(NodeId(id)).hash == *hash;
        self.index
            .find(index_hash(hash), same)
            .map(|&id| NodeId(id))
    }

    /// A header by hash.
    pub fn get(&self, hash: &BlockHash) -> Option<HeaderInfo> {
        Some(self.info(self.id_of(hash)?))
    }

    /// A header by place.
    pub fn info(&self, id: NodeId) -> HeaderInfo {
        let node = self.nodes.get(id);
        let prev_blockhash = match node.parent {
            NO_NODE => BlockHash::all_zeros(),
            parent => self.nodes.get(NodeId(parent)).hash,
        };
        HeaderInfo {
            id,
            hash: node.hash,
            header: node.header(prev_blockhash),
            height: node.height(),
            chain_work: Work::from_be_bytes(node.chain_work),
            status: node.status(),
            tx_count: node.tx_count(),
        }
    }

    /// The parent, `None` for genesis.
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        match self.nodes.get(id).parent {
            NO_NODE => None,
            parent => Some(NodeId(parent)),
        }
    }

    /// The hash of a header by place.
    pub fn hash(&self, id: NodeId) -> BlockHash {
        self.nodes.get(id).hash
    }

    /// The height of a header by place.
    pub fn height(&self, id: NodeId) -> Height {
        self.nodes.get(id).height()
    }

    /// The work of the chain up to and including a header, by place.
    pub fn chain_work(&self, id: NodeId) -> Work {
        Work::from_be_bytes(self.nodes.get(id).chain_work)
    }

    /// The time of a header by place.
    pub fn time(&self, id: NodeId) -> Timestamp {
        self.nodes.get(id).time()
    }

    /// The bits of a header by place.
    pub(crate) fn bits(&self, id: NodeId) -> CompactTarget {
        CompactTarget::from_consensus(self.nodes.get(id).bits)
    }

    /// Number of transactions of a block, 0 while the body is unknown.
    pub(crate) fn tx_count(&self, id: NodeId) -> usize {
        self.nodes.get(id).tx_count() as usize
    }

    /// What is known of a block.
    pub fn status(&self, id: NodeId) -> Status {
        self.nodes.get(id).status()
    }

    /// The active tip.
    pub fn tip(&self) -> ActiveTip {
        self.tip
    }

    /// Whether all bodies up to and including this block's are (or were, on the active chain) here.
    pub fn is_complete(&self, id: NodeId) -> bool {
        self.nodes.get(id).has(flag::COMPLETE)
    }

    /// Median time past of `id`: the median of its own time and up to ten ancestors (BIP 113).
    pub fn median_time_past(&self, id: NodeId) -> Timestamp {
        let mut times = [0; MEDIAN_SPAN];
        let mut count = 0;
        let mut walk = id.0;
        while count < MEDIAN_SPAN && walk != NO_NODE {
            let node = self.nodes.get(NodeId(walk));
            times[count] = node.time;
            count += 1;
            walk = node.parent;
        }
        let times = &mut times[..count];
        times.sort_unstable();
        Timestamp(times[count / 2])
    }

    /// Hashes from `id` back to genesis, dense first and then in doubling steps; at most 101.
    pub fn locator(&self, id: NodeId) -> Vec<BlockHash> {
        let mut locator = Vec::new();
        let mut step = 1;
        let mut walk = id;
        loop {
            let node = self.nodes.get(walk);
            locator.push(node.hash);
            if node.height == 0 {
                return locator;
            }
            if locator.len() > 10 {
                step *= 2;
            }
            let below = node.height.saturating_sub(step);
            walk = self
                .nodes
                .ancestor(walk, below)
                .expect("the height is below");
        }
    }

    /// Headers without children, for `getchaintips`, in order of insertion.
    pub fn leaves(&self) -> Vec<HeaderInfo> {
        let mut has_child = vec![false; self.nodes.len()];
        for id in self.nodes.ids_from(1) {
            has_child[self.nodes.get(id).parent as usize] = true;
        }
        let leaf = |id: &NodeId| !has_child[id.0 as usize];
        self.nodes
            .ids_from(0)
            .filter(leaf)
            .map(|id| self.info(id))
            .collect()
    }

    /// All headers, in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = HeaderInfo> + '_ {
        self.nodes.ids_from(0).map(|id| self.info(id))
    }

    /// Number of headers.
    #[expect(clippy::len_without_is_empty, reason = "genesis is always there")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Bytes of memory that the headers take, index included.
    pub fn memory_bytes(&self) -> usize {
        self.nodes.memory_bytes() + self.index.allocation_size()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests;
