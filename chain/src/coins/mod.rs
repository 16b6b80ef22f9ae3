//! Unspent outputs: the coin, its cache over the store, undo data and set hashes.

mod apply;
mod cache;
pub(crate) mod encoding;
mod merge;
mod muhash;
mod num3072;
mod stats;
mod view;

use bitcoin::TxOut;

use crate::units::Height;

pub(crate) use apply::{Creation, creations, undo_fits};
pub(crate) use cache::{Cached, CoinCache, CoinChange};
pub(crate) use encoding::PackedCoin;
pub(crate) use merge::{Visit, merge};
pub use muhash::{MuHash, NotASetHash, SetHash};
pub use stats::CoinSetStats;
pub(crate) use stats::{StatsBuilder, bogo_bytes, element};
pub use view::CoinView;

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
