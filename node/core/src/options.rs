//! [`CoreOptions`]: what the core is told at the start.

use std::sync::Arc;

use chain::rules::spend::SignatureCache;

use crate::mempool::policy::OutputKinds;

/// What the core is told at the start.
#[derive(Clone, Debug, Default)]
pub struct CoreOptions {
    /// Dial only these.
    pub connect: Vec<String>,
    /// Dial these as well as known ones.
    pub peers: Vec<String>,
    /// Seed for ids, nonces and jitter.
    pub seed: u64,
    /// Bytes of transactions the mempool may hold; 0 for the default of 50 MB.
    pub mempool_bytes: usize,
    /// Which outputs the mempool takes.
    pub outputs: OutputKinds,
    /// The peer book as [`NodeCore::book_json`](crate::NodeCore::book_json) gave it.
    pub book: Option<String>,
    /// Neither learn addresses of other nodes nor tell them. `connect` implies it.
    pub no_discovery: bool,
    /// Nothing need survive: pending data stays in memory until [`NodeCore::shutdown`](crate::NodeCore::shutdown). For simulations.
    pub volatile: bool,
    /// Signatures that are known to be valid; nodes of one process may share them. Absent: a cache of its own.
    pub signatures: Option<Arc<SignatureCache>>,
}
