//! [`Damage`]: what is wrong with what is stored, and where.

use std::fmt;

use bitcoin::OutPoint;

use crate::units::BlockPosition;

/// A table of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Format, network and tip.
    Meta,
    /// Headers with what is known of their blocks.
    Headers,
    /// Bodies.
    Blocks,
    /// What blocks spent.
    Undo,
    /// Unspent coins.
    Coins,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 5] = [
        Table::Meta,
        Table::Headers,
        Table::Blocks,
        Table::Undo,
        Table::Coins,
    ];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Headers => "headers",
            Table::Blocks => "blocks",
            Table::Undo => "undo",
            Table::Coins => "coins",
        }
    }
}

/// Which part of a table is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The row of this name in the `meta` table.
    Name(&'static str),
    /// The row of this block.
    Block(BlockPosition),
    /// The row of this coin.
    Coin(OutPoint),
    /// Its pages: which rows are hurt is not known.
    Pages,
}

/// How much is hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The row alone: it can be written anew in its place.
    Row,
    /// Pages of the table: the way to further rows may be lost, and nothing can be written there.
    Pages,
}

/// What is wrong with what is stored: bytes came back that this program never wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The table; `None` if not even that is known.
    pub table: Option<Table>,
    /// The part of it.
    pub place: Place,
    /// How much is hurt.
    pub extent: Extent,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.table) {
            (Place::Name(name), _) => write!(f, "the row \"{name}\" is damaged on disk")?,
            (Place::Coin(outpoint), _) => write!(f, "the coin {outpoint} is damaged on disk")?,
            (Place::Block(block), table) => {
                let what = match table {
                    Some(Table::Headers) => "the header",
                    Some(Table::Undo) => "undo data",
                    _ => "the body",
                };
                let BlockPosition { hash, height } = block;
                write!(
                    f,
                    "{what} of block {hash} at height {height} is damaged on disk"
                )?;
            }
            (Place::Pages, Some(table)) => {
                write!(f, "the table of {} is damaged on disk", table.name())?;
            }
            (Place::Pages, None) => f.write_str("the database is damaged on disk")?,
        }
        write!(f, " ({})", self.problem)
    }
}
