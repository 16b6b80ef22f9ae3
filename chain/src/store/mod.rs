//! One redb file: headers, blocks, undo, coins and the tip, always committed together.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | format version, network, tip; checksum |
//! | `headers` | height, hash | header, status, number of transactions; checksum |
//! | `blocks` | height, hash | the body, consensus encoded |
//! | `undo` | height, hash | checksum, coins that the block spent |
//! | `coins` | outpoint | a coin in compact form; checksum |
//!
//! Each row proves itself when it is read: bodies by their hash, all others by a checksum over key and value (`seal`). What
//! does not, and pages that redb cannot make sense of, is told as [`Damage`]; redb's panics do not leave this module (`guard`).
//!
//! Every commit is durable, two-phase and quick to repair. Readers live for one closure (`Store::read`), because an open
//! read transaction keeps redb from re-using pages and the file from staying small.

mod commit;
mod copy;
mod damage;
mod disk;
mod error;
mod guard;
mod lock;
mod memory;
mod open;
mod overlay;
mod pages;
mod replace;
mod scan;
mod seal;
mod snapshot;
mod tables;
mod upgrade;

use std::sync::{Arc, Mutex, OnceLock};

use redb::{Database, ReadTransaction, ReadableDatabase};

pub(crate) use commit::{Batch, CoinsAtTip, OpenCommit};
pub use damage::{Damage, Extent, Place, Table};
pub use error::{OpenError, StoreError, StoreFault};
pub use lock::{DirectoryLock, LOCK_NAME};
pub use memory::MemoryDisk;
pub(crate) use open::Loaded;
pub(crate) use pages::{Pages, Stretch};
pub use replace::KEPT_FILES;
pub(crate) use replace::Kept;
pub(crate) use scan::{DamagedFile, Found, FoundBody};
pub(crate) use snapshot::{Snapshot, check_row};
pub(crate) use tables::{HeaderRow, RowKey, block_key, position};

use disk::Disk;
pub(crate) use guard::{Panicked, guard};
use pages::Head;

/// The name of the database inside the data directory.
pub const FILE_NAME: &str = "chain.redb";

/// Version of the tables. A program refuses what is newer than it knows.
pub const FORMAT: u32 = 2;

/// An open database, and what it lies on.
struct Opened {
    database: Database,
    disk: Disk,
}

/// How often the header is read again while commits change it.
const HEAD_TRIES: usize = 100;

/// The database of one chain.
pub(crate) struct Store {
    /// A memory database is only made at its first commit: a thousand simulated chains that never commit cost nothing.
    database: OnceLock<Opened>,
    cache_bytes: usize,
    /// What failed first. After a failure nothing is written any more: what reached the disk is then unknown.
    failed: Mutex<Option<StoreError>>,
    /// The one committed state that is read, whatever is committed elsewhere meanwhile: see [`Store::pinned`].
    pinned: Option<Arc<ReadTransaction>>,
    /// For messages.
    path: String,
    /// Nobody else touches the directory of a database in a file. Declared last, and so given back last.
    lock: Option<DirectoryLock>,
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
            lock: None,
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
            lock: self.lock.clone(),
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
            Some(Opened { database, .. }) => {
                let transaction = guard(|| database.begin_read().map_err(StoreError::read))
                    .unwrap_or_else(|panicked| Err(StoreError::panicked(panicked)))?;
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
        if let Some(opened) = self.database.get() {
            return Ok(&opened.database);
        }
        let disk = Disk::new(MemoryDisk::new());
        let opened = build(disk, self.cache_bytes).map_err(StoreError::write)?;
        Ok(&self.database.get_or_init(|| opened).database)
    }

    /// Compares all branches of `table`, and what leads to it, with their checksums.
    ///
    /// # Errors
    ///
    /// What is damaged; when the disk fails.
    pub(crate) fn prove_branches(&self, table: Table) -> Result<(), StoreError> {
        let Some(pages) = self.pages()? else {
            return Ok(());
        };
        let damage = pages.damaged_branch(table);
        match damage.map_err(|error| StoreError::read(redb::StorageError::Io(error)))? {
            Some(damage) => Err(StoreError::damaged(damage)),
            None => Ok(()),
        }
    }

    /// The last commit, page by page, past redb. `None` if nothing was committed yet, or this is a pinned state.
    pub(crate) fn pages(&self) -> Result<Option<Pages>, StoreError> {
        let Some(Opened { disk, .. }) = self.database.get() else {
            return Ok(None);
        };
        let io_error = |error| StoreError::read(redb::StorageError::Io(error));
        for _ in 0..HEAD_TRIES {
            let before = Head::read(disk);
            let Some(pinned) = self.transaction()? else {
                return Ok(None);
            };
            // A commit in between would be another one than the reader's.
            let (before, after) = match (before, Head::read(disk)) {
                (Ok(before), Ok(after)) => (before, after),
                (Err(Some(error)), _) | (_, Err(Some(error))) => return Err(io_error(error)),
                // It may be written just now.
                _ => continue,
            };
            if before.commit == after.commit {
                let pages = Pages::new(disk.clone(), after, pinned).map_err(io_error)?;
                return pages.map(Some).map_err(StoreError::damaged);
            }
        }
        Err(StoreError::damaged(Damage {
            table: None,
            place: Place::Pages,
            extent: Extent::Pages,
            problem: "its header does not match its checksum".to_owned(),
        }))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let database = self.database.take();
        // Closing tidies up, which nothing depends on: what it leaves undone on a damaged file is done when it is opened.
        let _ = guard(|| drop(database));
    }
}

fn build(disk: Disk, cache_bytes: usize) -> Result<Opened, redb::DatabaseError> {
    let database = Database::builder()
        .set_cache_size(cache_bytes)
        .create_with_backend(disk.clone())?;
    Ok(Opened { database, disk })
}
