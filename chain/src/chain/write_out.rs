//! Committing while others read.
//!
//! A flush of a full cache takes a second or more. Most of it only reads the chain: [`Chain::write_out`] takes a shared borrow, so a
//! host that keeps the chain behind a lock answers readers meanwhile. What was committed is noted by [`Chain::note_written`], which
//! takes an exclusive one. Whoever changes the chain waits for both.

use super::Chain;
use crate::store::{Batch, StoreError};
use crate::tree::NodeId;

/// What is to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Everything since the last flush: see [`Chain::flush`].
    Everything,
    /// Headers, bodies and undo data: see [`Chain::flush_bodies`].
    Bodies,
}

/// What [`Chain::write_out`] has committed, to be noted before anything changes.
#[derive(Debug)]
#[must_use = "what is on disk has to be noted before the chain changes"]
pub struct Written {
    flush: Flush,
    state: Unflushed,
}

/// By this a state of what waits for a flush is told from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unflushed {
    tip: NodeId,
    coin_changes: usize,
    pending_bytes: usize,
}

impl Chain {
    /// From now on nothing is committed only because it has grown large: after each change the host asks [`Chain::flush_due`], and
    /// commits by [`Chain::write_out`].
    pub fn leave_flushing_to_host(&mut self) {
        self.is_flushed_by_host = true;
    }

    /// Whether [`Chain::leave_flushing_to_host`] was called.
    pub fn is_flushed_by_host(&self) -> bool {
        self.is_flushed_by_host
    }

    /// What has grown so large that it has to be committed.
    pub fn flush_due(&self) -> Option<Flush> {
        if self.coins_are_large() {
            Some(Flush::Everything)
        } else {
            self.pending_is_large().then_some(Flush::Bodies)
        }
    }

    /// Commits in one redb transaction, and leaves the chain as it is. Nothing may change it before [`Chain::note_written`] took the
    /// outcome.
    ///
    /// # Errors
    ///
    /// When storage fails, or damage is met: [`Chain::note_written`] takes that too.
    pub fn write_out(&self, flush: Flush) -> Result<Written, StoreError> {
        let state = self.unflushed();
        match flush {
            Flush::Everything => self.commit(&Batch {
                coins: Some(self.coins_at(state.tip)),
                ..self.pending_batch()
            })?,
            Flush::Bodies => self.commit(&self.pending_batch())?,
        }
        Ok(Written { flush, state })
    }

    /// Takes note of what was committed. Heals what stood in the way, and commits then.
    ///
    /// # Panics
    ///
    /// When the chain has changed since [`Chain::write_out`]: the disk holds a valid state, which another flush would spoil.
    ///
    /// # Errors
    ///
    /// When storage fails: fatal.
    pub fn note_written(&mut self, written: Result<Written, StoreError>) -> Result<(), StoreError> {
        match written {
            Ok(Written { flush, state }) => {
                assert_eq!(state, self.unflushed(), "the chain changed in between");
                match flush {
                    Flush::Everything => self.all_flushed(),
                    Flush::Bodies => self.pending = Default::default(),
                }
                self.is_healthy();
                Ok(())
            }
            Err(error) => {
                self.heal(error)?;
                self.flush()
            }
        }
    }

    fn unflushed(&self) -> Unflushed {
        Unflushed {
            tip: self.tip_id(),
            coin_changes: self.coins.change_count(),
            pending_bytes: self.pending.bytes(),
        }
    }
}
