//! What is true: the rules, the block tree, the coins and their storage.
//!
//! A block moves through this crate in one direction, and each stage is a type that only the stage before can make:
//!
//! ```text
//! bytes -> Block -> CheckedBlock (rules::block_alone) -> connected on its parent's coins (rules::block_connected)
//!       -> pending in memory -> committed (store::commit, one redb transaction)
//! ```
//!
//! [`Chain`] is the only part with state. Everything under [`rules`] is a pure function.
//! The crate reads no clock and no randomness and does no IO except redb; times are passed in as [`Timestamp`].

pub mod address;
pub mod assemble;
pub mod backup;
pub mod block;
mod chain;
pub mod coins;
pub mod export;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod framing;
pub mod genesis;
pub mod history;
pub mod import;
pub mod new_file;
pub mod params;
pub mod pause;
pub mod probe;
pub mod repair;
pub mod rules;
pub mod salvage;
pub mod script;
pub mod scrub;
pub mod snapshot;
pub mod store;
pub mod tree;
pub mod txindex;
mod units;
pub mod verify;

pub use block::CheckedBlock;
pub use chain::{
    AcceptError, Acceptance, BlockPosition, BranchStatus, CacheBudgets, Candidate, Chain,
    ChainOptions, ChainTip, Cure, CureCounts, Flush, FrozenChain, InvalidateError, NextBlock,
    OnDamage, Reorg, StepLimit, StoredBlock, TipInfo, Written,
};
pub use coins::Coin;
pub use params::{NetworkDigest, Params};
pub use rules::error::{RuleError, Standing};
pub use store::{Damage, OpenError, StoreError, StoreFault};
pub use units::{Height, Timestamp};
