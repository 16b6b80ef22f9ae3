//! What connecting a block reads coins through: the cache, then the disk.

use bitcoin::OutPoint;

use super::Coin;
use super::cache::{Cached, CoinCache};
use crate::rules::block_connected::CoinView;
use crate::store::{Snapshot, StoreError};

/// Reads through the cache, and remembers what came from disk.
pub(crate) struct CacheView<'a> {
    cache: &'a mut CoinCache,
    disk: &'a Snapshot,
}

impl<'a> CacheView<'a> {
    pub(crate) fn new(cache: &'a mut CoinCache, disk: &'a Snapshot) -> CacheView<'a> {
        CacheView { cache, disk }
    }
}

impl CoinView for CacheView<'_> {
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
pub(crate) struct ReadOnlyView<'a> {
    cache: &'a CoinCache,
    disk: &'a Snapshot,
}

impl<'a> ReadOnlyView<'a> {
    pub(crate) fn new(cache: &'a CoinCache, disk: &'a Snapshot) -> ReadOnlyView<'a> {
        ReadOnlyView { cache, disk }
    }
}

impl CoinView for ReadOnlyView<'_> {
    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, StoreError> {
        match self.cache.get(outpoint) {
            Cached::Unspent(coin) => Ok(Some(coin.unpack())),
            Cached::Spent => Ok(None),
            Cached::Unknown => Ok(self.disk.coin(outpoint)?.map(|coin| coin.unpack())),
        }
    }
}
