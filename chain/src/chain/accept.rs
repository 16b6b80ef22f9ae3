//! Taking headers and bodies in.

use std::borrow::Cow;
use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::{Block, BlockHash};

use super::{AcceptError, Acceptance, Chain};
use crate::block::CheckedBlock;
use crate::probe::Stage;
use crate::rules::block_alone::{self, BodyContext};
use crate::rules::error::Standing;
use crate::rules::header;
use crate::tree::{HeaderInfo, NodeId};
use crate::units::Timestamp;

impl Chain {
    /// Checks a header and adds it to the tree; idempotent.
    ///
    /// # Errors
    ///
    /// The rule that it breaks (nothing is kept of it then), an unknown parent, or that it or an ancestor is known to be
    /// invalid.
    pub fn accept_header(
        &mut self,
        header: &Header,
        now: Timestamp,
    ) -> Result<HeaderInfo, AcceptError> {
        self.accept_header_of(header, header.block_hash(), now)
    }

    fn accept_header_of(
        &mut self,
        header: &Header,
        hash: BlockHash,
        now: Timestamp,
    ) -> Result<HeaderInfo, AcceptError> {
        if let Some(known) = self.tree.get(&hash) {
            return if known.status.may_be_valid() {
                Ok(known)
            } else {
                Err(AcceptError::KnownInvalid { hash })
            };
        }
        header::check_proof_of_work_of(header, hash, &self.params)?;
        let Some(parent) = self.tree.id_of(&header.prev_blockhash) else {
            return Err(AcceptError::UnknownParent {
                parent: header.prev_blockhash,
            });
        };
        if !self.tree.status(parent).may_be_valid() {
            return Err(AcceptError::InvalidParent {
                parent: header.prev_blockhash,
            });
        }
        self.check_header_on(header, parent, now)?;
        let id = self.tree.insert(header, hash).expect("the parent is known");
        self.pending.touch(id);
        Ok(self.tree.info(id))
    }

    /// The rules of a header against its ancestors and our clock.
    pub(super) fn check_header_on(
        &self,
        header: &Header,
        parent: NodeId,
        now: Timestamp,
    ) -> Result<(), AcceptError> {
        let expected = self.bits_after(parent, Timestamp(header.time));
        let median = self.tree.median_time_past(parent);
        header::check_in_place(header, &expected, median, now)?;
        Ok(())
    }

    /// Checks a block's header and body and keeps the body until the next flush. It is connected by [`Chain::activate_best`].
    ///
    /// A rule with [`Standing::Never`](crate::Standing::Never) marks the block and its descendants invalid; a mutated body marks nothing.
    ///
    /// # Errors
    ///
    /// As [`Chain::accept_header`], and the rule that the body breaks. Checks come in Bitcoin Core's order.
    pub fn accept_block(
        &mut self,
        block: Block,
        now: Timestamp,
    ) -> Result<Acceptance, AcceptError> {
        let hash = block.block_hash();
        header::check_proof_of_work_of(&block.header, hash, &self.params)?;
        let checked = self.probes.run(Stage::Check, || {
            block_alone::check_of(block, hash, &self.params)
        });
        match checked {
            Ok(block) => self.accept_checked(Arc::new(block), now),
            Err(rule) => {
                // The merkle root was right, or the verdict would not be `Never`: the header condemns itself. One that is
                // not known yet is not worth keeping.
                if let (Standing::Never, Some(id)) = (rule.standing(), self.tree.id_of(&hash)) {
                    self.mark_failed(id);
                }
                Err(rule.into())
            }
        }
    }

    /// As [`Chain::accept_block`], for a body that was checked by itself before: under the same parameters, or the verdict
    /// means nothing here. An import checks bodies on other threads, a simulation checks each once for all its nodes.
    ///
    /// # Errors
    ///
    /// As [`Chain::accept_block`].
    pub fn accept_checked(
        &mut self,
        block: Arc<CheckedBlock>,
        now: Timestamp,
    ) -> Result<Acceptance, AcceptError> {
        self.settle_damaged();
        let info = self.accept_header_of(&block.block().header, block.hash(), now)?;
        if info.status.has_body {
            return Ok(Acceptance::AlreadyHave);
        }
        if let Some(parent) = self.tree.parent(info.id) {
            let context = BodyContext {
                height: info.height,
                parent_median_time_past: self.tree.median_time_past(parent),
            };
            if let Err(rule) = block_alone::check_contextual(&block, &context, &self.params) {
                if rule.standing() == Standing::Never {
                    self.mark_failed(info.id);
                }
                return Err(rule.into());
            }
        }
        if self.damaged_set().remove(&info.hash) {
            self.cure_counts.bodies += 1;
            // What it tells of coins may have been waited for.
            self.doubtful.clear();
        }
        let transactions = u32::try_from(block.txids().len()).expect("a block is small");
        self.tree.add_body(info.id, transactions);
        self.pending.add_body(info.id, block);
        self.pending.touch(info.id);
        Ok(Acceptance::Stored)
    }

    /// Replaces a body that was found damaged (see [`Chain::damaged`]).
    ///
    /// # Errors
    ///
    /// As [`Chain::accept_block`]; an unknown header is refused.
    pub fn restore_body(&mut self, block: Block) -> Result<Acceptance, AcceptError> {
        // The header is known, so no clock is asked.
        match self.tree.id_of(&block.block_hash()) {
            Some(_) => self.accept_block(block, Timestamp(0)),
            None => Err(AcceptError::UnknownParent {
                parent: block.header.prev_blockhash,
            }),
        }
    }

    /// The word that Bitcoin Core has for an error (BIP 22). `None` for a storage failure, which is no verdict.
    pub fn reject_reason(&self, error: &AcceptError) -> Option<Cow<'static, str>> {
        match error {
            AcceptError::Rule(rule) => Some(rule.reject_reason()),
            AcceptError::UnknownParent { .. } => Some("prev-blk-not-found".into()),
            AcceptError::KnownInvalid { .. } => Some("duplicate-invalid".into()),
            AcceptError::InvalidParent { .. } => Some("bad-prevblk".into()),
            AcceptError::Store(_) => None,
        }
    }

    pub(super) fn mark_failed(&mut self, id: NodeId) {
        self.tree.mark_failed(id);
        self.pending.touch(id);
    }
}
