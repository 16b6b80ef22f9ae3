//! What one node decides, without IO.
//!
//! ```text
//! mode, now    words that the rest shares
//! mempool      payments that wait for a block
//! events       what happened, as listeners hear it
//! node         NodeCore: chain, mempool, sync engine, peers and mode, driven by inputs and time
//! ```
//!
//! *Invariants*: no clock, no randomness, no thread, no network. `node-host` runs a [`NodeCore`] on threads and a swarm, the
//! simulator in virtual time.

pub mod events;
pub mod mempool;
mod mode;
mod node;
mod now;

pub use mode::Mode;
pub use node::{
    AddNode, AddNodeError, Ban, BannedBy, BlockTemplate, ChainAhead, CoreOptions, Input,
    LoadSnapshotError, NodeCore, OperatorError, Output, PeerInfo, PeerTable, SubmitError,
    TemplateTransaction,
};
pub use now::Now;
