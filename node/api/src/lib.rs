//! What people and programs see of a node: JSON-RPC, REST, metrics and the stream of events.
//!
//! ```text
//! http_server -> server (who may) -> work (in which place) -> rpc -> Api -> the node
//!                                -> rest, metrics, health, stream ---^
//! ```

mod activity;
mod api;
pub mod auth;
mod filter_headers;
mod health;
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
