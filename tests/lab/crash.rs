//! Nodes that die, freeze, and come late.

use std::time::Duration;

use super::{Lab, options};

/// A node that joins late fetches what it missed, through crashes.
#[test]
fn a_node_that_is_killed_while_it_catches_up_gets_there() {
    let lab = Lab::start(&testnet::real::NetworkOptions {
        half_life_blocks: None,
        ..options(3)
    });
    lab.supervisor.network().stop(2).unwrap();
    lab.mine(0, 150);
    for wait_ms in [0, 30, 80, 150] {
        lab.supervisor.network().restart(2).unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        lab.supervisor.network().kill(2).unwrap();
    }
    lab.supervisor.network().restart(2).unwrap();
    lab.wait_for_one_tip();
    assert_eq!(lab.height(2), 150);
}

/// A node that is killed in the middle of a reorg starts again and finishes it.
#[test]
fn a_node_that_is_killed_during_a_reorg_gets_there() {
    let lab = Lab::start(&options(4));
    lab.mine(0, 1);
    lab.wait_for_one_tip();
    for round in 0..3u32 {
        lab.partition("0,1/2,3", false);
        lab.mine(2, 2 + round);
        lab.mine(0, 4 + round);
        lab.supervisor.network().open_links();
        std::thread::sleep(Duration::from_millis(u64::from(40 * round)));
        lab.supervisor.network().kill(3).unwrap();
        lab.supervisor.network().restart(3).unwrap();
        lab.wait_for_one_tip();
    }
}

/// A frozen node misses blocks, blames nobody, and catches up.
#[test]
fn a_frozen_node_catches_up() {
    let lab = Lab::start(&options(3));
    lab.supervisor.network().set_paused(2, true).unwrap();
    lab.mine(0, 5);
    std::thread::sleep(Duration::from_secs(2));
    lab.supervisor.network().set_paused(2, false).unwrap();
    lab.wait_for_one_tip();
    assert_eq!(lab.height(2), 5);
}
