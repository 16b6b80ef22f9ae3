//! redb's pages, read past redb, with their checksums checked.
//!
//! redb writes a checksum of each page beside every reference to it, up to one of the whole database, and never looks at them while
//! it reads. [`Pages`] does: what it finds sound is exactly what was committed. redb's `docs/design.md` describes the format: a
//! header with two slots, one of which is the last commit; a tree of tables; in each table a tree of pages. A branch holds
//! checksums and numbers of its children and the keys between them, a leaf holds rows.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use redb::{ReadTransaction, StorageBackend};
use twox_hash::XxHash3_128;

use super::StoreError;
use super::damage::{Damage, Extent, Place, Table};
use super::disk::Disk;
use super::tables::RowKey;

const PAGE_BYTES: u64 = 4096;
const HEADER_BYTES: usize = 320;
const SLOT_BYTES: usize = 128;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;

/// No page of ours is larger: it holds a few bodies.
const MAX_PAGE_BYTES: u64 = 64 << 20;

/// No tree of ours is as deep.
const MAX_DEPTH: usize = 32;

/// A page as its parent refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageRef {
    number: u64,
    checksum: u128,
}

/// How pages lie in the file.
#[derive(Clone, Copy, Debug)]
struct Layout {
    region_header_bytes: u64,
    region_bytes: u64,
}

impl Layout {
    /// Where a page is.
    fn place(self, number: u64) -> Range<u64> {
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
pub(super) struct Head {
    layout: Layout,
    /// The tree of tables; `None` if there are none.
    tables: Option<PageRef>,
    pub(super) commit: u64,
}

impl Head {
    /// Reads it. `Err(None)`: it is damaged.
    pub(super) fn read(disk: &Disk) -> Result<Head, Option<io::Error>> {
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

/// One committed state, page by page.
pub(crate) struct Pages {
    disk: Disk,
    head: Head,
    roots: BTreeMap<&'static str, PageRef>,
    /// Keeps its pages from being used for others.
    _pinned: Arc<ReadTransaction>,
}

/// A page that is not what was committed.
#[derive(Debug)]
enum Fault {
    Damaged { offset: u64 },
    Io(io::Error),
}

/// What a stretch of a table's rows looks like.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    /// Bytes of pages that were looked at.
    pub(crate) bytes: u64,
    /// Pages that are damaged.
    pub(crate) damage: Vec<Damage>,
    /// The last key, if there are more behind it.
    pub(crate) resume: Option<Vec<u8>>,
}

/// Takes a row, and says whether it proves itself.
pub(crate) type VisitRow<'a> = dyn FnMut(&RowKey, &[u8]) -> bool + 'a;

impl Pages {
    /// The state that `head` describes, whose pages `pinned` keeps. Tables that cannot be found are damage.
    pub(super) fn new(
        disk: Disk,
        head: Head,
        pinned: Arc<ReadTransaction>,
    ) -> io::Result<Result<Pages, Damage>> {
        let mut pages = Pages {
            disk,
            head,
            roots: BTreeMap::new(),
            _pinned: pinned,
        };
        let Some(tables) = head.tables else {
            return Ok(Ok(pages));
        };
        let mut roots = BTreeMap::new();
        let walked = pages.walk_names(tables, 0, &mut |name, row| {
            let table = Table::ALL
                .into_iter()
                .find(|table| table.name().as_bytes() == name);
            if let (Some(table), Some(root)) = (table, root_of(row)) {
                roots.insert(table.name(), root);
            }
        });
        match walked {
            Ok(()) => {
                pages.roots = roots;
                Ok(Ok(pages))
            }
            Err(Fault::Damaged { offset }) => Ok(Err(damaged_page(None, offset))),
            Err(Fault::Io(error)) => Err(error),
        }
    }

    /// Looks at the pages of `table` behind the key `after`, until about `budget` bytes are seen, and gives their rows to `visit`. A
    /// page that does not match its checksum is damage, unless rows on it do not prove themselves: then these are. The `meta`
    /// table, which has other keys, gives no rows.
    pub(crate) fn look(
        &self,
        table: Table,
        after: Option<&[u8]>,
        budget: u64,
        visit: &mut VisitRow<'_>,
    ) -> io::Result<Stretch> {
        let mut stretch = Stretch::default();
        let Some(root) = self.roots.get(table.name()) else {
            return Ok(stretch);
        };
        if table == Table::Meta {
            let mut bytes = 0;
            match self.walk_names(*root, 0, &mut |_, row| bytes += row.len() as u64) {
                Ok(()) => {}
                Err(Fault::Damaged { offset }) => {
                    stretch.damage.push(damaged_page(Some(table), offset));
                }
                Err(Fault::Io(error)) => return Err(error),
            }
            stretch.bytes = bytes;
            return Ok(stretch);
        }
        let mut look = Look {
            pages: self,
            table,
            after,
            budget,
            stretch,
            visit,
        };
        look.go_down(*root, None, None, 0)?;
        Ok(look.stretch)
    }

    /// Looks at the pages that lead to the place of `key` in `table`: what is damaged of them.
    pub(crate) fn is_sound_at(
        &self,
        table: Table,
        key: &RowKey,
    ) -> Result<Option<Damage>, StoreError> {
        let key_bytes = Some(size_of::<RowKey>());
        let mut next = self.roots.get(table.name()).copied();
        for _ in 0..=MAX_DEPTH {
            let Some(page) = next else {
                return Ok(None);
            };
            let bytes = match self.page(page, key_bytes) {
                Ok(bytes) => bytes,
                Err(Fault::Damaged { offset }) => {
                    return Ok(Some(damaged_page(Some(table), offset)));
                }
                Err(Fault::Io(error)) => {
                    return Err(StoreError::read(redb::StorageError::Io(error)));
                }
            };
            next = match children(&bytes, key_bytes).filter(|_| bytes[0] == BRANCH) {
                None => return Ok(None),
                Some((children, _)) => {
                    let leads_there = |upper: &Option<Range<usize>>| {
                        upper.clone().is_none_or(|at| key[..] <= bytes[at])
                    };
                    children
                        .into_iter()
                        .find(|(_, upper)| leads_there(upper))
                        .map(|(page, _)| page)
                }
            };
        }
        let offset = next.map_or(0, |page| self.head.layout.place(page.number).start);
        Ok(Some(damaged_page(Some(table), offset)))
    }

    /// Reads a page, which has to match the checksum that its parent holds.
    fn page(&self, page: PageRef, key_bytes: Option<usize>) -> Result<Vec<u8>, Fault> {
        match self.read(page, key_bytes)? {
            (bytes, true) => Ok(bytes),
            (_, false) => Err(Fault::Damaged {
                offset: self.head.layout.place(page.number).start,
            }),
        }
    }

    /// Reads a page, and tells whether it matches the checksum that its parent holds.
    fn read(&self, page: PageRef, key_bytes: Option<usize>) -> Result<(Vec<u8>, bool), Fault> {
        let place = self.head.layout.place(page.number);
        let damaged = Fault::Damaged {
            offset: place.start,
        };
        let length = place.end - place.start;
        let end_of_file = self.disk.len().map_err(Fault::Io)?;
        if length > MAX_PAGE_BYTES || place.end > end_of_file {
            return Err(damaged);
        }
        let mut bytes = vec![0; usize::try_from(length).expect("a page is small")];
        self.disk.read(place.start, &mut bytes).map_err(Fault::Io)?;
        let used = match bytes[0] {
            LEAF => rows(&bytes, key_bytes).and_then(|rows| rows.last().map(|(_, row)| row.end)),
            BRANCH => children(&bytes, key_bytes).map(|(_, end)| end),
            _ => None,
        };
        match used {
            Some(end) => {
                let is_sound = XxHash3_128::oneshot(&bytes[..end]) == page.checksum;
                Ok((bytes, is_sound))
            }
            None => Err(damaged),
        }
    }

    /// All rows of a table whose keys are names.
    fn walk_names(
        &self,
        page: PageRef,
        depth: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Fault> {
        let bytes = self.page(page, None)?;
        if let Some((children, _)) = children(&bytes, None).filter(|_| bytes[0] == BRANCH) {
            for (child, _) in children {
                if depth > MAX_DEPTH {
                    let offset = self.head.layout.place(page.number).start;
                    return Err(Fault::Damaged { offset });
                }
                self.walk_names(child, depth + 1, visit)?;
            }
            return Ok(());
        }
        for (key, row) in rows(&bytes, None).unwrap_or_default() {
            visit(&bytes[key], &bytes[row]);
        }
        Ok(())
    }
}

/// A stretch of a table on its way.
struct Look<'a, 'v> {
    pages: &'a Pages,
    table: Table,
    after: Option<&'a [u8]>,
    budget: u64,
    stretch: Stretch,
    visit: &'v mut VisitRow<'a>,
}

impl Look<'_, '_> {
    /// Looks at a page and those below it, all of whose keys are above `first` and none above `last`. `false`: enough was seen.
    fn go_down(
        &mut self,
        page: PageRef,
        first: Option<&[u8]>,
        last: Option<&[u8]>,
        depth: usize,
    ) -> io::Result<bool> {
        let key_bytes = Some(size_of::<RowKey>());
        let offset = self.pages.head.layout.place(page.number).start;
        let (bytes, is_sound) = match self.pages.read(page, key_bytes) {
            Ok((bytes, is_sound)) if depth <= MAX_DEPTH && (is_sound || bytes[0] == LEAF) => {
                (bytes, is_sound)
            }
            Err(Fault::Io(error)) => return Err(error),
            Ok(_) | Err(Fault::Damaged { .. }) => {
                self.stretch
                    .damage
                    .push(damaged_page(Some(self.table), offset));
                self.stretch.bytes += PAGE_BYTES;
                return Ok(self.goes_on(last));
            }
        };
        self.stretch.bytes += bytes.len() as u64;
        if bytes[0] == BRANCH {
            let (children, _) = children(&bytes, key_bytes).unwrap_or_default();
            let mut first = first;
            for (child, upper) in children {
                let upper = upper.map(|key| &bytes[key]);
                let is_behind = match (upper, self.after) {
                    (Some(upper), Some(after)) => upper > after,
                    _ => true,
                };
                if is_behind && !self.go_down(child, first, upper.or(last), depth + 1)? {
                    return Ok(false);
                }
                first = upper;
            }
            return Ok(true);
        }
        let is_astray = |key: &RowKey| {
            first.is_some_and(|first| key[..] <= *first) || last.is_some_and(|last| key[..] > *last)
        };
        let mut all_prove_themselves = true;
        for (key, row) in rows(&bytes, key_bytes).unwrap_or_default() {
            let key: &RowKey = bytes[key].try_into().expect("keys have 36 bytes");
            if is_astray(key) {
                // A damaged branch was written anew: looking the row up does not lead here.
                self.stretch.damage.push(Damage {
                    problem: format!("the page at byte {offset} holds rows of another place"),
                    ..damaged_page(Some(self.table), offset)
                });
                return Ok(self.goes_on(last));
            }
            if self.after.is_none_or(|after| &key[..] > after) {
                all_prove_themselves &= (self.visit)(key, &bytes[row]);
            }
        }
        if !is_sound && all_prove_themselves {
            self.stretch
                .damage
                .push(damaged_page(Some(self.table), offset));
        }
        Ok(self.goes_on(last))
    }

    /// Whether there is room for more; else the next look begins behind `last`. Without one there is nothing behind.
    fn goes_on(&mut self, last: Option<&[u8]>) -> bool {
        let goes_on = self.stretch.bytes < self.budget;
        if !goes_on {
            self.stretch.resume = last.map(<[u8]>::to_vec);
        }
        goes_on
    }
}

fn damaged_page(table: Option<Table>, offset: u64) -> Damage {
    Damage {
        table,
        place: Place::Pages,
        extent: Extent::Pages,
        problem: format!("the page at byte {offset} does not match its checksum"),
    }
}

type Row = (Range<usize>, Range<usize>);

/// Where the keys and values of a leaf are. `None`: not inside it.
fn rows(page: &[u8], key_bytes: Option<usize>) -> Option<Vec<Row>> {
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
type Child = (PageRef, Option<Range<usize>>);

/// The children of a branch, and where it ends. `None`: not inside it.
fn children(page: &[u8], key_bytes: Option<usize>) -> Option<(Vec<Child>, usize)> {
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
fn root_of(row: &[u8]) -> Option<PageRef> {
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
