//! [`Disk`]: what redb writes to and reads from.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::{BackendError, DatabaseError, StorageBackend};

/// A backend that redb and this program share.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<dyn StorageBackend>);

impl Disk {
    pub(super) fn new(backend: impl StorageBackend) -> Disk {
        Disk(Arc::new(backend))
    }

    /// A file, which is locked as redb does it.
    pub(super) fn file(file: File) -> Result<Disk, DatabaseError> {
        Ok(Disk::new(redb::backends::FileBackend::new(file)?))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    /// Bytes behind the end are zeros, which are no page: where a damaged page names another one that is not there, redb finds
    /// damage. An error would close all of the database, the sound rest too.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let length = self.0.len()?;
        let end = offset.saturating_add(out.len() as u64).min(length);
        let there = usize::try_from(end.saturating_sub(offset)).expect("no more than asked for");
        let (there, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        if there.is_empty() {
            return Ok(());
        }
        self.0.read(offset, there)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
