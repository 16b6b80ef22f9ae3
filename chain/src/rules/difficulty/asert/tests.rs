use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::fixtures::params_of;
use crate::genesis::{Algorithm, AnchorName, GenesisSpec, HexBits};
use crate::params::DifficultyRule;
use crate::rules::vectors;

fn bits(bits: u32) -> CompactTarget {
    CompactTarget::from_consensus(bits)
}

fn target(compact: u32) -> Target {
    Target::from_compact(bits(compact))
}

/// The limit of the test networks: two hashes a block, and 255 bits wide.
const WIDE_LIMIT: u32 = 0x207f_ffff;

fn schedule(anchor: u32, limit: u32) -> Schedule {
    Schedule {
        anchor_target: target(anchor),
        limit: target(limit),
        spacing_s: 600,
        half_life_s: 172_800,
    }
}

/// A run of the published vectors.
struct Run {
    anchor_height: u64,
    anchor_parent_time: i64,
    anchor_bits: u32,
    /// Height and time of a block, and the bits of the next.
    blocks: Vec<(u64, i64, u32)>,
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).expect("hex")
}

fn parse_run(text: &str) -> Run {
    let header = |keys: &[&str]| {
        let line = text
            .lines()
            .find(|line| keys.iter().any(|key| line.contains(key)));
        line.and_then(|line| line.rsplit(':').next())
            .expect("a header line")
            .trim()
            .to_owned()
    };
    let blocks = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Run {
        anchor_height: header(&["anchor height:"]).parse().expect("a height"),
        anchor_parent_time: header(&["anchor ancestor time:", "anchor parent time:"])
            .parse()
            .expect("a time"),
        anchor_bits: hex(&header(&["anchor nBits:"])),
        blocks: blocks
            .map(|line| {
                let columns: Vec<&str> = line.split_whitespace().collect();
                let height = columns[1].parse().expect("a height");
                (height, columns[2].parse().expect("a time"), hex(columns[3]))
            })
            .collect(),
    }
}

#[test]
fn vectors_of_aserti3_2d() {
    let mut checked = 0;
    for number in 1..=12 {
        let text = vectors::read(&format!("asert/run{number:02}"));
        let run = parse_run(&text);
        let schedule = schedule(run.anchor_bits, 0x1d00_ffff);
        for (height, time, expected) in run.blocks {
            let got = schedule.target_after(
                time - run.anchor_parent_time,
                height.wrapping_sub(run.anchor_height) as i64,
            );
            assert_eq!(
                got.to_compact_lossy().to_consensus(),
                expected,
                "run {number}, height {height}"
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 14_000);
}

#[test]
fn a_chain_on_schedule_keeps_the_anchor_target() {
    let schedule = schedule(0x1a2b_3c4d, 0x1d00_ffff);
    for blocks in [0, 1, 1000, i64::from(u32::MAX)] {
        assert_eq!(
            schedule.target_after(600 * (blocks + 1), blocks),
            target(0x1a2b_3c4d)
        );
    }
}

#[test]
fn one_half_life_behind_doubles_and_one_ahead_halves() {
    let schedule = schedule(0x1a20_0000, 0x1d00_ffff);
    assert_eq!(schedule.target_after(600 + 172_800, 0), target(0x1a40_0000));
    assert_eq!(schedule.target_after(600 - 172_800, 0), target(0x1a10_0000));
}

#[test]
fn the_widest_limit_does_not_overflow() {
    let schedule = schedule(WIDE_LIMIT, WIDE_LIMIT);
    let limit = target(WIDE_LIMIT);
    // A little behind: the product needs more than 256 bits before it is shifted back.
    for behind_s in [0, 1, 172_799, 172_800, i64::from(u32::MAX), i64::MAX] {
        assert_eq!(
            schedule.target_after(behind_s.saturating_add(600), 0),
            limit
        );
    }
    assert_eq!(
        schedule.target_after(600 - 172_800, 0).to_compact_lossy(),
        bits(0x203f_ffff)
    );
}

#[test]
fn the_target_is_never_zero() {
    let schedule = schedule(0x0101_0000, WIDE_LIMIT);
    let one = schedule.target_after(600 - 172_800, 0);
    assert_eq!(one.to_compact_lossy(), bits(0x0101_0000));
    assert_eq!(schedule.target_after(i64::MIN, i64::MAX), one);
    assert_eq!(
        schedule.target_after(i64::MAX, i64::MIN),
        target(WIDE_LIMIT)
    );
}

fn asert_params(anchor: AnchorName, genesis_bits: u32) -> Params {
    let mut spec = GenesisSpec::trivial("asert", Timestamp(1_000_000));
    spec.bits = Some(bits(genesis_bits));
    spec.pow.algorithm = Algorithm::Asert;
    spec.pow.limit = HexBits(bits(WIDE_LIMIT));
    spec.pow.half_life_s = Some(600);
    spec.pow.anchor = Some(anchor);
    params_of(&spec)
}

/// The bits that the network's own rule gives at `place`.
fn bits_at(params: &Params, place: &Place) -> CompactTarget {
    let DifficultyRule::Asert {
        half_life_s,
        anchor,
    } = params.pow.difficulty
    else {
        panic!("a network of these tests has ASERT");
    };
    next_bits(params, half_life_s, anchor, place)
}

/// One block in ten seconds, ten minutes to double, a schedule from block 1 on.
fn slow_params() -> Params {
    let mut spec = GenesisSpec {
        time: Timestamp(1_767_225_600),
        ..GenesisSpec::default()
    };
    spec.pow.algorithm = Algorithm::Asert;
    spec.pow.half_life_s = Some(600);
    spec.pow.anchor = Some(AnchorName::FirstBlock);
    params_of(&spec)
}

#[test]
fn the_first_block_of_an_old_genesis_is_mined_at_the_limit_and_starts_the_schedule() {
    let params = asert_params(AnchorName::FirstBlock, 0x201f_ffff);
    let year_later = Timestamp(1_000_000 + 31_536_000);
    let first = Place {
        parent_height: Height::GENESIS,
        parent_time: params.genesis_time(),
        anchor_time: None,
    };
    assert_eq!(bits_at(&params, &first), bits(WIDE_LIMIT));
    let second = Place {
        parent_height: Height(1),
        parent_time: year_later,
        anchor_time: Some(year_later),
    };
    assert_eq!(
        bits_at(&params, &second),
        bits(WIDE_LIMIT),
        "block 1 is on its own schedule"
    );
    // Sixty blocks in no time: one half-life of 600 s at a spacing of 10 s.
    let ahead = Place {
        parent_height: Height(61),
        ..second
    };
    assert_eq!(bits_at(&params, &ahead), bits(0x203f_ffff));
}

#[test]
fn a_schedule_from_genesis_counts_from_its_time() {
    let params = asert_params(AnchorName::Genesis, 0x201f_ffff);
    let genesis_time = params.genesis_time();
    let after = |blocks: u32, seconds| Place {
        parent_height: Height(blocks),
        parent_time: genesis_time.saturating_add_secs(seconds),
        anchor_time: Some(genesis_time),
    };
    assert_eq!(bits_at(&params, &after(0, 0)), bits(0x201f_ffff));
    assert_eq!(bits_at(&params, &after(100, 1000)), bits(0x201f_ffff));
    assert_eq!(
        bits_at(&params, &after(0, 600)),
        bits(0x203f_fffe),
        "idle for a half-life"
    );
    assert_eq!(
        bits_at(&params, &after(0, 31_536_000)),
        bits(WIDE_LIMIT),
        "idle for a year"
    );
    assert_eq!(
        bits_at(&params, &after(60, 0)),
        bits(0x200f_ffff),
        "a half-life ahead"
    );
}

fn log2(target: Target) -> f64 {
    let bytes = target.to_be_bytes();
    let number = bytes
        .iter()
        .fold(0f64, |sum, byte| sum * 256.0 + f64::from(*byte));
    number.log2()
}

proptest! {
    /// The integer computation follows the real formula, wherever the result is neither clamped nor tiny.
    #[test]
    fn prop_follows_the_real_exponent(
        mantissa in 0x01_0000u32..0x7f_ffff,
        exponent in 8u32..=0x20,
        elapsed_s in -100_000_000i64..100_000_000,
        blocks in 0i64..200_000,
    ) {
        let anchor = (exponent << 24) | mantissa;
        let schedule = schedule(anchor, WIDE_LIMIT);
        let got = log2(schedule.target_after(elapsed_s, blocks));
        let drift_s = elapsed_s - 600 * (blocks + 1);
        let expected = log2(target(anchor)) + drift_s as f64 / 172_800.0;
        if expected > 254.999 {
            prop_assert_eq!(schedule.target_after(elapsed_s, blocks), target(WIDE_LIMIT));
        } else if expected > 24.0 {
            prop_assert!((got - expected).abs() < 0.0003, "got 2^{got}, expected 2^{expected}");
        }
    }

    #[test]
    fn prop_time_raises_and_blocks_lower_the_target(
        mantissa in 0x01_0000u32..0x7f_ffff,
        exponent in 3u32..=0x20,
        elapsed_s in any::<u32>(),
        more_s in 0i64..10_000_000,
        blocks in any::<u32>(),
        more_blocks in 0i64..10_000,
    ) {
        let schedule = schedule((exponent << 24) | mantissa, WIDE_LIMIT);
        let (elapsed_s, blocks) = (i64::from(elapsed_s), i64::from(blocks));
        let base = schedule.target_after(elapsed_s, blocks);
        prop_assert!(schedule.target_after(elapsed_s + more_s, blocks) >= base);
        prop_assert!(schedule.target_after(elapsed_s, blocks + more_blocks) <= base);
        prop_assert!(base > Target::ZERO && base <= target(WIDE_LIMIT));
    }

    #[test]
    fn prop_bits_are_always_canonical_and_meet_the_limit(
        parent_height in 1u32..,
        parent_time in any::<u32>(),
        anchor_time in any::<u32>(),
    ) {
        static PARAMS: LazyLock<Params> = LazyLock::new(slow_params);
        let params = &*PARAMS;
        let context = Place {
            parent_height: Height(parent_height),
            parent_time: Timestamp(parent_time),
            anchor_time: Some(Timestamp(anchor_time)),
        };
        let bits = bits_at(params, &context);
        let target = crate::rules::header::target_of_bits(bits);
        prop_assert!(target.is_some_and(|target| target <= params.pow.limit));
        prop_assert_eq!(target.map(Target::to_compact_lossy), Some(bits));
    }
}

/// Mines with constant hash power for `real_s` seconds, each block taking exactly its expected time, and stamping blocks as
/// `stamp` says of the real time. Gives the number of blocks, and the real seconds that the last hundred took.
fn mine_for(real_s: f64, hashes_per_s: f64, stamp: impl Fn(f64) -> f64) -> (u32, f64) {
    let params = slow_params();
    let start = f64::from(params.genesis_time().0);
    let mut context = Place {
        parent_height: Height::GENESIS,
        parent_time: params.genesis_time(),
        anchor_time: None,
    };
    let mut now = 0.0;
    let mut found_at = Vec::new();
    while now < real_s {
        let target = Target::from_compact(bits_at(&params, &context));
        now += 2f64.powf(256.0 - log2(target)) / hashes_per_s;
        found_at.push(now);
        context.parent_height = context.parent_height.next();
        context.parent_time = Timestamp((start + stamp(now)) as u32);
        context.anchor_time.get_or_insert(context.parent_time);
    }
    let last_hundred_s = now - found_at[found_at.len() - 101];
    (context.parent_height.0, last_hundred_s)
}

const HASHES_PER_S: f64 = 1_000_000.0;

#[test]
fn blocks_come_at_the_wished_rate_whatever_the_hash_power() {
    for hashes_per_s in [20_000.0, HASHES_PER_S, 1e9] {
        let (_, last_hundred_s) = mine_for(50_000.0, hashes_per_s, |now| now);
        assert!(
            (last_hundred_s / 1_000.0 - 1.0).abs() < 0.02,
            "{last_hundred_s} s for 100 blocks"
        );
    }
}

/// Case 78: stamping two hours ahead from some block on gains the blocks of two hours, once, and no higher rate.
#[test]
fn a_miner_who_lies_ahead_gains_the_lie_once() {
    let (honest, _) = mine_for(50_000.0, HASHES_PER_S, |now| now);
    let lie = |now: f64| if now > 20_000.0 { now + 7_200.0 } else { now };
    let (lying, last_hundred_s) = mine_for(50_000.0, HASHES_PER_S, lie);
    let gained = lying - honest;
    assert!(
        (715..=725).contains(&gained),
        "gained {gained} blocks, two hours have 720"
    );
    assert!(
        (last_hundred_s / 1_000.0 - 1.0).abs() < 0.02,
        "{last_hundred_s} s for 100 blocks"
    );
}

/// Case 78: stamping a tenth of the time that passes, as slowly as the median rule lets a miner, only raises the difficulty.
#[test]
fn a_miner_who_lies_behind_loses_blocks() {
    let (honest, _) = mine_for(50_000.0, HASHES_PER_S, |now| now);
    let (lying, _) = mine_for(50_000.0, HASHES_PER_S, |now| now / 10.0);
    assert!(lying < honest / 4, "{lying} blocks of {honest}");
}

/// Case 40: every block with the same stamp, as far as the schedule is concerned.
#[test]
fn equal_times_raise_the_difficulty_by_the_schedule() {
    let params = slow_params();
    let time = params.genesis_time().saturating_add_secs(1_000);
    let bits_after = |height| {
        bits_at(
            &params,
            &Place {
                parent_height: Height(height),
                parent_time: time,
                anchor_time: Some(time),
            },
        )
    };
    let hashes = |height| 256.0 - log2(Target::from_compact(bits_after(height)));
    // A half-life of 600 s is sixty blocks of ten seconds.
    for halvings in 0..=4 {
        let doublings = hashes(1 + 60 * halvings) - hashes(1);
        assert!(
            (doublings - f64::from(halvings)).abs() < 0.001,
            "{doublings}"
        );
    }
}
