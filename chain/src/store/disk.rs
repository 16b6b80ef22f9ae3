//! [`Disk`]: what redb writes to and reads from.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{BackendError, DatabaseError, StorageBackend};

/// A backend that redb and this program share. After it has failed once, whoever met that, nothing is written to it any more.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    backend: Box<dyn StorageBackend>,
    has_failed: AtomicBool,
}

impl Disk {
    pub(super) fn new(backend: impl StorageBackend) -> Disk {
        Disk(Arc::new(Shared {
            backend: Box::new(backend),
            has_failed: AtomicBool::new(false),
        }))
    }

    fn noting<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.0.has_failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn changing(
        &self,
        change: impl FnOnce(&dyn StorageBackend) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.0.has_failed.load(Ordering::Relaxed) {
            return Err(io::Error::other("the disk has failed before"));
        }
        self.noting(change(&*self.0.backend))
    }

    /// A file, which is locked as redb does it.
    pub(super) fn file(file: File) -> Result<Disk, DatabaseError> {
        Ok(Disk::new(redb::backends::FileBackend::new(file)?))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.0.backend.len()
    }

    /// Bytes behind the end are zeros, which are no page: where a damaged page names another one that is not there, redb finds
    /// damage. An error would close all of the database, the sound rest too.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let length = self.0.backend.len()?;
        let end = offset.saturating_add(out.len() as u64).min(length);
        let there = usize::try_from(end.saturating_sub(offset)).expect("no more than asked for");
        let (there, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        if there.is_empty() {
            return Ok(());
        }
        self.noting(self.0.backend.read(offset, there))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.changing(|disk| disk.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.changing(|disk| disk.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.changing(|disk| disk.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.0.backend.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.backend.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.backend.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.backend.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.backend.query_lock_range(start, end)
    }
}
