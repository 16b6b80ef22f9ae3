//! When pending data is committed: by size while syncing, soon after a block near the tip, at once for local blocks and at
//! the end.

use std::time::Duration;

use chain::StoreError;
use p2p::Mono;

use super::{NodeCore, Output};
use crate::now::Now;

/// Near the tip, what came is on disk after this.
pub(super) const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// When the next flush is due.
#[derive(Debug)]
pub(super) struct FlushTimer {
    volatile: bool,
    due: Option<Mono>,
}

impl FlushTimer {
    /// `volatile`: nothing is committed before the end.
    pub(super) fn new(volatile: bool) -> FlushTimer {
        FlushTimer {
            volatile,
            due: None,
        }
    }

    /// When it is due.
    pub(super) fn next_due(&self) -> Option<Mono> {
        self.due
    }
}

impl NodeCore {
    /// Something was added to the chain: commit it when it has grown large, and otherwise later.
    pub(super) fn plan_flush(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.flush.volatile {
            return;
        }
        match self.chain.flush_when_large() {
            Ok(()) => _ = self.flush.due.get_or_insert(now.mono + FLUSH_AFTER),
            Err(error) => self.fail(error, out),
        }
    }

    /// Commits if it is due. Not while syncing: many small commits would write every page again and again, and what a crash
    /// loses is fetched again.
    pub(super) fn flush_if_due(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.flush.due.is_none_or(|due| due > now.mono) {
            return;
        }
        if self.is_syncing() {
            self.flush.due = Some(now.mono + FLUSH_AFTER);
            return;
        }
        self.flush.due = None;
        if let Err(error) = self.chain.flush() {
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
        if self.flush.volatile {
            return Ok(());
        }
        self.check_writable()?;
        match self.chain.flush_bodies() {
            Ok(()) => {
                self.flush.due.get_or_insert(now.mono + FLUSH_AFTER);
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
        if self.flush.volatile {
            return Ok(());
        }
        self.flush.due = None;
        self.chain
            .flush()
            .map_err(|error| self.fail_with(error, out))
    }

    /// Commits everything, once, before the node ends. After a storage failure nothing is written.
    ///
    /// # Errors
    ///
    /// When storage fails. The disk then holds the state of the last flush.
    pub fn shutdown(&mut self) -> Result<(), StoreError> {
        self.flush.due = None;
        if self.failed.is_some() {
            Ok(())
        } else {
            self.chain.flush()
        }
    }
}
