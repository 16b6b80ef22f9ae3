//! Payments that a block contradicted, when that block is lost.

use bitcoin::Transaction;
use chain::fixtures::{Payment, TestChain};
use node_core::Output;
use node_core::events::NodeEvent;
use node_core::mempool::RemovalReason;
use node_core::mempool::package::Judgement;
use p2p::wire::Gossip;

use crate::support::{FEE, Lone, alice, allocations, bob, pay, pay_on};

/// Spends two allocations of alice at once.
fn spending_both(indices: [usize; 2]) -> Transaction {
    let genesis = TestChain::params().genesis.txdata[1].clone();
    let mut payment = Payment::new();
    let mut value = bitcoin::Amount::ZERO;
    for index in indices {
        let outpoint = allocations(&alice())[index];
        let output = &genesis.output[outpoint.vout as usize];
        payment = payment.spend(outpoint, output, &alice());
        value += output.value;
    }
    payment.pay(&bob(), value - FEE).sign()
}

/// A node with its own chain, on which these payments were mined, each in a block of its own.
fn miner_of(payments: &[&Transaction]) -> (Lone, Vec<bitcoin::Block>) {
    let mut lone = Lone::new();
    let mine = |payment: &&Transaction| {
        lone.send(payment).expect("good");
        lone.mine()
    };
    let blocks = payments.iter().map(mine).collect();
    (lone, blocks)
}

#[test]
fn a_payment_that_only_a_lost_block_contradicted_comes_back_and_is_gossiped_again() {
    //   G - b1            <- rival: spends the payment's coin and another
    //     \ c1 - c2       <- third: spends the other coin, so that the rival cannot come back
    let payment = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&payment, &bob(), &alice(), FEE);
    let rival = spending_both([0, 1]);
    let third = pay(&alice(), 1, &bob(), FEE);
    let (_, lost) = miner_of(&[&rival]);
    let (other, stays) = miner_of(&[&third, &pay(&alice(), 5, &bob(), FEE)]);

    let mut lone = Lone::new();
    lone.now = other.now;
    let ids = [&payment, &child].map(|tx| lone.send(tx).expect("good"));
    lone.submit(&lost[0]);
    assert!(lone.core.mempool().is_empty());
    assert!(
        ids.iter()
            .all(|txid| lone.core.mempool().is_set_aside(txid))
    );
    lone.submit(&stays[0]);
    lone.take_events();

    lone.submit(&stays[1]);
    assert_eq!(lone.pool(), ids.into());
    let entry = lone.core.mempool().get(&ids[1]).expect("it is here");
    assert_eq!(entry.ancestors.count, 2, "parents come back first");
    let published = |txid| {
        lone.out.iter().any(|output| {
            matches!(output, Output::Publish(Gossip::Again { transaction, .. }) if transaction.compute_txid() == txid)
        })
    };
    assert!(ids.iter().all(|txid| published(*txid)));
    assert!(
        ids.iter()
            .all(|txid| !lone.core.mempool().is_set_aside(txid))
    );
    assert!(lone.core.mempool().is_set_aside(&rival.compute_txid()));
    let events = lone.take_events();
    for txid in ids {
        assert!(events.contains(&NodeEvent::TransactionAdded { txid }));
    }
    let block = lone.mine();
    assert_eq!(block.txdata.len(), 3);
}

#[test]
fn a_payment_of_a_lost_block_comes_back_when_its_rival_is_lost_too() {
    //   G - a1                 <- payment
    //     \ b1 - b2            <- rival, so that the payment is void
    //     \ c1 - c2 - c3       <- third: spends the rival's other coin, and neither
    let payment = pay(&alice(), 0, &bob(), FEE);
    let rival = spending_both([0, 1]);
    let third = pay(&alice(), 1, &bob(), FEE);
    let filler = |index| pay(&bob(), index, &bob(), FEE);
    let (_, first) = miner_of(&[&payment]);
    let (_, second) = miner_of(&[&rival, &filler(0)]);
    let (other, stays) = miner_of(&[&third, &filler(1), &filler(2)]);

    let mut lone = Lone::new();
    lone.now = other.now;
    for block in first.iter().chain(&second) {
        lone.submit(block);
    }
    assert!(lone.core.mempool().is_empty());
    for block in &stays {
        lone.submit(block);
    }
    assert_eq!(lone.core.chain().tip().hash, stays[2].block_hash());
    let back = [payment.compute_txid(), filler(0).compute_txid()];
    assert_eq!(lone.pool(), back.into());
}

#[test]
fn payments_that_were_replaced_or_confirmed_are_not_set_aside() {
    let replaced = pay(&alice(), 0, &bob(), FEE);
    let better = pay(&alice(), 0, &bob(), FEE * 10);
    let mut lone = Lone::new();
    let txid = lone.send(&replaced).expect("good");
    lone.send(&better).expect("pays more");
    lone.mine();
    assert!(!lone.core.mempool().is_set_aside(&txid));
    assert!(!lone.core.mempool().is_set_aside(&better.compute_txid()));

    // One that a block contradicts, and another block then confirms in place of that.
    let mut lone = Lone::new();
    let (_, contradicting) = miner_of(&[&replaced]);
    let (other, confirming) = miner_of(&[&better, &pay(&bob(), 0, &bob(), FEE)]);
    lone.now = other.now;
    lone.send(&better).expect("good");
    lone.submit(&contradicting[0]);
    let reason = RemovalReason::Conflict;
    let txid = better.compute_txid();
    assert!(
        lone.take_events()
            .contains(&NodeEvent::TransactionRemoved { txid, reason })
    );
    assert!(lone.core.mempool().is_set_aside(&txid));
    for block in &confirming {
        lone.submit(block);
    }
    assert!(lone.core.mempool().is_empty());
    assert!(!lone.core.mempool().is_set_aside(&txid));
    assert!(lone.core.mempool().is_set_aside(&replaced.compute_txid()));
}

/// Whoever only asked whether a payment would be taken made the node forget it.
#[test]
fn what_is_only_tested_stays_set_aside() {
    //   G - b1            <- rival: spends the payment's coin and another
    //     \ c1 - c2       <- neither: the rival comes back and keeps the payment out, until it is replaced
    let payment = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&payment, &bob(), &alice(), FEE);
    let rival = spending_both([0, 1]);
    let filler = |index| pay(&bob(), index, &bob(), FEE);
    let (_, lost) = miner_of(&[&rival]);
    let (other, stays) = miner_of(&[&filler(0), &filler(1)]);
    let mut lone = Lone::new();
    lone.now = other.now;
    let txid = lone.send(&payment).expect("good");
    for block in lost.iter().chain(&stays) {
        lone.submit(block);
    }
    lone.send(&pay(&alice(), 1, &bob(), FEE * 10))
        .expect("it replaces the rival");
    assert!(lone.core.mempool().is_set_aside(&txid));

    let package = [&payment, &child].map(|tx| std::sync::Arc::new(tx.clone()));
    let judgements = lone.core.test_package(lone.now, &package, &mut lone.out);
    assert!(
        judgements
            .iter()
            .all(|judgement| matches!(judgement, Judgement::Fit(_))),
        "{judgements:?}"
    );
    assert!(lone.core.mempool().is_set_aside(&txid));
    lone.send(&payment).expect("it would be taken");
    assert!(!lone.core.mempool().is_set_aside(&txid));
}
