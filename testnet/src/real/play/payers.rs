//! [`Payers`]: accounts that pay each other at a steady pace, at nodes chosen by chance.

use std::time::Duration;

use bitcoin::Amount;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::schedule;
use crate::real::Supervisor;

/// Smallest and largest payment, in satoshi.
const AMOUNTS: std::ops::RangeInclusive<u64> = 10_000..=1_000_000;
/// Keeps the choices of payments apart from those of topology and chaos, which use the seed itself.
const SALT: u64 = 0x7061_7965_7273;

/// Accounts that pay each other.
pub(super) struct Payers {
    plan: schedule::Payments,
    rng: ChaCha8Rng,
    due: Duration,
    refused: u32,
}

impl Payers {
    pub(super) fn new(plan: schedule::Payments, seed: u64) -> Payers {
        Payers {
            plan,
            rng: ChaCha8Rng::seed_from_u64(seed ^ SALT),
            due: plan.every,
            refused: 0,
        }
    }

    /// When the next payment is due; `None` when there will be no more.
    pub(super) fn next_due(&self) -> Option<Duration> {
        (self.due < self.plan.until).then_some(self.due)
    }

    /// Payments that no node took: the account had no coin left there, or the node was about to end.
    pub(super) fn refused(&self) -> u32 {
        self.refused
    }

    /// Makes the payment that is due.
    pub(super) fn pay(&mut self, supervisor: &Supervisor) {
        self.due += self.plan.every;
        let from = self.rng.random_range(0..self.plan.accounts);
        let to = self.rng.random_range(0..self.plan.accounts);
        let amount = Amount::from_sat(self.rng.random_range(AMOUNTS));
        let mut network = supervisor.network();
        let up: Vec<usize> = network.probes().iter().map(|probe| probe.node()).collect();
        let Some(node) = up.choose(&mut self.rng) else {
            self.refused += 1;
            return;
        };
        if network
            .pay(from, &to.to_string(), amount, Some(*node))
            .is_err()
        {
            self.refused += 1;
        }
    }
}
