//! [`StoredBlock`]: a body as it lies on disk. Fetching it is quick; decoding and checking it takes ten times as long, and does
//! not need the chain.

use std::sync::Arc;

use bitcoin::{Block, BlockHash, consensus};

use super::Chain;
use crate::block::CheckedBlock;
use crate::params::Params;
use crate::rules::block_alone::{self, BodyContext};
use crate::store::{StoreError, block_key};
use crate::tree::NodeId;

#[cfg(test)]
thread_local! {
    /// Bodies from disk that were decoded on this thread.
    pub(super) static OPENED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A body that was read and not looked at yet.
pub struct StoredBlock {
    hash: BlockHash,
    body: Body,
}

enum Body {
    /// Not on disk yet.
    Pending(Arc<CheckedBlock>),
    OnDisk {
        bytes: Vec<u8>,
        /// `None` for genesis.
        context: Option<BodyContext>,
        params: Arc<Params>,
    },
}

impl std::fmt::Debug for StoredBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoredBlock").field(&self.hash).finish()
    }
}

impl StoredBlock {
    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Bytes of the block.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.body {
            Body::Pending(body) => body.block().total_size(),
            Body::OnDisk { bytes, .. } => bytes.len(),
        }
    }

    /// Whether it is decoded and checked already, since it is not on disk yet: [`StoredBlock::open`] takes no time.
    #[must_use]
    pub fn is_decoded(&self) -> bool {
        matches!(self.body, Body::Pending(_))
    }

    /// Decodes the bytes, and accepts nothing that does not hash to the block's id, witnesses included. `None`: they are
    /// damaged. [`Chain::block`] then takes note of it.
    pub fn open(self) -> Option<Arc<CheckedBlock>> {
        let (bytes, context, params) = match self.body {
            Body::Pending(body) => return Some(body),
            Body::OnDisk {
                bytes,
                context,
                params,
            } => (bytes, context, params),
        };
        #[cfg(test)]
        OPENED.set(OPENED.get() + 1);
        let block: Block = consensus::deserialize(&bytes).ok()?;
        if block.block_hash() != self.hash {
            return None;
        }
        let body = block_alone::check_of(block, self.hash, &params).ok()?;
        if let Some(context) = context {
            block_alone::check_contextual(&body, &context, &params).ok()?;
        }
        Some(Arc::new(body))
    }
}

impl Chain {
    /// A body, to be decoded without the chain. `None`: not stored, or known to be damaged.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn stored_block(&self, hash: &BlockHash) -> Result<Option<StoredBlock>, StoreError> {
        match self.tree.id_of(hash) {
            Some(id) => self.stored_body(id),
            None => Ok(None),
        }
    }

    pub(super) fn stored_body(&self, id: NodeId) -> Result<Option<StoredBlock>, StoreError> {
        let hash = self.tree.hash(id);
        if let Some(body) = self.pending.bodies.get(&id) {
            let body = Body::Pending(Arc::clone(body));
            return Ok(Some(StoredBlock { hash, body }));
        }
        if !self.tree.status(id).has_body || self.damaged_set().contains(&hash) {
            return Ok(None);
        }
        let key = block_key(self.tree.height(id), &hash);
        let bytes = match self.store.read(|disk| disk.body(&key)) {
            // It is lost here, and the damage that keeps it from being read is healed later.
            Err(error) if error.damage.is_some() => {
                self.note_error(&error);
                None
            }
            read => read?,
        };
        // What is lost cannot be decoded either.
        Ok(Some(self.on_disk(id, bytes.unwrap_or_default())))
    }

    /// The body of `id` whose row is `bytes`.
    pub(super) fn on_disk(&self, id: NodeId, bytes: Vec<u8>) -> StoredBlock {
        let context = self.tree.parent(id).map(|parent| BodyContext {
            height: self.tree.height(id),
            parent_median_time_past: self.tree.median_time_past(parent),
        });
        StoredBlock {
            hash: self.tree.hash(id),
            body: Body::OnDisk {
                bytes,
                context,
                params: Arc::clone(&self.params),
            },
        }
    }
}
