//! One redb file: headers, blocks, undo, coins and the tip, always committed together.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | format version, network, tip |
//! | `headers` | height, hash | header, status, number of transactions |
//! | `blocks` | height, hash | the body, consensus encoded |
//! | `undo` | height, hash | checksum, coins that the block spent |
//! | `coins` | outpoint | a coin in compact form |
//!
//! Every commit is durable, two-phase and quick to repair. Readers live for one closure (`Store::read`), because an open
//! read transaction keeps redb from re-using pages and the file from staying small.

mod commit;
mod copy;
mod error;
mod lock;
mod memory;
mod open;
mod overlay;
mod snapshot;
mod tables;

use std::sync::{Arc, Mutex, OnceLock};

use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend};

pub(crate) use commit::{Batch, CoinsAtTip, OpenCommit};
pub use error::{OpenError, StoreError, StoreFault};
pub use lock::{DirectoryLock, LOCK_NAME};
pub use memory::MemoryDisk;
pub(crate) use open::{Loaded, guard};
pub(crate) use snapshot::Snapshot;
pub(crate) use tables::{HeaderRow, block_key};

/// The name of the database inside the data directory.
pub const FILE_NAME: &str = "chain.redb";

/// Version of the tables. A program refuses what is newer than it knows.
pub const FORMAT: u32 = 1;

/// The database of one chain.
pub(crate) struct Store {
    /// A memory database is only made at its first commit: a thousand simulated chains that never commit cost nothing.
    database: OnceLock<Database>,
    cache_bytes: usize,
    /// What failed first. After a failure nothing is written any more: what reached the disk is then unknown.
    failed: Mutex<Option<StoreError>>,
    /// The one committed state that is read, whatever is committed elsewhere meanwhile: see [`Store::pinned`].
    pinned: Option<Arc<ReadTransaction>>,
    /// For messages.
    path: String,
    /// Nobody else touches the directory of a database in a file. Declared last, and so given back last.
    _lock: Option<DirectoryLock>,
}

impl Store {
    /// A database in memory, empty.
    pub(crate) fn in_memory(cache_bytes: usize) -> Store {
        Store {
            database: OnceLock::new(),
            cache_bytes,
            failed: Mutex::new(None),
            pinned: None,
            path: "memory".to_owned(),
            _lock: None,
        }
    }

    /// What is committed now, to be read for as long as the result lives; it is never written to. Pages that are replaced
    /// meanwhile stay in the file, so it must not live long.
    pub(crate) fn pinned(&self) -> Result<Store, StoreError> {
        Ok(Store {
            database: OnceLock::new(),
            cache_bytes: self.cache_bytes,
            failed: Mutex::new(None),
            pinned: self.transaction()?,
            path: self.path.clone(),
            _lock: self._lock.clone(),
        })
    }

    /// Where the database is, for messages.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Bytes for pages in memory.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// Reads in one short transaction. What is read is copied out; the transaction ends with the closure, which must not
    /// wait for anything.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        reader: impl FnOnce(&Snapshot) -> Result<T, E>,
    ) -> Result<T, E> {
        let snapshot = match self.transaction()? {
            None => Snapshot::empty(),
            Some(transaction) => Snapshot::new(transaction),
        };
        reader(&snapshot)
    }

    /// A reader of the last commit, or of the pinned one; `None` if nothing was committed yet.
    fn transaction(&self) -> Result<Option<Arc<ReadTransaction>>, StoreError> {
        if let Some(pinned) = &self.pinned {
            return Ok(Some(Arc::clone(pinned)));
        }
        match self.database.get() {
            None => Ok(None),
            Some(database) => {
                let transaction = database.begin_read().map_err(StoreError::read)?;
                Ok(Some(Arc::new(transaction)))
            }
        }
    }

    /// Refuses after a failure.
    fn check_usable(&self) -> Result<(), StoreError> {
        let failed = self
            .failed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*failed {
            None => Ok(()),
            Some(first) => Err(first.stopped()),
        }
    }

    /// Remembers a failed write.
    fn fail(&self, error: StoreError) -> StoreError {
        let mut failed = self
            .failed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        failed.get_or_insert_with(|| error.clone());
        error
    }

    fn database(&self) -> Result<&Database, StoreError> {
        if let Some(database) = self.database.get() {
            return Ok(database);
        }
        let database = build(MemoryDisk::new(), self.cache_bytes).map_err(StoreError::write)?;
        Ok(self.database.get_or_init(|| database))
    }
}

fn build(
    backend: impl StorageBackend,
    cache_bytes: usize,
) -> Result<Database, redb::DatabaseError> {
    Database::builder()
        .set_cache_size(cache_bytes)
        .create_with_backend(backend)
}
