//! Peers that ask for much: memory stays bounded, calls are answered, and own blocks go first.

use std::time::{Duration, Instant};

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, Block, BlockHash, ScriptBuf, Transaction, TxOut};
use chain::Height;
use chain::fixtures::{BlockBuilder, Key, Payment};
use serde_json::json;

use crate::judge::Cost;
use crate::peer::{HostilePeer, Manners};
use crate::scene::{Scene, slowest_call_during};
use crate::support::node::Node;
use crate::wire;

/// Blocks of nearly 1 MB each.
const LARGE_BLOCKS: usize = 16;
const OUTPUTS: usize = 22_000;

/// A payment with so many outputs that its block is large.
fn large_payment(parent: &Block, index: usize) -> Transaction {
    let payer = Key::p2tr("payer");
    let tx = &parent.txdata[1 + index];
    let mut large = Payment::new()
        .spend_output_of(tx, 1, &payer)
        .pay(&payer, Amount::from_sat(1_000))
        .sign();
    let data = TxOut {
        value: Amount::from_sat(1),
        script_pubkey: ScriptBuf::new_p2wpkh(
            &bitcoin::WPubkeyHash::from_slice(&[7; 20]).expect("20 bytes"),
        ),
    };
    large.output.extend(std::iter::repeat_n(data, OUTPUTS));
    payer.sign(&mut large, 0, &[tx.output[1].clone()]);
    large
}

/// An honest node whose chain ends in large blocks: their hashes.
fn with_large_blocks(scene: &Scene) -> (Node, Vec<BlockHash>) {
    let node = scene.honest("victim");
    let rich = scene.served.chain.blocks.last().expect("blocks");
    let mut parent = rich.header;
    let mut hashes = Vec::new();
    for index in 0..LARGE_BLOCKS {
        let height = Height(u32::try_from(scene.height() + index + 1).expect("low"));
        let block = BlockBuilder::on(&scene.served.chain.params, &parent, height)
            .with(&large_payment(rich, index))
            .mine();
        scene.submit(&node, &block);
        parent = block.header;
        hashes.push(block.block_hash());
    }
    (node, hashes)
}

#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    let scene = Scene::new();
    let (victim, hashes) = with_large_blocks(&scene);
    let before = victim.resident_mib();
    let peers: Vec<HostilePeer> = (0..8)
        .map(|_| {
            let manners = Manners {
                reads: false,
                ..Manners::silent(&scene.network())
            };
            HostilePeer::join(&victim.address, manners)
        })
        .collect();
    let slowest = slowest_call_during(&victim, || {
        for _ in 0..4 {
            for peer in &peers {
                for _ in 0..8 {
                    peer.ask(wire::ask_blocks(&hashes));
                }
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let memory = Cost {
        attack: "8 peers that ask for large blocks and never read",
        measure: "resident MiB",
        without: before,
        with: victim.resident_mib(),
    };
    memory.at_most(1.0, 64.0, 64.0);
    let calls = Cost {
        attack: "8 peers that ask for large blocks and never read",
        measure: "slowest call in seconds",
        without: 0.0,
        with: slowest,
    };
    calls.at_most(1.0, 0.2, 3.0);
}

#[test]
fn single_transactions_of_old_blocks_are_cheap_and_never_in_the_way() {
    const WATCHED: Duration = Duration::from_secs(5);
    let scene = Scene::new();
    let (victim, hashes) = with_large_blocks(&scene);
    let asker = HostilePeer::join(&victim.address, Manners::silent(&scene.network()));
    let before = victim.cpu_seconds();
    let mut asked = 0u64;
    let slowest = slowest_call_during(&victim, || {
        let end = Instant::now() + WATCHED;
        while Instant::now() < end {
            // At most eight under way.
            if asked < asker.answers() + 8 {
                let hash = hashes[asked as usize % hashes.len()];
                asker.ask(wire::ask_block_transaction(hash, 1));
                asked += 1;
            } else {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    println!(
        "hostile: single transactions of large blocks: {} answers in {WATCHED:?} for {:.2} s of CPU",
        asker.answers(),
        victim.cpu_seconds() - before
    );
    let calls = Cost {
        attack: "single transactions of large blocks",
        measure: "slowest call in seconds",
        without: 0.0,
        with: slowest,
    };
    calls.at_most(1.0, 0.2, 3.0);
    assert_ne!(hashes[0], BlockHash::all_zeros());
    let count = victim.call("getblockcount", json!([]));
    assert_eq!(count, json!(scene.height() + LARGE_BLOCKS));
}
