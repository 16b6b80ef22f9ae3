//! [`Overlay`]: a database file that is read and never written.
//!
//! redb writes when it opens a file, and more when the file was not closed cleanly. For whoever only looks, these writes go to memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

/// Granularity of what is kept: redb's page size.
const PAGE_BYTES: usize = 4096;

/// A file below, and the pages that were written over it in memory.
///
/// Wherever redb asks for the file for itself alone, it is shared with other readers: a process that writes is kept out, and keeps
/// readers out.
#[derive(Debug)]
pub(super) struct Overlay {
    file: FileBackend,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    length: u64,
    /// From here on, what is not in `pages` is zero.
    file_length: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    /// Over the file at `path`, which is opened for reading only.
    pub(super) fn open(path: &Path) -> Result<Overlay, DatabaseError> {
        let file = File::open(path).map_err(redb::StorageError::Io)?;
        let length = file.metadata().map_err(redb::StorageError::Io)?.len();
        let written = Written {
            length,
            file_length: length,
            pages: BTreeMap::new(),
        };
        Ok(Overlay {
            file: FileBackend::new(file)?,
            written: Mutex::new(written),
        })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `out` with what the file holds at `offset`, and zeros where it has ended.
    fn read_file(&self, written: &Written, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = written.file_length.saturating_sub(offset);
        let there = usize::try_from(there).map_or(out.len(), |there| there.min(out.len()));
        let (from_file, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        if from_file.is_empty() {
            return Ok(());
        }
        self.file.read(offset, from_file)
    }
}

impl Written {
    fn check_range(&self, offset: u64, length: usize) -> io::Result<()> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.length => Ok(()),
            _ => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "beyond the end of the database",
            )),
        }
    }

    /// The numbers of the pages that a range touches.
    fn pages_of(offset: u64, length: usize) -> std::ops::Range<u64> {
        let page = PAGE_BYTES as u64;
        offset / page..(offset + length as u64).div_ceil(page)
    }
}

/// The part of page `number` that lies in `offset..offset + length`: where it begins inside the page and inside the range, and its
/// length.
fn overlap(number: u64, offset: u64, length: usize) -> (usize, usize, usize) {
    let start = number * PAGE_BYTES as u64;
    let from = start.max(offset);
    let to = (start + PAGE_BYTES as u64).min(offset + length as u64);
    (
        (from - start) as usize,
        (from - offset) as usize,
        (to - from) as usize,
    )
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        written.check_range(offset, out.len())?;
        self.read_file(&written, offset, out)?;
        let touched = Written::pages_of(offset, out.len());
        for (&number, page) in written.pages.range(touched) {
            let (inside, at, count) = overlap(number, offset, out.len());
            out[at..at + count].copy_from_slice(&page[inside..inside + count]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut written = self.written();
        if length < written.length {
            // What is cut off reads as zeros if the database grows again.
            written.file_length = written.file_length.min(length);
            let last = length / PAGE_BYTES as u64;
            let _ = written.pages.split_off(&(last + 1));
            if let Some(page) = written.pages.get_mut(&last) {
                page[(length % PAGE_BYTES as u64) as usize..].fill(0);
            }
        }
        written.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        written.check_range(offset, data.len())?;
        for number in Written::pages_of(offset, data.len()) {
            if !written.pages.contains_key(&number) {
                let mut page = vec![0; PAGE_BYTES].into_boxed_slice();
                self.read_file(&written, number * PAGE_BYTES as u64, &mut page)?;
                written.pages.insert(number, page);
            }
            let (inside, at, count) = overlap(number, offset, data.len());
            if let Some(page) = written.pages.get_mut(&number) {
                page[inside..inside + count].copy_from_slice(&data[at..at + count]);
            }
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_the_file_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let below: Vec<u8> = (0..10_000).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &below).unwrap();
        let overlay = Overlay::open(&path).unwrap();
        let mut model = below.clone();
        let mut write = |offset: usize, data: &[u8]| {
            overlay.write(offset as u64, data).unwrap();
            model[offset..offset + data.len()].copy_from_slice(data);
            let mut all = vec![0; model.len()];
            overlay.read(0, &mut all).unwrap();
            assert_eq!(all, model);
        };
        write(4_090, &[1; 10]);
        write(9_000, &[2; 1_000]);
        write(0, &[3; 9_000]);
        overlay.set_len(5_000).unwrap();
        overlay.set_len(20_000).unwrap();
        model.truncate(5_000);
        model.resize(20_000, 0);
        overlay.write(12_000, &[4; 5_000]).unwrap();
        model[12_000..17_000].fill(4);
        let mut part = vec![0; 15_000];
        overlay.read(4_000, &mut part).unwrap();
        assert_eq!(part, model[4_000..19_000]);
        assert!(overlay.read(19_999, &mut [0; 2]).is_err());
        assert!(overlay.write(19_999, &[0; 2]).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), below);
    }
}
