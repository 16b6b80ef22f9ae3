//! What the engine may know of chain and mempool: two small traits, so that tests can use fakes.

use std::sync::Arc;

use bitcoin::{BlockHash, Transaction, Txid, Work, Wtxid};
use chain::tree::{BlockTree, HeaderInfo, NodeId};
use chain::{Chain, Height};

use crate::wire::TipStatus;

/// What the engine needs to know of a header that the chain has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownHeader {
    /// Its hash.
    pub hash: BlockHash,
    /// Blocks since genesis.
    pub height: Height,
    /// Work of the chain up to and including it.
    pub chain_work: Work,
    /// The body is here.
    pub has_body: bool,
    /// Neither the block nor an ancestor is known to be invalid.
    pub may_be_valid: bool,
}

impl From<HeaderInfo> for KnownHeader {
    fn from(info: HeaderInfo) -> KnownHeader {
        KnownHeader {
            hash: info.hash,
            height: info.height,
            chain_work: info.chain_work,
            has_body: info.status.has_body,
            may_be_valid: info.status.may_be_valid(),
        }
    }
}

impl KnownHeader {
    /// Without the header itself, which would have to be looked up from its parent's.
    fn at(tree: &BlockTree, id: NodeId) -> KnownHeader {
        let status = tree.status(id);
        KnownHeader {
            hash: tree.hash(id),
            height: tree.height(id),
            chain_work: tree.chain_work(id),
            has_body: status.has_body,
            may_be_valid: status.may_be_valid(),
        }
    }
}

/// What the engine may know of the chain: implemented by [`Chain`], and by fakes in tests.
pub trait ChainView {
    /// A known header.
    fn header(&self, hash: &BlockHash) -> Option<KnownHeader>;
    /// The best header chain that may be valid, bodies or not.
    fn best_header(&self) -> KnownHeader;
    /// The active tip.
    fn tip(&self) -> TipStatus;
    /// A locator from the best header.
    fn locator(&self) -> Vec<BlockHash>;
    /// The ancestor of a known header at `height` (itself if equal); `None` above it, or if `of` is not known.
    fn ancestor(&self, of: &BlockHash, height: Height) -> Option<KnownHeader>;
    /// The last common ancestor of two known headers.
    fn fork_point(&self, a: &BlockHash, b: &BlockHash) -> Option<KnownHeader>;
    /// Known headers that are not on the active chain.
    fn side_headers(&self) -> usize;
}

/// Where a header is. Peers that agree tell our own tip: no need to look that up.
fn place_of(tree: &BlockTree, hash: &BlockHash) -> Option<NodeId> {
    let tip = tree.tip();
    if tip.hash == *hash {
        Some(tip.id)
    } else {
        tree.id_of(hash)
    }
}

impl ChainView for Chain {
    fn header(&self, hash: &BlockHash) -> Option<KnownHeader> {
        let tree = self.tree();
        Some(KnownHeader::at(tree, place_of(tree, hash)?))
    }

    fn best_header(&self) -> KnownHeader {
        KnownHeader::at(self.tree(), self.tree().best_header_id())
    }

    fn tip(&self) -> TipStatus {
        let tip = self.tree().tip();
        TipStatus {
            hash: tip.hash,
            height: tip.height,
            chain_work: tip.chain_work,
        }
    }

    fn locator(&self) -> Vec<BlockHash> {
        self.tree().locator(self.tree().best_header_id())
    }

    fn ancestor(&self, of: &BlockHash, height: Height) -> Option<KnownHeader> {
        let of = place_of(self.tree(), of)?;
        self.tree().ancestor(of, height).map(KnownHeader::from)
    }

    fn fork_point(&self, a: &BlockHash, b: &BlockHash) -> Option<KnownHeader> {
        let (a, b) = (self.tree().id_of(a)?, self.tree().id_of(b)?);
        Some(self.tree().fork_point(a, b).into())
    }

    fn side_headers(&self) -> usize {
        let tree = self.tree();
        let active = tree.tip().height.0 as usize + 1;
        tree.len().saturating_sub(active)
    }
}

/// What the engine may know of the mempool, for rebuilding announced blocks and for healing lost gossip.
pub trait PoolView {
    /// Calls `each` with every transaction.
    fn for_each(&self, each: &mut dyn FnMut(&Arc<Transaction>, Wtxid));
    /// Whether the mempool has (or lately refused) a transaction.
    fn knows(&self, txid: &Txid) -> bool;
    /// A transaction of the mempool.
    fn transaction(&self, txid: &Txid) -> Option<Arc<Transaction>>;

    /// Ids of at most `limit` transactions.
    fn txids(&self, limit: usize) -> Vec<Txid> {
        let mut txids = Vec::new();
        self.for_each(&mut |tx, _| {
            if txids.len() < limit {
                txids.push(tx.compute_txid());
            }
        });
        txids
    }
}
