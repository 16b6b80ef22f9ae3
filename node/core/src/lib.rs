//! What one node decides, without IO.
//!
//! ```text
//! mode, now    words that the rest shares
//! mempool      payments that wait for a block
//! options      what a core is told at the start
//! events       what happened, as listeners hear it
//! node         NodeCore: parts with state of their own around a chain, driven by inputs and time
//! ```
//!
//! *Invariants*: no clock, no randomness, no thread, no network. `node-host` runs a [`NodeCore`] on threads and a swarm, the
//! simulator in virtual time.

pub mod events;
pub mod mempool;
mod mode;
mod node;
mod now;
mod options;

pub use mode::Mode;
pub use node::{
    AddNode, AddNodeError, Ban, BannedBy, BlockTemplate, ChainAhead, Input, LoadSnapshotError,
    NodeCore, OperatorError, Output, PeerInfo, PeerTable, SubmitError, TemplateTransaction,
};
pub use now::Now;
pub use options::CoreOptions;
