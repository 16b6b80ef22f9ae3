//! [`CoinView`]: where a block's coins are looked up.

use bitcoin::OutPoint;

use super::Coin;

/// Reads the coins of one state.
pub trait CoinView {
    /// What keeps it from knowing.
    type Error;

    /// The unspent coin at `outpoint`, `None` if spent or never created.
    ///
    /// # Errors
    ///
    /// When the coins cannot be read.
    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, Self::Error>;
}
