use bitcoin::block::Version;
use bitcoin::hashes::Hash;

use super::*;
use crate::Standing;
use crate::fixtures::{BlockBuilder, grind, test_params};

fn mined() -> (Header, Params) {
    let params = test_params();
    (BlockBuilder::first(&params).mine().header, params)
}

fn bits(bits: u32) -> CompactTarget {
    CompactTarget::from_consensus(bits)
}

/// Case 30: hash above target.
#[test]
fn a_hash_above_its_target_is_refused() {
    let (mut header, params) = mined();
    assert_eq!(check_proof_of_work(&header, &params), Ok(()));
    while target_of_bits(header.bits)
        .expect("a target")
        .is_met_by(header.block_hash())
    {
        header.nonce += 1;
    }
    let error = check_proof_of_work(&header, &params).expect_err("no work");
    assert_eq!(
        error,
        RuleError::HashAboveTarget {
            hash: header.block_hash(),
            bits: header.bits
        }
    );
    assert_eq!(error.reject_reason(), "high-hash");
    assert_eq!(error.standing(), Standing::Never);
}

#[test]
fn a_hash_equal_to_its_target_is_enough() {
    let params = test_params();
    let mut header = params.genesis.header;
    header.bits = bits(0x207f_ffff);
    let target = target_of_bits(header.bits).expect("a target");
    let exactly = BlockHash::from_byte_array(target.to_le_bytes());
    assert_eq!(check_proof_of_work_of(&header, exactly, &params), Ok(()));
    let mut above = target.to_le_bytes();
    above[0] += 1;
    let above = BlockHash::from_byte_array(above);
    assert!(check_proof_of_work_of(&header, above, &params).is_err());
}

/// Case 30: bits that are negative, overflow, zero, or above the limit.
#[test]
fn bits_that_are_no_target_within_the_limit_are_refused() {
    let (mut header, params) = mined();
    let bad = [
        0x0000_0000, // zero
        0x2000_0000, // zero
        0x0100_007f, // zero once shifted
        0x04ff_ffff, // negative
        0x2080_0001, // negative
        0x2100_8000, // above the limit
        0x2080_0000, // the sign of nothing
        0x2200_0100, // above the limit
        0x2300_0001, // overflows
        0x2200_ffff, // overflows
        0x2101_0000, // overflows
        0xff12_3456, // overflows
    ];
    for bad in bad {
        header.bits = bits(bad);
        // The easiest hash of all: only the bits can be wrong.
        let error = check_proof_of_work_of(&header, BlockHash::all_zeros(), &params)
            .expect_err("no target within the limit");
        let limit = params.pow.limit_bits;
        assert_eq!(
            error,
            RuleError::BitsOutOfRange {
                bits: bits(bad),
                limit
            },
            "{bad:08x}"
        );
        assert_eq!(error.reject_reason(), "high-hash");
    }
}

#[test]
fn compact_targets_decode_as_in_core() {
    let decoded = |compact: u32| target_of_bits(bits(compact)).map(|t| t.to_le_bytes()[0]);
    assert_eq!(decoded(0x0112_3456), Some(0x12));
    assert_eq!(decoded(0x0312_3456), Some(0x56));
    assert_eq!(decoded(0x0200_8000), Some(0x80));
    assert_eq!(decoded(0x0492_3456), None, "negative");
    assert_eq!(decoded(0x0100_3456), None, "zero");
    assert_eq!(decoded(0x2012_3456), Some(0));
    assert!(decoded(0x2200_0001).is_some(), "one byte may be the 33rd");
    assert_eq!(decoded(0x2200_0100), None);
    assert!(decoded(0x2100_0100).is_some());
}

/// Case 30: bits not as computed.
#[test]
fn bits_must_be_those_of_the_difficulty_rule() {
    let (header, _) = mined();
    assert_eq!(check_bits(&header, header.bits), Ok(()));
    let expected = bits(0x207f_fffe);
    let error = check_bits(&header, expected).expect_err("other bits");
    assert_eq!(
        error,
        RuleError::WrongBits {
            got: header.bits,
            expected
        }
    );
    assert_eq!(error.reject_reason(), "bad-diffbits");
}

/// Case 76: a time equal to the median is refused, one second later is accepted.
#[test]
fn the_time_must_be_after_the_median() {
    let (header, _) = mined();
    let time = Timestamp(header.time);
    assert_eq!(
        check_time_after_median(&header, Timestamp(time.0 - 1)),
        Ok(())
    );
    for median in [time, Timestamp(time.0 + 1), Timestamp(u32::MAX)] {
        let error = check_time_after_median(&header, median).expect_err("not after");
        assert_eq!(error, RuleError::TimeNotAfterMedian { time, median });
        assert_eq!(error.reject_reason(), "time-too-old");
    }
}

/// Case 76: a time too far ahead is "not yet", and accepted once the clock has moved on.
#[test]
fn a_time_ahead_of_the_clock_is_not_yet_valid() {
    let (header, params) = mined();
    let limit = params.max_future_s;
    let early = Timestamp(header.time - limit - 1);
    let error = check_time_not_ahead(&header, early, limit).expect_err("ahead");
    assert_eq!(error.standing(), Standing::NotYet);
    assert_eq!(error.reject_reason(), "time-too-new");
    let later = Timestamp(early.0 + 1);
    assert_eq!(check_time_not_ahead(&header, later, limit), Ok(()));
    let latest = Header {
        time: u32::MAX,
        ..header
    };
    assert_eq!(
        check_time_not_ahead(&latest, Timestamp(u32::MAX - limit), limit),
        Ok(())
    );
    assert_eq!(
        check_time_not_ahead(&latest, Timestamp(u32::MAX), limit),
        Ok(())
    );
}

#[test]
fn retired_versions_are_refused_and_negative_ones_too() {
    let (mut header, _) = mined();
    for (version, reason) in [
        (3, "bad-version(0x00000003)"),
        (0, "bad-version(0x00000000)"),
        (-1, "bad-version(0xffffffff)"),
        (i32::MIN, "bad-version(0x80000000)"),
    ] {
        header.version = Version::from_consensus(version);
        let error = check_version(&header).expect_err("too old");
        assert_eq!(
            error,
            RuleError::VersionTooOld {
                got: version,
                min: 4
            }
        );
        assert_eq!(error.reject_reason(), reason);
    }
    for version in [4, 0x2000_0000, i32::MAX] {
        header.version = Version::from_consensus(version);
        assert_eq!(check_version(&header), Ok(()));
    }
}

#[test]
fn the_first_broken_rule_is_that_of_core() {
    let (mut header, params) = mined();
    header.version = Version::from_consensus(1);
    let (median, early) = (Timestamp(header.time), Timestamp(0));
    let check = |expected_bits, median, now| {
        check_in_place(
            &header,
            &NextBits::at_any_time(&params, expected_bits),
            median,
            now,
        )
        .expect_err("broken")
        .reject_reason()
        .into_owned()
    };
    assert_eq!(check(bits(1), median, early), "bad-diffbits");
    assert_eq!(check(header.bits, median, early), "time-too-old");
    assert_eq!(check(header.bits, Timestamp(0), early), "time-too-new");
    assert_eq!(
        check(header.bits, Timestamp(0), median),
        "bad-version(0x00000001)"
    );
    header.version = Version::from_consensus(4);
    grind(&mut header);
    assert_eq!(
        check_in_place(
            &header,
            &NextBits::at_any_time(&params, header.bits),
            Timestamp(0),
            median
        ),
        Ok(())
    );
}
