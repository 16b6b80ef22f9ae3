//! Snapshots of the coins: `dumptxoutset` and `loadtxoutset`.
//!
//! A snapshot is: eight magic bytes, the network's digest, hash and height (4 bytes little endian) of the block whose state it is, the number
//! of coins (8 bytes little endian), each coin as its 36-byte key and its compact form behind a length of two bytes little
//! endian, in key order; and at the end the set's `hash_serialized_3` as Bitcoin Core makes it.

use std::io::{self, Read, Write};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

use crate::chain::{BlockPosition, Chain};
use crate::coins::encoding::{decode_coin, decode_outpoint, encode_outpoint};
use crate::coins::{CoinCache, CoinSetStats, SetHash, StatsBuilder};
use crate::store::StoreError;
use crate::units::Height;

const MAGIC: [u8; 8] = *b"mendcoin";

/// A snapshot's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The block whose state it is.
    pub base: BlockPosition,
    /// Totals and hashes of the coins.
    pub stats: CoinSetStats,
}

/// Why a snapshot was not written or not loaded.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Reading or writing failed, or the file ends early.
    #[error("snapshot: {0}; check the file")]
    Io(#[from] io::Error),
    /// It is no snapshot, or cannot be decoded.
    #[error("snapshot: {0}; it is damaged or another kind of file, use another")]
    Malformed(&'static str),
    /// It belongs to another network.
    #[error("the snapshot belongs to another network; use one made on this network")]
    OtherNetwork,
    /// The header of its block is not known, or known to be invalid.
    #[error("the header of its block {hash} is not known here; let the node fetch headers first")]
    UnknownBase {
        /// The block.
        hash: BlockHash,
    },
    /// Blocks were connected already.
    #[error("the chain is at height {height} already; load a snapshot into a new data directory")]
    NotEmpty {
        /// Height of the tip.
        height: Height,
    },
    /// The coins are not those that were written or expected.
    #[error("the snapshot's hash is {found}, expected {expected}; do not trust it, use another")]
    WrongHash {
        /// Of the coins in the file.
        found: SetHash,
        /// What the file or the caller says.
        expected: SetHash,
    },
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes the coins of the active tip.
///
/// # Errors
///
/// When reading or writing fails.
pub fn dump(chain: &Chain, out: &mut impl Write) -> Result<SnapshotInfo, SnapshotError> {
    let stats = chain.coin_set_stats(true)?;
    let tip = chain.tip();
    out.write_all(&MAGIC)?;
    out.write_all(&chain.params().digest.0)?;
    out.write_all(tip.hash.as_byte_array())?;
    out.write_all(&tip.height.0.to_le_bytes())?;
    out.write_all(&stats.coins.to_le_bytes())?;
    let mut bytes = Vec::new();
    let mut failure = None;
    chain.for_each_packed_coin(&mut |outpoint, coin| {
        bytes.clear();
        coin.encode(&mut bytes);
        let length =
            u16::try_from(bytes.len()).expect("scripts that are kept have 10,000 bytes at most");
        let mut write = || {
            out.write_all(&encode_outpoint(&outpoint))?;
            out.write_all(&length.to_le_bytes())?;
            out.write_all(&bytes)
        };
        if failure.is_none() {
            failure = write().err();
        }
        Ok(())
    })?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    out.write_all(&stats.serialized.expect("it was asked for").0)?;
    out.flush()?;
    let base = BlockPosition {
        hash: tip.hash,
        height: tip.height,
    };
    Ok(SnapshotInfo { base, stats })
}

/// Makes the coins of a snapshot those of a chain that has headers but no blocks yet. Blocks up to the snapshot's own will not be
/// here: they cannot be served, and the chain cannot be reorganised below it.
///
/// `expected` is the `hash_serialized_3` that the operator trusts; without it the file's own is believed.
///
/// # Errors
///
/// When the snapshot is damaged, not expected, of another network or of an unknown block, or the chain is not empty. The chain
/// is then as it was.
pub fn load(
    chain: &mut Chain,
    reader: &mut impl Read,
    expected: Option<SetHash>,
) -> Result<SnapshotInfo, SnapshotError> {
    if chain.tip().height > Height::GENESIS {
        return Err(SnapshotError::NotEmpty {
            height: chain.tip().height,
        });
    }
    if read::<8>(reader)? != MAGIC {
        return Err(SnapshotError::Malformed("it does not start as one"));
    }
    if read::<32>(reader)? != chain.params().digest.0 {
        return Err(SnapshotError::OtherNetwork);
    }
    let hash = BlockHash::from_byte_array(read(reader)?);
    let height = Height(u32::from_le_bytes(read(reader)?));
    let base = chain
        .tree()
        .get(&hash)
        .filter(|info| info.status.may_be_valid() && info.height == height)
        .ok_or(SnapshotError::UnknownBase { hash })?;
    let (coins, stats) = read_coins(reader)?;
    let found = stats.serialized.expect("it was asked for");
    for expected in [Some(SetHash(read(reader)?)), expected]
        .into_iter()
        .flatten()
    {
        if found != expected {
            return Err(SnapshotError::WrongHash { found, expected });
        }
    }
    chain.replace_coins(base.id, coins)?;
    Ok(SnapshotInfo {
        base: BlockPosition { hash, height },
        stats,
    })
}

fn read_coins(reader: &mut impl Read) -> Result<(CoinCache, CoinSetStats), SnapshotError> {
    let count = u64::from_le_bytes(read(reader)?);
    let mut coins = CoinCache::new();
    let mut stats = StatsBuilder::new(true);
    let mut last = None;
    let mut bytes = Vec::new();
    for _ in 0..count {
        let key: [u8; 36] = read(reader)?;
        if last.replace(key).is_some_and(|last| last >= key) {
            return Err(SnapshotError::Malformed("coins are out of order"));
        }
        bytes.resize(usize::from(u16::from_le_bytes(read(reader)?)), 0);
        reader.read_exact(&mut bytes)?;
        let coin = decode_coin(&bytes)
            .map_err(|_| SnapshotError::Malformed("a coin cannot be decoded"))?;
        let outpoint = decode_outpoint(&key);
        coins.create(&outpoint, coin.clone());
        stats.add(outpoint, coin);
    }
    Ok((coins, stats.finish()))
}

fn read<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], io::Error> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}
