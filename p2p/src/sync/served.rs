//! [`ServedBlocks`]: blocks that were decoded because peers asked for parts of them. To find one transaction a whole block is decoded;
//! so blocks are kept for the next question, old ones are not looked into at all, and all peers together have an allowance.

use std::collections::VecDeque;
use std::sync::Arc;

use bitcoin::BlockHash;
use chain::{Chain, CheckedBlock, StoreError};

use super::budget::Budget;
use crate::Mono;
use crate::wire::limits::{MAX_PART_DEPTH, PART_DECODINGS, SERVED_BYTES};

/// The last ones, bounded in bytes.
#[derive(Debug)]
pub struct ServedBlocks {
    blocks: VecDeque<(Arc<CheckedBlock>, usize)>,
    bytes: usize,
    decodings: Budget,
}

impl Default for ServedBlocks {
    fn default() -> ServedBlocks {
        ServedBlocks {
            blocks: VecDeque::new(),
            bytes: 0,
            decodings: Budget::new(PART_DECODINGS),
        }
    }
}

impl ServedBlocks {
    /// A block near the tip, or one that was asked for lately. `None`: it is not here, too far below the tip, or the allowance is
    /// used up; whoever asks may have the whole block.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it could not be read; fatal for the node.
    pub(super) fn get(
        &mut self,
        now: Mono,
        chain: &Chain,
        hash: &BlockHash,
    ) -> Result<Option<Arc<CheckedBlock>>, StoreError> {
        if let Some((block, _)) = self.blocks.iter().find(|(block, _)| block.hash() == *hash) {
            return Ok(Some(Arc::clone(block)));
        }
        let Some(known) = chain.tree().get(hash) else {
            return Ok(None);
        };
        let depth = chain.tree().tip().height.0.saturating_sub(known.height.0);
        if depth > MAX_PART_DEPTH || !known.status.has_body || !self.decodings.spend(1, now) {
            return Ok(None);
        }
        let block = chain.block(hash)?;
        if let Some(block) = &block {
            self.keep(Arc::clone(block));
        }
        Ok(block)
    }

    fn keep(&mut self, block: Arc<CheckedBlock>) {
        let bytes = block.block().total_size();
        self.bytes += bytes;
        self.blocks.push_back((block, bytes));
        while self.bytes > SERVED_BYTES && self.blocks.len() > 1 {
            if let Some((_, bytes)) = self.blocks.pop_front() {
                self.bytes -= bytes;
            }
        }
    }
}
