//! Moving the tip to the best chain.

use bitcoin::{BlockHash, Work};

use super::feed::{Feed, NoMore};
use super::{BlockPosition, Chain, Reorg};
use crate::probe::Stage;
use crate::rules::error::RuleError;
use crate::rules::spend::SignatureCache;
use crate::store::StoreError;
use crate::tree::NodeId;
use crate::units::Height;

/// How much one step of an activation does, about, so that a host can do other things in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimit {
    /// Blocks to connect.
    pub blocks: usize,
    /// Transactions to take back. A change of chains that goes back over more is made in several steps, with a tip of less work in
    /// between: see [`Chain::is_between_chains`].
    pub transactions: usize,
}

impl Default for StepLimit {
    /// Some tens of milliseconds.
    fn default() -> StepLimit {
        StepLimit {
            blocks: 32,
            transactions: 1_024,
        }
    }
}

impl StepLimit {
    const NONE: StepLimit = StepLimit {
        blocks: usize::MAX,
        transactions: usize::MAX,
    };
}

/// A walk to the best chain, or a step of it.
pub(super) struct Walk<'a> {
    pub(super) feed: &'a mut dyn Feed,
    pub(super) signatures: &'a SignatureCache,
    /// Blocks that turned out to be invalid.
    pub(super) failed: &'a mut Vec<(BlockPosition, RuleError)>,
    pub(super) limit: StepLimit,
    /// Whether the run of blocks that reaches the best chain flushes everything.
    pub(super) flush_at_end: bool,
}

impl Chain {
    /// Connects the valid chain with the most work among those whose bodies are here. First seen wins a tie.
    ///
    /// Blocks that fail are marked invalid with their descendants, and the next best chain is tried, so the result may be
    /// the valid prefix of a better chain. `None`: nothing changed. What failed is listed in `failed`. Coins that grow large on
    /// the way are flushed.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn activate_best(
        &mut self,
        signatures: &SignatureCache,
        failed: &mut Vec<(BlockPosition, RuleError)>,
    ) -> Result<Option<Reorg>, StoreError> {
        self.activate_step(signatures, failed, StepLimit::NONE)
    }

    /// As [`Chain::activate_best`], and then flushes. What can be written while the signatures of the last blocks are
    /// checked is written then.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn activate_best_and_flush(
        &mut self,
        signatures: &SignatureCache,
        failed: &mut Vec<(BlockPosition, RuleError)>,
    ) -> Result<Option<Reorg>, StoreError> {
        let change = self.activate(Walk {
            feed: &mut NoMore,
            signatures,
            failed,
            limit: StepLimit::NONE,
            flush_at_end: true,
        })?;
        self.flush()?;
        Ok(change)
    }

    /// As [`Chain::activate_best`], but in steps. Call it until [`Chain::is_at_best`].
    ///
    /// A change of chains that fits into a step is made in one: it ends when the tip has no less work than before. In a deeper one
    /// the tip goes down to the fork and up again, step by step.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn activate_step(
        &mut self,
        signatures: &SignatureCache,
        failed: &mut Vec<(BlockPosition, RuleError)>,
        limit: StepLimit,
    ) -> Result<Option<Reorg>, StoreError> {
        self.activate(Walk {
            feed: &mut NoMore,
            signatures,
            failed,
            limit,
            flush_at_end: false,
        })
    }

    /// As [`Chain::activate_best_and_flush`], with the blocks that `feed` brings in meanwhile: the pool of cores need not run
    /// dry between one call and the next. What fails is told to `feed`.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub(crate) fn activate_fed_and_flush(
        &mut self,
        feed: &mut dyn Feed,
        signatures: &SignatureCache,
    ) -> Result<Option<Reorg>, StoreError> {
        self.settle_damaged();
        let change = self.walk(Walk {
            feed,
            signatures,
            failed: &mut Vec::new(),
            limit: StepLimit::NONE,
            flush_at_end: true,
        })?;
        self.flush()?;
        Ok(change)
    }

    /// Whether the tip is that of the best chain that can be reached now.
    pub fn is_at_best(&self) -> bool {
        self.next_target() == self.tip_id()
    }

    /// Whether the tip is on its way between two chains, with less work than it had: only between the steps of a deep change.
    pub fn is_between_chains(&self) -> bool {
        self.work_left.is_some()
    }

    fn activate(&mut self, walk: Walk<'_>) -> Result<Option<Reorg>, StoreError> {
        self.settle_damaged();
        if self.is_at_best() {
            self.work_left = None;
            self.tree.prune_candidates();
            return Ok(None);
        }
        let probes = self.probes.clone();
        probes.run(Stage::Connect, || self.walk(walk))
    }

    /// Moves towards the best chain, and heals what turns out to be damaged on the way.
    fn walk(&mut self, mut walk: Walk<'_>) -> Result<Option<Reorg>, StoreError> {
        let old_tip = self.tip_id();
        while let Err(error) = self.try_walk(&mut walk) {
            self.heal(error)?;
        }
        self.is_healthy();
        if self.is_at_best() {
            // Where an operator took the chain back, the work that was left is not regained.
            self.work_left = None;
        }
        self.tree.prune_candidates();
        Ok(self.change_since(old_tip))
    }

    /// Goes back to where the best chain branches off, and up on it; begins anew whenever another turns out to be the best.
    fn try_walk(&mut self, walk: &mut Walk<'_>) -> Result<(), StoreError> {
        let work_before = self.work(self.tip_id());
        let mut connected = 0;
        if walk.limit == StepLimit::NONE {
            // It goes all the way: nobody will see what is between.
            self.work_left = None;
        }
        loop {
            let (tip, target) = (self.tip_id(), self.next_target());
            if tip == target {
                self.flush_when_large()?;
                if walk.feed.more(self)? {
                    continue;
                }
                break;
            }
            let fork = self.tree.fork_point(tip, target).id;
            if fork != tip {
                self.note_deep_change(fork, &walk.limit);
                self.disconnect_towards(fork, walk.limit.transactions, walk.signatures)?;
            } else {
                let path = self.next_run(tip, target, &walk.limit);
                connected += self.connect_run(path, walk)?;
            }
            if self.is_end_of_step(connected, work_before, &walk.limit) {
                break;
            }
        }
        Ok(())
    }

    /// Takes note if going back to `fork` is more than one step.
    fn note_deep_change(&mut self, fork: NodeId, limit: &StepLimit) {
        if self.work_left.is_none() && self.transactions_above(fork) > limit.transactions {
            self.work_left = Some(self.work(self.tip_id()));
        }
    }

    fn is_end_of_step(&mut self, connected: usize, work_before: Work, limit: &StepLimit) -> bool {
        let work = self.work(self.tip_id());
        match self.work_left {
            Some(left) => {
                self.work_left = Some(left).filter(|left| *left > work);
                true
            }
            None => connected >= limit.blocks && work >= work_before,
        }
    }

    /// The next blocks towards `target`, a descendant of the tip: as many as a step has, fewer between chains.
    fn next_run(&self, tip: NodeId, target: NodeId, limit: &StepLimit) -> Vec<NodeId> {
        let most = u32::try_from(limit.blocks.max(1)).unwrap_or(u32::MAX);
        let last = Height(self.tree.height(tip).0.saturating_add(most));
        let end = self.tree.ancestor(target, last);
        let mut path = self.tree.path(tip, end.map_or(target, |info| info.id));
        if self.is_between_chains() {
            let mut transactions = 0;
            let fits = |id: &&NodeId| {
                let before = transactions;
                transactions += self.tree.tx_count(**id);
                before < limit.transactions
            };
            let count = path.iter().take_while(fits).count();
            path.truncate(count.max(1));
        }
        path
    }

    /// The best candidate that can be reached: not one that needs a block to be disconnected whose body is lost, or that
    /// was never connected here (below a snapshot of coins).
    pub(super) fn next_target(&self) -> NodeId {
        let tip = self.tip_id();
        if self.is_healing() {
            return tip;
        }
        let reachable = |&candidate: &NodeId| {
            let fork = self.tree.fork_point(tip, candidate).height;
            let is_doubtful = |&block: &NodeId| self.tree.is_ancestor(block, candidate);
            self.can_go_back_to(fork) && !self.doubtful.iter().any(is_doubtful)
        };
        self.tree.candidates().find(reachable).unwrap_or(tip)
    }

    /// Whether all active blocks above `height` can be disconnected: their bodies and undo data are here.
    pub fn can_go_back_to(&self, height: Height) -> bool {
        let above = self.active.iter().skip(height.0 as usize + 1);
        above
            .map(|&id| self.tree.status(id))
            .all(|status| status.has_body && status.connected)
    }

    /// What changed since `old_tip` was the tip. `None`: nothing, or there is no such block.
    pub fn change_from(&self, old_tip: &BlockHash) -> Option<Reorg> {
        // This is asked with every input, and most change nothing: no need to look the block up.
        if self.tree.tip().hash == *old_tip {
            return None;
        }
        self.change_since(self.tree.id_of(old_tip)?)
    }

    /// What changed since `old_tip` was the tip.
    pub(super) fn change_since(&self, old_tip: NodeId) -> Option<Reorg> {
        let tip = self.tip_id();
        if tip == old_tip {
            return None;
        }
        let fork = self.tree.fork_point(old_tip, tip).id;
        let positions = |path: Vec<NodeId>| path.into_iter().map(|id| self.position(id));
        Some(Reorg {
            fork: self.position(fork),
            disconnected: positions(self.tree.path(fork, old_tip)).rev().collect(),
            connected: positions(self.tree.path(fork, tip)).collect(),
        })
    }
}
