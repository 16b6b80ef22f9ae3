//! Which kernel to run: known answers first, then a short race.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bitcoin::Target;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::deserialize;
use bitcoin::hex::FromHex;
use thiserror::Error;

use super::{Kernel, MAX_VERSIONS, NonceRange, Portable, Work, supported};

/// Headers of real chains and the nonce that solves them: Bitcoin's genesis block and block 125552, and the
/// genesis block of regtest.
const KNOWN: [&str; 3] = [
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e\
     67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c",
    "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2fffc8d750423db8b\
     1eb942ae710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695",
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e\
     67768f617fc81bc3888a51323a9fb8aa4b1e5e4adae5494dffff7f2002000000",
];

/// A kernel must be this much faster than the choice so far to replace it.
const CLEAR_GAIN: f64 = 1.03;
const RACE_ROUNDS: usize = 5;
const RACE_SLICE: Duration = Duration::from_millis(1);
const RACE_NONCES: u64 = 768;

/// A kernel gave a wrong answer on this CPU.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "kernel {kernel:?} computes wrong hashes on this machine ({what}); choose another with --kernel"
)]
pub struct SelfTestError {
    kernel: &'static str,
    what: &'static str,
}

/// Checks a kernel against known answers and against the reference: takes well under a millisecond.
///
/// # Errors
///
/// When an answer is wrong, be it by a fault of the CPU, the compiler or the kernel.
pub(crate) fn self_test(kernel: &dyn Kernel) -> Result<(), SelfTestError> {
    let wrong = |what| SelfTestError {
        kernel: kernel.name(),
        what,
    };
    for header in known_headers() {
        let work = Work::new(&header, header.target(), &[header.version]);
        let range = NonceRange::starting_at(header.nonce.saturating_sub(100), 150);
        let found = range.and_then(|range| kernel.scan(&work, range));
        let reference = range.and_then(|range| Portable.scan(&work, range));
        if found != reference || found.is_none_or(|hit| hit.nonce > header.nonce) {
            return Err(wrong("known block not found"));
        }
    }
    for work in [race_work(1), race_work(MAX_VERSIONS)] {
        let lanes = kernel.digests(&work, u32::MAX - 3);
        if lanes.is_empty()
            || lanes
                .iter()
                .any(|lane| lane.digest != work.digest(lane.hit))
        {
            return Err(wrong("digest differs from the reference"));
        }
    }
    Ok(())
}

/// The kernel that is fastest on this machine, measured once per process (about 20 ms) and then remembered.
///
/// Kernels that fail their [`self_test`] do not take part. Starting from the reference, a faster kernel is taken
/// only for a clear gain.
#[must_use]
pub(crate) fn fastest() -> Arc<dyn Kernel> {
    static CHOICE: OnceLock<Arc<dyn Kernel>> = OnceLock::new();
    CHOICE.get_or_init(race).clone()
}

fn race() -> Arc<dyn Kernel> {
    let sound: Vec<_> = supported()
        .into_iter()
        .filter(|kernel| {
            self_test(kernel.as_ref())
                .inspect_err(|error| tracing::warn!(%error, "kernel left out"))
                .is_ok()
        })
        .collect();
    if sound.len() < 2 {
        return sound
            .into_iter()
            .next()
            .unwrap_or_else(|| Arc::new(Portable));
    }
    let mut rates = vec![Vec::with_capacity(RACE_ROUNDS); sound.len()];
    for _ in 0..RACE_ROUNDS {
        for (kernel, rates) in sound.iter().zip(&mut rates) {
            rates.push(rate(kernel.as_ref(), RACE_SLICE));
        }
    }
    let medians: Vec<f64> = rates.into_iter().map(median).collect();
    let chosen = pick(&medians);
    tracing::debug!(
        kernel = sound[chosen].name(),
        mhps = medians[chosen] / 1e6,
        "kernel chosen"
    );
    sound[chosen].clone()
}

/// Index of the winner: it moves on only for a gain of more than [`CLEAR_GAIN`].
fn pick(rates: &[f64]) -> usize {
    let mut best = 0;
    for (i, rate) in rates.iter().enumerate() {
        if *rate > rates[best] * CLEAR_GAIN {
            best = i;
        }
    }
    best
}

/// Hashes per second of one kernel over about `slice`, on one thread and as many versions as it wants.
fn rate(kernel: &dyn Kernel, slice: Duration) -> f64 {
    let work = race_work(kernel.versions_shared());
    let start = Instant::now();
    let mut hashes = 0;
    let mut first = 0;
    loop {
        if let Some(range) = NonceRange::starting_at(first, RACE_NONCES) {
            std::hint::black_box(kernel.scan(&work, range));
            hashes += range.count() * work.version_count() as u64;
            first = range.last().wrapping_add(1);
        }
        let elapsed = start.elapsed();
        if elapsed >= slice {
            return hashes as f64 / elapsed.as_secs_f64();
        }
    }
}

/// The middle of some measurements; the lower middle of an even number.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0.0)
}

/// Work whose target no hash meets, in `count` versions: for measurements.
pub(crate) fn race_work(count: usize) -> Work {
    let header = known_headers()[0];
    let versions: Vec<_> = (0..count as i32)
        .map(|i| Version::from_consensus(0x2000_0000 | (i << 13)))
        .collect();
    Work::new(&header, Target::ZERO, &versions)
}

/// The same as a job that no search can finish, its versions rolled as in mining.
pub(crate) fn race_job() -> crate::Job {
    crate::Job {
        header: known_headers()[0],
        target: Target::ZERO,
        version_mask: crate::search::ROLLING_MASK,
    }
}

pub(crate) fn known_headers() -> [Header; 3] {
    KNOWN.map(|hex| {
        let bytes = Vec::<u8>::from_hex(hex).expect("constant is hex");
        deserialize(&bytes).expect("constant is a header")
    })
}

/// Whether `hit` is what the reference finds: for tests of whole kernels.
#[cfg(test)]
pub(crate) fn reference_scan(work: &Work, range: NonceRange) -> Option<super::Hit> {
    Portable.scan(work, range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Hit, LaneDigest};

    #[test]
    fn the_known_headers_meet_their_targets() {
        for header in known_headers() {
            assert!(header.validate_pow(header.target()).is_ok());
        }
    }

    #[test]
    fn only_a_clear_gain_changes_the_choice() {
        assert_eq!(pick(&[10.0, 10.2, 9.0]), 0);
        assert_eq!(pick(&[10.0, 24.0, 24.5]), 1);
        assert_eq!(pick(&[10.0, 24.0, 60.0]), 2);
    }

    #[test]
    fn the_fastest_kernel_is_one_of_the_supported() {
        assert!(
            supported()
                .iter()
                .any(|kernel| kernel.name() == fastest().name())
        );
    }

    #[derive(Debug)]
    struct Broken;

    impl Kernel for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }
        fn versions_shared(&self) -> usize {
            1
        }
        fn scan(&self, work: &Work, range: NonceRange) -> Option<Hit> {
            Portable.scan(work, range)
        }
        fn digests(&self, work: &Work, first: u32) -> Vec<LaneDigest> {
            let mut lanes = Portable.digests(work, first);
            lanes[0].digest[17] ^= 1;
            lanes
        }
    }

    #[test]
    fn a_kernel_with_one_wrong_bit_fails_its_self_test() {
        let error = self_test(&Broken).expect_err("wrong digest").to_string();
        assert!(
            error.contains("\"broken\" computes wrong hashes"),
            "{error}"
        );
    }
}
