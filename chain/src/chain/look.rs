//! Looking at stored rows for their own sake: see [`crate::scrub`].

use super::{BlockPosition, Chain};
use crate::store::{Damage, Extent, Place, StoreError, Stretch, Table, check_row, position};
use crate::tree::NodeId;

impl Chain {
    /// Looks at the pages of `table` behind the key `after`, and at the rows on them. What is damaged is listed; bodies are also
    /// noted as [`Chain::damaged`].
    pub(crate) fn look_at_rows(
        &self,
        table: Table,
        after: Option<&[u8]>,
        budget: u64,
    ) -> Result<Stretch, StoreError> {
        let Some(pages) = self.store.pages()? else {
            return Ok(Stretch::default());
        };
        let mut broken = Vec::new();
        let mut note = |damage: Option<Damage>| {
            let is_sound = damage.is_none();
            broken.extend(damage);
            is_sound
        };
        let stretch = pages.look(table, after, budget, &mut |key, row| match table {
            Table::Blocks => match self.block_at(&position(key)) {
                Some(id) => self.look_at_body(id, row),
                None => note(Some(no_block_belongs_there(position(key)))),
            },
            _ => note(check_row(table, key, row)),
        });
        let mut stretch =
            stretch.map_err(|error| StoreError::read(redb::StorageError::Io(error)))?;
        stretch.damage.extend(broken);
        Ok(stretch)
    }

    /// Whether a stored body proves itself. One that does not counts as damaged from now on.
    fn look_at_body(&self, id: NodeId, row: &[u8]) -> bool {
        let is_sound = self.on_disk(id, row.to_vec()).open().is_some();
        // One that is known to be lost, or was replaced and is not committed yet, is no news.
        let is_news = self.tree.status(id).has_body && !self.pending.bodies.contains_key(&id);
        if !is_sound && is_news {
            self.damaged_set().insert(self.tree.hash(id));
        }
        is_sound
    }

    /// The block that belongs in a place; `None` if the key that says so is damaged.
    pub(super) fn block_at(&self, place: &BlockPosition) -> Option<NodeId> {
        let id = self.tree.id_of(&place.hash)?;
        (self.tree.height(id) == place.height).then_some(id)
    }
}

/// The row stands where it was not written, and another is missing.
fn no_block_belongs_there(block: BlockPosition) -> Damage {
    Damage {
        table: Some(Table::Blocks),
        place: Place::Block(block),
        extent: Extent::Row,
        problem: "no header is known of such a block".to_owned(),
    }
}
