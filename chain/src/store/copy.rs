//! Copying a database row by row: the copy is compact, and a damaged page does not go unnoticed.

use std::path::Path;

use redb::{
    Database, Durability, Key, ReadTransaction, ReadableTable, TableDefinition, TableError, Value,
    WriteTransaction,
};

use super::damage::{Place, Table};
use super::guard::guard;
use super::tables::{META, rows};
use super::{Store, StoreError};

/// Rows in one transaction of the copy: 4,096 bodies of ordinary size are some hundred MiB at most.
const ROWS_PER_COMMIT: usize = 4096;

/// Rows of bodies in one transaction: a body may have 4 MB.
const BODIES_PER_COMMIT: usize = 16;

/// Memory for the copy's pages, in bytes.
const COPY_CACHE_BYTES: usize = 16 << 20;

impl Store {
    /// Writes all that is committed to a new file, as of one moment.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let write = || -> Result<(), StoreError> {
            let copy = Database::builder()
                .set_cache_size(COPY_CACHE_BYTES)
                .create(path)
                .map_err(StoreError::write)?;
            let Some(source) = self.transaction()? else {
                return Ok(());
            };
            copy_table(&source, &copy, META, ROWS_PER_COMMIT)?;
            for table in [Table::Headers, Table::Blocks, Table::Undo, Table::Coins] {
                let count = match table {
                    Table::Blocks | Table::Undo => BODIES_PER_COMMIT,
                    _ => ROWS_PER_COMMIT,
                };
                copy_table(&source, &copy, rows(table), count)
                    .map_err(|error| error.located(table, Place::Pages))?;
            }
            Ok(())
        };
        guard(write).unwrap_or_else(|panicked| Err(StoreError::panicked(panicked)))
    }
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    source: &ReadTransaction,
    copy: &Database,
    definition: TableDefinition<'_, K, V>,
    rows_per_commit: usize,
) -> Result<(), StoreError> {
    let table = match source.open_table(definition) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(StoreError::read(error)),
    };
    let mut rows = table.iter().map_err(StoreError::read)?.peekable();
    loop {
        let transaction = begin(copy)?;
        {
            let mut target = transaction
                .open_table(definition)
                .map_err(StoreError::write)?;
            for row in rows.by_ref().take(rows_per_commit) {
                let (key, value) = row.map_err(StoreError::read)?;
                target
                    .insert(key.value(), value.value())
                    .map_err(StoreError::write)?;
            }
        }
        transaction.commit().map_err(StoreError::write)?;
        if rows.peek().is_none() {
            return Ok(());
        }
    }
}

fn begin(copy: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = copy.begin_write().map_err(StoreError::write)?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(StoreError::write)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}
