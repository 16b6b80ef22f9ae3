//! The rules: pure functions, one file per what a rule may know.
//!
//! | file | knows |
//! |---|---|
//! | [`header`], [`difficulty`] | a header and its ancestors' headers |
//! | [`block_alone`] | a body, and its place (height, median time past) |
//! | [`transaction`] | one transaction, and the coins that it spends |
//! | [`spend`] | one transaction's witnesses and the outputs that they unlock |
//! | [`block_connected`] | a body on the coins of its parent |
//!
//! The yardstick is Bitcoin Core's consensus: the same verdicts, the same reject strings, and the same order of checks,
//! so that the first rule that fails is the same. `docs/CONSENSUS.md` has the table and the deviations.

pub mod block_alone;
pub mod block_connected;
pub mod difficulty;
pub mod error;
pub mod header;
mod merkle;
mod outpoint_map;
pub mod spend;
pub mod transaction;
#[cfg(test)]
mod vectors;

/// Largest sum of signature operation costs in a block (BIP 141).
pub const MAX_BLOCK_SIGOPS_COST: u64 = 80_000;

/// Oldest header version that is accepted: BIP 34, 66 and 65 each retired one.
pub const MIN_BLOCK_VERSION: i32 = 4;
