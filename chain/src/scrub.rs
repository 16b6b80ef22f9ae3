//! [`Scrub`]: looking at everything that is stored, bit by bit, to find damage before it is met.
//!
//! A step looks at a stretch of one table: at the checksums that redb keeps of its pages and never compares itself, then at
//! the rows on them. A host takes a step now and then, as fast as it likes. What is found is noted for
//! [`Chain::heal_findings`](crate::Chain::heal_findings).

use crate::chain::Chain;
use crate::store::{Damage, StoreError, Table};
use crate::units::Timestamp;

/// How far a round over everything has come.
#[derive(Clone, Debug, Default)]
pub struct Scrub {
    table: usize,
    after: Option<Vec<u8>>,
    progress: ScrubProgress,
}

/// What was looked at so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubProgress {
    /// Rounds that were finished.
    pub rounds: u64,
    /// Bytes of pages looked at in this round.
    pub bytes: u64,
    /// Bytes of pages looked at in all rounds.
    pub total_bytes: u64,
    /// Damage that was found.
    pub found: u64,
    /// When the last round was finished, as its host says.
    pub finished_at: Option<Timestamp>,
}

/// What one step found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubStep {
    /// Bytes of pages that it looked at.
    pub bytes: u64,
    /// Damage. It is noted on the chain as well.
    pub findings: Vec<Damage>,
    /// Whether a round is finished with it.
    pub ends_round: bool,
}

impl Scrub {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> ScrubProgress {
        self.progress
    }

    /// The table that the next step looks at.
    #[must_use]
    pub fn table(&self) -> Table {
        Table::ALL[self.table]
    }

    /// Looks at about `budget` bytes of what `chain` has committed. `now` is only told again in [`ScrubProgress`].
    ///
    /// # Errors
    ///
    /// When the disk fails. Damage is no error.
    pub fn step(
        &mut self,
        chain: &Chain,
        budget: u64,
        now: Timestamp,
    ) -> Result<ScrubStep, StoreError> {
        let mut step = ScrubStep::default();
        match chain.look_at_rows(self.table(), self.after.as_deref(), budget) {
            Ok(stretch) => {
                step.bytes = stretch.bytes;
                step.findings = stretch.damage;
                self.after = stretch.resume;
            }
            Err(error) => match error.damage {
                // Not even the way to the tables is sound: nothing more can be seen in this round.
                Some(damage) => {
                    step.findings.push(*damage);
                    self.after = None;
                    self.table = Table::ALL.len() - 1;
                }
                None => return Err(error),
            },
        }
        if self.after.is_none() {
            self.table = (self.table + 1) % Table::ALL.len();
            step.ends_round = self.table == 0;
        }
        for damage in &step.findings {
            chain.note(damage.clone());
        }
        let progress = &mut self.progress;
        progress.bytes += step.bytes;
        progress.total_bytes += step.bytes;
        progress.found += step.findings.len() as u64;
        if step.ends_round {
            progress.rounds += 1;
            progress.bytes = 0;
            progress.finished_at = Some(now);
        }
        Ok(step)
    }
}
