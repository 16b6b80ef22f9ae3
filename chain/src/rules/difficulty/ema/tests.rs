use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::fixtures::params_of;
use crate::genesis::GenesisSpec;
use crate::rules::difficulty::{self, Past};

const SPACING_S: u32 = 10;
const START: u32 = 1_700_000_000;
const LIMIT: u32 = 0x1e7f_ffff;
const BASE: u32 = 0x1c10_0000;

fn bits(bits: u32) -> CompactTarget {
    CompactTarget::from_consensus(bits)
}

/// A network with the default rules whose genesis has `genesis_bits`.
fn params(genesis_bits: u32, limit: u32) -> Params {
    static MINED: LazyLock<Params> = LazyLock::new(|| {
        params_of(&GenesisSpec {
            time: Timestamp(START),
            ..GenesisSpec::default()
        })
    });
    let mut params = MINED.clone();
    // Its work is not checked here, so that it may claim more than a test can do.
    params.genesis.header.bits = bits(genesis_bits);
    params.pow.limit_bits = bits(limit);
    params.pow.limit = Target::from_compact(bits(limit));
    params
}

/// A chain of times, its bits by the rule.
struct Times {
    params: Params,
    blocks: Vec<Past>,
}

impl Times {
    fn new(genesis_bits: u32) -> Times {
        Times::on(params(genesis_bits, LIMIT))
    }

    fn on(params: Params) -> Times {
        let genesis = Past {
            time: params.genesis_time(),
            bits: params.genesis.header.bits,
        };
        Times {
            params,
            blocks: vec![genesis],
        }
    }

    fn tip(&self) -> Past {
        *self.blocks.last().expect("genesis at least")
    }

    /// What a block `wait_s` after the tip needs.
    fn next(&self, wait_s: i64) -> NextBits {
        let at = |height: Height| self.blocks[height.0 as usize];
        let context = DifficultyContext {
            parent_height: Height(u32::try_from(self.blocks.len()).expect("few") - 1),
            at: &at,
        };
        difficulty::next_bits(&self.params, &context, self.after(wait_s))
    }

    fn after(&self, wait_s: i64) -> Timestamp {
        Timestamp(u32::try_from(i64::from(self.tip().time.0) + wait_s).expect("a time"))
    }

    /// Adds a block `wait_s` after the tip.
    fn push(&mut self, wait_s: i64) -> &mut Times {
        let bits = self.next(wait_s).bits;
        let time = self.after(wait_s);
        self.blocks.push(Past { time, bits });
        self
    }

    fn in_time(mut self, blocks: usize) -> Times {
        for _ in 0..blocks {
            self.push(i64::from(SPACING_S));
        }
        self
    }

    /// log2 of the target of a block that comes in time, over that of `BASE`.
    fn drift(&self) -> f64 {
        log2(self.next(0).bits) - log2(bits(BASE))
    }
}

fn log2(bits: CompactTarget) -> f64 {
    let target = Target::from_compact(bits).to_be_bytes();
    target
        .iter()
        .fold(0f64, |sum, byte| sum * 256.0 + f64::from(*byte))
        .log2()
}

/// The cubic and the compact form cost up to 0.0002 a block.
fn near(got: f64, expected: f64) -> bool {
    (got - expected).abs() < 0.005
}

#[test]
fn a_chain_in_time_keeps_its_target() {
    let chain = Times::new(BASE).in_time(500);
    assert_eq!(chain.tip().bits, bits(BASE));
    assert_eq!(chain.next(10).max_ahead_s, chain.params.max_future_s);
}

#[test]
fn a_half_life_of_early_blocks_halves_the_target() {
    let mut chain = Times::new(BASE).in_time(2);
    for _ in 0..14 {
        chain.push(0);
    }
    assert!(near(chain.drift(), -1.0), "{}", chain.drift());
    for _ in 0..14 {
        chain.push(20);
    }
    assert!(near(chain.drift(), 0.0), "{}", chain.drift());
}

#[test]
fn a_late_block_is_eased_by_what_it_waited_for() {
    let chain = Times::new(BASE).in_time(2);
    let doublings = |wait_s| log2(chain.next(wait_s).bits) - log2(bits(BASE));
    for (wait_s, expected) in [
        (-1_000, 0.0),
        (0, 0.0),
        (39, 0.0),
        (40, 1.0),
        (44, 1.0),
        (45, 2.0),
        (50, 3.0),
        (69, 6.0),
        (70, 7.0),
        (604_800, 7.0),
    ] {
        assert!(near(doublings(wait_s), expected), "after {wait_s} s");
    }
}

#[test]
fn an_eased_block_may_be_ahead_by_one_spacing_only() {
    let chain = Times::new(BASE).in_time(2);
    assert_eq!(chain.next(39).max_ahead_s, 7_200);
    assert_eq!(chain.next(40).max_ahead_s, SPACING_S);
    assert_eq!(difficulty::least_ahead_s(&chain.params), SPACING_S);
}

#[test]
fn easing_is_taken_back_for_the_next_block() {
    let mut chain = Times::new(BASE).in_time(2);
    chain.push(61);
    assert!(near(log2(chain.tip().bits) - log2(bits(BASE)), 5.0));
    // What stays is what 51 s too many say: 51 / 140 of a doubling.
    assert!(near(chain.drift(), 51.0 / 140.0), "{}", chain.drift());
}

/// A rest of any length counts as eight spacings too many, once.
#[test]
fn a_week_of_rest_makes_no_easy_blocks_but_the_first() {
    for rest_s in [3_600, 604_800, 50_000_000] {
        let mut chain = Times::new(BASE).in_time(50);
        chain.push(rest_s);
        assert!(near(log2(chain.tip().bits) - log2(bits(BASE)), 7.0));
        // A block in half the spacing would need a target of 2^1.
        assert!(near(chain.drift(), 80.0 / 140.0), "{}", chain.drift());
        assert!(chain.drift() < 1.0);
    }
}

#[test]
fn lies_ahead_and_back_cancel_out() {
    let mut chain = Times::new(BASE).in_time(50);
    let before = chain.drift();
    for _ in 0..20 {
        chain.push(7_200).push(-7_180);
    }
    assert!(near(chain.drift(), before), "{}", chain.drift());
}

#[test]
fn a_block_that_lies_back_eases_nobody() {
    let mut chain = Times::new(BASE).in_time(20);
    // As early as the median of eleven allows.
    chain.push(-49);
    let honest = log2(chain.next(59).bits);
    assert!(
        near(honest - log2(chain.next(0).bits), 0.0),
        "eased by {honest}"
    );
    // The wait counts from the block before it.
    let eased = log2(chain.next(49 + 40).bits);
    assert!(near(eased - honest, 1.0), "{eased}, {honest}");
}

#[test]
fn the_base_is_found_again_behind_blocks_that_were_eased_to_the_limit() {
    // 2^3 below the limit: five doublings and more meet it.
    let mut chain = Times::on(params(0x1e0f_ffff, LIMIT)).in_time(3);
    chain.push(65);
    assert_eq!(chain.tip().bits, bits(LIMIT));
    let drift = log2(chain.next(0).bits) - log2(bits(0x1e0f_ffff));
    assert!(near(drift, 55.0 / 140.0), "{drift}");
    chain.push(65).push(65);
    assert_eq!(chain.tip().bits, bits(LIMIT));
    let drift = log2(chain.next(0).bits) - log2(bits(0x1e0f_ffff));
    assert!(near(drift, 3.0 * 55.0 / 140.0), "{drift}");
}

#[test]
fn a_long_run_at_the_limit_has_the_limit_as_its_base() {
    let mut chain = Times::on(params(0x1e0f_ffff, LIMIT)).in_time(3);
    for _ in 0..MAX_LOOK_BACK + 10 {
        chain.push(100);
        assert_eq!(chain.tip().bits, bits(LIMIT));
    }
    assert_eq!(chain.next(0).bits, bits(LIMIT));
}

#[test]
fn an_old_genesis_starts_at_the_limit_and_follows_at_once() {
    let mut chain = Times::on(params(LIMIT, LIMIT));
    chain.push(20_000_000);
    assert_eq!(chain.tip().bits, bits(LIMIT));
    for _ in 0..14 {
        chain.push(0);
    }
    // Block 2 follows a rest of its own, which the limit cuts off.
    let drift = log2(chain.next(0).bits) - log2(bits(LIMIT));
    assert!(near(drift, -1.0), "{drift}");
}

#[test]
fn a_spacing_of_one_second_has_two_doublings_in_each() {
    let mut params = params(BASE, LIMIT);
    params.pow.spacing_s = 1;
    let chain = Times::on(params);
    let doublings = |wait_s| log2(chain.next(wait_s).bits) - log2(bits(BASE));
    for (wait_s, expected) in [(3, 0.0), (4, 1.0), (5, 3.0), (6, 5.0), (7, 7.0), (8, 7.0)] {
        assert!(near(doublings(wait_s), expected), "after {wait_s} s");
    }
}

/// Computed by another program from the formulas in CONSENSUS.md: a hundred uneven solve times, eased blocks among them.
#[test]
fn vectors_of_this_rule() {
    let mut chain = Times::new(BASE);
    let mut seen = Vec::new();
    for n in 0..100i64 {
        chain.push((n * n * 7 + n * 3) % 53 - 6);
        if n % 20 == 19 {
            seen.push(chain.tip().bits.to_consensus());
        }
    }
    assert_eq!(seen, VECTORS);
}

const VECTORS: [u32; 5] = [
    0x1c28_0c62,
    0x1d00_af60,
    0x1d00_b88b,
    0x1d02_a78e,
    0x1d07_7bad,
];

proptest! {
    #[test]
    fn prop_bits_are_canonical_and_meet_the_limit(
        waits in proptest::collection::vec(-20_000i64..20_000, 1..200),
        genesis_bits in prop_oneof![Just(LIMIT), Just(BASE), Just(0x0101_0000)],
        last in -100_000i64..100_000,
    ) {
        let mut chain = Times::new(genesis_bits);
        for wait_s in waits {
            chain.push(wait_s);
        }
        let next = chain.next(last);
        let target = crate::rules::header::target_of_bits(next.bits);
        prop_assert!(target.is_some_and(|target| target <= chain.params.pow.limit));
        prop_assert_eq!(target.map(Target::to_compact_lossy), Some(next.bits));
    }

    /// What a template promises: the same bits from the first to the last second, others just outside.
    #[test]
    fn prop_bits_hold_as_long_as_they_say(
        spacing_s in 1u32..700,
        wait_s in -1_000i64..10_000,
    ) {
        let mut params = params(BASE, LIMIT);
        params.pow.spacing_s = spacing_s;
        let chain = Times::on(params);
        let next = chain.next(wait_s);
        let at = |time: Timestamp| chain.next(i64::from(time.0) - i64::from(chain.tip().time.0));
        let time = chain.after(wait_s);
        prop_assert!(next.from <= time && time <= next.until);
        prop_assert_eq!(at(next.from.max(Timestamp(1))), next);
        if next.from > Timestamp(0) {
            prop_assert_ne!(at(Timestamp(next.from.0 - 1)).bits, next.bits);
        }
        if next.until < Timestamp(u32::MAX) {
            prop_assert_eq!(at(next.until), next);
            prop_assert_ne!(at(Timestamp(next.until.0 + 1)).bits, next.bits);
        }
    }

    #[test]
    fn prop_waiting_longer_is_never_harder(wait_s in -1_000i64..1_000, more_s in 0i64..1_000) {
        let chain = Times::new(BASE).in_time(1);
        let target = |wait_s| Target::from_compact(chain.next(wait_s).bits);
        prop_assert!(target(wait_s + more_s) >= target(wait_s));
    }
}
