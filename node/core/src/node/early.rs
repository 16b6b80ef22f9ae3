//! Blocks whose time lies too far ahead: kept for a while and tried again, since later they may be valid.

use std::collections::BTreeMap;
use std::time::Duration;

use bitcoin::{Block, BlockHash};
use chain::Timestamp;
use p2p::Mono;

use crate::now::Now;

/// Most that are kept; those that become valid first stay.
const MAX_EARLY_BLOCKS: usize = 8;

/// Blocks by the time from which they may be valid.
#[derive(Debug, Default)]
pub(super) struct EarlyBlocks {
    by_time: BTreeMap<(Timestamp, BlockHash), Block>,
}

impl EarlyBlocks {
    /// Keeps a block whose time is more than the allowed `limit_secs` ahead.
    pub(super) fn keep(&mut self, block: Block, limit_secs: u32) {
        let from = Timestamp(block.header.time.saturating_sub(limit_secs));
        self.by_time.insert((from, block.block_hash()), block);
        while self.by_time.len() > MAX_EARLY_BLOCKS {
            self.by_time.pop_last();
        }
    }

    /// Takes out a block whose time has come.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Block> {
        let first = self.by_time.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the next one's time comes, if the wall clock runs evenly.
    pub(super) fn next_due(&self, now: Now) -> Option<Mono> {
        let ((from, _), _) = self.by_time.first_key_value()?;
        let ahead = from.0.saturating_sub(now.wall.0);
        Some(now.mono + Duration::from_secs(u64::from(ahead)))
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;

    use super::*;

    fn block_at(time: u32) -> Block {
        let header = bitcoin::block::Header {
            version: bitcoin::block::Version::TWO,
            prev_blockhash: BlockHash::all_zeros(),
            merkle_root: bitcoin::TxMerkleNode::all_zeros(),
            time,
            bits: bitcoin::CompactTarget::from_consensus(0),
            nonce: 0,
        };
        Block {
            header,
            txdata: vec![],
        }
    }

    #[test]
    fn blocks_come_out_when_their_time_has_come() {
        let mut early = EarlyBlocks::default();
        early.keep(block_at(10_000), 7_200);
        early.keep(block_at(9_000), 7_200);
        let now = |wall| Now {
            mono: Mono::ZERO,
            wall: Timestamp(wall),
        };
        assert_eq!(
            early.next_due(now(1_790)),
            Some(Mono::from_micros(10_000_000))
        );
        assert!(early.take_due(Timestamp(1_799)).is_none());
        assert_eq!(
            early.take_due(Timestamp(1_800)).map(|b| b.header.time),
            Some(9_000)
        );
        assert!(early.take_due(Timestamp(2_799)).is_none());
        assert!(early.take_due(Timestamp(2_800)).is_some());
        assert!(early.next_due(now(0)).is_none());
    }

    #[test]
    fn only_the_nearest_are_kept() {
        let mut early = EarlyBlocks::default();
        for time in (8_000..8_100).rev() {
            early.keep(block_at(time), 7_200);
        }
        assert_eq!(early.by_time.len(), MAX_EARLY_BLOCKS);
        assert!(early.take_due(Timestamp(800)).is_some());
    }
}
