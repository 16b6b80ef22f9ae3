//! What people and programs see of a node: JSON-RPC, REST, metrics and the stream of events.
//!
//! All of them read and drive the node through an [`Api`].

mod api;
mod metrics;
mod rest;
pub mod rpc;

pub use api::Api;
