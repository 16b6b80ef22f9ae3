//! [`Job`]: a header to solve, and its versions.

use bitcoin::Target;
use bitcoin::block::{Header, Version};

/// The bits that BIP 320 leaves to miners: 13 to 28.
const ROLLING_SHIFT: u32 = 13;
/// How many versions these bits make.
pub(super) const ROLLED_VERSIONS: u64 = 1 << 16;
/// How many nonces a header has.
pub(super) const NONCES: u64 = 1 << 32;

/// A header to solve.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The header. Its nonce is ignored: all nonces are tried, from 0.
    pub header: Header,
    /// The header's hash must be at most this.
    pub target: Target,
    /// Whether the version bits of BIP 320 (13 to 28) may be changed too: 65,536 times as many candidates.
    pub roll_version: bool,
}

impl Job {
    /// The same job with its versions rolled, and each `start` below 65,536 begins with another: for headers that have nothing else to
    /// tell two searches apart.
    #[must_use]
    pub fn rolling_from(self, start: u64) -> Job {
        let version = rolled(self.header.version, start % ROLLED_VERSIONS);
        Job {
            header: Header {
                version,
                ..self.header
            },
            roll_version: true,
            ..self
        }
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

/// The `i`-th version: the job's own with `i` mixed into the bits of BIP 320. The 0th is the job's own.
pub(super) fn rolled(version: Version, i: u64) -> Version {
    Version::from_consensus(version.to_consensus() ^ ((i as i32) << ROLLING_SHIFT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolled_versions_differ_only_in_the_bits_of_bip_320() {
        let own = Version::from_consensus(0x2000_0004);
        assert_eq!(rolled(own, 0), own);
        let mut seen: Vec<i32> = (0..ROLLED_VERSIONS)
            .map(|i| rolled(own, i).to_consensus())
            .collect();
        assert!(
            seen.iter()
                .all(|v| (v ^ 0x2000_0004) & !0x1fff_e000 == 0 && *v >= 4)
        );
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 65_536);
    }

    #[test]
    fn jobs_that_roll_from_different_starts_begin_differently_and_try_the_same_versions() {
        let job = crate::kernel::race_job();
        let versions = |start: u64| {
            let job = job.rolling_from(start);
            assert!(job.roll_version);
            (0..ROLLED_VERSIONS).map(move |i| rolled(job.header.version, i).to_consensus())
        };
        assert_eq!(versions(0).next(), Some(job.header.version.to_consensus()));
        assert_ne!(versions(1).next(), versions(2).next());
        assert!(versions(65_536 + 7).eq(versions(7)));
        let sorted = |start: u64| {
            let mut all: Vec<i32> = versions(start).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(sorted(40_000), sorted(0));
    }
}
