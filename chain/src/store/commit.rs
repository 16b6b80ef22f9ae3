//! The one transaction that changes the database.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::consensus::Encodable;
use bitcoin::hashes::Hash;
use redb::{CursorError, Durability, ReadableTableMetadata, WriteTransaction};

use super::damage::{Place, Table};
use super::guard::guard;
use super::seal::{seal, seal_undo, sealed_undo_bytes};
use super::tables::{BlockKey, HeaderRow, META, RowKey, meta, rows};
use super::{FORMAT, Store, StoreError};
use crate::block::CheckedBlock;
use crate::coins::{CoinChange, PackedCoin};
use crate::params::Params;

type RowsTable<'a> = redb::Table<'a, &'static RowKey, &'static [u8]>;

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
    pub(crate) changes: Vec<(RowKey, CoinChange<'a>)>,
    pub(crate) tip: BlockHash,
}

/// A commit in the making: what is written to it counts when it is finished, and not at all when it is dropped.
pub(crate) struct OpenCommit(Option<WriteTransaction>);

impl OpenCommit {
    fn transaction(&self) -> &WriteTransaction {
        self.0.as_ref().expect("it is there until it is finished")
    }
}

impl Drop for OpenCommit {
    fn drop(&mut self) {
        let transaction = self.0.take();
        // Taking a commit back reads pages too. What it cannot take back it leaves, for the database takes no other.
        let _ = guard(|| drop(transaction));
    }
}

/// Runs a use of redb that writes to `table`.
fn writing<T>(
    table: Option<Table>,
    part: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let result = guard(part).unwrap_or_else(|panicked| Err(StoreError::panicked(panicked)));
    result.map_err(|error| match table {
        Some(table) => error.located(table, Place::Pages),
        None => error,
    })
}

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
        writing(None, || self.try_begin()).map_err(|error| self.fail(error))
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
        self.prove_ways(batch).map_err(|error| match error.damage {
            // Nothing is written yet.
            Some(_) => error,
            None => self.fail(error),
        })?;
        let transaction = open.transaction();
        let meta = || write_meta(transaction, batch, params);
        writing(Some(Table::Meta), meta)
            .and_then(|()| writing(Some(Table::Headers), || write_headers(transaction, batch)))
            .and_then(|()| writing(Some(Table::Blocks), || write_bodies(transaction, batch)))
            .and_then(|()| writing(Some(Table::Undo), || write_undo(transaction, batch)))
            .and_then(|()| writing(Some(Table::Coins), || write_coins(transaction, batch)))
            .map_err(|error| self.fail(error))
    }

    /// Makes all that was written durable, at once.
    ///
    /// # Errors
    ///
    /// As [`Store::commit`].
    pub(crate) fn finish_commit(&self, mut open: OpenCommit) -> Result<(), StoreError> {
        let transaction = open.0.take().expect("it is there until it is finished");
        writing(None, || transaction.commit().map_err(StoreError::write))
            .map_err(|error| self.fail(error))
    }

    /// Proves what leads to the places of the rows to come: see [`Pages::damaged_way`](super::Pages::damaged_way).
    fn prove_ways(&self, batch: &Batch<'_>) -> Result<(), StoreError> {
        let Some(pages) = self.pages()? else {
            return Ok(());
        };
        let sorted = |mut keys: Vec<RowKey>| {
            keys.sort_unstable();
            keys
        };
        let of_blocks = [
            (
                Table::Headers,
                sorted(batch.headers.iter().map(HeaderRow::key).collect()),
            ),
            (
                Table::Blocks,
                sorted(batch.bodies.iter().map(|(key, _)| *key).collect()),
            ),
            (
                Table::Undo,
                sorted(batch.undo.iter().map(|(key, _)| *key).collect()),
            ),
        ];
        let coins = batch.coins.as_ref().filter(|_| !batch.forget_coins);
        let coins = coins.map_or(&[][..], |coins| &coins.changes);
        let io_error = |error| StoreError::read(redb::StorageError::Io(error));
        let mut damage = pages
            .damaged_way(Table::Coins, coins, |(key, _)| key)
            .map_err(io_error)?;
        for (table, keys) in of_blocks {
            if damage.is_none() {
                damage = pages
                    .damaged_way(table, &keys, |key| key)
                    .map_err(io_error)?;
            }
        }
        damage.map_or(Ok(()), |damage| Err(StoreError::damaged(damage)))
    }

    fn try_begin(&self) -> Result<OpenCommit, StoreError> {
        let mut transaction = self.database()?.begin_write().map_err(StoreError::write)?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(StoreError::write)?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        Ok(OpenCommit(Some(transaction)))
    }
}

fn write_meta(
    transaction: &WriteTransaction,
    batch: &Batch<'_>,
    params: &Params,
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(META).map_err(StoreError::write)?;
    let mut put = |key: &str, value: &[u8]| {
        let mut row = value.to_vec();
        seal(key.as_bytes(), &mut row);
        match table.insert(key, row.as_slice()) {
            Ok(_) => Ok(()),
            Err(error) => Err(StoreError::write(error)),
        }
    };
    put(meta::FORMAT, &FORMAT.to_le_bytes())?;
    put(meta::NETWORK_DIGEST, &params.digest.0)?;
    put(meta::NETWORK_NAME, params.name.as_bytes())?;
    if let Some(coins) = &batch.coins {
        put(meta::TIP, coins.tip.as_byte_array())?;
    }
    Ok(())
}

fn open_rows(transaction: &WriteTransaction, table: Table) -> Result<RowsTable<'_>, StoreError> {
    transaction
        .open_table(rows(table))
        .map_err(StoreError::write)
}

fn write_headers(transaction: &WriteTransaction, batch: &Batch<'_>) -> Result<(), StoreError> {
    let mut headers = open_rows(transaction, Table::Headers)?;
    for header in &batch.headers {
        let key = header.key();
        let mut row = header.encode();
        seal(&key, &mut row);
        headers
            .insert(&key, row.as_slice())
            .map_err(StoreError::write)?;
    }
    Ok(())
}

fn write_bodies(transaction: &WriteTransaction, batch: &Batch<'_>) -> Result<(), StoreError> {
    let mut blocks = open_rows(transaction, Table::Blocks)?;
    for (key, body) in &batch.bodies {
        let mut place = blocks
            .insert_reserve(key, body.total_bytes())
            .map_err(StoreError::write)?;
        let mut rest = place.as_mut();
        body.block()
            .consensus_encode(&mut rest)
            .expect("the place is as long as the block");
    }
    Ok(())
}

fn write_undo(transaction: &WriteTransaction, batch: &Batch<'_>) -> Result<(), StoreError> {
    let mut undo = open_rows(transaction, Table::Undo)?;
    for (key, data) in &batch.undo {
        let mut place = undo
            .insert_reserve(key, sealed_undo_bytes(data))
            .map_err(StoreError::write)?;
        seal_undo(key, data, place.as_mut());
    }
    Ok(())
}

fn write_coins(transaction: &WriteTransaction, batch: &Batch<'_>) -> Result<(), StoreError> {
    if batch.forget_coins {
        transaction
            .delete_table(rows(Table::Coins))
            .map_err(StoreError::write)?;
    }
    let mut table = open_rows(transaction, Table::Coins)?;
    let Some(coins) = &batch.coins else {
        return Ok(());
    };
    let rows = table.len().map_err(StoreError::write)?;
    let fills_gaps = coins.changes.len() as u64 >= DENSE * rows;
    let mut changes = coins.changes.iter().peekable();
    let mut row = Vec::new();
    while let Some((key, change)) = changes.next() {
        match change {
            CoinChange::Put(coin) => {
                encode_row(key, coin, &mut row);
                table
                    .insert(key, row.as_slice())
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
    table: &mut RowsTable<'_>,
    key: &RowKey,
    changes: &mut Peekable<impl Iterator<Item = &'a (RowKey, CoinChange<'a>)>>,
) -> Result<(), StoreError> {
    let mut gap = table
        .lower_bound_mut(Bound::Excluded(key))
        .map_err(StoreError::write)?;
    let mut row = Vec::new();
    while let Some((key, CoinChange::Put(coin))) = changes.peek() {
        encode_row(key, coin, &mut row);
        match gap.insert_before(key, row.as_slice()) {
            Ok(()) => changes.next(),
            Err(CursorError::UnorderedKey) => break,
            Err(error) => return Err(StoreError::write(error)),
        };
    }
    gap.close().map_err(StoreError::write)
}

/// The row of a coin, in `row`.
fn encode_row(key: &RowKey, coin: &PackedCoin, row: &mut Vec<u8>) {
    row.clear();
    coin.encode(row);
    seal(key, row);
}
