//! Looking at stored rows for their own sake: see [`crate::scrub`].

use super::{BlockPosition, Chain};
use crate::store::{StoreError, Stretch, Table, check_row, position};

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
        let stretch = pages.look(table, after, budget, &mut |key, row| match table {
            Table::Blocks => self.look_at_body(&position(key), row),
            _ => {
                let damage = check_row(table, key, row);
                let is_sound = damage.is_none();
                broken.extend(damage);
                is_sound
            }
        });
        let mut stretch =
            stretch.map_err(|error| StoreError::read(redb::StorageError::Io(error)))?;
        stretch.damage.extend(broken);
        Ok(stretch)
    }

    /// Whether a stored body proves itself. One that does not counts as damaged from now on.
    fn look_at_body(&self, block: &BlockPosition, row: &[u8]) -> bool {
        let Some(id) = self.tree.id_of(&block.hash) else {
            return true;
        };
        let is_sound = self.on_disk(id, row.to_vec()).open().is_some();
        // One that is known to be lost, or was replaced and is not committed yet, is no news.
        let is_news = self.tree.status(id).has_body && !self.pending.bodies.contains_key(&id);
        if !is_sound && is_news {
            self.damaged_set().insert(block.hash);
        }
        is_sound
    }
}
