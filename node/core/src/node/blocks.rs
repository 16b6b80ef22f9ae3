//! Blocks: taking them, connecting them, and everything that follows from a new tip.

use std::borrow::Cow;

use bitcoin::block::Header;
use bitcoin::{Block, BlockHash};
use chain::rules::difficulty;
use chain::tree::HeaderInfo;
use chain::{AcceptError, Acceptance, BlockPosition, Reorg, RuleError, StepLimit, StoreError};
use p2p::sync::Input as EngineInput;

use super::{NodeCore, Output};
use crate::events::NodeEvent;
use crate::now::Now;

/// Why a submitted block was not taken. `Display` gives the string of BIP 22 for the first three.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Its body was here before (`duplicate`), or it is known to be invalid (`duplicate-invalid`).
    #[error("{0}")]
    Duplicate(&'static str),
    /// The parent is not known (`prev-blk-not-found`).
    #[error("prev-blk-not-found")]
    UnknownParent,
    /// The parent, or an ancestor, is known to be invalid (`bad-prevblk`).
    #[error("bad-prevblk")]
    InvalidParent,
    /// It breaks a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SubmitError {
    /// The string of BIP 22 that Bitcoin Core uses for the same verdict; `None` for a storage failure, which is none.
    #[must_use]
    pub fn reject_reason(&self) -> Option<Cow<'static, str>> {
        match self {
            SubmitError::Duplicate(word) => Some((*word).into()),
            SubmitError::UnknownParent => Some("prev-blk-not-found".into()),
            SubmitError::InvalidParent => Some("bad-prevblk".into()),
            SubmitError::Rule(rule) => Some(rule.reject_reason()),
            SubmitError::Store(_) => None,
        }
    }
}

/// A block that was taken, and that is to be connected next.
#[derive(Debug)]
#[must_use = "it is connected by `NodeCore::connect_submitted`"]
pub struct Submitted {
    hash: BlockHash,
    acceptance: Acceptance,
    announced: bool,
}

impl NodeCore {
    /// Takes a block from a miner or an operator: [`NodeCore::take_submitted`], [`NodeCore::connect_submitted`] and
    /// [`NodeCore::make_durable`] in one, for hosts that need not act in between.
    ///
    /// # Errors
    ///
    /// Why it was not taken, or why it could not be connected.
    pub fn submit_block(
        &mut self,
        now: Now,
        block: Block,
        out: &mut Vec<Output>,
    ) -> Result<Acceptance, SubmitError> {
        let submitted = self.take_submitted(now, block, out)?;
        let connected = self.connect_submitted(now, submitted, out);
        self.make_durable(now, out)?;
        connected
    }

    /// Checks a block from a miner or an operator and keeps it. If it is the child of the tip, peers are told of it at once:
    /// its work is done, and they check the rest themselves.
    ///
    /// # Errors
    ///
    /// Why it was not taken.
    pub fn take_submitted(
        &mut self,
        now: Now,
        block: Block,
        out: &mut Vec<Output>,
    ) -> Result<Submitted, SubmitError> {
        self.check_writable()?;
        let hash = block.block_hash();
        let announced = block.header.prev_blockhash == self.chain.tip().hash;
        self.check_not_known(&hash)?;
        let acceptance = match self.take_block(now, block, out) {
            Ok(acceptance) => acceptance,
            Err(refusal) => return Err(self.refuse_submitted(refusal, out)),
        };
        self.tell_header_tip(out);
        if announced {
            self.announce(&hash, out);
        }
        Ok(Submitted {
            hash,
            acceptance,
            announced,
        })
    }

    /// Connects a block that was taken, if its chain is the best. It may be acknowledged after [`NodeCore::make_durable`].
    ///
    /// A block on a side branch is stored and not connected: `chain().is_active(..)` tells.
    ///
    /// # Errors
    ///
    /// Why it could not be connected.
    pub fn connect_submitted(
        &mut self,
        now: Now,
        submitted: Submitted,
        out: &mut Vec<Output>,
    ) -> Result<Acceptance, SubmitError> {
        let Submitted {
            hash,
            acceptance,
            announced,
        } = submitted;
        let mut verdict = Ok(acceptance);
        let tip_before = self.chain.tip().hash;
        loop {
            for (position, rule) in self.activate_step(now, out) {
                if position.hash == hash {
                    verdict = Err(SubmitError::Rule(rule));
                }
            }
            // The rest of a deep change is walked in steps of their own.
            let goes_on = self.activation_due && !self.chain.is_between_chains();
            if !goes_on || self.failed.is_some() {
                break;
            }
        }
        self.check_writable()?;
        let healing = self.chain.healing_error();
        if let Some(healing) = healing.filter(|_| !self.chain.is_active(&hash)) {
            // It is kept, and connected when that is done.
            self.settle(now, out);
            return Err(SubmitError::Store(healing));
        }
        let is_new_tip = self.chain.tip().hash == hash && hash != tip_before;
        if is_new_tip && !announced {
            self.announce(&hash, out);
        }
        self.tell_header_tip(out);
        self.drive(now, EngineInput::ChainChanged, out);
        self.settle(now, out);
        verdict
    }

    /// Takes a header from an operator (`submitheader`).
    ///
    /// # Errors
    ///
    /// Why it was not taken.
    pub fn submit_header(
        &mut self,
        now: Now,
        header: &Header,
        out: &mut Vec<Output>,
    ) -> Result<HeaderInfo, AcceptError> {
        let info = self.chain.accept_header(header, now.wall)?;
        if self.tell_header_tip(out) {
            self.plan_flush(now, out);
            self.drive(now, EngineInput::ChainChanged, out);
        }
        self.settle(now, out);
        Ok(info)
    }

    fn check_not_known(&self, hash: &BlockHash) -> Result<(), SubmitError> {
        match self.chain.tree().get(hash).map(|info| info.status) {
            Some(status) if !status.may_be_valid() => {
                Err(SubmitError::Duplicate("duplicate-invalid"))
            }
            Some(status) if status.has_body => Err(SubmitError::Duplicate("duplicate")),
            _ => Ok(()),
        }
    }

    fn refuse_submitted(&mut self, refusal: AcceptError, out: &mut Vec<Output>) -> SubmitError {
        match refusal {
            AcceptError::Rule(rule) => SubmitError::Rule(rule),
            AcceptError::UnknownParent { .. } => SubmitError::UnknownParent,
            AcceptError::KnownInvalid { .. } => SubmitError::Duplicate("duplicate-invalid"),
            AcceptError::InvalidParent { .. } => SubmitError::InvalidParent,
            AcceptError::Store(error) => self.fail_with(error, out).into(),
        }
    }

    /// Hands a block to the chain. One that is too early is kept and tried again; one that is wanted for a damaged body
    /// replaces it.
    pub(super) fn take_block(
        &mut self,
        now: Now,
        block: Block,
        out: &mut Vec<Output>,
    ) -> Result<Acceptance, AcceptError> {
        // Bodies are copied only where they may be needed again.
        let least_ahead_s = difficulty::least_ahead_s(self.chain.params());
        let ahead = u64::from(block.header.time) > u64::from(now.wall.0) + u64::from(least_ahead_s);
        let again = ahead.then(|| block.clone());
        let result = self.chain.accept_block(block, now.wall);
        match (&result, again) {
            (Ok(_), _) => {
                self.activation_due = true;
                self.plan_flush(now, out);
            }
            (Err(AcceptError::Rule(RuleError::TimeAhead { limit_secs, .. })), Some(block)) => {
                self.early.keep(block, *limit_secs)
            }
            (Err(_), _) => {}
        }
        result
    }

    /// Tries blocks whose time has come.
    pub(super) fn retry_early_blocks(&mut self, now: Now, out: &mut Vec<Output>) {
        while let Some(block) = self.early.take_due(now.wall) {
            match self.take_block(now, block, out) {
                Ok(_) => self.continue_activation(now, out),
                Err(AcceptError::Store(error)) => return self.fail(error, out),
                // Its parent may have gone bad, or never came: the engine fetches what is worth it.
                Err(_) => {}
            }
        }
    }

    /// Moves the tip towards the best chain, one step, so that peers and people are answered in between. Gives what failed.
    pub(super) fn activate_step(
        &mut self,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Vec<(BlockPosition, RuleError)> {
        let mut failed = Vec::new();
        let result = self.chain.activate_step(
            self.payments.signatures(),
            &mut failed,
            StepLimit::default(),
        );
        match result {
            Ok(change) => {
                self.activation_due = !self.chain.is_at_best();
                if let Some(reorg) = change {
                    self.follow(now, &reorg, out);
                }
            }
            Err(error) => self.fail(error, out),
        }
        for (position, rule) in &failed {
            let reason = rule.reject_reason();
            let BlockPosition { hash, height } = *position;
            out.push(Output::Event(NodeEvent::BlockInvalid {
                hash,
                height,
                reason,
            }));
        }
        failed
    }

    /// Everything that follows from a change of the active chain: announcement, events, mempool.
    pub(super) fn follow(&mut self, now: Now, reorg: &Reorg, out: &mut Vec<Output>) {
        self.followed = reorg.connected.last().unwrap_or(&reorg.fork).hash;
        self.mode.block_came(now.mono);
        for BlockPosition { hash, height } in reorg.disconnected.iter().copied() {
            out.push(Output::Event(NodeEvent::BlockDisconnected { hash, height }));
        }
        for BlockPosition { hash, height } in reorg.connected.iter().copied() {
            out.push(Output::Event(NodeEvent::BlockConnected { hash, height }));
        }
        self.with_payments(now, out, |payments, scope| payments.follow(reorg, scope));
        self.plan_flush(now, out);
    }

    /// Spreads a block that is here.
    fn announce(&mut self, hash: &BlockHash, out: &mut Vec<Output>) {
        match self.chain.block(hash) {
            Ok(Some(block)) => {
                let nonce = self.nonces.draw();
                out.push(Output::Publish(self.engine.announce(&block, nonce)));
            }
            Ok(None) => {}
            Err(error) => self.fail(error, out),
        }
    }

    /// Tells a change of the best header chain. Gives whether there was one.
    pub(super) fn tell_header_tip(&mut self, out: &mut Vec<Output>) -> bool {
        let best = self.chain.tree().best_header();
        if best.hash == self.best_header {
            return false;
        }
        self.best_header = best.hash;
        let (hash, height) = (best.hash, best.height);
        out.push(Output::Event(NodeEvent::HeaderTip { hash, height }));
        true
    }
}
