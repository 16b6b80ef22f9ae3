//! The coins as they were after an earlier block: by taking back, one after the other, what the blocks above did. Nothing is stored for
//! it, and memory does not grow with the way back.

use bitcoin::{Amount, OutPoint};

use crate::chain::{BlockPosition, FrozenChain};
use crate::coins::encoding::{PackedCoin, encode_outpoint};
use crate::coins::{Coin, MuHash, SetHash, StatsBuilder, bogo_bytes, creations, element};
use crate::store::StoreError;
use crate::units::Height;

/// Bytes of a [`CoinKey`].
pub const COIN_KEY_BYTES: usize = 36;

/// Where a coin lies in the order of all coins: the 32 bytes of its txid as they are hashed (the shown ones reversed), and the index of
/// the output in 4 bytes, highest first.
pub type CoinKey = [u8; COIN_KEY_BYTES];

/// The key of a coin.
#[must_use]
pub fn key_of(outpoint: &OutPoint) -> CoinKey {
    encode_outpoint(outpoint)
}

/// Totals and hash of the coins at a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCoins {
    /// The block.
    pub block: BlockPosition,
    /// Number of unspent outputs.
    pub coins: u64,
    /// Sum of all amounts.
    pub total: Amount,
    /// Bitcoin Core's "bogosize", in bytes.
    pub bogo_bytes: u64,
    /// MuHash3072 of the set.
    pub muhash: SetHash,
}

/// Number and hash of the coins of one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeHash {
    /// Number of unspent outputs.
    pub coins: u64,
    /// MuHash3072 of them.
    pub muhash: SetHash,
}

/// Keys from the first on and before the second; `None` for all that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoinRange {
    /// The first key that belongs to it.
    pub from: CoinKey,
    /// The first key behind it.
    pub to: Option<CoinKey>,
}

impl CoinRange {
    /// All coins.
    pub const ALL: CoinRange = CoinRange {
        from: [0; COIN_KEY_BYTES],
        to: None,
    };

    /// Whether a key belongs to it.
    #[must_use]
    pub fn contains(&self, key: &CoinKey) -> bool {
        self.from <= *key && self.to.is_none_or(|to| *key < to)
    }
}

/// Why the past cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The block lies below the snapshot that the coins came from.
    #[error(
        "block {height} lies below the snapshot of height {base}, whose blocks are not here; ask a node that has them"
    )]
    BelowSnapshot {
        /// The height that was asked for.
        height: Height,
        /// The snapshot's.
        base: Height,
    },
    /// A block on the way is lost.
    #[error(
        "the data of block {} at height {} are damaged here; the node fetches them again, ask later",
        .0.hash, .0.height
    )]
    Damaged(BlockPosition),
    /// There are more coins than are listed at a time.
    #[error("more than {0} coins; ask for a smaller range")]
    TooMany(usize),
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What taking a block back does to one coin.
enum Undone {
    /// The block created it: it is not there before.
    Created,
    /// The block spent it: it is there before.
    Spent,
}

/// Totals and hash of the coins as they were after the active block at `height`, which must not be above the tip.
///
/// # Errors
///
/// When the way back is not here, or storage fails.
pub fn coins_at(chain: &FrozenChain, height: Height) -> Result<PastCoins, HistoryError> {
    let mut builder = StatsBuilder::new(false);
    chain.for_each_packed_coin(&mut |outpoint, coin| {
        builder.add(outpoint, coin);
        Ok(())
    })?;
    let (stats, mut muhash) = builder.finish_with_muhash();
    let (mut coins, mut total, mut bogo) = (stats.coins, stats.total.to_sat(), stats.bogo_bytes);
    take_back(chain, height, |undone, outpoint, coin| {
        let element = element(&outpoint, coin);
        match undone {
            Undone::Created => {
                muhash.remove(&element);
                coins -= 1;
                total -= coin.amount_sat;
                bogo -= bogo_bytes(coin);
            }
            Undone::Spent => {
                muhash.insert(&element);
                coins += 1;
                total += coin.amount_sat;
                bogo += bogo_bytes(coin);
            }
        }
        Ok(())
    })?;
    Ok(PastCoins {
        block: position(chain, height),
        coins,
        total: Amount::from_sat(total),
        bogo_bytes: bogo,
        muhash: muhash.finish(),
    })
}

/// The coin at `outpoint` as it was after the active block at `height`, which must not be above the tip; `None` if it was spent or not yet
/// there.
///
/// # Errors
///
/// As [`coins_at`].
pub fn coin_at(
    chain: &FrozenChain,
    outpoint: &OutPoint,
    height: Height,
) -> Result<Option<Coin>, HistoryError> {
    let mut found = chain.coin(outpoint)?.map(|coin| PackedCoin::pack(&coin));
    // A coin that is there now and is not younger was there then, too.
    if found.as_ref().is_some_and(|coin| !is_younger(coin, height)) {
        return Ok(found.map(|coin| coin.unpack()));
    }
    take_back(chain, height, |undone, other, coin| {
        if other == *outpoint {
            found = match undone {
                Undone::Created => None,
                Undone::Spent => Some(coin.clone()),
            };
        }
        Ok(())
    })?;
    Ok(found.map(|coin| coin.unpack()))
}

/// Numbers and hashes of the coins of some ranges, which are in order and do not overlap, as they were after the active block at
/// `height`, which must not be above the tip.
///
/// # Errors
///
/// As [`coins_at`].
pub fn range_hashes_at(
    chain: &FrozenChain,
    height: Height,
    ranges: &[CoinRange],
) -> Result<Vec<RangeHash>, HistoryError> {
    let mut sets = vec![(0_u64, MuHash::default()); ranges.len()];
    let place = |key: &CoinKey| {
        let behind = ranges.partition_point(|range| range.from <= *key);
        let index = behind.checked_sub(1)?;
        ranges[index].contains(key).then_some(index)
    };
    chain.for_each_packed_coin(&mut |outpoint, coin| {
        if let Some(index) = place(&encode_outpoint(&outpoint)) {
            let (coins, set) = &mut sets[index];
            *coins += 1;
            set.insert(&element(&outpoint, &coin));
        }
        Ok(())
    })?;
    take_back(chain, height, |undone, outpoint, coin| {
        if let Some(index) = place(&encode_outpoint(&outpoint)) {
            let (coins, set) = &mut sets[index];
            match undone {
                Undone::Created => {
                    *coins -= 1;
                    set.remove(&element(&outpoint, coin));
                }
                Undone::Spent => {
                    *coins += 1;
                    set.insert(&element(&outpoint, coin));
                }
            }
        }
        Ok(())
    })?;
    let hashes = sets.into_iter().map(|(coins, set)| RangeHash {
        coins,
        muhash: set.finish(),
    });
    Ok(hashes.collect())
}

/// The coins of a range in key order, `limit` at most, as they were after the active block at `height`, which must not be above the tip.
///
/// # Errors
///
/// As [`coins_at`]; and when there are more, then or on the way back.
pub fn list_at(
    chain: &FrozenChain,
    height: Height,
    range: &CoinRange,
    limit: usize,
) -> Result<Vec<(OutPoint, Coin)>, HistoryError> {
    let mut found = std::collections::BTreeMap::new();
    let mut seen = 0;
    chain.for_each_packed_coin(&mut |outpoint, coin| {
        let key = encode_outpoint(&outpoint);
        if range.contains(&key) {
            seen += 1;
            if seen <= limit {
                found.insert(key, (outpoint, coin));
            }
        }
        Ok(())
    })?;
    if seen > limit {
        return Err(HistoryError::TooMany(limit));
    }
    take_back(chain, height, |undone, outpoint, coin| {
        let key = encode_outpoint(&outpoint);
        if range.contains(&key) {
            match undone {
                Undone::Created => drop(found.remove(&key)),
                Undone::Spent => drop(found.insert(key, (outpoint, coin.clone()))),
            }
        }
        match found.len() > limit {
            true => Err(HistoryError::TooMany(limit)),
            false => Ok(()),
        }
    })?;
    let coins = found.into_values();
    Ok(coins
        .map(|(outpoint, coin)| (outpoint, coin.unpack()))
        .collect())
}

/// Tells what taking back the blocks above `height` does, the highest first.
fn take_back(
    chain: &FrozenChain,
    height: Height,
    mut visit: impl FnMut(Undone, OutPoint, &PackedCoin) -> Result<(), HistoryError>,
) -> Result<(), HistoryError> {
    if let Some(base) = chain.snapshot_base().filter(|base| height < base.height) {
        return Err(HistoryError::BelowSnapshot {
            height,
            base: base.height,
        });
    }
    for above in (height.0 + 1..=chain.tip().height.0).rev().map(Height) {
        let position = position(chain, above);
        let body = chain
            .block(&position.hash)?
            .ok_or(HistoryError::Damaged(position))?;
        let undo = chain
            .undo(&position.hash)?
            .ok_or(HistoryError::Damaged(position))?;
        let mut spent = undo.iter().rev();
        for (index, tx) in body.block().txdata.iter().enumerate().rev() {
            for creation in creations(&body, index, above) {
                visit(Undone::Created, creation.outpoint, &creation.coin)?;
            }
            if index > 0 {
                for input in tx.input.iter().rev() {
                    let coin = spent.next().ok_or(HistoryError::Damaged(position))?;
                    visit(
                        Undone::Spent,
                        input.previous_output,
                        &PackedCoin::pack(coin),
                    )?;
                }
            }
        }
    }
    Ok(())
}

fn position(chain: &FrozenChain, height: Height) -> BlockPosition {
    let info = chain.at_height(height).expect("not above the tip");
    BlockPosition {
        hash: info.hash,
        height: info.height,
    }
}

fn is_younger(coin: &PackedCoin, height: Height) -> bool {
    coin.height_and_coinbase >> 1 > height.0
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::fixtures::{Key, TestChain};

    /// At each height all is as a chain that ends there says.
    #[test]
    fn the_past_is_what_it_was() {
        let mut net = TestChain::new();
        let keys = [Key::p2tr("alice"), Key::p2wpkh("bob")];
        let mut then = Vec::new();
        let mut outpoints = std::collections::BTreeSet::new();
        for n in 0..12_u32 {
            let [from, to] = [n % 2, (n + 1) % 2].map(|which| &keys[which as usize]);
            let one = net.pay(from, to, Amount::from_sat(50_000 + u64::from(n)));
            net.including(&one);
            net.mine(&format!("a{n}"));
            let frozen = net.chain_mut().frozen().unwrap();
            let mut coins = Vec::new();
            frozen
                .for_each_coin(|outpoint, coin| {
                    outpoints.insert(outpoint);
                    coins.push((outpoint, coin));
                    Ok(())
                })
                .unwrap();
            then.push((frozen.coin_set_stats(false).unwrap(), coins));
        }
        let frozen = net.chain_mut().frozen().unwrap();
        let middle = CoinRange {
            from: [0x40; COIN_KEY_BYTES],
            to: Some([0xc0; COIN_KEY_BYTES]),
        };
        let below = CoinRange {
            from: [0; COIN_KEY_BYTES],
            to: Some(middle.from),
        };
        let above = CoinRange {
            from: [0xc0; COIN_KEY_BYTES],
            to: None,
        };
        for (height, (stats, coins)) in (1..).map(Height).zip(&then) {
            let past = coins_at(&frozen, height).unwrap();
            assert_eq!(
                (past.coins, past.total, past.bogo_bytes, past.muhash),
                (stats.coins, stats.total, stats.bogo_bytes, stats.muhash)
            );
            assert_eq!(past.block.height, height);
            for outpoint in &outpoints {
                let wanted = coins.iter().find(|(known, _)| known == outpoint);
                let found = coin_at(&frozen, outpoint, height).unwrap();
                assert_eq!(found.as_ref(), wanted.map(|(_, coin)| coin));
            }
            let all = list_at(&frozen, height, &CoinRange::ALL, 1_000).unwrap();
            assert_eq!(&all, coins);
            let one = range_hashes_at(&frozen, height, &[CoinRange::ALL]).unwrap();
            assert_eq!((one[0].coins, one[0].muhash), (stats.coins, stats.muhash));
            let parts = range_hashes_at(&frozen, height, &[below, middle, above]).unwrap();
            assert_eq!(
                parts.iter().map(|part| part.coins).sum::<u64>(),
                stats.coins
            );
            let listed = list_at(&frozen, height, &middle, 1_000).unwrap();
            assert_eq!(listed.len() as u64, parts[1].coins);
        }
        assert!(matches!(
            list_at(&frozen, Height(12), &CoinRange::ALL, 1),
            Err(HistoryError::TooMany(1))
        ));
    }
}
