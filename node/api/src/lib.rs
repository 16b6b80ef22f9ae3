//! What people and programs see of a node: JSON-RPC, REST, metrics and the stream of events.
//!
//! ```text
//! connections -> server (who may) -> work (in which place) -> rpc -> Api -> the node
//!                                -> rest, metrics, stream ---^
//! ```

mod activity;
mod api;
pub mod auth;
pub mod connections;
mod filter_headers;
pub mod http;
mod limits;
mod memory;
mod metrics;
mod rest;
pub mod rpc;
pub mod server;
mod stream;
mod warm_up;
mod work;

pub use api::Api;
pub use warm_up::WarmUp;
