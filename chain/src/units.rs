//! Numbers with units that the `bitcoin` crate has no type for.

use std::fmt;

use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};

/// The distance of a block from genesis, in blocks. Genesis has height 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Height(pub u32);

impl Height {
    /// The height of the genesis block.
    pub const GENESIS: Height = Height(0);

    /// The height of a child of a block at this height.
    #[must_use]
    pub fn next(self) -> Height {
        Height(self.0 + 1)
    }

    /// The height of the parent, `None` for genesis.
    #[must_use]
    pub fn previous(self) -> Option<Height> {
        self.0.checked_sub(1).map(Height)
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Seconds since the Unix epoch: the time of block headers and rules. Timeouts use another type on purpose.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// This time moved forward by `secs`, stopping at the end of what a header can hold (year 2106).
    #[must_use]
    pub fn saturating_add_secs(self, secs: u32) -> Timestamp {
        Timestamp(self.0.saturating_add(secs))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A block and its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPosition {
    /// The block.
    pub hash: BlockHash,
    /// Its height.
    pub height: Height,
}
