//! The one transaction that changes the database.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::consensus::Encodable;
use bitcoin::hashes::Hash;
use redb::{CursorError, Durability, ReadableTableMetadata, Table, WriteTransaction};

use super::tables::{BLOCKS, BlockKey, COINS, HEADERS, HeaderRow, META, UNDO, meta};
use super::{FORMAT, Store, StoreError};
use crate::block::CheckedBlock;
use crate::coins::CoinChange;
use crate::params::Params;
use crate::store::snapshot::{seal, sealed_bytes};

type CoinKey = [u8; 36];
type CoinsTable<'a> = Table<'a, &'static CoinKey, &'static [u8]>;

/// Changes for each row from which on coins are written gap by gap: about so many fall between two rows, and finding a gap
/// costs as much as two insertions.
const DENSE: u64 = 8;

/// What a commit writes, or a part of it.
#[derive(Default)]
pub(crate) struct Batch<'a> {
    /// New or changed headers.
    pub(crate) headers: Vec<HeaderRow>,
    /// New bodies.
    pub(crate) bodies: Vec<(BlockKey, Arc<CheckedBlock>)>,
    /// New undo data.
    pub(crate) undo: Vec<(BlockKey, &'a [u8])>,
    /// Coins and the tip that they belong to; `None` leaves both as they are, so that the disk's tip stays behind.
    pub(crate) coins: Option<CoinsAtTip<'a>>,
    /// Throw all stored coins away first.
    pub(crate) forget_coins: bool,
}

/// Changed coins in key order, and the tip whose state they complete.
pub(crate) struct CoinsAtTip<'a> {
    pub(crate) changes: Vec<(CoinKey, CoinChange<'a>)>,
    pub(crate) tip: BlockHash,
}

/// A commit in the making: what is written to it counts when it is finished, and not at all when it is dropped.
pub(crate) struct OpenCommit(WriteTransaction);

impl Store {
    /// Commits `batch`, durably, in one transaction.
    ///
    /// # Errors
    ///
    /// When anything fails. The database then holds the last commit, and takes no other.
    pub(crate) fn commit(&self, batch: &Batch<'_>, params: &Params) -> Result<(), StoreError> {
        let open = self.begin_commit()?;
        self.write(&open, batch, params)?;
        self.finish_commit(open)
    }

    /// Begins a commit. There is one at a time: another waits for it to end.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub(crate) fn begin_commit(&self) -> Result<OpenCommit, StoreError> {
        self.check_usable()?;
        self.try_begin().map_err(|error| self.fail(error))
    }

    /// Writes `batch`, for the commit to come.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub(crate) fn write(
        &self,
        open: &OpenCommit,
        batch: &Batch<'_>,
        params: &Params,
    ) -> Result<(), StoreError> {
        write_meta(&open.0, batch, params)
            .and_then(|()| write_blocks(&open.0, batch))
            .and_then(|()| write_coins(&open.0, batch))
            .map_err(|error| self.fail(error))
    }

    /// Makes all that was written durable, at once.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub(crate) fn finish_commit(&self, open: OpenCommit) -> Result<(), StoreError> {
        open.0
            .commit()
            .map_err(|error| self.fail(StoreError::write(error)))
    }

    fn try_begin(&self) -> Result<OpenCommit, StoreError> {
        let mut transaction = self.database()?.begin_write().map_err(StoreError::write)?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(StoreError::write)?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        Ok(OpenCommit(transaction))
    }
}

fn write_meta(
    transaction: &WriteTransaction,
    batch: &Batch<'_>,
    params: &Params,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(META).map_err(StoreError::write)?;
    let mut put = |key: &str, value: &[u8]| match table.insert(key, value) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::write(error)),
    };
    put(meta::FORMAT, &FORMAT.to_le_bytes())?;
    put(meta::NETWORK_DIGEST, &params.digest.0)?;
    put(meta::NETWORK_NAME, params.name.as_bytes())?;
    if let Some(coins) = &batch.coins {
        put(meta::TIP, coins.tip.as_byte_array())?;
    }
    Ok(())
}

fn write_blocks(transaction: &WriteTransaction, batch: &Batch<'_>) -> Result<(), StoreError> {
    let mut headers = transaction.open_table(HEADERS).map_err(StoreError::write)?;
    for row in &batch.headers {
        headers
            .insert(&row.key(), &row.encode())
            .map_err(StoreError::write)?;
    }
    let mut blocks = transaction.open_table(BLOCKS).map_err(StoreError::write)?;
    for (key, body) in &batch.bodies {
        let mut place = blocks
            .insert_reserve(key, body.total_bytes())
            .map_err(StoreError::write)?;
        let mut rest = place.as_mut();
        body.block()
            .consensus_encode(&mut rest)
            .expect("the place is as long as the block");
    }
    let mut undo = transaction.open_table(UNDO).map_err(StoreError::write)?;
    for (key, data) in &batch.undo {
        let mut place = undo
            .insert_reserve(key, sealed_bytes(data))
            .map_err(StoreError::write)?;
        seal(key, data, place.as_mut());
    }
    Ok(())
}

fn write_coins(transaction: &WriteTransaction, batch: &Batch<'_>) -> Result<(), StoreError> {
    if batch.forget_coins {
        transaction.delete_table(COINS).map_err(StoreError::write)?;
    }
    let mut table = transaction.open_table(COINS).map_err(StoreError::write)?;
    let Some(coins) = &batch.coins else {
        return Ok(());
    };
    let rows = table.len().map_err(StoreError::write)?;
    let fills_gaps = coins.changes.len() as u64 >= DENSE * rows;
    let mut changes = coins.changes.iter().peekable();
    let mut bytes = Vec::new();
    while let Some((key, change)) = changes.next() {
        match change {
            CoinChange::Put(coin) => {
                bytes.clear();
                coin.encode(&mut bytes);
                table
                    .insert(key, bytes.as_slice())
                    .map_err(StoreError::write)?;
                if fills_gaps {
                    fill_gap(&mut table, key, &mut changes)?;
                }
            }
            CoinChange::Delete => {
                table.remove(key).map_err(StoreError::write)?;
            }
        }
    }
    Ok(())
}

/// Puts the next coins into the gap behind the row at `key`, as many as go before the row that follows: a third of the work
/// of finding the place of each.
fn fill_gap<'a>(
    table: &mut CoinsTable<'_>,
    key: &CoinKey,
    changes: &mut Peekable<impl Iterator<Item = &'a (CoinKey, CoinChange<'a>)>>,
) -> Result<(), StoreError> {
    let mut gap = table
        .lower_bound_mut(Bound::Excluded(key))
        .map_err(StoreError::write)?;
    let mut bytes = Vec::new();
    while let Some((key, CoinChange::Put(coin))) = changes.peek() {
        bytes.clear();
        coin.encode(&mut bytes);
        match gap.insert_before(key, bytes.as_slice()) {
            Ok(()) => changes.next(),
            Err(CursorError::UnorderedKey) => break,
            Err(error) => return Err(StoreError::write(error)),
        };
    }
    gap.close().map_err(StoreError::write)
}
