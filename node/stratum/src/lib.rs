//! Stratum V1: miners that others wrote mine for this node, over lines of JSON.
//!
//! ```text
//! session     one connection without IO: subscribe, authorize, notify, submit, difficulty, version rolling (BIP 310)
//! worker      names, and whom they want to be paid
//! job         templates made ready: the coinbase in two halves, the merkle branch, headers and blocks from shares
//! difficulty  share difficulties that follow each miner's speed
//! server      the shell: listens, reads with limits, writes, submits blocks
//! feed        makes new work when the tip changes or payments come
//! counts      what became of shares and blocks
//! stats       who is connected, and the counts of all
//! limits      what a miner may ask of the node
//! ```
//!
//! *Invariants*: the extra nonce of no two live connections is the same, so no two search the same headers. A share is never
//! asked to be harder than a block, so no block is missed. A miner is never sent more than the latest work, however slow it
//! reads, and never costs more than the limits say.

pub mod counts;
pub mod difficulty;
mod feed;
pub mod job;
pub mod limits;
mod lines;
pub mod message;
mod pace;
mod server;
pub mod session;
mod share;
mod stats;
mod worker;

pub use job::{Found, Work};
pub use message::Refusal;
pub use pace::Pace;
pub use server::{Endpoint, StratumOptions, open};
pub use session::{Act, Session};
pub use stats::{EndpointStats, StratumStatus};
