//! Headers that cost next to nothing: they may not cost the node time, memory or its sync.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, TxMerkleNode};
use chain::fixtures::grind;

use crate::judge::{self, Cost};
use crate::peer::{HostilePeer, Manners, Reply, WhenLetGo};
use crate::scene::Scene;
use crate::wire::{self, HEADERS, STATUS};

/// Headers of one answer.
const BATCH: usize = 2_000;

/// An endless chain of headers on the genesis block, of two hashes each.
struct Endless {
    last: Header,
}

impl Endless {
    fn on(genesis: &Header) -> Endless {
        Endless { last: *genesis }
    }

    fn batch(&mut self) -> Vec<u8> {
        let headers: Vec<Header> = (0..BATCH)
            .map(|_| {
                let mut header = Header {
                    prev_blockhash: self.last.block_hash(),
                    merkle_root: TxMerkleNode::from_byte_array([9; 32]),
                    time: self.last.time + 1,
                    nonce: 0,
                    ..self.last
                };
                grind(&mut header);
                self.last = header;
                header
            })
            .collect();
        wire::headers(&headers)
    }
}

fn flooder(scene: &Scene, pace: Duration) -> Manners {
    let endless = Endless::on(&scene.served.chain.params.genesis.header);
    let endless = Arc::new(Mutex::new(endless));
    Manners {
        answer: Box::new(move |request| match request.first() {
            Some(&STATUS) => Reply::Now(wire::boast()),
            Some(&HEADERS) => {
                let batch = endless.lock().expect("one at a time").batch();
                match pace {
                    Duration::ZERO => Reply::Now(batch),
                    pace => Reply::Later(pace, batch),
                }
            }
            _ => Reply::Silence,
        }),
        greeting: Some(wire::status(
            BlockHash::from_byte_array([3; 32]),
            1_000_000_000,
            [0xff; 32],
        )),
        when_let_go: WhenLetGo::ComesBack,
        ..Manners::silent(&scene.network())
    }
}

#[test]
fn a_flood_of_headers_costs_little_memory_and_no_sync() {
    let scene = Scene::new();
    let without = scene.seconds_to_sync_in_peace();
    let honest = scene.honest("honest");
    let victim = scene.start("victim", &[]);
    let before = victim.resident_mib();
    let flooder = HostilePeer::join(&victim.address, flooder(&scene, Duration::ZERO));
    flooder.wait_until("asked for headers", |peer| peer.times_asked(HEADERS) > 0);
    std::thread::sleep(Duration::from_secs(if judge::is_full() { 30 } else { 5 }));
    let asked = flooder.times_asked(HEADERS);
    println!("hostile: {asked} batches of {BATCH} headers were taken");
    let memory = Cost {
        attack: "a flood of headers",
        measure: "resident MiB",
        without: before,
        with: victim.resident_mib(),
    };
    memory.at_most(1.0, 64.0, 0.0);
    let time = Cost {
        attack: "a flood of headers",
        measure: "seconds to sync",
        without,
        with: scene.seconds_to_sync(&victim, &honest, Duration::from_secs(120)),
    };
    time.at_most(1.5, 1.0, 6.0);
}

#[test]
fn headers_that_drip_do_not_hold_up_sync() {
    let scene = Scene::new();
    let without = scene.seconds_to_sync_in_peace();
    let honest = scene.honest("honest");
    let victim = scene.start("victim", &[]);
    let pace = Duration::from_millis(1_900);
    let dripper = HostilePeer::join(&victim.address, flooder(&scene, pace));
    dripper.wait_until("asked for headers", |peer| peer.times_asked(HEADERS) > 0);
    let cost = Cost {
        attack: "headers that drip",
        measure: "seconds to sync",
        without,
        with: scene.seconds_to_sync(&victim, &honest, Duration::from_secs(120)),
    };
    cost.at_most(1.5, 1.0, 6.0);
}
