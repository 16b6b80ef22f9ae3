//! What became of shares and blocks.

use serde::Serialize;

use super::message::Refusal;

/// What became of shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ShareCounts {
    /// Good ones.
    pub accepted: u64,
    /// The sum of their difficulties, as they were asked for.
    pub accepted_difficulty: f64,
    /// The highest difficulty of any.
    pub best_difficulty: f64,
    /// For another parent than the tip, or for a job that was forgotten.
    pub stale: u64,
    /// Accepted before.
    pub duplicate: u64,
    /// Without enough work.
    pub low_difficulty: u64,
    /// Of workers that were not authorized, or before subscribing.
    pub unauthorized: u64,
    /// Malformed, or with a time or version that was not allowed.
    pub invalid: u64,
}

impl ShareCounts {
    pub(super) fn accept(&mut self, asked: f64, got: f64) {
        self.accepted += 1;
        self.accepted_difficulty += asked;
        self.best_difficulty = self.best_difficulty.max(got);
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        let count = match refusal {
            Refusal::JobNotFound | Refusal::Stale => &mut self.stale,
            Refusal::Duplicate => &mut self.duplicate,
            Refusal::LowDifficulty { .. } => &mut self.low_difficulty,
            Refusal::Unauthorized(_) | Refusal::NotSubscribed => &mut self.unauthorized,
            Refusal::Malformed(_)
            | Refusal::UnknownMethod
            | Refusal::TimeOutOfRange { .. }
            | Refusal::VersionOutsideMask { .. } => &mut self.invalid,
        };
        *count += 1;
    }

    /// Shares that were refused, for whatever reason.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.stale + self.duplicate + self.low_difficulty + self.unauthorized + self.invalid
    }

    pub(super) fn add(&mut self, other: &ShareCounts) {
        self.accepted += other.accepted;
        self.accepted_difficulty += other.accepted_difficulty;
        self.best_difficulty = self.best_difficulty.max(other.best_difficulty);
        self.stale += other.stale;
        self.duplicate += other.duplicate;
        self.low_difficulty += other.low_difficulty;
        self.unauthorized += other.unauthorized;
        self.invalid += other.invalid;
    }
}

/// What became of blocks that miners found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlockCounts {
    /// Joined the active chain.
    pub active: u64,
    /// Came too late.
    pub stale: u64,
    /// Broke a rule: a fault of the node's.
    pub refused: u64,
}
