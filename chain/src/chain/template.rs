//! What the next block needs, and whether a candidate for it would be valid.

use bitcoin::block::Header;
use bitcoin::{Block, CompactTarget};

use super::coins::ReadOnlyView;
use super::{AcceptError, BlockPosition, Chain};
use crate::block::CheckedBlock;
use crate::rules::block_alone::{self, BodyContext};
use crate::rules::block_connected::{self, ConnectContext, ConnectError, ConnectedBlock};
use crate::rules::difficulty::{self, DifficultyContext, NextBits, Past};
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
    /// Median time past of the parent: what lock times are compared with (BIP 113).
    pub median_time_past: Timestamp,
    /// The time that its header should have: now, or the earliest that the median allows.
    pub time: Timestamp,
    /// Bits that its header must have at that time.
    pub bits: CompactTarget,
    /// The earliest time that its header may have with these bits.
    pub min_time: Timestamp,
    /// The latest time with these bits.
    pub max_time: Timestamp,
    /// How far ahead of the clock of whoever checks it that time may lie, in seconds.
    pub max_ahead_s: u32,
}

impl Chain {
    /// What a block on the active tip needs if it is made `now`.
    pub fn next_block(&self, now: Timestamp) -> NextBlock {
        let tip = self.tip_id();
        let median_time_past = self.tree.median_time_past(tip);
        let earliest = median_time_past.saturating_add_secs(1);
        let time = now.max(earliest);
        let next = self.bits_after(tip, time);
        NextBlock {
            parent: self.position(tip),
            height: self.tree.height(tip).next(),
            median_time_past,
            time,
            bits: next.bits,
            min_time: next.from.max(earliest),
            max_time: next.until,
            max_ahead_s: next.max_ahead_s,
        }
    }

    /// The bits that a child of `parent` must have if its header says `time`.
    pub fn bits_after(&self, parent: NodeId, time: Timestamp) -> NextBits {
        let parent_height = self.tree.height(parent);
        let at = |height: Height| {
            let id = self.tree.ancestor_id(parent, height);
            Past {
                time: self.tree.time(id),
                bits: self.tree.bits(id),
            }
        };
        let context = DifficultyContext {
            parent_height,
            at: &at,
        };
        difficulty::next_bits(&self.params, &context, time)
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
