//! [`FlushTimer`]: when pending data is committed: by size while syncing, soon after a block near the tip, at once for local blocks
//! and at the end.

use std::time::Duration;

use chain::{Chain, Flush, StoreError};
use p2p::Mono;

/// Near the tip, what came is on disk after this.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// What is committed at once also where the host commits: it takes less than asking for it.
const LITTLE_BYTES: usize = 64 << 10;

/// When the next flush is due.
#[derive(Debug)]
pub(super) struct FlushTimer {
    volatile: bool,
    due: Option<Mono>,
    /// Whether the host is asked to commit everything.
    asked: bool,
}

impl FlushTimer {
    /// `volatile`: nothing is committed before the end.
    pub(super) fn new(volatile: bool) -> FlushTimer {
        FlushTimer {
            volatile,
            due: None,
            asked: false,
        }
    }

    /// When it is due.
    pub(super) fn next_due(&self) -> Option<Mono> {
        self.due
    }

    /// Whether nothing need survive.
    pub(super) fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// Something was added to the chain: it is committed when it has grown large, and otherwise later.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(super) fn plan(&mut self, now: Mono, chain: &mut Chain) -> Result<(), StoreError> {
        if !self.volatile {
            chain.flush_when_large()?;
            self.due.get_or_insert(now + FLUSH_AFTER);
        }
        Ok(())
    }

    /// Commits if it is due. Not while syncing: many small commits would write every page again and again, and what a crash
    /// loses is fetched again.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(super) fn commit_if_due(
        &mut self,
        now: Mono,
        is_syncing: bool,
        chain: &mut Chain,
    ) -> Result<(), StoreError> {
        if self.due.is_none_or(|due| due > now) {
            return Ok(());
        }
        if is_syncing {
            self.due = Some(now + FLUSH_AFTER);
            return Ok(());
        }
        self.due = None;
        if chain.is_flushed_by_host() {
            self.asked = true;
            return Ok(());
        }
        chain.flush()
    }

    /// Asks the host to commit first what would take long. `false`: there is not so much of it, or it is not the host that commits.
    pub(super) fn ask_host(&mut self, chain: &Chain) -> bool {
        let asks =
            chain.is_flushed_by_host() && !self.volatile && chain.unflushed_bytes() > LITTLE_BYTES;
        self.asked |= asks;
        asks
    }

    /// What the host has to commit before the next change.
    pub(super) fn due_of_host(&self, chain: &Chain) -> Option<Flush> {
        match (self.volatile, self.asked) {
            (true, _) => None,
            (false, true) => Some(Flush::Everything),
            (false, false) => chain.flush_due(),
        }
    }

    /// The host has committed.
    pub(super) fn note_host_committed(&mut self) {
        self.asked = false;
    }

    /// Commits headers and bodies; coins follow with the next flush.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(super) fn commit_bodies(&mut self, now: Mono, chain: &mut Chain) -> Result<(), StoreError> {
        chain.flush_bodies()?;
        self.due.get_or_insert(now + FLUSH_AFTER);
        Ok(())
    }

    /// Commits everything now.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(super) fn commit_all(&mut self, chain: &mut Chain) -> Result<(), StoreError> {
        if self.volatile {
            return Ok(());
        }
        self.commit_at_the_end(chain)
    }

    /// Commits everything before the node ends, also what need not survive.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(super) fn commit_at_the_end(&mut self, chain: &mut Chain) -> Result<(), StoreError> {
        self.due = None;
        chain.flush()
    }
}

#[cfg(test)]
mod tests {
    use chain::fixtures::TestChain;

    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn what_came_first_sets_the_time_and_syncing_puts_it_off() {
        let mut chain = Chain::in_memory(TestChain::params());
        let mut timer = FlushTimer::new(false);
        assert_eq!(timer.next_due(), None);
        timer.plan(at(0), &mut chain).expect("storage works");
        timer.plan(at(900), &mut chain).expect("storage works");
        assert_eq!(timer.next_due(), Some(at(1_000)));
        let mut commit = |now, is_syncing| {
            let committed = timer.commit_if_due(at(now), is_syncing, &mut chain);
            committed.expect("storage works");
            timer.next_due()
        };
        assert_eq!(commit(999, false), Some(at(1_000)));
        assert_eq!(commit(1_000, true), Some(at(2_000)));
        assert_eq!(commit(2_000, false), None);
    }

    #[test]
    fn nothing_is_ever_due_where_nothing_need_survive() {
        let mut chain = Chain::in_memory(TestChain::params());
        let mut timer = FlushTimer::new(true);
        timer.plan(at(0), &mut chain).expect("storage works");
        timer.commit_all(&mut chain).expect("storage works");
        assert_eq!(timer.next_due(), None);
    }
}
