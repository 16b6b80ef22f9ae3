//! Unspent outputs: the coin, its cache over the store, undo data and set hashes.

mod apply;
mod cache;
pub(crate) mod encoding;
mod merge;
mod muhash;
mod num3072;
mod stats;
mod view;

use bitcoin::{Script, TxOut, opcodes};

use crate::units::Height;

pub(crate) use apply::{Creation, creations, undo_fits};
pub(crate) use cache::{Cached, CoinCache, CoinChange};
pub(crate) use encoding::PackedCoin;
pub(crate) use merge::{Visit, merge};
pub use muhash::{MuHash, NotASetHash, SetHash};
pub use stats::CoinSetStats;
pub(crate) use stats::{StatsBuilder, element};
pub(crate) use view::{CacheView, ReadOnlyView};

/// Scripts longer than this can never run, so their outputs are not kept (Bitcoin Core's `MAX_SCRIPT_SIZE`), in bytes.
pub const MAX_SCRIPT_BYTES: usize = 10_000;

/// An unspent transaction output and where it was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// Amount and script.
    pub output: TxOut,
    /// Height of the block that created it.
    pub height: Height,
    /// Whether a coinbase created it.
    pub coinbase: bool,
}

/// Whether an output can never be spent on any chain with Bitcoin's scripts, and so is left out of the set: `OP_RETURN`
/// first, or a script above 10,000 bytes. The set hash depends on leaving out exactly what Bitcoin Core leaves out.
pub fn is_unspendable(script: &Script) -> bool {
    script.as_bytes().first() == Some(&opcodes::all::OP_RETURN.to_u8())
        || script.len() > MAX_SCRIPT_BYTES
}
