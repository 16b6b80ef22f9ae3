//! Everybody in a simulation is honest: nobody may be punished, refused, or find own blocks invalid.

use bitcoin::BlockHash;

use super::{Rule, Watch};

impl Watch {
    /// A node refuses an identity from now on.
    pub(crate) fn banned(&mut self, at_us: u64, node: usize, peer_id: &str) {
        let detail = format!("node {node} bans {peer_id}");
        self.violate(at_us, Rule::NobodyIsPunished, detail);
    }

    /// A node holds gossip against its sender.
    pub(crate) fn rejected_gossip(&mut self, at_us: u64, node: usize) {
        let detail = format!("node {node} rejects gossip");
        self.violate(at_us, Rule::NobodyIsPunished, detail);
    }

    /// A node finds a block invalid.
    pub(crate) fn found_invalid(
        &mut self,
        at_us: u64,
        node: usize,
        hash: &BlockHash,
        reason: &str,
    ) {
        let detail = format!("node {node} finds {hash} invalid: {reason}");
        self.violate(at_us, Rule::OwnBlocksAreValid, detail);
    }

    /// A node refuses the block that its own template became.
    pub(crate) fn refused_own_block(&mut self, at_us: u64, node: usize, reason: &str) {
        let detail = format!("node {node} refuses its own block: {reason}");
        self.violate(at_us, Rule::OwnBlocksAreValid, detail);
    }

    /// A node does not have a block that it had taken for good.
    pub(crate) fn lost_acknowledged(&mut self, at_us: u64, node: usize, hash: &BlockHash) {
        let detail = format!("node {node} has lost its own block {hash}");
        self.violate(at_us, Rule::AcknowledgedBlocksStay, detail);
    }

    /// Storage failed.
    pub(crate) fn failed(&mut self, at_us: u64, node: usize, problem: &str) {
        let detail = format!("node {node}: {problem}");
        self.violate(at_us, Rule::StorageHolds, detail);
    }
}
