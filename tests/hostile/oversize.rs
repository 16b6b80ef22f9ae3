//! Messages that are larger than any may be.

use std::time::{Duration, Instant};

use crate::judge::Cost;
use crate::peer::{HostilePeer, Manners, PATIENCE, Topic, WhenLetGo};
use crate::scene::Scene;

#[test]
fn gossip_above_the_limits_costs_neither_memory_nor_sync() {
    let scene = Scene::new();
    let without = scene.seconds_to_sync_in_peace();
    let honest = scene.honest("honest");
    let victim = scene.start("victim", &[]);
    let before = victim.resident_mib();
    let (received_before, _) = victim.wire_bytes();
    let senders: Vec<HostilePeer> = (0..4)
        .map(|_| {
            let manners = Manners {
                when_let_go: WhenLetGo::ComesBack,
                ..Manners::silent(&scene.network())
            };
            HostilePeer::join(&victim.address, manners)
        })
        .collect();
    for number in 0..10 {
        for sender in &senders {
            sender.gossip(Topic::Transactions, vec![number; 1_000_000]);
            sender.gossip(Topic::Blocks, vec![number; 200_000]);
        }
    }
    let received = || victim.wire_bytes().0 - received_before;
    let began = Instant::now();
    while received() < 100_000 {
        assert!(began.elapsed() < PATIENCE, "nothing of it came");
        std::thread::sleep(Duration::from_millis(20));
    }
    let time = Cost {
        attack: "gossip above the limits",
        measure: "seconds to sync",
        without,
        with: scene.seconds_to_sync(&victim, &honest, Duration::from_secs(120)),
    };
    time.at_most(1.5, 1.0, 6.0);
    let memory = Cost {
        attack: "gossip above the limits",
        measure: "resident MiB",
        without: before,
        with: victim.resident_mib(),
    };
    memory.at_most(1.0, 64.0, 0.0);
}
