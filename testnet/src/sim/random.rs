//! Randomness of a run: one seed, one stream for each concern, so that a change to one does not move the others.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The streams of one run.
pub(super) struct Streams {
    /// Topology, regions, mesh.
    pub(super) setup: ChaCha8Rng,
    /// Jitter, loss, order.
    pub(super) wires: ChaCha8Rng,
    /// When blocks are found, and by whom.
    pub(super) mining: ChaCha8Rng,
    /// Who pays whom.
    pub(super) payments: ChaCha8Rng,
    /// Random faults.
    pub(super) chaos: ChaCha8Rng,
}

impl Streams {
    pub(super) fn new(seed: u64) -> Streams {
        let stream = |number| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(number);
            rng
        };
        Streams {
            setup: stream(1),
            wires: stream(2),
            mining: stream(3),
            payments: stream(4),
            chaos: stream(5),
        }
    }
}

/// A draw from the exponential distribution with mean 1, by von Neumann's method: comparisons and sums only. A logarithm would
/// come from the system's mathematical library and could differ between machines.
pub(super) fn exponential(rng: &mut impl Rng) -> f64 {
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
pub(super) fn interval_us(mean_us: u64, rng: &mut impl Rng) -> u64 {
    (exponential(rng) * mean_us as f64) as u64
}

/// An index drawn by weight; `None` when there is no weight at all.
pub(super) fn by_weight(weights: &[f64], rng: &mut impl Rng) -> Option<usize> {
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
        let rng = &mut Streams::new(1).mining;
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
        let rng = &mut Streams::new(1).mining;
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
        let mut streams = Streams::new(1);
        let (a, b): (u64, u64) = (streams.setup.random(), streams.wires.random());
        assert_ne!(a, b);
    }
}
