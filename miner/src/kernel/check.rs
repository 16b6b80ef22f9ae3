//! What every kernel is held to: the reference's digests in all lanes, and the reference's findings.

use bitcoin::Target;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::deserialize;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::choose::{known_headers, reference_scan};
use super::{Kernel, MAX_VERSIONS, NonceRange, Work};

/// Runs all checks, or says that this CPU cannot.
#[expect(clippy::print_stderr, reason = "a skipped test has to say so")]
pub(crate) fn check_or_skip<K: Kernel>(kernel: Option<K>, name: &str) {
    let Some(kernel) = kernel else {
        eprintln!("skipped: this CPU has no {name}");
        return;
    };
    assert_lanes_agree(&kernel);
    assert_kernel_agrees(&kernel);
}

fn header_of(bytes: &[u8]) -> Header {
    deserialize(bytes).expect("any 80 bytes are a header")
}

fn versions_of(header: &Header, count: usize) -> Vec<Version> {
    let base = header.version.to_consensus();
    (0..count as i32)
        .map(|i| Version::from_consensus(base ^ (i << 13)))
        .collect()
}

fn headers() -> impl Strategy<Value = Header> {
    proptest::collection::vec(any::<u8>(), 80).prop_map(|bytes| header_of(&bytes))
}

/// First nonces that try lane edges, byte swaps and the end of the 32-bit space as well as any value.
fn first_nonces() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (0u32..40).prop_map(|below| u32::MAX - below),
        0u32..40,
        (any::<u8>(), 0u32..40)
            .prop_map(|(high, below)| (u32::from(high) << 24).wrapping_sub(below)),
    ]
}

/// All lanes of steps give the reference's full digests, for one to four versions.
pub(crate) fn assert_lanes_agree(kernel: &dyn Kernel) {
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = (headers(), first_nonces(), 1..=MAX_VERSIONS);
    runner
        .run(&cases, |(header, first, count)| {
            let work = Work::new(&header, Target::ZERO, &versions_of(&header, count));
            let lanes = kernel.digests(&work, first);
            let nonces = lanes.len() / count;
            for version in 0..count {
                let mut seen: Vec<u32> = lanes
                    .iter()
                    .filter(|lane| lane.hit.version == version)
                    .map(|lane| lane.hit.nonce.wrapping_sub(first))
                    .collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..nonces as u32).collect::<Vec<_>>());
            }
            for lane in lanes {
                prop_assert_eq!(lane.digest, work.digest(lane.hit), "{:?}", lane.hit);
            }
            Ok(())
        })
        .expect("kernel agrees with the reference");
}

/// A target that about one hash in `1 << bits` meets, with or without low bits set.
fn target_of(bits: u32, low: bool) -> Target {
    let mut bytes = if low { [0xff; 32] } else { [0; 32] };
    let top = if bits == 0 {
        u32::MAX
    } else {
        (1u32 << (32 - bits)) - u32::from(low)
    };
    bytes[..4].copy_from_slice(&top.to_be_bytes());
    Target::from_be_bytes(bytes)
}

/// Ranges of every length and place give the reference's finding, real blocks included.
pub(crate) fn assert_kernel_agrees(kernel: &dyn Kernel) {
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    let cases = (
        headers(),
        first_nonces(),
        1u64..90,
        0u32..9,
        any::<bool>(),
        1..=MAX_VERSIONS,
    );
    runner
        .run(&cases, |(header, first, count, bits, low, versions)| {
            let work = Work::new(
                &header,
                target_of(bits, low),
                &versions_of(&header, versions),
            );
            let range = NonceRange::starting_at(first, count).expect("not empty");
            prop_assert_eq!(kernel.scan(&work, range), reference_scan(&work, range));
            Ok(())
        })
        .expect("kernel agrees with the reference");

    for header in known_headers() {
        for before in [0, 1, 7, 8, 15, 16, 31, 32, 100] {
            let first = header.nonce.saturating_sub(before);
            let work = Work::new(&header, header.target(), &[header.version]);
            let range = NonceRange::starting_at(first, 150).expect("not empty");
            let hit = kernel.scan(&work, range).expect("known block");
            assert_eq!(Some(hit), reference_scan(&work, range));
            assert!(work.header(hit).validate_pow(header.target()).is_ok());
        }
    }
}
