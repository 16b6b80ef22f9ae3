//! [`Mode`]: how well a node works.

use serde::Serialize;

/// How well the node works, for people and for its own miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Opening the chain.
    Starting,
    /// Blocks are coming that lead to a chain of more work.
    Syncing,
    /// At the tip, with peers.
    Healthy,
    /// At the tip as far as it knows: no peers.
    Isolated,
    /// Headers of checked work lead further than the chain, and their blocks do not come.
    Behind,
    /// No block for much longer than the spacing lets expect.
    Stale,
    /// The disk is nearly full: no mempool growth, no mining.
    DiskLow,
    /// Storage failed: reads only, then stop.
    ReadOnly,
}
