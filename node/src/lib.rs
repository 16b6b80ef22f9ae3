//! One node: the core that decides, the shell that acts, and the interfaces that people use.
//!
//! [`core::NodeCore`] is sans-IO: chain, mempool, sync engine, peer book and mode. [`host`] runs it on tokio and libp2p;
//! the simulator runs the same core in virtual time. [`rpc`] reads and drives it through [`host::NodeHandle`].

pub mod core;
pub mod events;
pub mod host;
pub mod mempool;
pub mod offline;
pub mod rpc;
pub mod stratum;

mod cli;
mod logging;
mod metrics;
mod rest;

pub use cli::{LogFormat, NodeArgs, load_params, run};
