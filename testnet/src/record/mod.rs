//! What happened in a run, once, for both engines: `record.jsonl`, one JSON object a line.
//!
//! Engines write it ([`Writer`]) and know nothing of what is told of it. What is told is a pure function of the
//! [`Record`], and knows nothing of the engines.

mod blocks;
mod book;
mod folder;
mod history;
mod index;
mod io;
mod line;
mod problem;

pub(crate) use book::Book;

pub use blocks::{BlockId, Blocks, Placed, Position};
pub use folder::{FolderError, MARKER, RunFolder};
pub use history::{FaultHistory, NodeHistory, Reorg};
pub use index::{Builder, Coins, Handed, Mempool, Record, Traffic};
pub use io::{ReadError, WriteError, Writer, read, read_so_far};
pub use line::{Block, End, Engine, Exit, Genesis, Line, Start, Transaction};
pub use problem::Problem;

#[cfg(test)]
mod tests;
