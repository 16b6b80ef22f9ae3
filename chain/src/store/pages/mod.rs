//! redb's pages, read past redb, with their checksums checked.
//!
//! redb writes a checksum of each page beside every reference to it, up to one of the whole database, and never looks at them while
//! it reads. [`Pages`] does: what it finds sound is exactly what was committed. redb's `docs/design.md` describes the format: a
//! header with two slots, one of which is the last commit; a tree of tables; in each table a tree of pages. A branch holds
//! checksums and numbers of its children and the keys between them, a leaf holds rows.

mod format;
mod look;
mod ways;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use redb::{ReadTransaction, StorageBackend};
use twox_hash::XxHash3_128;

use super::damage::{Damage, Extent, Place, Table};
use super::disk::Disk;
pub(super) use format::Head;
use format::{BRANCH, LEAF, PageRef, children, root_of, rows};
pub(crate) use look::Stretch;

/// No page of ours is larger: it holds a few bodies.
const MAX_PAGE_BYTES: u64 = 64 << 20;

/// No tree of ours is as deep.
const MAX_DEPTH: usize = 32;

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

fn damaged_page(table: Option<Table>, offset: u64) -> Damage {
    Damage {
        table,
        place: Place::Pages,
        extent: Extent::Pages,
        problem: format!("the page at byte {offset} does not match its checksum"),
    }
}
