//! Readers: what one closure may read, always copied out, and only what proves to be what was written.

use std::cell::OnceCell;
use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::{OutPoint, VarInt, consensus};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableError};

use super::StoreError;
use super::damage::{Damage, Extent, Place, Table};
use super::guard::guard;
use super::seal::{unseal, unseal_undo, with_one_bit_back};
use super::tables::{BlockKey, HeaderRow, RowKey, block_key, position, rows};
use crate::coins::encoding::{PackedCoin, decode_coin, decode_outpoint, encode_outpoint};
use crate::tree::Status;
use crate::units::BlockPosition;

/// One consistent state of the database, for the time of one [`Store::read`](super::Store::read). All its methods give owned
/// values, so that nothing read can outlive it.
pub(crate) struct Snapshot {
    transaction: Option<Arc<ReadTransaction>>,
    /// Opened at the first look-up, for the many that follow.
    coins: OnceCell<Option<RowsTable>>,
}

type RowsTable = ReadOnlyTable<&'static RowKey, &'static [u8]>;

/// Runs a use of redb that reads `place` of `table`.
fn reading<T>(
    table: Table,
    place: impl FnOnce() -> Place,
    part: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, StoreError> {
    let error = match guard(part) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => StoreError::read(error),
        Err(panicked) => StoreError::panicked(panicked),
    };
    Err(error.located(table, place()))
}

/// A row does not prove itself.
fn broken(table: Table, place: Place) -> StoreError {
    StoreError::damaged(Damage {
        table: Some(table),
        place,
        extent: Extent::Row,
        problem: "its checksum does not match".to_owned(),
    })
}

/// The rows of a table are not those that were written.
fn disorder(table: Table, problem: String) -> StoreError {
    StoreError::damaged(Damage {
        table: Some(table),
        place: Place::Pages,
        extent: Extent::Pages,
        problem,
    })
}

impl Snapshot {
    pub(super) fn empty() -> Snapshot {
        Snapshot {
            transaction: None,
            coins: OnceCell::new(),
        }
    }

    pub(super) fn new(transaction: Arc<ReadTransaction>) -> Snapshot {
        Snapshot {
            transaction: Some(transaction),
            coins: OnceCell::new(),
        }
    }

    /// A table of rows, or `None` if nothing was committed to it yet.
    fn open(&self, table: Table) -> Result<Option<RowsTable>, StoreError> {
        let Some(transaction) = &self.transaction else {
            return Ok(None);
        };
        reading(
            table,
            || Place::Pages,
            || match transaction.open_table(rows(table)) {
                Ok(table) => Ok(Some(table)),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            },
        )
    }

    fn coins_table(&self) -> Result<Option<&RowsTable>, StoreError> {
        if self.coins.get().is_none() {
            // Nobody else can have set it meanwhile: a snapshot belongs to one thread.
            let _ = self.coins.set(self.open(Table::Coins)?);
        }
        Ok(self.coins.get().and_then(Option::as_ref))
    }

    /// The unspent coin at `outpoint`, its checksum checked.
    pub(crate) fn coin(&self, outpoint: &OutPoint) -> Result<Option<PackedCoin>, StoreError> {
        let Some(table) = self.coins_table()? else {
            return Ok(None);
        };
        let key = encode_outpoint(outpoint);
        let place = || Place::Coin(*outpoint);
        let found = reading(Table::Coins, place, || {
            let row = table.get(&key)?;
            Ok(row.map(|row| open_coin(&key, row.value())))
        })?;
        match found {
            None => Ok(None),
            Some(Some(coin)) => Ok(Some(coin)),
            Some(None) => Err(broken(Table::Coins, place())),
        }
    }

    /// Calls `visit` with every coin in key order. For a row that does not prove itself `mend` says what belongs there.
    pub(crate) fn for_each_coin(
        &self,
        mut mend: impl FnMut(OutPoint, StoreError) -> Result<Option<PackedCoin>, StoreError>,
        mut visit: impl FnMut(OutPoint, PackedCoin) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.for_each_row(Table::Coins, |key, row| {
            let outpoint = decode_outpoint(key);
            match open_coin(key, row) {
                Some(coin) => visit(outpoint, coin),
                None => match mend(outpoint, broken(Table::Coins, Place::Coin(outpoint)))? {
                    Some(coin) => visit(outpoint, coin),
                    None => Ok(()),
                },
            }
        })
    }

    /// Calls `visit` with every header in order of height. For a row that does not prove itself `mend` says what belongs there, if
    /// anything does; it is given the row as it was if a single bit flipped.
    pub(crate) fn for_each_header<E: From<StoreError>>(
        &self,
        mut mend: impl FnMut(
            BlockPosition,
            Option<HeaderRow>,
            StoreError,
        ) -> Result<Option<HeaderRow>, E>,
        mut visit: impl FnMut(HeaderRow) -> Result<(), E>,
    ) -> Result<(), E> {
        self.for_each_row(Table::Headers, |key, row| {
            if let Some(row) = unseal(key, row).and_then(|row| HeaderRow::decode(key, row)) {
                return visit(row);
            }
            let before = with_one_bit_back(key, row)
                .and_then(|row| HeaderRow::decode(key, &row))
                .filter(|row| row.header.block_hash() == row.hash);
            let block = position(key);
            let error = broken(Table::Headers, Place::Block(block));
            match mend(block, before, error)? {
                Some(row) => visit(row),
                None => Ok(()),
            }
        })
    }

    /// What can be told of a header by the body of its block: all but what was said of it. `None`: its body is not there.
    pub(crate) fn header_by_body(
        &self,
        block: BlockPosition,
    ) -> Result<Option<HeaderRow>, StoreError> {
        let key = block_key(block.height, &block.hash);
        let Some(body) = self.row(Table::Blocks, &key)? else {
            return Ok(None);
        };
        let Some((header, rest)) = body.split_at_checked(Header::SIZE) else {
            return Ok(None);
        };
        let header: Header = consensus::deserialize(header).expect("any 80 bytes are a header");
        let count = consensus::deserialize_partial::<VarInt>(rest).map(|(count, _)| count.0);
        if header.block_hash() != block.hash {
            return Ok(None);
        }
        let status = Status {
            has_body: true,
            connected: self.row(Table::Undo, &key)?.is_some(),
            failed: false,
            invalidated: false,
            failed_ancestor: false,
        };
        Ok(Some(HeaderRow {
            hash: block.hash,
            height: block.height,
            header,
            status,
            // Of a damaged body it does not matter.
            tx_count: count.map_or(0, |count| count as u32 & 0x00ff_ffff),
        }))
    }

    /// Calls `visit` with every row as it is stored, in key order. That rows are missing or out of order does not go unnoticed.
    pub(crate) fn for_each_row<E: From<StoreError>>(
        &self,
        table: Table,
        mut visit: impl FnMut(&RowKey, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(opened) = self.open(table)? else {
            return Ok(());
        };
        let pages = || Place::Pages;
        let count = reading(table, pages, || Ok(opened.len()?))?;
        let mut rows = reading(table, pages, || Ok(opened.iter()?))?;
        let mut last: Option<RowKey> = None;
        let mut value = Vec::new();
        for seen in 0.. {
            let key = reading(table, pages, || {
                let Some(row) = rows.next() else {
                    return Ok(None);
                };
                let (key, row) = row?;
                value.clear();
                value.extend_from_slice(row.value());
                Ok(Some(*key.value()))
            })?;
            match key {
                None if seen == count => break,
                None => {
                    let problem = format!("{seen} rows are there, and {count} should be");
                    return Err(disorder(table, problem).into());
                }
                Some(key) if seen < count && last.is_none_or(|last| last < key) => {
                    visit(&key, &value)?;
                    last = Some(key);
                }
                Some(_) => {
                    return Err(disorder(table, "its rows are out of order".to_owned()).into());
                }
            }
        }
        Ok(())
    }

    /// Number of stored headers.
    pub(crate) fn header_count(&self) -> Result<u64, StoreError> {
        match self.open(Table::Headers)? {
            None => Ok(0),
            Some(table) => reading(Table::Headers, || Place::Pages, || Ok(table.len()?)),
        }
    }

    /// The bytes of a body as they are on disk, unchecked.
    pub(crate) fn body(&self, key: &BlockKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.row(Table::Blocks, key)
    }

    /// The undo data of a block, their checksum checked.
    pub(crate) fn undo(&self, key: &BlockKey) -> Result<Option<Vec<u8>>, StoreError> {
        match self.row(Table::Undo, key)? {
            None => Ok(None),
            Some(row) => match unseal_undo(key, &row) {
                Some(data) => Ok(Some(data.to_vec())),
                None => Err(broken(Table::Undo, Place::Block(position(key)))),
            },
        }
    }

    fn row(&self, table: Table, key: &BlockKey) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(opened) = self.open(table)? else {
            return Ok(None);
        };
        let place = || Place::Block(position(key));
        reading(table, place, || {
            let row = opened.get(key)?;
            Ok(row.map(|row| row.value().to_vec()))
        })
    }

    /// Bytes that the rows of the coins take on disk.
    pub(crate) fn coins_disk_bytes(&self) -> Result<u64, StoreError> {
        let Some(table) = self.open(Table::Coins)? else {
            return Ok(0);
        };
        let stats = reading(Table::Coins, || Place::Pages, || Ok(table.stats()?))?;
        Ok(stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes())
    }
}

/// The coin of a row; `None` if it is not what was written under this key.
fn open_coin(key: &RowKey, row: &[u8]) -> Option<PackedCoin> {
    decode_coin(unseal(key, row)?).ok()
}

/// What is wrong with a row that lies on a sound page: it was damaged before it was written there, or copied there with its
/// damage. Bodies are not looked at.
pub(crate) fn check_row(table: Table, key: &RowKey, row: &[u8]) -> Option<Damage> {
    let (is_sound, place) = match table {
        Table::Meta | Table::Blocks => return None,
        Table::Headers => (
            unseal(key, row).is_some_and(|row| HeaderRow::decode(key, row).is_some()),
            Place::Block(position(key)),
        ),
        Table::Undo => (unseal_undo(key, row).is_some(), Place::Block(position(key))),
        Table::Coins => (
            open_coin(key, row).is_some(),
            Place::Coin(decode_outpoint(key)),
        ),
    };
    (!is_sound).then(|| *broken(table, place).damage.expect("it is about damage"))
}
