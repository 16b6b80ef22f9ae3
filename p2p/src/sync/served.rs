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

#[cfg(test)]
mod tests {
    use chain::fixtures::{GENESIS, TestChain};

    use super::*;

    #[test]
    fn decodings_for_all_peers_are_an_allowance_that_comes_back() {
        let mut net = TestChain::new();
        let names: Vec<String> = (0..PART_DECODINGS + 20).map(|n| format!("b{n}")).collect();
        for name in &names {
            net.fork_at(GENESIS).mine(name);
        }
        let chain = net.chain();
        let mut served = ServedBlocks::default();
        let mut given = |names: &[String], now| {
            let get = |name: &&String| {
                let block = served.get(now, chain, &net.hash(name));
                block.expect("in memory").is_some()
            };
            names.iter().filter(get).count()
        };
        let (now, most) = (Mono::ZERO, PART_DECODINGS as usize);
        assert_eq!(given(&names, now), most);
        assert_eq!(given(&names[..most], now), most, "what is decoded is kept");
        assert_eq!(given(&names[most..], now), 0);
        let later = Mono::from_micros(5_000_000);
        assert_eq!(given(&names[most..], later), 5, "one a second");
    }
}
