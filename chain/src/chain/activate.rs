//! Moving the tip to the best chain.

use bitcoin::BlockHash;

use super::connect::RunEnd;
use super::feed::{Feed, NoMore};
use super::{BlockPosition, Chain, Reorg};
use crate::probe::Stage;
use crate::rules::error::RuleError;
use crate::rules::spend::SignatureCache;
use crate::store::StoreError;
use crate::tree::NodeId;
use crate::units::Height;

impl Chain {
    /// Connects the valid chain with the most work among those whose bodies are here. First seen wins a tie.
    ///
    /// Blocks that fail are marked invalid with their descendants, and the next best chain is tried, so the result may be
    /// the valid prefix of a better chain. `None`: nothing changed. What failed is listed in `failed`.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn activate_best(
        &mut self,
        signatures: &SignatureCache,
        failed: &mut Vec<(BlockPosition, RuleError)>,
    ) -> Result<Option<Reorg>, StoreError> {
        self.activate_step(signatures, failed, usize::MAX)
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
        self.flush_with_tip = true;
        let change = self.activate_best(signatures, failed);
        self.flush_with_tip = false;
        let change = change?;
        self.flush()?;
        Ok(change)
    }

    /// As [`Chain::activate_best`], but stops after connecting about `max_blocks`, as soon as the tip has no less work than
    /// before, so that a host can do other things in between, and flush. Call it until it gives `None`.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn activate_step(
        &mut self,
        signatures: &SignatureCache,
        failed: &mut Vec<(BlockPosition, RuleError)>,
        max_blocks: usize,
    ) -> Result<Option<Reorg>, StoreError> {
        self.settle_damaged();
        if self.next_target() == self.tip_id() {
            self.tree.prune_candidates();
            return Ok(None);
        }
        let probes = self.probes.clone();
        probes.run(Stage::Connect, || {
            self.walk_to_best(&mut NoMore, signatures, failed, max_blocks)
        })
    }

    /// As [`Chain::activate_best_and_flush`], with the blocks that `feed` brings in meanwhile: the pool of cores need not run
    /// dry between one call and the next. Also flushes what grows large on the way. What fails is told to `feed`.
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
        self.flush_with_tip = true;
        let change = self.walk_to_best(feed, signatures, &mut Vec::new(), usize::MAX);
        self.flush_with_tip = false;
        let change = change?;
        self.flush()?;
        Ok(change)
    }

    /// Moves towards the best chain, and heals what turns out to be damaged on the way.
    fn walk_to_best(
        &mut self,
        feed: &mut dyn Feed,
        signatures: &SignatureCache,
        failed: &mut Vec<(BlockPosition, RuleError)>,
        max_blocks: usize,
    ) -> Result<Option<Reorg>, StoreError> {
        let old_tip = self.tip_id();
        while let Err(error) = self.walk(feed, signatures, failed, max_blocks) {
            self.heal(error)?;
        }
        self.is_healthy();
        self.tree.prune_candidates();
        Ok(self.change_since(old_tip))
    }

    fn walk(
        &mut self,
        feed: &mut dyn Feed,
        signatures: &SignatureCache,
        failed: &mut Vec<(BlockPosition, RuleError)>,
        max_blocks: usize,
    ) -> Result<(), StoreError> {
        let work_before = self.work(self.tip_id());
        let mut connected = 0;
        loop {
            let target = self.next_target();
            let tip = self.tip_id();
            let may_stop = connected >= max_blocks && self.work(tip) >= work_before;
            if may_stop {
                break;
            }
            if target == tip {
                self.flush_when_large()?;
                if feed.more(self)? {
                    continue;
                }
                break;
            }
            let fork = self.tree.fork_point(tip, target).id;
            if !self.disconnect_to(fork, Some(signatures))? {
                continue;
            }
            let path = self.tree.path(fork, target);
            let mut rest = path.as_slice();
            while !rest.is_empty() {
                let run = &rest[..rest.len().min(max_blocks.max(1))];
                match self.connect_run(run, feed, signatures, failed)? {
                    RunEnd::Connected(count) => {
                        rest = rest.get(count..).unwrap_or_default();
                        connected += count;
                    }
                    RunEnd::Stopped => break,
                }
                if connected >= max_blocks && self.work(self.tip_id()) >= work_before {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The best candidate that can be reached: not one that needs a block to be disconnected whose body is lost, or that
    /// was never connected here (below a snapshot of coins).
    pub(super) fn next_target(&self) -> NodeId {
        let tip = self.tip_id();
        let reachable = |&candidate: &NodeId| {
            let fork = self.tree.fork_point(tip, candidate).height;
            let is_doubtful = |&block: &NodeId| self.tree.is_ancestor(block, candidate);
            self.can_go_back_to(fork) && !self.doubtful.iter().any(is_doubtful)
        };
        self.tree.candidates().find(reachable).unwrap_or(tip)
    }

    /// Whether all active blocks above `height` can be disconnected: their bodies and undo data are here.
    pub fn can_go_back_to(&self, height: Height) -> bool {
        self.active[height.0 as usize + 1..].iter().all(|&id| {
            let status = self.tree.status(id);
            status.has_body && status.connected
        })
    }

    /// What changed since `old_tip` was the tip. `None`: nothing, or there is no such block.
    pub fn change_from(&self, old_tip: &BlockHash) -> Option<Reorg> {
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
