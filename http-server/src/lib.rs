//! HTTP/1 on axum with the limits that it lacks, for a node's interfaces and for the testnet.
//!
//! ```text
//! connections   how many, who gives way when there are too many, how they end
//! request       bodies of bounded size and time, which names lead here, plain replies
//! limits        what one connection may take
//! ```
//!
//! *Invariant*: it knows nothing of a node.

mod connections;
mod limits;
mod request;

pub use connections::{Connection, serve};
pub use request::{AllowedHosts, json, plain, read_body, same_site_only};
