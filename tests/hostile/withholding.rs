//! A peer that announces each new block first and never gives the part that is missing.

use std::time::{Duration, Instant};

use bitcoin::{Block, Transaction};
use chain::Height;
use chain::fixtures::{BlockBuilder, Key, Payment};
use serde_json::json;

use crate::judge::Cost;
use crate::peer::{HostilePeer, Manners, Reply, Topic};
use crate::scene::Scene;
use crate::support::node::Node;
use crate::wire::{self, BLOCK_TRANSACTIONS};

/// Blocks that are announced.
const ROUNDS: usize = 6;

/// A block on the tip with payments that no mempool has.
fn next_block(scene: &Scene, parent: &Block, height: usize, payments: &[Transaction]) -> Block {
    let params = &scene.served.chain.params;
    let height = Height(u32::try_from(height).expect("low"));
    let builder = BlockBuilder::on(params, &parent.header, height);
    payments.iter().fold(builder, BlockBuilder::with).mine()
}

/// A payment of one of the coins that the last block left behind.
fn payment(parent: &Block, index: usize) -> Transaction {
    let (payer, payee) = (Key::p2tr("payer"), Key::p2tr("payee"));
    let tx = &parent.txdata[1 + index];
    let value = tx.output[1].value;
    let fee = bitcoin::Amount::from_sat(2_000);
    Payment::new()
        .spend_output_of(tx, 1, &payer)
        .pay(&payee, fee)
        .pay(&payer, value - fee - fee)
        .sign()
}

/// The longest time from a block's being handed to the honest node until the victim has it, of the first block and of the rest.
fn delays(
    scene: &Scene,
    attacker: Option<&HostilePeer>,
    honest: &Node,
    victim: &Node,
) -> (f64, f64) {
    let mut tip = scene.served.chain.blocks.last().expect("blocks").clone();
    let mut delays = Vec::new();
    // Each block spends other coins of the recorded chain's end.
    let rich = tip.clone();
    for round in 0..ROUNDS {
        let height = scene.height() + round + 1;
        let block = next_block(scene, &tip, height, &[payment(&rich, round)]);
        if let Some(attacker) = attacker {
            let asked = |peer: &HostilePeer| {
                peer.times_asked(BLOCK_TRANSACTIONS) + peer.times_asked(wire::BLOCKS)
            };
            let before = asked(attacker);
            attacker.gossip(Topic::Blocks, wire::announcement(&block));
            let deadline = Instant::now() + Duration::from_secs(3);
            // It has the head start: the victim asks it first. Once it is known for what it is, it is not asked any more.
            while asked(attacker) == before && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            if round == 0 {
                assert!(asked(attacker) > before, "the attack never took place");
            }
        }
        let began = Instant::now();
        scene.submit(honest, &block);
        let told = victim.call("waitforblockheight", json!([height, 30_000]));
        assert_eq!(told["height"], json!(height), "held back for 30 s");
        delays.push(began.elapsed().as_secs_f64());
        tip = block;
    }
    let rest = delays[1..].iter().copied().fold(0.0, f64::max);
    (delays[0], rest)
}

#[test]
fn a_first_announcer_cannot_hold_blocks_back() {
    for empty_answers in [false, true] {
        let scene = Scene::new();
        let attack = if empty_answers {
            "first announcer that gives nothing at 9.9 s"
        } else {
            "silent first announcer"
        };
        let measure = |with: bool| {
            let name = |role: &str| format!("{role} {with}");
            let honest = scene.honest(&name("honest"));
            let victim = scene.start(&name("victim"), &[]);
            scene.seconds_to_sync(&victim, &honest, Duration::from_secs(120));
            let attacker = with.then(|| {
                let manners = Manners {
                    answer: Box::new(move |request| match request.first() {
                        Some(&kind @ BLOCK_TRANSACTIONS) if empty_answers => {
                            Reply::Later(Duration::from_millis(9_900), wire::empty(kind))
                        }
                        _ => Reply::Silence,
                    }),
                    ..Manners::silent(&scene.network())
                };
                HostilePeer::join(&victim.address, manners)
            });
            delays(&scene, attacker.as_ref(), &honest, &victim)
        };
        let (first, rest) = measure(false);
        let (first_attacked, rest_attacked) = measure(true);
        let cost = |measure, without, with| Cost {
            attack,
            measure,
            without,
            with,
        };
        cost("seconds until the first block", first, first_attacked).at_most(1.0, 1.5, 3.0);
        cost("seconds until later ones", rest, rest_attacked).at_most(1.5, 0.5, 3.0);
    }
}
