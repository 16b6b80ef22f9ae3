//! Snapshots of the coins: a node that is given one starts at its block, without the blocks below.
//!
//! ```text
//! magic                     8 bytes, "mendsnap"
//! version                   4 bytes, little endian: 1
//! network                   32 bytes: the digest of the parameters
//! height of the base        4 bytes, little endian
//! headers                   80 bytes each: blocks 1 to the base
//! number of coins           8 bytes, little endian
//! coins                     36 bytes of key, length in 2 bytes little endian, compact form; in key order
//! hash of the coins         32 bytes: `hash_serialized_3`, as Bitcoin Core makes it
//! ```
//!
//! The headers are there so that nobody has to be asked for them. They prove their own work; the coins prove nothing, so who
//! loads them says which hash he trusts.
//!
//! Three steps: [`dump`] (or [`dump_to_file`]) writes, [`read`] takes a file and checks all that it can without a chain, [`load`] makes it the state
//! of a chain, in one commit.

mod dump;
mod file;
mod load;
mod read;

use std::io;

use bitcoin::BlockHash;

use crate::chain::{AcceptError, BlockPosition};
use crate::coins::{CoinSetStats, SetHash};
use crate::store::StoreError;
use crate::units::Height;

pub use dump::dump;
pub use file::dump_to_file;
pub use load::load;
pub use read::{Snapshot, read};

const MAGIC: [u8; 8] = *b"mendsnap";

/// Version of the format. A program refuses others.
const VERSION: u32 = 1;

/// A snapshot's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The block whose state it is.
    pub base: BlockPosition,
    /// Totals and hashes of the coins.
    pub stats: CoinSetStats,
}

/// What the operator trusts: where a snapshot was made, `dumptxoutset` and `gettxoutsetinfo` tell it.
#[derive(Clone, Copy, Debug)]
pub struct Trusted {
    /// `hash_serialized_3` of the coins. It says nothing of the block that they belong to.
    pub coins: SetHash,
    /// That block, if it matters: else any chain of headers that proves its work will do.
    pub base: Option<BlockHash>,
}

/// Why a snapshot was not written, read or loaded. A chain that refuses one is as it was.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Reading or writing failed, or the file ends early.
    #[error("snapshot: {0}; check the file")]
    Io(#[from] io::Error),
    /// It is no snapshot, or cannot be decoded.
    #[error("snapshot: {0}; it is damaged or another kind of file, use another")]
    Malformed(&'static str),
    /// Its format is another one.
    #[error(
        "the snapshot has format {found}, this program knows {known}; make it anew with this version of mend"
    )]
    OtherVersion {
        /// The file's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It belongs to another network.
    #[error("the snapshot belongs to another network; use one made on this network")]
    OtherNetwork,
    /// One of its headers breaks a rule.
    #[error("the snapshot's header at height {height}: {error}; do not trust it, use another")]
    BadHeader {
        /// Height of the header.
        height: Height,
        /// The rule.
        error: AcceptError,
    },
    /// The coins are not those that were written or are trusted.
    #[error(
        "the hash of the snapshot's coins is {found}, expected {expected}; do not trust it, use another"
    )]
    WrongHash {
        /// Of the coins in the file.
        found: SetHash,
        /// What the file or the caller says.
        expected: SetHash,
    },
    /// The coins belong to another block.
    #[error("the snapshot is of block {found}, expected {expected}; use another")]
    WrongBase {
        /// The file's.
        found: BlockHash,
        /// What the caller says.
        expected: BlockHash,
    },
    /// A block of its chain is known to be invalid.
    #[error(
        "block {hash} below the snapshot is known to be invalid here; use a snapshot of another chain, or call reconsiderblock"
    )]
    InvalidBase {
        /// The block.
        hash: BlockHash,
    },
    /// Its block is not on the chain of headers with the most work.
    #[error(
        "headers with more work than the snapshot's are known, and its block is not among them; use one of the best chain"
    )]
    NotOnBestChain,
    /// The chain has as much work as the snapshot's.
    #[error(
        "the chain is at height {height} already and has no less work than the snapshot's at height {base}; there is nothing to gain from loading it"
    )]
    NotAhead {
        /// Height of the tip.
        height: Height,
        /// Height of the snapshot's block.
        base: Height,
    },
    /// A snapshot was loaded before.
    #[error(
        "a snapshot of height {base} was loaded before; load another into a new data directory"
    )]
    LoadedBefore {
        /// Height of that snapshot's block.
        base: Height,
    },
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}
