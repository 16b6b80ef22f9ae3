//! One node: where the core, its host and its interfaces are put together, and the commands on a node's data.
//!
//! `start` is the only place that knows all the parts: `node-core` decides, `node-host` runs it, `node-api` and `node-stratum`
//! serve people, programs and miners, and the swarm of `p2p` carries messages.

pub mod bitcoind;
pub mod offline;
pub mod start;

mod cli;
mod listen;
mod logging;
mod signals;

pub use cli::{LogFormat, NodeArgs, load_params, run};
