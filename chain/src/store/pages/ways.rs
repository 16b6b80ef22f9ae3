//! Proving the branches that lead to rows before these are written.
//!
//! redb writes the branches above a changed row anew, with right checksums over whatever is on them. One that is damaged would lead
//! astray from then on, and nothing would tell. Leaves need no proof: their rows prove themselves.

use std::io;

use redb::StorageBackend;

use super::format::{BRANCH, PageRef, children};
use super::{Fault, MAX_DEPTH, Pages, damaged_page};
use crate::store::damage::{Damage, Table};
use crate::store::tables::RowKey;

impl Pages {
    /// Looks at the branches that lead to the places of `rows` in `table`, and at those beside them, with which redb may merge them. Gives
    /// what is damaged of them. `rows` are in the order of their keys.
    pub(crate) fn damaged_way<T>(
        &self,
        table: Table,
        rows: &[T],
        key: impl Fn(&T) -> &RowKey,
    ) -> io::Result<Option<Damage>> {
        let Some(root) = self.roots.get(table.name()).filter(|_| !rows.is_empty()) else {
            return Ok(None);
        };
        let proved = self
            .levels(*root)
            .and_then(|levels| self.prove_ways(*root, levels, rows, &key));
        damage_of(table, proved)
    }

    /// Looks at all branches of `table`, and gives what is damaged of them.
    pub(crate) fn damaged_branch(&self, table: Table) -> io::Result<Option<Damage>> {
        let Some(root) = self.roots.get(table.name()) else {
            return Ok(None);
        };
        let proved = self
            .levels(*root)
            .and_then(|levels| self.prove_branches(*root, levels));
        damage_of(table, proved)
    }

    fn prove_branches(&self, page: PageRef, levels: usize) -> Result<(), Fault> {
        let Some(below) = levels.checked_sub(1) else {
            return Ok(());
        };
        for (child, _) in self.children_of(page)? {
            self.prove_branches(child, below)?;
        }
        Ok(())
    }

    /// Levels of branches below and with `page`: as many wherever one goes down.
    fn levels(&self, mut page: PageRef) -> Result<usize, Fault> {
        for levels in 0..MAX_DEPTH {
            let start = self.head.layout.place(page.number).start;
            let mut kind = [0];
            self.disk.read(start, &mut kind).map_err(Fault::Io)?;
            if kind != [BRANCH] {
                return Ok(levels);
            }
            page = self.children_of(page)?[0].0;
        }
        let offset = self.head.layout.place(page.number).start;
        Err(Fault::Damaged { offset })
    }

    fn prove_ways<T>(
        &self,
        page: PageRef,
        levels: usize,
        mut rows: &[T],
        key: &impl Fn(&T) -> &RowKey,
    ) -> Result<(), Fault> {
        let Some(below) = levels.checked_sub(1) else {
            return Ok(());
        };
        let children = self.children_of(page)?;
        if below == 0 {
            return Ok(());
        }
        let mut is_changed = Vec::with_capacity(children.len());
        for (child, upper) in &children {
            let here = match upper {
                Some(upper) => rows.partition_point(|row| key(row) <= upper),
                None => rows.len(),
            };
            let (here, behind) = rows.split_at(here);
            rows = behind;
            if !here.is_empty() {
                self.prove_ways(*child, below, here, key)?;
            }
            is_changed.push(!here.is_empty());
        }
        for (at, (child, _)) in children.iter().enumerate() {
            let is_beside = |other: Option<usize>| {
                other.and_then(|other| is_changed.get(other)).copied() == Some(true)
            };
            if !is_changed[at] && (is_beside(at.checked_sub(1)) || is_beside(Some(at + 1))) {
                self.children_of(*child)?;
            }
        }
        Ok(())
    }

    /// The children of a branch that is sound, each with the key that none of its keys is above.
    fn children_of(&self, page: PageRef) -> Result<Vec<(PageRef, Option<RowKey>)>, Fault> {
        let key_bytes = Some(size_of::<RowKey>());
        let bytes = self.page(page, key_bytes)?;
        let damaged = || Fault::Damaged {
            offset: self.head.layout.place(page.number).start,
        };
        let (children, _) = children(&bytes, key_bytes)
            .filter(|_| bytes[0] == BRANCH)
            .ok_or_else(damaged)?;
        let children = children.into_iter().map(|(child, upper)| {
            let upper = upper.map(|at| bytes[at].try_into().expect("keys have 36 bytes"));
            (child, upper)
        });
        Ok(children.collect())
    }
}

fn damage_of(table: Table, proved: Result<(), Fault>) -> io::Result<Option<Damage>> {
    match proved {
        Ok(()) => Ok(None),
        Err(Fault::Damaged { offset }) => Ok(Some(damaged_page(Some(table), offset))),
        Err(Fault::Io(error)) => Err(error),
    }
}
