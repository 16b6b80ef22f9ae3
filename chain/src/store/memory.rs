//! [`MemoryDisk`]: a database in memory that takes only what was written to it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// Granularity of what is kept: redb's page size.
const PAGE_BYTES: usize = 4096;

/// A disk in memory for simulations and tests. Clones share the bytes, so that a chain that was dropped can be opened again on
/// the same disk. Pages of zeros take no memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    content: Arc<Mutex<Content>>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    length: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// A disk with the same bytes that changes by itself: what a power cut would leave.
    #[must_use]
    pub fn copy(&self) -> MemoryDisk {
        MemoryDisk {
            content: Arc::new(Mutex::new(self.content().clone())),
        }
    }

    /// Bytes of memory that the pages take.
    pub fn memory_bytes(&self) -> usize {
        self.content().pages.len() * PAGE_BYTES
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Splits a range of bytes at page borders: page, offset inside it, bytes.
fn spans(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset + length as u64;
    std::iter::from_fn(move || {
        (at < end).then(|| {
            let inside = (at % PAGE_BYTES as u64) as usize;
            let count = (PAGE_BYTES - inside).min((end - at) as usize);
            let page = at / PAGE_BYTES as u64;
            at += count as u64;
            (page, inside, count)
        })
    })
}

fn check_range(content: &Content, offset: u64, length: usize) -> Result<(), io::Error> {
    match offset.checked_add(length as u64) {
        Some(end) if end <= content.length => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "beyond the end of the disk",
        )),
    }
}

impl StorageBackend for MemoryDisk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.content().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let content = self.content();
        check_range(&content, offset, out.len())?;
        let mut rest = out;
        for (page, inside, count) in spans(offset, rest.len()) {
            let (now, later) = rest.split_at_mut(count);
            match content.pages.get(&page) {
                Some(bytes) => now.copy_from_slice(&bytes[inside..inside + count]),
                None => now.fill(0),
            }
            rest = later;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut content = self.content();
        if len < content.length {
            let last = len / PAGE_BYTES as u64;
            let _ = content.pages.split_off(&(last + 1));
            if let Some(page) = content.pages.get_mut(&last) {
                page[(len % PAGE_BYTES as u64) as usize..].fill(0);
            }
        }
        content.length = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut content = self.content();
        check_range(&content, offset, data.len())?;
        let mut rest = data;
        for (page, inside, count) in spans(offset, data.len()) {
            let (now, later) = rest.split_at(count);
            if now.iter().any(|&byte| byte != 0) || content.pages.contains_key(&page) {
                let bytes = content
                    .pages
                    .entry(page)
                    .or_insert_with(|| vec![0; PAGE_BYTES].into_boxed_slice());
                bytes[inside..inside + count].copy_from_slice(now);
            }
            rest = later;
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_across_pages_and_zeros_cost_nothing() {
        let disk = MemoryDisk::new();
        disk.set_len(1 << 30).unwrap();
        disk.write(1 << 20, &[0; 100_000]).unwrap();
        assert_eq!(disk.memory_bytes(), 0);
        let data: Vec<u8> = (0..10_000).map(|n| n as u8).collect();
        disk.write(4000, &data).unwrap();
        let mut out = vec![9; 10_010];
        disk.read(3995, &mut out).unwrap();
        assert_eq!(out[5..10_005], data);
        assert_eq!(out[..5], [0; 5]);
        let copy = disk.copy();
        disk.set_len(5000).unwrap();
        disk.set_len(20_000).unwrap();
        disk.read(4990, &mut out[..20]).unwrap();
        assert_eq!(out[..10], data[990..1000]);
        assert_eq!(out[10..20], [0; 10]);
        copy.read(4990, &mut out[..20]).unwrap();
        assert_eq!(out[..20], data[990..1010]);
        assert!(disk.read(19_999, &mut out[..2]).is_err());
    }
}
