//! What `gettxoutsetinfo` tells of the set: totals and hashes equal to Bitcoin Core's.

use bitcoin::hashes::{Hash, HashEngine, sha256, sha256d};
use bitcoin::{Amount, OutPoint, VarInt, consensus};
use rayon::prelude::*;

use super::encoding::PackedCoin;
use super::muhash::{MuHash, SetHash};

/// Coins that are hashed together, by all threads.
const BATCH: usize = 8192;

/// Totals and hashes over all unspent coins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinSetStats {
    /// Number of unspent outputs.
    pub coins: u64,
    /// Number of transactions with unspent outputs.
    pub transactions: u64,
    /// Sum of all amounts; what does not fit into 64 bits of satoshis is not counted.
    pub total: Amount,
    /// Bitcoin Core's "bogosize": a size of the set that does not depend on any database, in bytes.
    pub bogo_bytes: u64,
    /// MuHash3072 of the set.
    pub muhash: SetHash,
    /// `hash_serialized_3`, if it was asked for: it cannot be made in parallel.
    pub serialized: Option<SetHash>,
}

/// Makes [`CoinSetStats`] from coins in key order.
pub(crate) struct StatsBuilder {
    stats: CoinSetStats,
    muhash: MuHash,
    serialized: Option<sha256::HashEngine>,
    last_txid: Option<bitcoin::Txid>,
    batch: Vec<(OutPoint, PackedCoin)>,
}

impl StatsBuilder {
    pub(crate) fn new(with_serialized: bool) -> StatsBuilder {
        StatsBuilder {
            stats: CoinSetStats {
                coins: 0,
                transactions: 0,
                total: Amount::ZERO,
                bogo_bytes: 0,
                muhash: SetHash([0; 32]),
                serialized: None,
            },
            muhash: MuHash::default(),
            serialized: with_serialized.then(sha256d::Hash::engine),
            last_txid: None,
            batch: Vec::new(),
        }
    }

    /// Adds the next coin in key order.
    pub(crate) fn add(&mut self, outpoint: OutPoint, coin: PackedCoin) {
        if self.last_txid != Some(outpoint.txid) {
            self.last_txid = Some(outpoint.txid);
            self.stats.transactions += 1;
        }
        self.batch.push((outpoint, coin));
        if self.batch.len() == BATCH {
            self.hash_batch();
        }
    }

    pub(crate) fn finish(mut self) -> CoinSetStats {
        self.hash_batch();
        self.stats.muhash = self.muhash.finish();
        self.stats.serialized = self
            .serialized
            .map(|engine| SetHash(sha256d::Hash::from_engine(engine).to_byte_array()));
        self.stats
    }

    /// The totals, and the set itself, for changing it further.
    pub(crate) fn finish_with_muhash(mut self) -> (CoinSetStats, MuHash) {
        self.hash_batch();
        let muhash = self.muhash.clone();
        (self.finish(), muhash)
    }

    /// The set itself, for changing it further.
    pub(crate) fn finish_muhash(mut self) -> MuHash {
        self.hash_batch();
        self.muhash
    }

    fn hash_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let elements: Vec<Vec<u8>> = batch
            .iter()
            .map(|(outpoint, coin)| element(outpoint, coin))
            .collect();
        for ((_, coin), element) in batch.iter().zip(&elements) {
            self.stats.coins += 1;
            // A set that no chain can have made is refused elsewhere, and must not end the process here.
            let total = self.stats.total.to_sat().saturating_add(coin.amount_sat);
            self.stats.total = Amount::from_sat(total);
            self.stats.bogo_bytes += bogo_bytes(coin);
            if let Some(engine) = &mut self.serialized {
                engine.input(element);
            }
        }
        let product = elements
            .par_iter()
            .with_min_len(64)
            .fold(MuHash::default, |mut set, element| {
                set.insert(element);
                set
            })
            .reduce(MuHash::default, |a, b| a.union(&b));
        self.muhash = self.muhash.union(&product);
    }
}

/// Bitcoin Core's `TxOutSer`: outpoint, `2 * height + coinbase` in four bytes, and the output.
pub(crate) fn element(outpoint: &OutPoint, coin: &PackedCoin) -> Vec<u8> {
    let script = coin.script.unpack();
    let mut bytes = Vec::with_capacity(36 + 4 + 8 + 3 + script.len());
    bytes.extend_from_slice(outpoint.txid.as_byte_array());
    bytes.extend_from_slice(&outpoint.vout.to_le_bytes());
    bytes.extend_from_slice(&coin.height_and_coinbase.to_le_bytes());
    bytes.extend_from_slice(&coin.amount_sat.to_le_bytes());
    bytes.extend_from_slice(&consensus::serialize(&VarInt::from(script.len())));
    bytes.extend_from_slice(script.as_bytes());
    bytes
}

/// Bitcoin Core's `GetBogoSize`: outpoint 36, height and coinbase 4, amount 8, script length 2, and the script.
pub(crate) fn bogo_bytes(coin: &PackedCoin) -> u64 {
    50 + coin.script.unpack().len() as u64
}
