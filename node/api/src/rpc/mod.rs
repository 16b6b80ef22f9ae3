//! JSON-RPC as Bitcoin Core speaks it.
//!
//! ```text
//! http (connections) -> server (limits) -> auth -> request (JSON-RPC 1 and 2) -> registry (the table of calls) -> args -> one file per group
//! ```
//!
//! A call reads and drives the node through [`Api`](node_host::Api) only. What it gives is typed in [`model`].

mod activity;
pub mod args;
pub mod auth;
pub(crate) mod blockchain;
mod control;
pub mod error;
mod filters;
mod generate;
mod grind;
pub mod http;
mod mempool;
mod mining;
pub mod model;
mod network;
mod rawtransactions;
pub mod registry;
pub mod request;
mod scan;
pub mod server;
mod snapshots;
mod stats;
mod stream;
mod templates;
mod util;
mod wait;
mod warm_up;

pub use activity::{Activity, CallCount};
pub use filters::FilterHeaders;
pub use warm_up::WarmUp;
