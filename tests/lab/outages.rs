//! Partitions of a second, ten seconds and a minute, by links that are reset, that fall silent both ways, and that fall silent
//! one way. The longest outlives the timeouts of connections and requests, the shortest does not.

use std::time::Duration;

use testnet::link::{Flow, Lane, LinkSettings};
use testnet::plan::lay;
use testnet::real::NetworkOptions;
use testnet::real::orders::LaneChange;
use testnet::scenario::Topology;

use super::{Lab, PATIENCE, options};

/// How links go wrong between the nodes 0, 1 and the nodes 2, 3.
#[derive(Clone, Copy, Debug)]
enum Outage {
    Resets,
    Silence,
    OneWaySilence,
}

impl Outage {
    fn begin(self, lab: &Lab) {
        match self {
            Outage::Resets => lab.partition("0,1/2,3", false),
            Outage::Silence => lab.partition("0,1/2,3", true),
            Outage::OneWaySilence => set_one_way(lab, Flow::Stalled),
        }
    }

    /// Ends it, and gives the milliseconds until all nodes were on one tip.
    fn end(self, lab: &Lab) -> u64 {
        match self {
            Outage::Resets | Outage::Silence => {
                let healed = lab.supervisor.heal(PATIENCE).unwrap();
                healed.report().unwrap().one_tip_ms
            }
            Outage::OneWaySilence => {
                set_one_way(lab, Flow::Open);
                lab.wait_for_one_tip().as_millis() as u64
            }
        }
    }
}

fn set_one_way(lab: &Lab, flow: Flow) {
    let change = LaneChange {
        flow: Some(flow),
        ..LaneChange::default()
    };
    let mut network = lab.supervisor.network();
    for (a, b) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        network.change_link(a, b, change, true).unwrap();
    }
}

/// Both sides mine all the while; in the end all nodes are on the chain of the side with more work, with the same coins.
#[expect(clippy::print_stdout, reason = "the times are worth knowing")]
fn heal_after(seconds: u64) {
    let outages = [Outage::Resets, Outage::Silence, Outage::OneWaySilence];
    std::thread::scope(|scope| {
        for outage in outages {
            scope.spawn(move || {
                let lab = Lab::start(&NetworkOptions {
                    links: lay(
                        Topology::Complete,
                        4,
                        LinkSettings::both(Lane::delayed(20)),
                        1,
                    ),
                    half_life_blocks: None,
                    ..options(4)
                });
                lab.mine(0, 2);
                lab.wait_for_one_tip();
                outage.begin(&lab);
                lab.mine(0, 1);
                lab.mine(3, 1);
                std::thread::sleep(Duration::from_secs(seconds));
                lab.mine(0, 4);
                lab.mine(3, 2);
                // One-way silence: the side that is heard may have been followed already.
                assert!(lab.height(0) >= 7, "{outage:?}");
                let ms = outage.end(&lab);
                println!("{outage:?} for {seconds} s: one tip {ms} ms after the end");
                lab.wait_for_one_tip();
                let heights: Vec<u32> = (0..4).map(|node| lab.height(node)).collect();
                assert_eq!(heights, [lab.height(0); 4], "{outage:?}");
                assert!(lab.height(0) >= 7, "{outage:?}");
            });
        }
    });
}

#[test]
fn outages_of_a_second_heal() {
    heal_after(1);
}

#[test]
fn outages_of_ten_seconds_heal() {
    heal_after(10);
}

#[test]
fn outages_of_a_minute_heal() {
    heal_after(60);
}

/// Two nodes that were not there join a network with blocks and payments, one of them over a bad link.
#[test]
fn nodes_that_join_late_catch_up() {
    let lab = Lab::start(&NetworkOptions {
        half_life_blocks: None,
        down: vec![2, 3],
        ..options(4)
    });
    lab.mine(0, 150);
    let bad = LaneChange {
        delay_ms: Some(40),
        jitter_ms: Some(40),
        rate_kbit: Some(2_000),
        loss: Some(0.02),
        ..LaneChange::default()
    };
    for other in 0..3 {
        let mut network = lab.supervisor.network();
        network.change_link(3, other, bad, false).unwrap();
    }
    lab.supervisor.network().restart(2).unwrap();
    lab.supervisor.network().restart(3).unwrap();
    lab.wait_for_one_tip();
    assert_eq!((lab.height(2), lab.height(3)), (150, 150));
}

/// A frozen node answers nobody: orders to it are refused at once, and orders to others go on.
#[test]
fn a_frozen_node_keeps_no_order_waiting() {
    let lab = Lab::start(&options(2));
    lab.mine(0, 1);
    lab.wait_for_one_tip();
    let asked = {
        let mut network = lab.supervisor.network();
        let asked = network.miner(0).unwrap();
        network.set_paused(0, true).unwrap();
        asked
    };
    // What was asked before it froze waits, and holds up nothing else.
    let (probe, address) = asked;
    let waiting = std::thread::spawn(move || probe.generate(1, &address));
    let error = lab.supervisor.mine(0, 1).unwrap_err().to_string();
    assert!(
        error.contains("paused") && error.contains("resume 0"),
        "{error}"
    );
    lab.mine(1, 2);
    let status = lab.supervisor.network().status();
    assert_eq!(status.nodes[1].tip.as_ref().unwrap().height, 3);
    assert!(!waiting.is_finished());
    lab.supervisor.network().set_paused(0, false).unwrap();
    waiting.join().unwrap().unwrap();
    lab.wait_for_one_tip();
}
