//! Who pays whom: those of the file, and those drawn from the seed.

use rand::{Rng, RngExt};

use super::random::interval_us;
use super::{Fault, FaultKind, Payment};
use crate::scenario::Scenario;

/// Amounts of payments that are drawn, in satoshi.
const AMOUNTS_SAT: std::ops::Range<u64> = 10_000..5_000_000;

/// All payments, in order of time.
pub(super) fn payments(scenario: &Scenario, faults: &[Fault], rng: &mut impl Rng) -> Vec<Payment> {
    let accepts_after = |account: u32| {
        let mut merchants = scenario.merchants.iter();
        let merchant = merchants.find(|merchant| merchant.account == account);
        merchant.map(|merchant| merchant.accepts_after)
    };
    let named = scenario.single_payments.iter().map(|entry| Payment {
        at_us: entry.at.0,
        from: entry.from,
        to: entry.to,
        amount_sat: entry.amount_sat,
        node: entry.node,
        conflicts_with: entry.conflicts_with,
        accepts_after: accepts_after(entry.to),
    });
    let named = named
        .enumerate()
        .map(|(index, payment)| (Some(index), payment));
    let drawn = drawn(scenario, faults, rng).into_iter().map(|payment| {
        let accepts_after = accepts_after(payment.to);
        (
            None,
            Payment {
                accepts_after,
                ..payment
            },
        )
    });
    let mut all: Vec<(Option<usize>, Payment)> = named.chain(drawn).collect();
    all.sort_by_key(|(_, payment)| payment.at_us);
    let places: Vec<Option<usize>> = all.iter().map(|(index, _)| *index).collect();
    let payments = all.into_iter().map(|(_, payment)| Payment {
        // From a place in the file to a place in the plan.
        conflicts_with: payment
            .conflicts_with
            .and_then(|first| places.iter().position(|place| *place == Some(first))),
        ..payment
    });
    payments.collect()
}

fn drawn(scenario: &Scenario, faults: &[Fault], rng: &mut impl Rng) -> Vec<Payment> {
    let Some(plan) = scenario.payments else {
        return Vec::new();
    };
    let until_us = plan.until.unwrap_or(scenario.duration).0;
    let mut payments = Vec::new();
    let mut at_us = interval_us(plan.every.0, rng);
    while at_us < until_us {
        let from = rng.random_range(0..plan.accounts);
        let to = rng.random_range(0..plan.accounts);
        let amount_sat = rng.random_range(AMOUNTS_SAT);
        // The next one that is up: the draws stay the same whatever the faults.
        let first = rng.random_range(0..scenario.nodes);
        let mut nodes = (0..scenario.nodes).map(|step| (first + step) % scenario.nodes);
        let node = nodes.find(|node| works_at(scenario, faults, *node, at_us));
        payments.extend(node.map(|node| Payment {
            at_us,
            from,
            to,
            amount_sat,
            node,
            conflicts_with: None,
            accepts_after: None,
        }));
        at_us += interval_us(plan.every.0, rng).max(1);
    }
    payments
}

/// Whether a node is up and not frozen, as planned.
fn works_at(scenario: &Scenario, faults: &[Fault], node: usize, at_us: u64) -> bool {
    let started = |fault: &Fault| fault.what == FaultKind::Start { node } && fault.at_us <= at_us;
    if scenario.down.contains(&node) && !faults.iter().any(started) {
        return false;
    }
    !faults.iter().any(|fault| {
        let hits = match fault.what {
            FaultKind::Kill { node: other }
            | FaultKind::Stop { node: other }
            | FaultKind::Pause { node: other } => other == node,
            _ => false,
        };
        hits && fault.lasts_at(at_us)
    })
}
