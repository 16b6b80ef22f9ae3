//! Reading a snapshot, and checking all of it that can be checked without the chain that will take it.

use std::io::{self, Read};
use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::{OutPoint, Work, consensus};

use super::{MAGIC, SnapshotError, SnapshotInfo, Trusted, VERSION};
use crate::chain::{BlockPosition, Chain};
use crate::coins::encoding::{decode_coin, decode_outpoint};
use crate::coins::{CoinCache, CoinSetStats, PackedCoin, SetHash, StatsBuilder};
use crate::params::Params;
use crate::units::{Height, Timestamp};

/// A snapshot that was read: its headers are linked, obey the rules and prove their work, and its coins are those that are
/// trusted. Holds all coins in memory.
pub struct Snapshot {
    pub(super) info: SnapshotInfo,
    pub(super) headers: Vec<Header>,
    pub(super) chain_work: Work,
    pub(super) coins: CoinCache,
    /// The time by which the headers were found not to lie ahead.
    pub(super) checked_at: Timestamp,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Snapshot").field(&self.info).finish()
    }
}

impl Snapshot {
    /// Its block, and totals and hashes of its coins.
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }
}

/// Reads a snapshot to its end and checks it: the network, the headers' rules and work, and that its coins are the `trusted`
/// ones. `now` is for the rule against headers that lie ahead of our clock.
///
/// # Errors
///
/// What is wrong with the file, or that it cannot be read.
pub fn read(
    reader: &mut impl Read,
    params: &Arc<Params>,
    trusted: &Trusted,
    now: Timestamp,
) -> Result<Snapshot, SnapshotError> {
    check_kind(reader, params)?;
    let (headers, base, chain_work) = read_headers(reader, params, now)?;
    if let Some(expected) = trusted.base.filter(|expected| *expected != base.hash) {
        let found = base.hash;
        return Err(SnapshotError::WrongBase { found, expected });
    }
    let (coins, stats) = read_coins(reader, base.height, params)?;
    let found = stats.serialized.expect("it was asked for");
    for expected in [SetHash(bytes(reader)?), trusted.coins] {
        if found != expected {
            return Err(SnapshotError::WrongHash { found, expected });
        }
    }
    check_at_end(reader)?;
    Ok(Snapshot {
        info: SnapshotInfo { base, stats },
        headers,
        chain_work,
        coins,
        checked_at: now,
    })
}

pub(super) fn check_kind(reader: &mut impl Read, params: &Params) -> Result<(), SnapshotError> {
    if bytes::<8>(reader)? != MAGIC {
        return Err(SnapshotError::Malformed("it does not start as one"));
    }
    let found = u32::from_le_bytes(bytes(reader)?);
    if found != VERSION {
        let known = VERSION;
        return Err(SnapshotError::OtherVersion { found, known });
    }
    if bytes::<32>(reader)? != params.digest.0 {
        return Err(SnapshotError::OtherNetwork);
    }
    Ok(())
}

/// Headers, as a chain of their own takes them; the last of them, and the work of all.
fn read_headers(
    reader: &mut impl Read,
    params: &Arc<Params>,
    now: Timestamp,
) -> Result<(Vec<Header>, BlockPosition, Work), SnapshotError> {
    let count = u32::from_le_bytes(bytes(reader)?);
    let mut scratch = Chain::in_memory(Arc::clone(params));
    let mut headers = Vec::new();
    for height in (1..=count).map(Height) {
        let header: Header =
            consensus::deserialize(&bytes::<80>(reader)?).expect("any 80 bytes are a header");
        let info = scratch
            .accept_header(&header, now)
            .map_err(|error| SnapshotError::BadHeader { height, error })?;
        if info.height != height {
            return Err(SnapshotError::Malformed("its headers are no chain"));
        }
        headers.push(header);
    }
    let best = scratch.tree().best_header();
    let base = BlockPosition {
        hash: best.hash,
        height: best.height,
    };
    Ok((headers, base, best.chain_work))
}

fn read_coins(
    reader: &mut impl Read,
    base: Height,
    params: &Params,
) -> Result<(CoinCache, CoinSetStats), SnapshotError> {
    let mut coins = CoinCache::new();
    let mut stats = StatsBuilder::new(true);
    for_each_coin(reader, base, params, |outpoint, coin| {
        coins.create(&outpoint, coin.clone());
        stats.add(outpoint, coin);
    })?;
    Ok((coins, stats.finish()))
}

/// Reads the coins, in key order, and refuses by name what no chain can have made up to `base`.
pub(super) fn for_each_coin(
    reader: &mut impl Read,
    base: Height,
    params: &Params,
    mut visit: impl FnMut(OutPoint, PackedCoin),
) -> Result<(), SnapshotError> {
    let count = u64::from_le_bytes(bytes(reader)?);
    let supply_sat = params.supply_at(base).to_sat();
    let mut last = None;
    let mut compact = Vec::new();
    let mut total_sat: u64 = 0;
    for _ in 0..count {
        let key: [u8; 36] = bytes(reader)?;
        if last.replace(key).is_some_and(|last| last >= key) {
            return Err(SnapshotError::Malformed("its coins are out of order"));
        }
        compact.resize(usize::from(u16::from_le_bytes(bytes(reader)?)), 0);
        reader.read_exact(&mut compact)?;
        let coin = decode_coin(&compact)
            .map_err(|_| SnapshotError::Malformed("a coin cannot be decoded"))?;
        if coin.height_and_coinbase >> 1 > base.0 {
            return Err(SnapshotError::Malformed("a coin is younger than its block"));
        }
        total_sat = total_sat
            .checked_add(coin.amount_sat)
            .filter(|sum| *sum <= supply_sat)
            .ok_or(SnapshotError::Malformed(
                "its coins are more than its blocks can have made",
            ))?;
        visit(decode_outpoint(&key), coin);
    }
    Ok(())
}

pub(super) fn check_at_end(reader: &mut impl Read) -> Result<(), SnapshotError> {
    let mut more = [0];
    match reader.read_exact(&mut more) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(SnapshotError::Malformed("it goes on after its end")),
    }
}

pub(super) fn bytes<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], io::Error> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}
