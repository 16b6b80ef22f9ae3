//! How redb lays out a file: the header, where pages are, and what is where on them.

use std::io;
use std::ops::Range;

use redb::StorageBackend;
use twox_hash::XxHash3_128;

use crate::store::disk::Disk;

/// Smallest size of a page.
pub(super) const PAGE_BYTES: u64 = 4096;
const HEADER_BYTES: usize = 320;
const SLOT_BYTES: usize = 128;

/// First byte of a page of rows.
pub(super) const LEAF: u8 = 1;

/// First byte of a page of children.
pub(super) const BRANCH: u8 = 2;

/// A page as its parent refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageRef {
    pub(super) number: u64,
    pub(super) checksum: u128,
}

/// How pages lie in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    region_header_bytes: u64,
    region_bytes: u64,
}

impl Layout {
    /// Where a page is.
    pub(super) fn place(self, number: u64) -> Range<u64> {
        let order = (number >> 59) as u32;
        let index = number & (0x000f_ffff >> order.min(20));
        let region = number >> 20 & 0x000f_ffff;
        let bytes = PAGE_BYTES << order;
        let start =
            PAGE_BYTES + region * self.region_bytes + self.region_header_bytes + index * bytes;
        start..start.saturating_add(bytes)
    }
}

/// The header of a database: where its last commit is.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Head {
    pub(super) layout: Layout,
    /// The tree of tables; `None` if there are none.
    pub(super) tables: Option<PageRef>,
    pub(in crate::store) commit: u64,
}

impl Head {
    /// Reads it. `Err(None)`: it is damaged.
    pub(in crate::store) fn read(disk: &Disk) -> Result<Head, Option<io::Error>> {
        let mut bytes = [0; HEADER_BYTES];
        disk.read(0, &mut bytes)?;
        Head::parse(&bytes).ok_or(None)
    }

    fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Head> {
        if u64::from(u32_at(bytes, 12)?) != PAGE_BYTES {
            return None;
        }
        let region_header_bytes = u64::from(u32_at(bytes, 16)?) * PAGE_BYTES;
        let region_bytes = region_header_bytes + u64::from(u32_at(bytes, 20)?) * PAGE_BYTES;
        let primary = usize::from(bytes[9] & 1);
        let slot = bytes.get(64 + primary * SLOT_BYTES..)?.get(..SLOT_BYTES)?;
        if XxHash3_128::oneshot(&slot[..112]) != u128_at(slot, 112)? {
            return None;
        }
        let tables = PageRef {
            number: u64_at(slot, 8)?,
            checksum: u128_at(slot, 16)?,
        };
        Some(Head {
            layout: Layout {
                region_header_bytes,
                region_bytes,
            },
            tables: (slot[1] != 0).then_some(tables),
            commit: u64_at(slot, 104)?,
        })
    }
}

pub(super) type Row = (Range<usize>, Range<usize>);

/// Where the keys and values of a leaf are. `None`: not inside it.
pub(super) fn rows(page: &[u8], key_bytes: Option<usize>) -> Option<Vec<Row>> {
    let count = usize::from(u16::from_le_bytes([*page.get(2)?, *page.get(3)?]));
    let arrays = if key_bytes.is_some() { 1 } else { 2 };
    let keys_start = 4 + count * 4 * arrays;
    let key_end = |row: usize| match key_bytes {
        Some(bytes) => Some(keys_start + (row + 1) * bytes),
        None => Some(u32_at(page, 4 + row * 4)? as usize),
    };
    let value_ends = 4 + count * 4 * (arrays - 1);
    let mut key_start = keys_start;
    let mut value_start = key_end(count.checked_sub(1)?)?;
    let mut rows = Vec::with_capacity(count);
    for row in 0..count {
        let (key, value) = (
            key_start..key_end(row)?,
            value_start..u32_at(page, value_ends + row * 4)? as usize,
        );
        page.get(key.clone())?;
        page.get(value.clone())?;
        (key_start, value_start) = (key.end, value.end);
        rows.push((key, value));
    }
    Some(rows)
}

/// A child, and where the key is that none of its keys is above; the last has none.
pub(super) type Child = (PageRef, Option<Range<usize>>);

/// The children of a branch, and where it ends. `None`: not inside it.
pub(super) fn children(page: &[u8], key_bytes: Option<usize>) -> Option<(Vec<Child>, usize)> {
    let keys = usize::from(u16::from_le_bytes([*page.get(2)?, *page.get(3)?]));
    let count = keys + 1;
    let numbers = 8 + 16 * count;
    let ends = numbers + 8 * count;
    let keys_start = if key_bytes.is_some() {
        ends
    } else {
        ends + 4 * keys
    };
    let key_end = |key: usize| match key_bytes {
        Some(bytes) => Some(keys_start + (key + 1) * bytes),
        None => Some(u32_at(page, ends + key * 4)? as usize),
    };
    let mut start = keys_start;
    let mut children = Vec::with_capacity(count);
    for child in 0..count {
        let page_ref = PageRef {
            number: u64_at(page, numbers + 8 * child)?,
            checksum: u128_at(page, 8 + 16 * child)?,
        };
        let key = if child < keys {
            let key = start..key_end(child)?;
            page.get(key.clone())?;
            start = key.end;
            Some(key)
        } else {
            None
        };
        children.push((page_ref, key));
    }
    Some((children, key_end(keys.checked_sub(1)?)?))
}

/// The root of the table that a row of the tree of tables describes. `None`: it has no rows.
pub(super) fn root_of(row: &[u8]) -> Option<PageRef> {
    if *row.get(9)? == 0 {
        return None;
    }
    Some(PageRef {
        number: u64_at(row, 10)?,
        checksum: u128_at(row, 18)?,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().expect("4 bytes")))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
}

fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    let bytes = bytes.get(at..at.checked_add(16)?)?;
    Some(u128::from_le_bytes(bytes.try_into().expect("16 bytes")))
}
