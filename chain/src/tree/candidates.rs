//! Which chain to follow: completeness of bodies, failures, and the candidates for the tip.

use std::cmp::Reverse;

use super::node::flag;
use super::{BlockTree, HeaderInfo, NodeId};

/// A possible tip, ordered by preference: more work first, then complete earlier, then known earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    chain_work: [u8; 32],
    sequence: Reverse<i32>,
    id: Reverse<NodeId>,
}

impl BlockTree {
    fn candidate(&self, id: NodeId) -> Candidate {
        let node = self.nodes.get(id);
        Candidate {
            chain_work: node.chain_work,
            sequence: Reverse(node.sequence),
            id: Reverse(id),
        }
    }

    /// The highest block of the active chain that may be valid: the tip, unless an operator has just said otherwise.
    fn ground(&self) -> NodeId {
        let may_be_valid = |height: u32| {
            let id = self.nodes.ancestor(self.tip.id, height);
            self.nodes.get(id.expect("below the tip")).may_be_valid()
        };
        let (mut valid, mut unknown) = (0, self.tip.height.0);
        if may_be_valid(unknown) {
            return self.tip.id;
        }
        // What descends from an invalid block is invalid.
        while unknown - valid > 1 {
            let middle = valid + (unknown - valid) / 2;
            if may_be_valid(middle) {
                valid = middle;
            } else {
                unknown = middle;
            }
        }
        self.nodes
            .ancestor(self.tip.id, valid)
            .expect("below the tip")
    }

    /// Possible tips, best first: chains of valid or untried blocks whose bodies are all here, not worse than the active chain as
    /// far as that may be valid.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.candidates.iter().rev().map(|candidate| candidate.id.0)
    }

    /// The active tip moved to `id`.
    pub(crate) fn set_tip(&mut self, id: NodeId) {
        self.tip = self.nodes.tip_at(id);
    }

    /// Forgets candidates that are worse than the tip. To be called when an activation has ended, not while it still may
    /// have to fall back.
    pub(crate) fn prune_candidates(&mut self) {
        let ground = self.candidate(self.ground());
        self.candidates = self.candidates.split_off(&ground);
        self.candidates.insert(ground);
    }

    /// A body has come. Gives the blocks that thereby became connectable, in order.
    pub(crate) fn add_body(&mut self, id: NodeId, tx_count: u32) {
        let node = self.nodes.get_mut(id);
        if node.has(flag::HAS_BODY) {
            return;
        }
        node.set(flag::HAS_BODY);
        node.set_tx_count(tx_count);
        if node.has(flag::COMPLETE) {
            return;
        }
        let parent = NodeId(node.parent);
        if self.nodes.get(parent).has(flag::COMPLETE) {
            self.complete_from(id);
        } else {
            self.waiting.entry(parent).or_default().push(id);
        }
    }

    /// Marks `id` and those that waited for it complete.
    fn complete_from(&mut self, id: NodeId) {
        let ground = self.candidate(self.ground());
        let mut ready = std::collections::VecDeque::from([id]);
        while let Some(id) = ready.pop_front() {
            let sequence = self.next_sequence;
            self.next_sequence = self.next_sequence.saturating_add(1);
            let node = self.nodes.get_mut(id);
            node.set(flag::COMPLETE);
            node.sequence = sequence;
            let candidate = self.candidate(id);
            if self.nodes.get(id).may_be_valid() && candidate >= ground {
                self.candidates.insert(candidate);
            }
            ready.extend(self.waiting.remove(&id).unwrap_or_default());
        }
    }

    /// A body turned out to be lost or damaged. If the block is on the active chain, its coins are in place, and chains on
    /// it stay connectable; if not, it and its descendants have to wait for the body.
    pub(crate) fn remove_body(&mut self, id: NodeId, is_active: bool) {
        self.nodes.get_mut(id).clear(flag::HAS_BODY);
        if is_active {
            return;
        }
        self.nodes.get_mut(id).clear(flag::COMPLETE);
        for descendant in self.nodes.ids_from(id.0 + 1) {
            let parent = NodeId(self.nodes.get(descendant).parent);
            if !self.nodes.get(parent).has(flag::COMPLETE)
                && self.nodes.get(descendant).has(flag::COMPLETE)
            {
                self.nodes.get_mut(descendant).clear(flag::COMPLETE);
                self.waiting.entry(parent).or_default().push(descendant);
            }
        }
        self.rebuild_candidates();
    }

    /// Remembers that all rules hold for a block.
    pub(crate) fn set_connected(&mut self, id: NodeId) {
        self.nodes.get_mut(id).set(flag::CONNECTED);
    }

    /// A rule failed in a block: it and its descendants are invalid.
    pub(crate) fn mark_failed(&mut self, id: NodeId) {
        self.mark(id, flag::FAILED);
    }

    /// An operator says that a block and its descendants are invalid.
    pub(crate) fn mark_invalidated(&mut self, id: NodeId) {
        self.mark(id, flag::INVALIDATED);
    }

    fn mark(&mut self, id: NodeId, flag: u8) {
        self.nodes.get_mut(id).set(flag);
        self.derive_failed_ancestors(id.0 + 1);
        self.rebuild_candidates();
        self.rebuild_best_header();
    }

    /// Forgets what rules and operators said of a block, its ancestors and its descendants. Gives the blocks whose mark changed.
    pub(crate) fn reconsider(&mut self, id: NodeId) -> Vec<NodeId> {
        self.clear_marks(flag::FAILED | flag::INVALIDATED, |tree, other| {
            tree.is_ancestor(other, id) || tree.is_ancestor(id, other)
        })
    }

    /// Forgets what rules said of all blocks; what operators said stays. Gives the blocks whose mark changed.
    pub(crate) fn forget_failures(&mut self) -> Vec<NodeId> {
        self.clear_marks(flag::FAILED, |_, _| true)
    }

    fn clear_marks(
        &mut self,
        marks: u8,
        is_meant: impl Fn(&BlockTree, NodeId) -> bool,
    ) -> Vec<NodeId> {
        let marked = |id: &NodeId| self.nodes.get(*id).flags() & marks != 0 && is_meant(self, *id);
        let cleared: Vec<NodeId> = self.nodes.ids_from(0).filter(marked).collect();
        if cleared.is_empty() {
            return cleared;
        }
        for &id in &cleared {
            self.nodes.get_mut(id).clear(marks);
        }
        self.derive_failed_ancestors(1);
        self.rebuild_candidates();
        self.rebuild_best_header();
        cleared
    }

    /// Treats `id` as if it were complete before all others of equal work. A block of less work than the tip is left alone.
    pub(crate) fn prefer(&mut self, id: NodeId) {
        let tip_work = self.nodes.get(self.tip.id).chain_work;
        if self.nodes.get(id).chain_work < tip_work {
            return;
        }
        if tip_work > self.preferred_at_work {
            // The chain has grown since the last call: earlier preferences no longer matter, count anew.
            self.next_preferred_sequence = -1;
        }
        self.preferred_at_work = tip_work;
        self.candidates.remove(&self.candidate(id));
        self.nodes.get_mut(id).sequence = self.next_preferred_sequence;
        self.next_preferred_sequence = self.next_preferred_sequence.saturating_sub(1);
        let node = self.nodes.get(id);
        if node.may_be_valid() && node.has(flag::COMPLETE) {
            self.candidates.insert(self.candidate(id));
        }
    }

    pub(super) fn derive_failed_ancestors(&mut self, first: u32) {
        for id in self.nodes.ids_from(first) {
            let parent_may_be_valid = self
                .nodes
                .get(NodeId(self.nodes.get(id).parent))
                .may_be_valid();
            let node = self.nodes.get_mut(id);
            if parent_may_be_valid {
                node.clear(flag::FAILED_ANCESTOR);
            } else {
                node.set(flag::FAILED_ANCESTOR);
            }
        }
    }

    /// Looks at every node: only after failures, which cost their maker proof of work.
    pub(super) fn rebuild_candidates(&mut self) {
        let ground = self.candidate(self.ground());
        let candidates = self
            .nodes
            .ids_from(0)
            .filter(|&id| {
                let node = self.nodes.get(id);
                node.has(flag::COMPLETE) && node.may_be_valid()
            })
            .map(|id| self.candidate(id))
            .filter(|candidate| *candidate >= ground)
            .collect();
        self.candidates = candidates;
    }

    pub(super) fn rebuild_best_header(&mut self) {
        let best = self
            .nodes
            .ids_from(0)
            .filter(|&id| self.nodes.get(id).may_be_valid())
            // The last maximum wins in `max_by_key`, and first seen shall win.
            .max_by_key(|&id| (self.nodes.get(id).chain_work, Reverse(id)));
        self.best_header = best.expect("genesis is valid");
    }

    /// The header with the most work whose chain is not known to be invalid; bodies may be missing.
    pub fn best_header(&self) -> HeaderInfo {
        self.info(self.best_header)
    }

    /// The place of [`BlockTree::best_header`].
    pub fn best_header_id(&self) -> NodeId {
        self.best_header
    }
}
