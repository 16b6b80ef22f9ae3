//! Transactions that cost much to refuse.

use std::time::{Duration, Instant};

use bitcoin::{Amount, OutPoint, Transaction};
use chain::Height;
use chain::fixtures::{BlockBuilder, Key, Payment};
use serde_json::json;

use crate::judge::Cost;
use crate::peer::{HostilePeer, Manners, Topic, WhenLetGo};
use crate::scene::{Scene, slowest_call_during};
use crate::wire;

/// Inputs of the costly transaction: about 170 kB.
const INPUTS: usize = 1_500;

/// A transaction all of whose signatures are good but the last.
fn costly(scene: &Scene) -> Transaction {
    let (payee, payer) = (Key::p2tr("payee"), Key::p2tr("payer"));
    let mut payment = Payment::new();
    for tx in scene.served.chain.payments().take(INPUTS) {
        let outpoint = OutPoint {
            txid: tx.compute_txid(),
            vout: 0,
        };
        payment = payment.spend(outpoint, &tx.output[0], &payee);
    }
    payment.pay(&payer, Amount::from_sat(600_000)).sign()
}

/// The same with another bad signature: other bytes, the same work.
fn spoilt(costly: &Transaction, number: u32) -> Transaction {
    let mut tx = costly.clone();
    let last = tx.input.last_mut().expect("inputs");
    let mut signature = last.witness[0].to_vec();
    signature[60..64].copy_from_slice(&number.to_le_bytes());
    last.witness = bitcoin::Witness::from_slice(&[signature]);
    tx
}

#[test]
fn costly_invalid_transactions_delay_neither_blocks_nor_calls() {
    const PEERS: usize = 4;
    let scene = Scene::new();
    let victim = scene.honest("victim");
    let costly = costly(&scene);
    let seconds_to_block = |height: usize, parent: &bitcoin::Block| {
        let params = &scene.served.chain.params;
        let at = Height(u32::try_from(height).expect("low"));
        let block = BlockBuilder::on(params, &parent.header, at).mine();
        let began = Instant::now();
        scene.submit(&victim, &block);
        let seconds = began.elapsed().as_secs_f64();
        assert_eq!(victim.call("getblockcount", json!([])), json!(height));
        (seconds, block)
    };
    let tip = scene.served.chain.blocks.last().expect("blocks");
    let (without, block) = seconds_to_block(scene.height() + 1, tip);
    let senders: Vec<HostilePeer> = (0..PEERS)
        .map(|_| {
            let manners = Manners {
                when_let_go: WhenLetGo::ComesBackAsAnother,
                ..Manners::silent(&scene.network())
            };
            HostilePeer::join(&victim.address, manners)
        })
        .collect();
    let mut with = 0.0;
    let slowest = slowest_call_during(&victim, || {
        for round in 0..10_u32 {
            for (number, sender) in senders.iter().enumerate() {
                let number = round * 100 + u32::try_from(number).expect("few");
                let bad = spoilt(&costly, number);
                sender.gossip(Topic::Transactions, wire::gossiped(&bad));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        (with, _) = seconds_to_block(scene.height() + 2, &block);
    });
    let let_go: u64 = senders.iter().map(HostilePeer::times_let_go).sum();
    println!("hostile: {let_go} of their connections were ended");
    assert!(let_go > 0, "who sends what is costly and invalid is let go");
    let delay = Cost {
        attack: "costly invalid transactions",
        measure: "seconds until a block is in",
        without,
        with,
    };
    delay.at_most(1.0, 0.5, 5.0);
    let calls = Cost {
        attack: "costly invalid transactions",
        measure: "slowest call in seconds",
        without: 0.0,
        with: slowest,
    };
    calls.at_most(1.0, 0.2, 5.0);
    assert_eq!(victim.call("getrawmempool", json!([])), json!([]));
}
