//! [`Job`]: a header to solve, and its versions.

use bitcoin::Target;
use bitcoin::block::{Header, Version};

/// The bits of a version that BIP 320 leaves to miners.
pub const ROLLING_MASK: u32 = 0x1fff_e000;
/// How many nonces a header has.
pub(super) const NONCES: u64 = 1 << 32;

/// A header to solve.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The header. Its nonce is ignored: all nonces are tried, from 0.
    pub header: Header,
    /// The header's hash must be at most this.
    pub target: Target,
    /// Bits of the version that may be changed too: each doubles the candidates, and versions side by side make vector kernels faster.
    /// 0 for none; bits outside of [`ROLLING_MASK`] stay as they are.
    pub version_mask: u32,
}

impl Job {
    /// The same job, and each `start` below the number of its versions begins with another: for headers that have nothing else to tell
    /// two searches apart.
    #[must_use]
    pub(crate) fn rolling_from(self, start: u64) -> Job {
        let version = self.version(start % self.versions());
        Job {
            header: Header {
                version,
                ..self.header
            },
            ..self
        }
    }

    /// How many versions it has: a power of two.
    pub(super) fn versions(&self) -> u64 {
        1 << (self.version_mask & ROLLING_MASK).count_ones()
    }

    /// The `i`-th version: the header's own with the bits of `i` mixed into those of the mask. The 0th is the header's own.
    pub(super) fn version(&self, i: u64) -> Version {
        let mask = self.version_mask & ROLLING_MASK;
        let places = (0..u32::BITS).filter(|place| mask >> place & 1 == 1);
        let mixed_in = places
            .enumerate()
            .map(|(bit, place)| ((i >> bit & 1) as i32) << place)
            .sum::<i32>();
        Version::from_consensus(self.header.version.to_consensus() ^ mixed_in)
    }
}

/// How a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchOutcome {
    /// This header meets the target.
    Found(Header),
    /// No candidate does: give a header with another extra nonce or time.
    Exhausted,
    /// The flag was raised before one was found.
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(version_mask: u32) -> Job {
        let mut job = crate::kernel::race_job();
        job.header.version = Version::from_consensus(0x2000_0004);
        Job {
            version_mask,
            ..job
        }
    }

    fn all_versions(job: &Job) -> Vec<i32> {
        (0..job.versions())
            .map(|i| job.version(i).to_consensus())
            .collect()
    }

    #[test]
    fn versions_differ_in_all_bits_of_the_mask_and_only_in_those_of_bip_320() {
        for (mask, count) in [(0, 1), (0x0102_0000, 4), (u32::MAX, 65_536)] {
            let job = job(mask);
            let mut seen = all_versions(&job);
            assert_eq!(seen[0], 0x2000_0004);
            let allowed = (mask & ROLLING_MASK) as i32;
            assert!(
                seen.iter()
                    .all(|v| (v ^ 0x2000_0004) & !allowed == 0 && *v >= 4)
            );
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), count);
        }
    }

    #[test]
    fn jobs_that_roll_from_different_starts_begin_differently_and_try_the_same_versions() {
        let job = job(ROLLING_MASK);
        let versions = |start: u64| all_versions(&job.rolling_from(start));
        assert_eq!(versions(0)[0], job.header.version.to_consensus());
        assert_ne!(versions(1)[0], versions(2)[0]);
        assert_eq!(versions(65_536 + 7), versions(7));
        let sorted = |start: u64| {
            let mut all = versions(start);
            all.sort_unstable();
            all
        };
        assert_eq!(sorted(40_000), sorted(0));
    }
}
