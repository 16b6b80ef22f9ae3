//! Where the coins of the active chain are looked up: the cache, then the disk.

use bitcoin::OutPoint;

use crate::coins::{Cached, Coin, CoinCache, CoinView};
use crate::rules::block_connected::ConnectError;
use crate::store::{Snapshot, StoreError};

/// Reads through the cache, and remembers what came from disk.
pub(super) struct CacheView<'a> {
    pub(super) cache: &'a mut CoinCache,
    pub(super) disk: &'a Snapshot,
}

impl CoinView for CacheView<'_> {
    type Error = StoreError;

    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        match self.cache.get(outpoint) {
            Cached::Unspent(coin) => Ok(Some(coin.unpack())),
            Cached::Spent => Ok(None),
            Cached::Unknown => {
                let Some(coin) = self.disk.coin(outpoint)? else {
                    return Ok(None);
                };
                let unpacked = coin.unpack();
                self.cache.remember(outpoint, coin);
                Ok(Some(unpacked))
            }
        }
    }
}

/// Reads through the cache and leaves it as it is.
pub(super) struct ReadOnlyView<'a> {
    pub(super) cache: &'a CoinCache,
    pub(super) disk: &'a Snapshot,
}

impl CoinView for ReadOnlyView<'_> {
    type Error = StoreError;

    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        match self.cache.get(outpoint) {
            Cached::Unspent(coin) => Ok(Some(coin.unpack())),
            Cached::Spent => Ok(None),
            Cached::Unknown => Ok(self.disk.coin(outpoint)?.map(|coin| coin.unpack())),
        }
    }
}

impl From<StoreError> for ConnectError<StoreError> {
    fn from(error: StoreError) -> ConnectError<StoreError> {
        ConnectError::Coins(error)
    }
}
