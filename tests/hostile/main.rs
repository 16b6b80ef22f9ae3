//! Hostile peers against real nodes: each attack is played on a `mend node` with an honest peer beside it, and measured against
//! the same scene without the attack.
//!
//! ```text
//! cargo test --test hostile                          # short: is the node still of use?
//! MEND_HOSTILE=full cargo test --release --test hostile -- --nocapture   # a long chain, and the stated bounds
//! ```
//!
//! The peers speak libp2p with an encoder of their own: nothing of the node's code keeps them from lying.
#![expect(clippy::print_stdout, reason = "each attack prints what it did")]

mod claims;
mod connections;
mod hearsay;
mod judge;
mod line;
mod low_work;
mod oversize;
mod peer;
#[path = "../../p2p/tests/raw/mod.rs"]
mod raw;
mod scene;
mod serving;
#[path = "../../benches/support/mod.rs"]
mod support;
mod transactions;
mod wire;
mod withholding;
