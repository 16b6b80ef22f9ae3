//! Randomness of a run: one seed, one stream for each concern, so that a change to one does not move the others.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The concerns that draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// Topology and regions.
    Setup = 1,
    /// Jitter, loss, order.
    Wires = 2,
    /// When blocks are found, and by whom.
    Mining = 3,
    /// Who pays whom.
    Payments = 4,
    /// Random faults.
    Chaos = 5,
    /// When nodes leave and come back.
    Churn = 6,
    /// What is left on a disk whose power was cut.
    Disks = 7,
    /// Who of many is told by gossip.
    Gossip = 8,
}

/// The stream of a concern under a seed.
pub(crate) fn stream(seed: u64, concern: Concern) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(concern as u64);
    rng
}

/// A draw from the exponential distribution with mean 1, by von Neumann's method: comparisons and sums only. A logarithm would
/// come from the system's mathematical library and could differ between machines.
pub(crate) fn exponential(rng: &mut impl Rng) -> f64 {
    let mut whole = 0.0;
    loop {
        let first: f64 = rng.random();
        let mut last = first;
        let mut falling = 1u32;
        loop {
            let next: f64 = rng.random();
            if next >= last {
                break;
            }
            last = next;
            falling += 1;
        }
        if falling % 2 == 1 {
            return whole + first;
        }
        whole += 1.0;
    }
}

/// Time until the next event of a Poisson process with this mean interval, in microseconds.
pub(crate) fn interval_us(mean_us: u64, rng: &mut impl Rng) -> u64 {
    (exponential(rng) * mean_us as f64) as u64
}

/// An index drawn by weight; `None` when there is no weight at all.
pub(crate) fn by_weight(weights: &[f64], rng: &mut impl Rng) -> Option<usize> {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return None;
    }
    let mut left = rng.random::<f64>() * total;
    for (index, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return Some(index);
        }
    }
    weights.iter().rposition(|weight| *weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_draws_have_mean_and_spread_one() {
        let rng = &mut stream(1, Concern::Mining);
        let draws: Vec<f64> = (0..200_000).map(|_| exponential(rng)).collect();
        let count = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / count;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
        let above = draws.iter().filter(|x| **x > 3.0).count() as f64 / count;
        assert!((above - 0.0498).abs() < 0.002, "{above}");
    }

    #[test]
    fn weights_are_met() {
        let rng = &mut stream(1, Concern::Mining);
        let mut counts = [0; 3];
        for _ in 0..30_000 {
            counts[by_weight(&[0.5, 0.0, 0.25], rng).unwrap()] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((19_500..20_500).contains(&counts[0]), "{counts:?}");
        assert_eq!(by_weight(&[0.0], rng), None);
    }

    #[test]
    fn streams_of_one_seed_differ() {
        let a: u64 = stream(1, Concern::Setup).random();
        let b: u64 = stream(1, Concern::Wires).random();
        assert_ne!(a, b);
    }
}
