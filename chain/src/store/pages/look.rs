//! Looking at a stretch of a table, page by page.

use std::io;

use super::format::{BRANCH, LEAF, PAGE_BYTES, PageRef, children, rows};
use super::{Fault, MAX_DEPTH, Pages, damaged_page};
use crate::store::damage::{Damage, Table};
use crate::store::tables::RowKey;

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

    /// Looks around the place of `key` in `table`: at the pages that lead there, at the leaf and its rows, and at the leaves beside it.
    /// What is damaged of them, or else rows that `visit` does not take, make it doubtful what a look-up says.
    ///
    /// Checksums alone do not tell: of a damaged branch that was written anew they are right. But then a leaf beside it holds rows
    /// of another place.
    pub(crate) fn doubt_at(
        &self,
        table: Table,
        key: &RowKey,
        visit: &mut VisitRow<'_>,
    ) -> io::Result<Option<Damage>> {
        let Some(root) = self.roots.get(table.name()) else {
            return Ok(None);
        };
        let mut after = match self.bound_below(*root, key) {
            Ok(bound) => bound.map(one_less),
            Err(Fault::Damaged { offset }) => return Ok(Some(damaged_page(Some(table), offset))),
            Err(Fault::Io(error)) => return Err(error),
        };
        for _ in 0..LEAVES_AROUND {
            let stretch = self.look(table, after.as_deref(), 1, visit)?;
            if let Some(damage) = stretch.damage.into_iter().next() {
                return Ok(Some(damage));
            }
            if stretch.resume.is_none() {
                break;
            }
            after = stretch.resume;
        }
        Ok(None)
    }

    /// The key that all keys of the leaf to which `key` leads are above. `None`: it is the first leaf.
    fn bound_below(&self, root: PageRef, key: &RowKey) -> Result<Option<Vec<u8>>, Fault> {
        let key_bytes = Some(size_of::<RowKey>());
        let (mut page, mut below) = (root, None);
        for _ in 0..=MAX_DEPTH {
            let bytes = self.page(page, key_bytes)?;
            if bytes[0] != BRANCH {
                return Ok(below);
            }
            for (child, upper) in children(&bytes, key_bytes).unwrap_or_default().0 {
                page = child;
                match upper.map(|upper| &bytes[upper]) {
                    Some(upper) if &key[..] > upper => below = Some(upper.to_vec()),
                    _ => break,
                }
            }
        }
        let offset = self.head.layout.place(page.number).start;
        Err(Fault::Damaged { offset })
    }
}

/// The leaf of a key, and the one on each side.
const LEAVES_AROUND: usize = 3;

/// The key before `key`, as numbers go.
fn one_less(mut key: Vec<u8>) -> Vec<u8> {
    for byte in key.iter_mut().rev() {
        *byte = byte.wrapping_sub(1);
        if *byte != 0xff {
            break;
        }
    }
    key
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
        let mut before = first;
        let mut all_prove_themselves = true;
        for (at, row) in rows(&bytes, key_bytes).unwrap_or_default() {
            let key: &RowKey = bytes[at].try_into().expect("keys have 36 bytes");
            let is_astray = before.is_some_and(|before| key[..] <= *before)
                || last.is_some_and(|last| key[..] > *last);
            if is_astray {
                // A damaged page was written anew: looking the row up does not lead here.
                self.stretch.damage.push(Damage {
                    problem: format!("the page at byte {offset} holds rows of another place"),
                    ..damaged_page(Some(self.table), offset)
                });
                return Ok(self.goes_on(last));
            }
            before = Some(key);
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
