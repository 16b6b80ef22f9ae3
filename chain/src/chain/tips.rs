//! Branches, and bodies that are wanted.

use super::{BlockPosition, Chain};
use crate::tree::{HeaderInfo, NodeId};
use crate::units::Height;

/// What is known of a branch of the tree, in the words of `getchaintips`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BranchStatus {
    /// The active chain.
    Active,
    /// All its blocks were connected once; it is not the active chain.
    ValidFork,
    /// All its bodies are here, but it was never connected.
    ValidHeaders,
    /// Bodies are missing.
    HeadersOnly,
    /// It has a block that is invalid.
    Invalid,
}

impl BranchStatus {
    /// Bitcoin Core's word.
    pub fn as_str(self) -> &'static str {
        match self {
            BranchStatus::Active => "active",
            BranchStatus::ValidFork => "valid-fork",
            BranchStatus::ValidHeaders => "valid-headers",
            BranchStatus::HeadersOnly => "headers-only",
            BranchStatus::Invalid => "invalid",
        }
    }
}

/// The end of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainTip {
    /// Its last block.
    pub block: BlockPosition,
    /// Blocks since it left the active chain; 0 for the active tip.
    pub branch_length: u32,
    /// What is known of it.
    pub status: BranchStatus,
}

impl Chain {
    /// All branches, highest first, the active one among them, as `getchaintips`.
    pub fn chain_tips(&self) -> Vec<ChainTip> {
        let mut ends: Vec<NodeId> = self.tree.leaves().iter().map(|leaf| leaf.id).collect();
        if !ends.contains(&self.tip_id()) {
            ends.push(self.tip_id());
        }
        let mut tips: Vec<ChainTip> = ends.into_iter().map(|id| self.chain_tip(id)).collect();
        tips.sort_by_key(|tip| {
            (
                std::cmp::Reverse(tip.block.height),
                tip.status,
                tip.block.hash,
            )
        });
        tips
    }

    fn chain_tip(&self, id: NodeId) -> ChainTip {
        let status = self.tree.status(id);
        let status = if self.is_active_id(id) {
            BranchStatus::Active
        } else if !status.may_be_valid() {
            BranchStatus::Invalid
        } else if !self.tree.is_complete(id) {
            BranchStatus::HeadersOnly
        } else if status.connected {
            BranchStatus::ValidFork
        } else {
            BranchStatus::ValidHeaders
        };
        let fork = self.tree.fork_point(id, self.tip_id()).height;
        ChainTip {
            block: self.position(id),
            branch_length: self.tree.height(id).0 - fork.0,
            status,
        }
    }

    /// Bodies that are missing between the active chain and the best header, lowest first, at most `limit`.
    ///
    /// Empty when the active tip is (on) the chain of the best header and all is here. Damaged bodies of the active chain
    /// are not among them: see [`Chain::damaged`].
    pub fn missing_bodies(&self, limit: usize) -> Vec<HeaderInfo> {
        self.missing_bodies_towards(self.tree.best_header().id, limit)
    }

    /// As [`Chain::missing_bodies`], on the way to any header.
    pub fn missing_bodies_towards(&self, header: NodeId, limit: usize) -> Vec<HeaderInfo> {
        let first = self.tree.fork_point(header, self.tip_id()).height.0 + 1;
        let last = self.tree.height(header).0;
        (first..=last)
            .filter_map(|height| self.tree.ancestor(header, Height(height)))
            .filter(|info| !info.status.has_body)
            .take(limit)
            .collect()
    }
}
