//! One row that is written anew from what bodies say. The search for that goes through many of them, so it is done in steps.

use bitcoin::OutPoint;

use super::super::Chain;
use super::origin::{Search, UndoSearch};
use super::{Allowance, Cure, Origin};
use crate::chain::BlockPosition;
use crate::coins::encoding::encode_undo;
use crate::store::{Damage, Place, StoreError, Table};
use crate::tree::NodeId;

/// A row that is made again.
pub(in crate::chain) struct RowCure {
    pub(super) damage: Damage,
    search: Wanted,
}

enum Wanted {
    Coin(OutPoint, Search),
    Undo(NodeId, BlockPosition, UndoSearch),
}

/// How far it is.
pub(super) enum RowStep {
    /// There are more bodies to go through.
    GoesOn(Box<RowCure>),
    /// The row is as it should be, or will be with the next flush.
    Cured,
    /// What belongs there cannot be told.
    Unknown,
}

impl Chain {
    /// Begins to write one row anew.
    pub(super) fn heal_row(&mut self, damage: &Damage) -> Result<RowStep, StoreError> {
        match (damage.table, &damage.place) {
            (Some(Table::Coins), Place::Coin(outpoint)) => {
                let search = Search::new(self.tip_id(), [*outpoint]);
                self.begin_with_row(damage, Wanted::Coin(*outpoint, search))
            }
            (Some(table), Place::Block(block)) => match self.block_at(block) {
                Some(id) => self.heal_row_of_block(damage, table, id, *block),
                // The key is damaged: a row that would be written anew would stand beside it.
                None => Ok(RowStep::Unknown),
            },
            _ => Ok(RowStep::Unknown),
        }
    }

    fn heal_row_of_block(
        &mut self,
        damage: &Damage,
        table: Table,
        id: NodeId,
        block: BlockPosition,
    ) -> Result<RowStep, StoreError> {
        match table {
            Table::Blocks => self.quarantine(id),
            Table::Headers => self.write_header_again(block, true),
            Table::Undo => {
                if let Some(search) = self.search_undo(id)? {
                    return self.begin_with_row(damage, Wanted::Undo(id, block, search));
                }
                return Ok(RowStep::Unknown);
            }
            Table::Meta | Table::Coins => return Ok(RowStep::Unknown),
        }
        Ok(RowStep::Cured)
    }

    fn begin_with_row(&mut self, damage: &Damage, search: Wanted) -> Result<RowStep, StoreError> {
        let damage = damage.clone();
        self.go_on_with_row(Box::new(RowCure { damage, search }))
    }

    /// Goes through some more bodies.
    pub(super) fn go_on_with_row(&mut self, mut cure: Box<RowCure>) -> Result<RowStep, StoreError> {
        let mut allowance = Allowance::SOME;
        let search = match &mut cure.search {
            Wanted::Coin(_, search) => search,
            Wanted::Undo(_, _, search) => &mut search.before,
        };
        if !search.go_on(self, &mut allowance)? {
            return Ok(RowStep::GoesOn(cure));
        }
        match cure.search {
            Wanted::Coin(outpoint, search) => match search.end().remove(&outpoint) {
                Some(Origin::Unspent(coin)) => {
                    self.coins.overwrite(&outpoint, coin);
                    self.tell_cure(Cure::Coin { outpoint });
                }
                // It may be the key that is damaged: then another row is missing.
                _ => return Ok(RowStep::Unknown),
            },
            Wanted::Undo(id, block, search) => {
                let Some(undo) = search.end() else {
                    return Ok(RowStep::Unknown);
                };
                self.pending.add_undo(id, encode_undo(&undo));
                self.tell_cure(Cure::Undo { block });
            }
        }
        Ok(RowStep::Cured)
    }

    /// A header that is not in memory was left out when the chain was opened, and comes from a peer.
    pub(in crate::chain) fn write_header_again(&mut self, block: BlockPosition, marks_known: bool) {
        if let Some(id) = self.tree.id_of(&block.hash) {
            self.pending.touch(id);
            self.tell_cure(Cure::Header { block, marks_known });
        }
    }
}
