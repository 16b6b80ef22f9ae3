//! [`TxIndex`]: in which block a transaction is. Optional, in a file of its own that may be deleted at any time and is made again from
//! the bodies.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `network` | digest of the network's parameters |
//! | `meta` | `blocks` | checksum, then hashes of the last indexed block and of ever earlier ones |
//! | `transactions` | txid | block hash, position in the block (4 bytes little endian), checksum |
//!
//! It follows the chain's committed coins ([`Chain::flushed_tip`](crate::Chain::flushed_tip)), never the chain in memory: whatever a crash takes from the chain was not
//! indexed yet. Rows of blocks that left the active chain stay, as in Bitcoin Core, until a block that is connected has the same
//! transaction: so a reorg needs no bodies, and who looks a transaction up checks its block.

mod follow;
mod row;

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Txid};
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction,
};

use crate::block::CheckedBlock;
use crate::params::{NetworkDigest, Params};
use crate::store::{DirectoryLock, Panicked, StoreError, StoreFault, guard};

pub use follow::{IndexStep, next_step};
pub use row::TxPlace;
use row::{ROW_BYTES, open_blocks, seal_blocks};

/// The name of the index inside the data directory.
pub const FILE_NAME: &str = "txindex.redb";

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const TRANSACTIONS: TableDefinition<'_, &[u8; 32], &[u8; ROW_BYTES]> =
    TableDefinition::new("transactions");

const NETWORK: &str = "network";
const BLOCKS: &str = "blocks";

/// Memory for the index's pages, in bytes.
const CACHE_BYTES: usize = 16 << 20;

/// The index of one chain.
///
/// Every row proves itself when it is read, and redb's panics over damaged pages end here: both are [`StoreFault::Damage`], and
/// [`TxIndex::renew`] is the cure.
pub struct TxIndex {
    path: PathBuf,
    digest: NetworkDigest,
    /// `None` while it is reopened, or could not be.
    database: RwLock<Option<Database>>,
    /// The directory belongs to this process.
    _lock: DirectoryLock,
}

impl std::fmt::Debug for TxIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TxIndex")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl TxIndex {
    /// Opens or creates the index in the directory that `lock` owns. One that cannot be read, or is of another network, is made anew:
    /// nothing is lost by it but time.
    ///
    /// # Errors
    ///
    /// When no file can be made there.
    pub fn open(lock: &DirectoryLock, params: &Params) -> Result<TxIndex, StoreError> {
        let index = TxIndex {
            path: lock.dir().join(FILE_NAME),
            digest: params.digest,
            database: RwLock::new(None),
            _lock: lock.clone(),
        };
        index.reopen()?;
        Ok(index)
    }

    /// The last block that is indexed, and ever earlier ones; empty before the first.
    ///
    /// # Errors
    ///
    /// When storage fails, or what is stored is damaged.
    pub fn blocks(&self) -> Result<Vec<BlockHash>, StoreError> {
        self.read(|database| match read_meta(database, BLOCKS)? {
            None => Ok(Vec::new()),
            Some(sealed) => open_blocks(&sealed).ok_or_else(|| damaged("its list of blocks")),
        })
    }

    /// Where a transaction is, or was: the block may have left the active chain.
    ///
    /// # Errors
    ///
    /// As [`TxIndex::blocks`].
    pub fn find(&self, txid: &Txid) -> Result<Option<TxPlace>, StoreError> {
        self.read(|database| {
            let transaction = database.begin_read().map_err(failed)?;
            let table = match transaction.open_table(TRANSACTIONS) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(failed(error)),
            };
            let found = table.get(txid.as_byte_array()).map_err(failed)?;
            found
                .map(|row| {
                    TxPlace::open(txid, row.value())
                        .ok_or_else(|| damaged(&format!("transaction {txid}")))
                })
                .transpose()
        })
    }

    /// Reads every row: a damaged txid would not be noticed by looking others up.
    ///
    /// # Errors
    ///
    /// As [`TxIndex::blocks`].
    pub fn check(&self) -> Result<(), StoreError> {
        self.read(|database| {
            let transaction = database.begin_read().map_err(failed)?;
            let table = match transaction.open_table(TRANSACTIONS) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(()),
                Err(error) => return Err(failed(error)),
            };
            for row in table.iter().map_err(failed)? {
                let (txid, row) = row.map_err(failed)?;
                let txid = Txid::from_byte_array(*txid.value());
                TxPlace::open(&txid, row.value())
                    .ok_or_else(|| damaged(&format!("transaction {txid}")))?;
            }
            Ok(())
        })
    }

    /// Adds blocks, durably, in one transaction. `indexed` are the last of them (or a block above it whose transactions are not here)
    /// and ever earlier ones, as a locator lists them.
    ///
    /// # Errors
    ///
    /// As [`TxIndex::blocks`].
    pub fn connect(
        &self,
        blocks: &[Arc<CheckedBlock>],
        indexed: &[BlockHash],
    ) -> Result<(), StoreError> {
        self.read(|database| {
            let transaction = begin(database)?;
            write_rows(&transaction, blocks)?;
            {
                let mut meta = transaction.open_table(META).map_err(failed)?;
                meta.insert(NETWORK, self.digest.0.as_slice())
                    .map_err(failed)?;
                meta.insert(BLOCKS, seal_blocks(indexed).as_slice())
                    .map_err(failed)?;
            }
            transaction.commit().map_err(failed)
        })
    }

    /// Cures what `failure` tells of: a damaged index is made anew, and a file that failed is opened again, for redb refuses everything
    /// after an error.
    ///
    /// # Errors
    ///
    /// When that fails too. Nothing can be asked then until a later call succeeds.
    pub fn renew(&self, failure: &StoreError) -> Result<(), StoreError> {
        self.close();
        if failure.cause == StoreFault::Damage {
            self.remove()?;
        }
        self.reopen()
    }

    /// Opens the file, or makes it anew if it is no good.
    fn reopen(&self) -> Result<(), StoreError> {
        self.close();
        let is_ours = match self.open_file() {
            Ok(()) => self.read(|database| read_meta(database, NETWORK)),
            Err(error) => Err(error),
        };
        match is_ours {
            Ok(found) if found.as_ref().is_none_or(|found| *found == self.digest.0) => Ok(()),
            Err(error) if error.cause != StoreFault::Damage => Err(error),
            _ => {
                self.close();
                self.remove()?;
                self.open_file()
            }
        }
    }

    fn open_file(&self) -> Result<(), StoreError> {
        let opened = guarded(|| {
            Database::builder()
                .set_cache_size(CACHE_BYTES)
                .create(&self.path)
                .map_err(failed)
        })?;
        *self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(())
    }

    fn close(&self) {
        let closed = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // What redb cannot close in order is given up with it.
        let _ = guard(|| drop(closed));
    }

    fn remove(&self) -> Result<(), StoreError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed(redb::StorageError::Io(error)))
            }
            _ => Ok(()),
        }
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match &*database {
            Some(database) => guarded(|| work(database)),
            None => Err(failed(redb::Error::DatabaseClosed)),
        }
    }
}

impl Drop for TxIndex {
    /// redb tidies up when it closes a file, and may meet damage then.
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs a part of the work. What redb cannot read is the file's fault, and is told as such.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    guard(work).unwrap_or_else(|Panicked(problem)| Err(damaged(&problem)))
}

/// A failing disk is told from a file that no index can be.
fn failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof
            ) =>
        {
            damaged(&error.to_string())
        }
        error @ (redb::Error::Io(_)
        | redb::Error::PreviousIo
        | redb::Error::DatabaseClosed
        | redb::Error::DatabaseAlreadyOpen) => StoreError::write(error),
        error => damaged(&error.to_string()),
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError {
        cause: StoreFault::Damage,
        problem: format!("the transaction index is damaged: {what}"),
        // Nothing that the chain could heal.
        damage: None,
    }
}

fn read_meta(database: &Database, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    match transaction.open_table(META) {
        Ok(table) => {
            let found = table.get(name).map_err(failed)?;
            Ok(found.map(|bytes| bytes.value().to_vec()))
        }
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn write_rows(
    transaction: &WriteTransaction,
    blocks: &[Arc<CheckedBlock>],
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(TRANSACTIONS).map_err(failed)?;
    for block in blocks {
        for (index, txid) in (0..).zip(block.txids()) {
            let place = TxPlace {
                block: block.hash(),
                index,
            };
            table
                .insert(txid.as_byte_array(), &place.seal(txid))
                .map_err(failed)?;
        }
    }
    Ok(())
}

fn begin(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(failed)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests;
