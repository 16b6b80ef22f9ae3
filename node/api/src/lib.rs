//! What people and programs see of a node: JSON-RPC, REST, metrics and the stream of events.
//!
//! ```text
//! http (connections) -> server (who may, how much at once) -> rpc, rest, metrics, stream -> Api -> the node
//! ```

mod activity;
mod api;
pub mod auth;
mod filter_headers;
pub mod http;
mod memory;
mod metrics;
mod rest;
pub mod rpc;
pub mod server;
mod stream;
mod warm_up;

pub use api::Api;
pub use warm_up::WarmUp;
