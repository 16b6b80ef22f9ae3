//! The work of a node's tip never falls while it runs: a reorg needs more work, not less.

use bitcoin::Work;
use chain::TipInfo;

use super::{Rule, Watch};

/// The work of every node's tip, while it runs.
pub(super) struct WorkWatch {
    best: Vec<Option<Work>>,
}

impl WorkWatch {
    pub(super) fn new(nodes: usize) -> WorkWatch {
        WorkWatch {
            best: vec![None; nodes],
        }
    }
}

impl Watch {
    /// A node starts, on whatever its disk holds.
    pub(crate) fn started(&mut self, node: usize) {
        self.work.best[node] = None;
    }

    /// A node ends: what it had not committed may be lost.
    pub(crate) fn ended(&mut self, node: usize) {
        self.work.best[node] = None;
    }

    /// A node is on another tip.
    pub(crate) fn tip_moved(&mut self, at_us: u64, node: usize, tip: &TipInfo) {
        let before = self.work.best[node].replace(tip.chain_work);
        if before.is_some_and(|before| before > tip.chain_work) {
            let detail = format!("node {node} went to {} at height {}", tip.hash, tip.height);
            self.violate(at_us, Rule::WorkNeverFalls, detail);
        }
    }
}
