//! What the next block needs, and whether a candidate for it would be valid.

use bitcoin::block::Header;
use bitcoin::{Block, CompactTarget};

use super::coins::ReadOnlyView;
use super::{AcceptError, BlockPosition, Chain};
use crate::block::CheckedBlock;
use crate::params::{AsertAnchor, DifficultyRule};
use crate::rules::block_alone::{self, BodyContext};
use crate::rules::block_connected::{self, ConnectContext, ConnectError, ConnectedBlock};
use crate::rules::difficulty::{self, DifficultyContext};
use crate::rules::error::RuleError;
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
        let header = block.header;
        let body = block_alone::check(block, &self.params);
        let candidate = self.test_coins(&header, body, now)?;
        Ok(candidate.check_signatures(signatures)?)
    }

    /// As [`Chain::test_block`], but for what needs no chain, so that a lock on it is held for as short as can be: `body` was checked
    /// alone before ([`block_alone::check`]), and signatures are checked after ([`Candidate::check_signatures`]).
    ///
    /// # Errors
    ///
    /// As [`Chain::test_block`]; what `body` breaks is told after what `header` breaks.
    pub fn test_coins(
        &self,
        header: &Header,
        body: Result<CheckedBlock, RuleError>,
        now: Timestamp,
    ) -> Result<Candidate, AcceptError> {
        let parent = self.tip_id();
        if header.prev_blockhash != self.tree.hash(parent) {
            return Err(AcceptError::UnknownParent {
                parent: header.prev_blockhash,
            });
        }
        let height = self.tree.height(parent).next();
        let parent_median_time_past = self.tree.median_time_past(parent);
        self.check_header_on(header, parent, now)?;
        let block = body?;
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
            signatures: &SignatureCache::default(),
        };
        let checked = self.store.read(|disk| {
            let mut view = ReadOnlyView {
                cache: &self.coins,
                disk,
            };
            block_connected::check_coins(&block, &context, &mut view)
        });
        match checked {
            Ok(connected) => Ok(Candidate { block, connected }),
            Err(ConnectError::Rule(rule)) => Err(rule.into()),
            Err(ConnectError::Coins(error)) => Err(error.into()),
        }
    }
}

/// A block that could follow the tip if its signatures are good, whose work is not looked at.
#[derive(Debug)]
pub struct Candidate {
    block: CheckedBlock,
    connected: ConnectedBlock,
}

impl Candidate {
    /// Checks its signatures, but for those that `known` has. Takes most of the time, and no chain.
    ///
    /// # Errors
    ///
    /// [`RuleError::Spend`] of the first input, in block order, that fails.
    pub fn check_signatures(&self, known: &SignatureCache) -> Result<(), RuleError> {
        block_connected::check_signatures(&self.block, &self.connected, known)
    }
}
