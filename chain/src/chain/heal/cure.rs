//! What was put right, as it is told.

use std::fmt;
use std::path::PathBuf;

use bitcoin::{BlockHash, OutPoint};

use crate::chain::BlockPosition;
use crate::store::KEPT_FILES;
use crate::units::Height;

/// How often what was healed since the chain was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CureCounts {
    /// Coins that were made again.
    pub coins: u64,
    /// Blocks whose undo data were made again.
    pub undo: u64,
    /// Headers whose rows were written again.
    pub headers: u64,
    /// Bodies that came from elsewhere in place of damaged ones.
    pub bodies: u64,
    /// New databases.
    pub databases: u64,
}

/// Something damaged that was put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cure {
    /// A coin was made again from the body of its block, or one was removed that bodies know nothing of.
    Coin {
        /// The coin.
        outpoint: OutPoint,
    },
    /// The undo data of a block were made again from bodies.
    Undo {
        /// The block.
        block: BlockPosition,
    },
    /// The row of a header was written again.
    Header {
        /// The block.
        block: BlockPosition,
        /// Whether it is known what an operator said of it (`invalidateblock`): if not, he did not, as far as the node knows.
        marks_known: bool,
    },
    /// The database was made anew from the bodies that could be read.
    Database {
        /// What was wrong with the old one.
        damage: String,
        /// Where the old one is kept; `None` for one in memory.
        kept: Option<PathBuf>,
        /// Files that were kept of earlier damage and are removed now.
        removed: usize,
        /// Blocks that an operator had marked invalid, and that stay so.
        marked: Vec<BlockHash>,
        /// Blocks of which it cannot be read whether an operator had marked them.
        unknown_marks: u64,
        /// Bodies that were taken over.
        bodies: u64,
        /// Bodies that could not be read, and come from peers.
        lost: u64,
        /// Height of the tip before; `None` if the old one could not be opened.
        before: Option<Height>,
        /// Height of the tip after: lower if a body on the way is lost.
        after: Height,
    },
}

impl Cure {
    /// What was damaged, in one word.
    pub fn what(&self) -> &'static str {
        match self {
            Cure::Coin { .. } => "coin",
            Cure::Undo { .. } => "undo",
            Cure::Header { .. } => "header",
            Cure::Database { .. } => "database",
        }
    }
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cure::Coin { outpoint } => {
                write!(
                    f,
                    "the damaged coin {outpoint} was made again from its block"
                )
            }
            Cure::Undo { block } => write!(
                f,
                "the damaged undo data of block {} at height {} were made again from blocks",
                block.hash, block.height
            ),
            Cure::Header { block, marks_known } => {
                write!(
                    f,
                    "the damaged header of block {} at height {} was written again",
                    block.hash, block.height
                )?;
                if !marks_known {
                    f.write_str(
                        "; whether invalidateblock was called for it cannot be read any more: call it again if so",
                    )?;
                }
                Ok(())
            }
            Cure::Database {
                damage,
                kept,
                removed,
                marked,
                unknown_marks,
                bodies,
                lost,
                before,
                after,
            } => {
                write!(f, "{damage}: a new database was made from {bodies} blocks")?;
                if *lost > 0 {
                    write!(f, ", {lost} are lost and come from peers")?;
                }
                write!(f, "; the tip is at height {after}")?;
                if let Some(before) = before.filter(|before| before != after) {
                    write!(f, " and was at {before}")?;
                }
                for hash in marked {
                    write!(f, "; block {hash} stays invalid by invalidateblock")?;
                }
                if *unknown_marks > 0 {
                    write!(
                        f,
                        "; whether invalidateblock was called for {unknown_marks} of the blocks cannot be read any more: call it again if so"
                    )?;
                }
                if let Some(path) = kept {
                    write!(f, "; the damaged file is kept as {}", path.display())?;
                }
                if *removed > 0 {
                    write!(
                        f,
                        ", and {removed} older ones are removed: {KEPT_FILES} are kept"
                    )?;
                }
                Ok(())
            }
        }
    }
}
