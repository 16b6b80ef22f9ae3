//! JSON-RPC as Bitcoin Core speaks it.
//!
//! ```text
//! request (JSON-RPC 1 and 2) -> table (all calls) -> one file per group -> args, model, call -> reply, error
//! ```
//!
//! A call reads and changes the node through [`Api`](crate::Api) only. What it gives is typed in [`model`].

pub mod args;
pub(crate) mod blockchain;
pub mod call;
mod candidate;
mod coins;
mod control;
mod description;
pub mod error;
mod filters;
mod generate;
mod grind;
mod mempool;
mod mining;
pub mod model;
mod network;
mod rawtransactions;
mod reject;
pub mod reply;
pub mod request;
mod scan;
mod snapshots;
mod stats;
mod strict;
pub mod table;
mod templates;
mod util;
mod wait;
