//! What a node does at a time, while its lock is held, is bounded.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, Transaction, Txid};

use crate::chain::BlockPosition;
use crate::chain::stored::OPENED;
use crate::fixtures::{Key, Payment, TestChain};
use crate::rules::spend::SignatureCache;
use crate::store::MemoryDisk;
use crate::store::{Damage, Extent, Place, StoreFault, Table};
use crate::{Chain, ChainOptions, Cure, Height, Timestamp};

const BLOCKS: usize = 120;

/// Bodies that one block may have read, at most: what a second look allows, and itself.
const MOST: usize = 36;

/// A chain whose bodies are on disk, each with a payment to Carol.
fn long_chain() -> (TestChain, Vec<Transaction>) {
    let options = ChainOptions {
        cache_bytes: 4 << 20,
    };
    let chain = Chain::open_backend(MemoryDisk::new(), TestChain::params(), options).unwrap();
    let mut net = TestChain::on(chain);
    let (alice, carol) = (Key::p2tr("alice"), Key::p2tr("carol"));
    let mut payments = Vec::new();
    for n in 0..BLOCKS {
        let pay = net.pay(&alice, &carol, Amount::from_sat(100_000));
        net.including(&pay).mine(&format!("a{n}"));
        payments.push(pay);
    }
    net.chain_mut().flush().unwrap();
    (net, payments)
}

/// Hands a block with `payment` in, which fails with `reason`. Gives how many bodies were read for it.
fn read_for(net: &mut TestChain, payment: &Transaction, reason: &str) -> usize {
    let bad = net.including(payment).build("bad").mine();
    let hash = bad.block_hash();
    net.chain_mut()
        .accept_block(bad, Timestamp(u32::MAX))
        .unwrap();
    net.chain_mut().flush_bodies().unwrap();
    let before = OPENED.get();
    net.activate();
    assert!(net.chain().tree().get(&hash).unwrap().status.failed);
    let read = OPENED.get() - before;
    assert_eq!(net.chain().tip().height.0 as usize, BLOCKS);
    assert!(!net.chain().has_findings());
    assert!(net.failed().iter().any(|(_, failed)| failed == reason));
    read
}

#[test]
fn a_coin_that_never_was_costs_a_bounded_number_of_bodies() {
    let (mut net, _) = long_chain();
    let nowhere = OutPoint::new(Txid::from_byte_array([7; 32]), 0);
    let mut payment = net.pay(&Key::p2tr("alice"), &Key::p2tr("carol"), Amount::ONE_BTC);
    payment.input[0].previous_output = nowhere;
    let read = read_for(&mut net, &payment, "bad-txns-inputs-missingorspent");
    assert!((1..=MOST).contains(&read), "{read} bodies");
}

#[test]
fn coins_of_many_blocks_cost_a_bounded_number_of_bodies() {
    let (mut net, payments) = long_chain();
    let carol = Key::p2tr("carol");
    let mut payment = Payment::new();
    for paid in &payments {
        let vout = paid
            .output
            .iter()
            .position(|output| output.script_pubkey == carol.script());
        payment = payment.spend_output_of(paid, u32::try_from(vout.unwrap()).unwrap(), &carol);
    }
    // More than is there.
    let payment = payment.pay(&carol, Amount::ONE_BTC * 100).sign();
    let read = read_for(&mut net, &payment, "bad-txns-in-belowout");
    assert!((1..=MOST).contains(&read), "{read} bodies");
}

fn damage(table: Table, place: Place, extent: Extent) -> Damage {
    Damage {
        table: Some(table),
        place,
        extent,
        problem: "as a test says".to_owned(),
    }
}

/// Takes steps until nothing is being healed. Gives their number, at most so many bodies are read in each.
fn heal(chain: &mut Chain, mut between: impl FnMut(&mut Chain)) -> usize {
    for steps in 0..1_000 {
        if !chain.is_healing() {
            return steps;
        }
        let before = OPENED.get();
        chain.heal_step().unwrap();
        let read = OPENED.get() - before;
        // Those that are taken over and those that are connected.
        assert!(read <= 2 * MOST, "{read} bodies in a step");
        between(chain);
    }
    panic!("it never ends");
}

#[test]
fn a_new_database_is_made_in_steps_beside_the_old_one_which_is_read() {
    let (mut net, payments) = long_chain();
    let (marked, first, third) = (net.hash("a118"), net.hash("a0"), net.hash("a2"));
    let next = net.build("next").mine();
    let hash = next.block_hash();
    let stats = net.chain().coin_set_stats(true).unwrap();
    let tip = net.chain().tip();
    let mut chain = net.into_chain();
    chain.heal_in_steps();
    chain.note(damage(Table::Coins, Place::Pages, Extent::Pages));
    assert!(chain.heal_findings().unwrap());
    assert!(chain.is_healing());
    let coin = OutPoint::new(payments[0].compute_txid(), 0);
    let mut told = Vec::new();
    let mut calls = 0;
    let steps = heal(&mut chain, |chain| {
        calls += 1;
        if let Some(error) = chain.healing_error() {
            assert_eq!(error.cause, StoreFault::Healing);
            told.push(error.to_string());
            // All is read as before, and the tip stands still.
            assert_eq!(chain.tip(), tip);
            assert!(chain.block(&first).unwrap().is_some());
            assert!(chain.coin(&coin).unwrap().is_some());
            assert_eq!(chain.coin_set_stats(true).unwrap(), stats);
        }
        // What comes meanwhile is not lost.
        match calls {
            2 => drop(
                chain
                    .accept_block(next.clone(), Timestamp(u32::MAX))
                    .unwrap(),
            ),
            3 => chain.invalidate(&marked).unwrap(),
            4 => assert!(
                chain
                    .activate_best(&SignatureCache::default(), &mut Vec::new())
                    .unwrap()
                    .is_none()
            ),
            _ => {}
        }
    });
    assert!(steps > BLOCKS / 32 * 2, "{steps} steps");
    assert!(
        told[0].contains("of 120 blocks are taken over"),
        "{}",
        told[0]
    );
    let last = told.last().unwrap();
    assert!(last.contains("is connected"), "{last}");
    let cures = chain.take_cures();
    assert!(
        matches!(cures[..], [Cure::Database { lost: 0, .. }]),
        "{cures:?}"
    );
    assert!(chain.tree().get(&marked).unwrap().status.invalidated);
    assert!(chain.tree().get(&hash).unwrap().status.has_body);
    assert_eq!(chain.tip().height, Height(118), "below the marked one");
    chain.reconsider(&marked);
    let mut net = TestChain::on(chain);
    net.activate();
    assert_eq!(net.chain().tip().hash, hash);
    assert!(net.chain().is_active(&third));
}

#[test]
fn an_old_coin_and_old_undo_data_are_made_again_in_steps() {
    let (net, payments) = long_chain();
    let (first, stats) = (net.hash("a0"), net.chain().coin_set_stats(true).unwrap());
    let mut chain = net.into_chain();
    chain.heal_in_steps();
    // What Carol was paid first is not spent.
    let carol = Key::p2tr("carol").script();
    let vout = payments[0]
        .output
        .iter()
        .position(|output| output.script_pubkey == carol);
    let outpoint = OutPoint::new(
        payments[0].compute_txid(),
        u32::try_from(vout.unwrap()).unwrap(),
    );
    let block = BlockPosition {
        hash: first,
        height: Height(1),
    };
    chain.note(damage(Table::Coins, Place::Coin(outpoint), Extent::Row));
    chain.note(damage(Table::Undo, Place::Block(block), Extent::Row));
    let mut steps = 0;
    while chain.has_findings() {
        chain.heal_findings().unwrap();
        steps += heal(&mut chain, |_| {});
    }
    assert!(steps >= BLOCKS / 32, "{steps} steps");
    let cures = chain.take_cures();
    assert_eq!(cures, [Cure::Coin { outpoint }, Cure::Undo { block }]);
    chain.flush().unwrap();
    assert_eq!(chain.coin_set_stats(true).unwrap(), stats);
}
