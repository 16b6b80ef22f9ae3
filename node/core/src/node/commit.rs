//! Commits: what is on disk when, and what an acknowledgement promises.

use chain::{Flush, StoreError, StoreFault, Written};

use super::{NodeCore, Output};
use crate::now::Now;

impl NodeCore {
    /// Something was added to the chain: commit it when it has grown large, and otherwise later.
    pub(super) fn plan_flush(&mut self, now: Now, out: &mut Vec<Output>) {
        if let Err(error) = self.flush.plan(now.mono, &mut self.chain) {
            self.fail(error, out);
        }
    }

    /// Commits if it is due.
    pub(super) fn flush_if_due(&mut self, now: Now, out: &mut Vec<Output>) {
        let is_syncing = self.is_syncing();
        let committed = self
            .flush
            .commit_if_due(now.mono, is_syncing, &mut self.chain);
        if let Err(error) = committed {
            self.fail(error, out);
        }
    }

    /// Asks the host to commit first what would take long. `false`: there is not so much of it, or it is not the host that commits.
    pub(super) fn ask_host_to_flush(&mut self) -> bool {
        self.flush.ask_host(&self.chain)
    }

    /// What the host has to commit before the next change, by [`NodeCore::write_out`].
    #[must_use]
    pub fn flush_due(&self) -> Option<Flush> {
        match self.failed {
            Some(_) => None,
            None => self.flush.due_of_host(&self.chain),
        }
    }

    /// Commits, while others may read: see [`chain::Chain::write_out`].
    ///
    /// # Errors
    ///
    /// As there. [`NodeCore::note_written`] draws the consequence.
    pub fn write_out(&self, flush: Flush) -> Result<Written, StoreError> {
        self.chain.write_out(flush)
    }

    /// Takes note of what [`NodeCore::write_out`] gave, before anything else changes.
    pub fn note_written(&mut self, written: Result<Written, StoreError>, out: &mut Vec<Output>) {
        self.flush.note_host_committed();
        if let Err(error) = self.chain.note_written(written) {
            self.fail(error, out);
        }
    }

    /// Commits headers and bodies, so that a crash loses no block that is acknowledged after this; coins follow with the next
    /// flush, or are made again from the bodies.
    ///
    /// # Errors
    ///
    /// When storage fails: the node stops.
    pub fn make_durable(&mut self, now: Now, out: &mut Vec<Output>) -> Result<(), StoreError> {
        if self.flush.is_volatile() {
            return Ok(());
        }
        self.check_writable()?;
        match self.flush.commit_bodies(now.mono, &mut self.chain) {
            Ok(()) => {
                self.plan_wake_up(now, out);
                Ok(())
            }
            Err(error) => Err(self.fail_with(error, out)),
        }
    }

    /// Commits everything now, for whoever may only see what is committed; nothing while syncing.
    ///
    /// # Errors
    ///
    /// When storage fails: the node stops.
    pub fn commit_near_tip(&mut self, out: &mut Vec<Output>) -> Result<(), StoreError> {
        self.check_writable()?;
        match self.is_syncing() {
            true => Ok(()),
            false => self.commit_all(out),
        }
    }

    /// Commits everything now.
    pub(super) fn commit_all(&mut self, out: &mut Vec<Output>) -> Result<(), StoreError> {
        let committed = self.flush.commit_all(&mut self.chain);
        committed.map_err(|error| self.fail_with(error, out))
    }

    /// Commits everything, once, before the node ends. After a storage failure nothing is written.
    ///
    /// # Errors
    ///
    /// When storage fails. The disk then holds the state of the last flush.
    pub fn shutdown(&mut self) -> Result<(), StoreError> {
        match self.failed {
            Some(_) => Ok(()),
            None => match self.flush.commit_at_the_end(&mut self.chain) {
                // The next start finds the damage again, and heals it; the disk holds what it held.
                Err(error) if error.cause == StoreFault::Healing => Ok(()),
                committed => committed,
            },
        }
    }
}
