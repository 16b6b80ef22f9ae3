//! Times and bits of templates.

use std::time::Duration;

use chain::fixtures::{TEST_GENESIS_TIME, params_of};
use chain::genesis::{GenesisSpec, PowSection};
use chain::{Chain, Timestamp};
use node_core::{CoreOptions, NodeCore};

use crate::support::{Lone, START, mine_template, submit, word};

#[test]
fn template_times_follow_the_clock_and_never_fall_to_the_median() {
    let mut lone = Lone::new();
    lone.mine_many(12);
    let ahead = lone.core.template(lone.now).expect("never refused");
    assert_eq!(ahead.time, lone.now.wall);
    lone.now.wall = Timestamp(START.0 - 5_000);
    let behind = lone.core.template(lone.now).expect("never refused");
    assert_eq!(behind.time, behind.min_time);
    let median = lone.core.chain().tip().median_time_past;
    assert_eq!(behind.min_time.0, median.0 + 1);
}

#[test]
fn no_template_has_a_time_that_its_own_node_refuses() {
    let mut lone = Lone::new();
    lone.mine_many(12);
    let median = lone.core.chain().tip().median_time_past;
    let limit_secs = lone.core.chain().params().max_future_s;
    // The last second of the clock at which the block after the median is too far ahead.
    lone.now.wall = Timestamp(median.0 - limit_secs);
    let ahead = lone.core.template(lone.now).expect_err("too far ahead");
    assert_eq!((ahead.time.0, ahead.limit_secs), (median.0 + 1, limit_secs));
    assert_eq!((ahead.now, ahead.wait_s()), (lone.now.wall, 1));
    assert_eq!(lone.core.chain_ahead(lone.now), Some(ahead));
    assert!(ahead.to_string().contains("wait 1 s"), "{ahead}");
    lone.now.wall.0 += 1;
    assert_eq!(lone.core.chain_ahead(lone.now), None);
    // It is not only handed out, but also taken.
    let block = lone.mine();
    assert_eq!(lone.core.chain().tip().hash, block.block_hash());
}

/// A network with the default difficulty rule, whose base is 2^3 harder than its limit.
fn eased_network() -> chain::Params {
    let mut spec = GenesisSpec::trivial("eased", TEST_GENESIS_TIME);
    spec.bits = Some(bitcoin::CompactTarget::from_consensus(0x200f_ffff));
    spec.pow = PowSection {
        limit: spec.pow.limit,
        ..GenesisSpec::default().pow
    };
    params_of(&spec)
}

#[test]
fn a_template_says_until_when_its_bits_hold_and_other_bits_come_after() {
    let core = NodeCore::new(Chain::in_memory(eased_network()), CoreOptions::default());
    let mut lone = Lone::with(core);
    for _ in 0..3 {
        lone.pass(Duration::from_secs(10));
        lone.mine();
    }
    let tip_s = lone.now.wall.0;
    let first = lone.core.template(lone.now).expect("in time");
    assert_eq!(first.max_time, Timestamp(tip_s + 39));
    lone.pass(Duration::from_secs(39));
    assert_eq!(
        lone.core.template(lone.now).expect("in time").bits,
        first.bits
    );
    lone.pass(Duration::from_secs(1));
    let eased = lone.core.template(lone.now).expect("in time");
    assert_ne!(eased.bits, first.bits);
    assert_eq!(
        (eased.min_time, eased.max_time),
        (lone.now.wall, Timestamp(tip_s + 44))
    );
    assert_eq!(eased.max_ahead_s, 10);
    let block = lone.mine();
    assert_eq!(lone.core.chain().tip().hash, block.block_hash());
}

#[test]
fn an_eased_block_is_early_by_more_than_a_spacing_and_tried_again() {
    let core = NodeCore::new(Chain::in_memory(eased_network()), CoreOptions::default());
    let mut lone = Lone::with(core);
    lone.mine_many(3);
    // The block of a miner whose clock is 50 s ahead: within two hours, but eased for a wait that was not.
    let ahead = node_core::Now {
        wall: lone.now.wall.saturating_add_secs(50),
        ..lone.now
    };
    let early = mine_template(&lone.core, ahead, 1);
    assert_eq!(word(submit(&mut lone, &early)), "time-too-new");
    lone.pass(Duration::from_secs(39));
    assert_ne!(lone.core.chain().tip().hash, early.block_hash());
    lone.pass(Duration::from_secs(1));
    assert_eq!(lone.core.chain().tip().hash, early.block_hash());
}
