//! What the next block needs, and whether a candidate for it would be valid.

use bitcoin::{Block, CompactTarget};

use super::coins::ReadOnlyView;
use super::{AcceptError, BlockPosition, Chain};
use crate::params::{AsertAnchor, DifficultyRule};
use crate::rules::block_alone::{self, BodyContext};
use crate::rules::block_connected::{self, ConnectContext, ConnectError};
use crate::rules::difficulty::{self, DifficultyContext};
use crate::rules::spend::SignatureCache;
use crate::tree::NodeId;
use crate::units::{Height, Timestamp};

/// What a block on the active tip needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextBlock {
    /// The tip.
    pub parent: BlockPosition,
    /// Height of the block.
    pub height: Height,
    /// Bits that its header must have.
    pub bits: CompactTarget,
    /// Median time past of the parent: what lock times are compared with (BIP 113).
    pub median_time_past: Timestamp,
    /// The earliest time that its header may have.
    pub min_time: Timestamp,
}

impl Chain {
    /// What a block on the active tip needs.
    pub fn next_block(&self) -> NextBlock {
        let tip = self.tip_id();
        let median_time_past = self.tree.median_time_past(tip);
        NextBlock {
            parent: self.position(tip),
            height: self.tree.height(tip).next(),
            bits: self.bits_after(tip),
            median_time_past,
            min_time: median_time_past.saturating_add_secs(1),
        }
    }

    /// The bits that a child of the active tip must have.
    pub fn next_bits(&self) -> CompactTarget {
        self.bits_after(self.tip_id())
    }

    /// The bits that a child of `parent` must have.
    pub fn bits_after(&self, parent: NodeId) -> CompactTarget {
        let anchor_height = match self.params.pow.difficulty {
            DifficultyRule::Fixed => None,
            DifficultyRule::Asert {
                anchor: AsertAnchor::Genesis,
                ..
            } => Some(Height(0)),
            DifficultyRule::Asert {
                anchor: AsertAnchor::FirstBlock,
                ..
            } => Some(Height(1)),
        };
        let anchor = anchor_height.and_then(|height| self.tree.ancestor(parent, height));
        let context = DifficultyContext {
            parent_height: self.tree.height(parent),
            parent_time: self.tree.time(parent),
            anchor_time: anchor.map(|anchor| Timestamp(anchor.header.time)),
        };
        difficulty::next_bits(&self.params, &context)
    }

    /// Checks an unmined child of the tip against every rule but proof of work (BIP 23 proposals, templates).
    ///
    /// # Errors
    ///
    /// The first rule that it breaks; [`AcceptError::UnknownParent`] if it is not a child of the tip.
    pub fn test_block(&self, block: Block, now: Timestamp) -> Result<(), AcceptError> {
        self.test_block_with(block, now, &SignatureCache::default())
    }

    /// As [`Chain::test_block`], without checking signatures again that `signatures` knows.
    ///
    /// # Errors
    ///
    /// As [`Chain::test_block`].
    pub fn test_block_with(
        &self,
        block: Block,
        now: Timestamp,
        signatures: &SignatureCache,
    ) -> Result<(), AcceptError> {
        let parent = self.tip_id();
        if block.header.prev_blockhash != self.tree.hash(parent) {
            return Err(AcceptError::UnknownParent {
                parent: block.header.prev_blockhash,
            });
        }
        let height = self.tree.height(parent).next();
        let parent_median_time_past = self.tree.median_time_past(parent);
        self.check_header_on(&block.header, parent, now)?;
        let block = block_alone::check(block, &self.params)?;
        let body_context = BodyContext {
            height,
            parent_median_time_past,
        };
        block_alone::check_contextual(&block, &body_context, &self.params)?;
        let mtp_at = |height: Height| self.median_time_past_at(height);
        let context = ConnectContext {
            height,
            parent_median_time_past,
            mtp_at: &mtp_at,
            params: &self.params,
            signatures,
        };
        let checked = self.store.read(|disk| {
            let mut view = ReadOnlyView {
                cache: &self.coins,
                disk,
            };
            block_connected::check(&block, &context, &mut view)
        });
        match checked {
            Ok(_) => Ok(()),
            Err(ConnectError::Rule(rule)) => Err(rule.into()),
            Err(ConnectError::Coins(error)) => Err(error.into()),
        }
    }
}
