//! Commits: what is on disk when, and what an acknowledgement promises.

use chain::{StoreError, StoreFault};

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
