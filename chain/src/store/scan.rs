//! Headers and bodies in a database file that redb cannot open: looked for page by page, without the trees that lead to them.
//!
//! A page of redb's (its `docs/design.md` has the format) that holds rows begins with a 1 and, after a byte, the number of rows; for
//! rows with keys of 36 bytes follow the ends of the values, counted from the page's start, the keys, and the values. Every place
//! where a page can begin is tried. What is found proves itself, so that what only looks like a row does no harm.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, consensus};
use redb::StorageBackend;
use redb::backends::FileBackend;

use super::disk::Disk;
use super::open::MAGIC;
use super::seal::unseal;
use super::tables::{HeaderRow, RowKey, position};
use super::{Store, StoreError};
use crate::units::{BlockPosition, Height};

/// Smallest size of redb's pages.
const PAGE_BYTES: usize = 4096;

/// What a page of rows begins with.
const LEAF: u8 = 1;

/// Bytes in front of the ends of values.
const HEAD_BYTES: usize = 4;

/// A header's row, sealed, is as long: a body is longer.
const HEADER_ROW_BYTES: usize = 89;

/// No body is as long, in bytes.
const MAX_BODY_BYTES: usize = 8 << 20;

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Where a body may be: its row has the key of a block, and begins with that block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FoundBody {
    /// Height and hash.
    key: RowKey,
    offset: u64,
    length: usize,
}

impl FoundBody {
    /// The block.
    pub(crate) fn hash(&self) -> BlockHash {
        position(&self.key).hash
    }

    /// Its height.
    pub(crate) fn height(&self) -> Height {
        position(&self.key).height
    }
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Headers whose rows are whole, by height. Of several rows of one block it counts if one says that its body is there, or that an
    /// operator marked it.
    pub(crate) headers: BTreeMap<RowKey, HeaderRow>,
    /// Bodies by height. There may be several of one block: pages that are not used any more are looked at too.
    pub(crate) bodies: Vec<FoundBody>,
}

impl Found {
    fn add_header(&mut self, key: &RowKey, row: &[u8]) {
        let row = unseal(key, row).and_then(|row| HeaderRow::decode(key, row));
        if let Some(row) = row.filter(|row| row.header.block_hash() == row.hash) {
            let known = self.headers.entry(*key).or_insert(row);
            known.status.has_body |= row.status.has_body;
            known.status.invalidated |= row.status.invalidated;
        }
    }
}

/// A database file that is only looked at.
pub(crate) struct DamagedFile(Disk);

impl DamagedFile {
    /// Opens the file at `path`, without redb, and for reading only.
    pub(crate) fn open(path: &Path) -> io::Result<DamagedFile> {
        let file = FileBackend::new(File::open(path)?).map_err(io::Error::other)?;
        Ok(DamagedFile(Disk::new(file)))
    }

    /// Whether it begins as files of redb do.
    pub(crate) fn is_of_redb(&self) -> bool {
        let mut start = [0; MAGIC.len()];
        self.0.read(0, &mut start).is_ok() && start == *MAGIC
    }

    /// Looks for headers and bodies in all of it.
    pub(crate) fn find(&self) -> io::Result<Found> {
        find(&self.0)
    }

    /// The bytes of a body, unchecked.
    pub(crate) fn read(&self, body: &FoundBody) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; body.length];
        self.0.read(body.offset, &mut bytes)?;
        Ok(bytes)
    }
}

fn find(disk: &Disk) -> io::Result<Found> {
    let mut found = Found::default();
    let mut start = 0;
    while let Some(next) = find_some(disk, start, &mut found)? {
        start = next;
    }
    found.bodies.sort_unstable();
    Ok(found)
}

/// Looks at the pages of a stretch of the file from `start` on, and gives its end. `None`: the file has ended.
fn find_some(disk: &Disk, start: u64, found: &mut Found) -> io::Result<Option<u64>> {
    if start >= disk.len()? {
        return Ok(None);
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    disk.read(start, &mut chunk)?;
    for (offset, page) in (start..).step_by(PAGE_BYTES).zip(chunk.chunks(PAGE_BYTES)) {
        if page[0] == LEAF {
            find_in_page(disk, offset, page, found)?;
        }
    }
    Ok(Some(start + CHUNK_BYTES as u64))
}

/// A body that was found, and how its bytes are read.
type FoundBytes<'a> = (
    BlockPosition,
    Box<dyn Fn() -> Result<Vec<u8>, StoreError> + 'a>,
);

impl Store {
    /// Bodies on the pages of a stretch of the file from byte `start` on, past the trees that lead to them, and the stretch's end.
    /// `None`: the file has ended. Pages that are not used any more are looked at too.
    pub(crate) fn find_bodies(
        &self,
        start: u64,
    ) -> Result<Option<(Vec<FoundBytes<'_>>, u64)>, StoreError> {
        let io_error = |error| StoreError::read(redb::StorageError::Io(error));
        let Some(opened) = self.database.get() else {
            return Ok(None);
        };
        let disk = &opened.disk;
        let mut found = Found::default();
        let Some(next) = find_some(disk, start, &mut found).map_err(io_error)? else {
            return Ok(None);
        };
        let bodies = found.bodies.into_iter().map(|body| -> FoundBytes<'_> {
            let read = move || {
                let mut bytes = vec![0; body.length];
                disk.read(body.offset, &mut bytes).map_err(io_error)?;
                Ok(bytes)
            };
            (position(&body.key), Box::new(read))
        });
        Ok(Some((bodies.collect(), next)))
    }
}

/// Looks at the rows of the page at `offset`, whose first bytes are `page`.
fn find_in_page(disk: &Disk, offset: u64, page: &[u8], found: &mut Found) -> io::Result<()> {
    let count = usize::from(u16::from_le_bytes([page[2], page[3]]));
    let keys_start = HEAD_BYTES + count * size_of::<u32>();
    let mut value_start = keys_start + count * size_of::<RowKey>();
    let Some(rows) = page.get(HEAD_BYTES..value_start) else {
        return Ok(());
    };
    let (ends, keys) = rows.split_at(keys_start - HEAD_BYTES);
    for (end, key) in ends
        .chunks_exact(4)
        .zip(keys.chunks_exact(size_of::<RowKey>()))
    {
        let end = u32::from_le_bytes(end.try_into().expect("4 bytes")) as usize;
        let key: RowKey = key.try_into().expect("36 bytes");
        let Some(length) = end.checked_sub(value_start) else {
            return Ok(());
        };
        if length > MAX_BODY_BYTES {
            return Ok(());
        }
        let body = FoundBody {
            key,
            offset: offset + value_start as u64,
            length,
        };
        if length == HEADER_ROW_BYTES {
            let mut row = [0; HEADER_ROW_BYTES];
            disk.read(body.offset, &mut row)?;
            found.add_header(&key, &row);
        } else if length > HEADER_ROW_BYTES && begins_with_its_header(disk, &body)? {
            found.bodies.push(body);
        }
        value_start = end;
    }
    Ok(())
}

fn begins_with_its_header(disk: &Disk, body: &FoundBody) -> io::Result<bool> {
    let mut header = [0; Header::SIZE];
    disk.read(body.offset, &mut header)?;
    let header: Header = consensus::deserialize(&header).expect("any 80 bytes are a header");
    Ok(header.block_hash().as_byte_array() == &body.key[4..])
}
