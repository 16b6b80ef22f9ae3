//! Integration tests of the network crate, a module per subject.
#![allow(unreachable_pub, reason = "a test binary has no public interface")]
#![allow(clippy::print_stdout, reason = "tests tell what they measured")]
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod host;
mod net;
#[path = "../raw/mod.rs"]
mod raw;
mod swarm;
mod sync_blocks;
mod sync_headers;
mod sync_hostile;
mod sync_network;
mod sync_orders;
mod wire;
