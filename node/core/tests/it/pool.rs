//! What the mempool takes, refuses, replaces and drops, in Bitcoin Core's words.

use std::collections::BTreeSet;
use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use chain::fixtures::{Key, Payment, TestChain};
use node_core::CoreOptions;
use node_core::events::NodeEvent;
use node_core::mempool::{RemovalReason, SatPerKvb};

use crate::support::{FEE, Lone, alice, allocations, bob, pay, pay_on};

const SAT: Amount = Amount::ONE_SAT;

fn allocation(key: &Key, index: usize) -> (OutPoint, TxOut) {
    let outpoint = allocations(key)[index];
    (
        outpoint,
        TestChain::params().genesis.txdata[1].output[outpoint.vout as usize].clone(),
    )
}

/// Spends alice's allocation `index`; the rest is up to the test.
fn spend(index: usize) -> Payment {
    let (outpoint, output) = allocation(&alice(), index);
    Payment::new().spend(outpoint, &output, &alice())
}

fn refused(lone: &mut Lone, tx: &Transaction) -> String {
    let before = lone.pool();
    let tested = lone
        .core
        .test_accept(lone.now, tx.clone())
        .expect_err("refused");
    let reason = lone.send(tx).expect_err("refused");
    assert_eq!(tested.reject_reason(), reason, "testing and sending agree");
    assert_eq!(lone.pool(), before);
    reason
}

fn ten_btc() -> Amount {
    Amount::ONE_BTC * 10
}

#[test]
fn good_payments_of_both_kinds_are_taken() {
    let mut lone = Lone::new();
    let a = pay(&alice(), 0, &bob(), FEE);
    let b = pay(&bob(), 0, &alice(), FEE);
    assert_eq!(lone.send(&a), Ok(a.compute_txid()));
    assert_eq!(lone.send(&b), Ok(b.compute_txid()));
    let entry = lone
        .core
        .mempool()
        .get(&a.compute_txid())
        .expect("it is here");
    assert_eq!((entry.fee, entry.vsize), (FEE, a.vsize() as u64));
    assert_eq!(entry.footing.youngest_coin.map(|h| h.0), Some(0));
    assert_eq!(
        lone.send(&a),
        Ok(a.compute_txid()),
        "sent again: gossiped again"
    );
    assert_eq!(lone.core.mempool().len(), 2);
}

#[test]
fn forms_that_are_not_relayed() {
    let mut lone = Lone::new();
    let out = ten_btc() - FEE;
    assert_eq!(
        refused(&mut lone, &spend(0).pay(&bob(), out).version(4).sign()),
        "version"
    );
    assert_eq!(
        refused(&mut lone, &spend(0).pay(&bob(), SAT * 293).sign()),
        "dust"
    );
    let bare = ScriptBuf::from_bytes(vec![0x51]);
    assert_eq!(
        refused(&mut lone, &spend(0).pay_script(bare, out).sign()),
        "scriptpubkey"
    );
    assert_eq!(
        refused(&mut lone, &TestChain::params().genesis.txdata[0]),
        "coinbase"
    );
    let mut annexed = spend(0).pay(&bob(), out).sign();
    annexed.input[0].witness.push([0x50, 1]);
    assert_eq!(refused(&mut lone, &annexed), "bad-witness-nonstandard");
    let mut with_script = spend(0).pay(&bob(), out).sign();
    with_script.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51]);
    assert_eq!(
        refused(&mut lone, &with_script),
        "bad-txns-nonstandard-inputs"
    );
}

#[test]
fn rules_of_consensus_speak_first() {
    let mut lone = Lone::new();
    let nothing = spend(0).sign();
    assert_eq!(refused(&mut lone, &nothing), "bad-txns-vout-empty");
    let too_much = spend(0).pay(&bob(), ten_btc() + SAT).sign();
    assert_eq!(refused(&mut lone, &too_much), "bad-txns-in-belowout");
    let (outpoint, output) = allocation(&alice(), 0);
    let twice = spend(0)
        .spend(outpoint, &output, &alice())
        .pay(&bob(), ten_btc())
        .sign();
    assert_eq!(refused(&mut lone, &twice), "bad-txns-inputs-duplicate");
}

#[test]
fn bad_signatures_are_refused_with_their_reason() {
    let mut lone = Lone::new();
    let mut schnorr = pay(&alice(), 0, &bob(), FEE);
    schnorr.output[0].value -= SAT;
    assert_eq!(
        refused(&mut lone, &schnorr),
        "mempool-script-verify-flag-failed (Invalid Schnorr signature)"
    );
    let good = pay(&alice(), 0, &bob(), FEE);
    assert!(
        lone.send(&good).is_ok(),
        "the bad witness did not shadow the good one"
    );
}

#[test]
fn signatures_that_blocks_may_hold_but_nobody_relays() {
    let mut lone = Lone::new();
    let mut tx = pay(&bob(), 0, &alice(), FEE);
    let witness = tx.input[0].witness.to_vec();
    let (hash_type, der) = witness[0].split_last().expect("a signature");
    // The same signature with the other S: valid in blocks since Core normalises it.
    let signature = bitcoin::secp256k1::ecdsa::Signature::from_der(der).expect("DER");
    let mut high = signature.serialize_compact();
    let other_s = negated(&high[32..]);
    high[32..].copy_from_slice(&other_s);
    let high = bitcoin::secp256k1::ecdsa::Signature::from_compact(&high).expect("in range");
    let mut bytes = high.serialize_der().to_vec();
    bytes.push(*hash_type);
    tx.input[0].witness = bitcoin::Witness::from_slice(&[bytes, witness[1].clone()]);
    assert_eq!(
        refused(&mut lone, &tx),
        "mempool-script-verify-flag-failed (Non-canonical signature: S value is unnecessarily high)"
    );
}

/// The order of the curve less `s`.
fn negated(s: &[u8]) -> [u8; 32] {
    let s = bitcoin::secp256k1::SecretKey::from_slice(s).expect("in range");
    s.negate().secret_bytes()
}

#[test]
fn missing_inputs_and_known_transactions_are_told_apart() {
    let mut lone = Lone::new();
    let parent = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&parent, &bob(), &alice(), FEE);
    assert_eq!(refused(&mut lone, &child), "bad-txns-inputs-missingorspent");
    lone.send(&parent).expect("good");
    lone.mine();
    assert_eq!(refused(&mut lone, &parent), "txn-already-known");
    lone.send(&child).expect("its parent is confirmed");
    let error = lone
        .core
        .test_accept(lone.now, child.clone())
        .expect_err("it is here");
    assert_eq!(error.reject_reason(), "txn-already-in-mempool");
    assert_eq!(error.rpc_code(), -26);
}

#[test]
fn locks_must_have_opened() {
    let mut lone = Lone::new();
    let out = ten_btc() - FEE;
    let at_height = spend(0)
        .sequence(0xffff_fffe)
        .pay(&bob(), out)
        .lock_time(2)
        .sign();
    assert_eq!(refused(&mut lone, &at_height), "non-final");
    let after_a_block = spend(1).sequence(2).pay(&bob(), out).sign();
    assert_eq!(refused(&mut lone, &after_a_block), "non-BIP68-final");
    let parent = pay(&alice(), 2, &bob(), FEE);
    lone.send(&parent).expect("good");
    let on_unconfirmed = Payment::new()
        .spend_output_of(&parent, 0, &bob())
        .sequence(1)
        .pay(&alice(), out - FEE)
        .sign();
    assert_eq!(refused(&mut lone, &on_unconfirmed), "non-BIP68-final");
    lone.mine_many(2);
    for tx in [at_height, after_a_block, on_unconfirmed] {
        lone.send(&tx).expect("open now");
    }
    lone.mine();
    assert!(lone.core.mempool().is_empty());
}

#[test]
fn fees_below_the_floor_are_refused() {
    let mut lone = Lone::new();
    let size = pay(&alice(), 0, &bob(), FEE).vsize() as u64;
    let least = SatPerKvb(100).fee_for(size);
    let too_little = pay(&alice(), 0, &bob(), least - SAT);
    assert_eq!(refused(&mut lone, &too_little), "min relay fee not met");
    lone.send(&pay(&alice(), 0, &bob(), least))
        .expect("just enough");
}

#[test]
fn coinbases_must_mature() {
    let mut lone = Lone::new();
    let block = lone.mine();
    let spend = |lone: &Lone| {
        let _ = lone;
        let fee_paid = block.txdata[0].output[0].value - FEE;
        Payment::new()
            .spend_output_of(&block.txdata[0], 0, &Key::p2tr("miner"))
            .pay(&bob(), fee_paid)
            .sign()
    };
    let tx = spend(&lone);
    lone.mine_many(98);
    assert_eq!(
        refused(&mut lone, &tx),
        "bad-txns-premature-spend-of-coinbase"
    );
    lone.mine();
    lone.send(&tx).expect("mature in the next block");
}

#[test]
fn a_better_payer_takes_the_place_of_what_it_conflicts_with() {
    let mut lone = Lone::new();
    let first = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&first, &bob(), &alice(), FEE);
    let [first_id, child_id] = [&first, &child].map(|tx| lone.send(tx).expect("good"));
    let size = pay(&alice(), 0, &alice(), FEE).vsize() as u64;
    let step = SatPerKvb(100).fee_for(size);
    assert_eq!(
        refused(&mut lone, &pay(&alice(), 0, &alice(), FEE)),
        "insufficient fee"
    );
    let just_short = pay(&alice(), 0, &alice(), FEE * 2 + step - SAT);
    assert_eq!(refused(&mut lone, &just_short), "insufficient fee");
    lone.take_events();
    let better = pay(&alice(), 0, &alice(), FEE * 2 + step);
    let better_id = lone.send(&better).expect("pays for all");
    assert_eq!(lone.pool(), BTreeSet::from([better_id]));
    let reason = RemovalReason::Replaced;
    assert_eq!(
        lone.take_events(),
        [
            NodeEvent::TransactionRemoved {
                txid: child_id,
                reason
            },
            NodeEvent::TransactionRemoved {
                txid: first_id,
                reason
            },
            NodeEvent::TransactionAdded { txid: better_id },
        ]
    );
}

#[test]
fn a_replacement_cannot_depend_on_what_it_replaces() {
    let mut lone = Lone::new();
    let first = pay(&alice(), 0, &bob(), FEE);
    lone.send(&first).expect("good");
    let (outpoint, output) = allocation(&alice(), 0);
    let both = Payment::new()
        .spend(outpoint, &output, &alice())
        .spend_output_of(&first, 0, &bob())
        .pay(&bob(), ten_btc())
        .sign();
    assert_eq!(refused(&mut lone, &both), "bad-txns-spends-conflicting-tx");
}

#[test]
fn at_most_a_hundred_are_replaced() {
    let mut lone = Lone::new();
    // Five allocations, each with a fan of 20 children: 105 conflicts.
    let mut fans = Vec::new();
    for index in 0..5 {
        let part = (ten_btc() - FEE) / 20;
        let fan = (0..20)
            .fold(spend(index), |fan, _| fan.pay(&bob(), part))
            .sign();
        lone.send(&fan).expect("good");
        for vout in 0..20 {
            let payment = Payment::new().spend_output_of(&fan, vout, &bob());
            lone.send(&payment.pay(&alice(), part - FEE).sign())
                .expect("good");
        }
        fans.push(fan);
    }
    let replace = |count: usize| {
        let inputs = (0..count).fold(Payment::new(), |payment, index| {
            let (outpoint, output) = allocation(&alice(), index);
            payment.spend(outpoint, &output, &alice())
        });
        inputs.pay(&bob(), Amount::ONE_BTC).sign()
    };
    assert_eq!(
        refused(&mut lone, &replace(5)),
        "too many potential replacements"
    );
    lone.send(&replace(4)).expect("84 are fine");
    assert_eq!(lone.core.mempool().len(), 105 - 84 + 1);
}

#[test]
fn chains_of_unconfirmed_payments_are_bounded() {
    let mut lone = Lone::new();
    let mut last = pay(&alice(), 0, &alice(), FEE);
    lone.send(&last).expect("good");
    for _ in 1..25 {
        last = pay_on(&last, &alice(), &alice(), FEE);
        lone.send(&last).expect("up to 25");
    }
    let one_more = pay_on(&last, &alice(), &alice(), FEE);
    assert_eq!(refused(&mut lone, &one_more), "too-long-mempool-chain");
    // Replacing the last one keeps the length.
    let mut replacement = last.clone();
    replacement.output[0].value -= FEE * 5;
    let spent = TxOut {
        value: last.output[0].value + FEE,
        script_pubkey: alice().script(),
    };
    alice().sign(&mut replacement, 0, &[spent]);
    lone.send(&replacement).expect("as long as before");
    lone.mine();
    assert!(lone.core.mempool().is_empty(), "25 in one block");
}

#[test]
fn a_full_mempool_drops_the_cheapest_and_raises_the_floor() {
    let options = CoreOptions {
        mempool_bytes: 12_000,
        ..CoreOptions::default()
    };
    let chain = chain::Chain::in_memory(TestChain::params());
    let mut lone = Lone::with(node_core::NodeCore::new(chain, options));
    let send = |lone: &mut Lone, index: usize, fee: u64| {
        let key = if index < 10 { alice() } else { bob() };
        lone.send(&pay(&key, index % 10, &bob(), SAT * fee))
    };
    let mut sent = 0;
    while lone.core.mempool().len() == sent {
        send(&mut lone, sent, 1_000 + sent as u64).expect("good");
        sent += 1;
    }
    let cheapest = pay(&alice(), 0, &bob(), SAT * 1_000).compute_txid();
    assert!(lone.core.mempool().get(&cheapest).is_none());
    assert!(lone.core.mempool().memory_bytes() <= 12_000);
    assert_eq!(
        send(&mut lone, 0, 1_000),
        Err("mempool min fee not met".to_owned())
    );
    let floor = lone.core.mempool().min_fee(lone.now.wall);
    assert!(floor > SatPerKvb(100));
    send(&mut lone, 0, 20_000).expect("pays more than the floor");
    lone.mine();
    lone.pass(Duration::from_secs(24 * 3_600));
    let later = lone.core.mempool().min_fee(lone.now.wall);
    assert!(later < floor, "it falls when blocks come");
}

#[test]
fn who_waits_too_long_has_to_go() {
    let mut lone = Lone::new();
    let tx = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&tx, &bob(), &alice(), FEE);
    let txid = lone.send(&tx).expect("good");
    lone.pass(Duration::from_secs(335 * 3_600));
    let child_id = lone.send(&child).expect("good");
    lone.take_events();
    lone.pass(Duration::from_secs(2 * 3_600));
    let gone = lone.take_events();
    for txid in [txid, child_id] {
        let reason = RemovalReason::Expired;
        assert!(gone.contains(&NodeEvent::TransactionRemoved { txid, reason }));
    }
    assert!(lone.core.mempool().is_empty());
}

#[test]
fn a_block_that_spends_a_coin_another_way_pushes_out_the_loser_and_its_children() {
    let mut lone = Lone::new();
    let mut other = Lone::new();
    let loser = pay(&alice(), 0, &bob(), FEE * 10);
    let child = pay_on(&loser, &bob(), &alice(), FEE);
    let bystander = pay(&alice(), 1, &bob(), FEE);
    let ids: Vec<Txid> = [&loser, &child, &bystander]
        .map(|tx| lone.send(tx).expect("good"))
        .to_vec();
    other.send(&pay(&alice(), 0, &alice(), FEE)).expect("good");
    let block = other.mine();
    lone.take_events();
    lone.now = other.now;
    lone.submit(&block);
    assert_eq!(lone.pool(), BTreeSet::from([ids[2]]));
    let events = lone.take_events();
    for txid in &ids[..2] {
        let reason = RemovalReason::Conflict;
        assert!(events.contains(&NodeEvent::TransactionRemoved {
            txid: *txid,
            reason
        }));
    }
}

#[test]
fn a_reorg_gives_payments_back_in_order_and_drops_what_lost_its_ground() {
    //   G - a1 (parent) - a2 .. a101 - a102 (child, spend of a1's coinbase)
    //     \ back to a1's parent: the coinbase never was, the payments wait again
    let mut lone = Lone::new();
    let parent = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&parent, &bob(), &alice(), FEE);
    let first = lone.mine();
    let reward = Payment::new()
        .spend_output_of(&first.txdata[0], 0, &Key::p2tr("miner"))
        .pay(&bob(), first.txdata[0].output[0].value - FEE)
        .sign();
    lone.send(&parent).expect("good");
    lone.mine_many(100);
    let ids = [&child, &reward].map(|tx| lone.send(tx).expect("good"));
    let unconfirmed = pay_on(&child, &alice(), &bob(), FEE);
    lone.mine();
    let unconfirmed_id = lone.send(&unconfirmed).expect("good");
    lone.take_events();

    let now = lone.now;
    let hash = first.block_hash();
    lone.core
        .invalidate_block(now, &hash, &mut lone.out)
        .expect("known");
    assert_eq!(lone.core.chain().tip().height.0, 0, "all blocks go");
    assert_eq!(
        lone.pool(),
        BTreeSet::from([parent.compute_txid(), ids[0], unconfirmed_id])
    );
    let entry = lone.core.mempool().get(&unconfirmed_id).expect("it stayed");
    assert_eq!(entry.ancestors.count, 3, "found its ancestors again");
    lone.mine();
    assert!(lone.core.mempool().is_empty());

    let now = lone.now;
    lone.core
        .reconsider_block(now, &hash, &mut lone.out)
        .expect("known");
    assert_eq!(lone.core.chain().tip().height.0, 102);
    assert_eq!(lone.pool(), BTreeSet::from([unconfirmed_id]));
}

#[test]
fn templates_take_parents_first_and_rich_children_pull_them_in() {
    let mut lone = Lone::new();
    let poor = pay(&alice(), 0, &bob(), SAT * 100);
    let rich = pay_on(&poor, &bob(), &alice(), SAT * 50_000);
    let middle = pay(&alice(), 1, &bob(), SAT * 5_000);
    let [poor_id, rich_id, middle_id] =
        [&poor, &rich, &middle].map(|tx| lone.send(tx).expect("good"));
    let template = lone.core.template(lone.now).expect("never refused");
    let order: Vec<Txid> = template.transactions.iter().map(|tx| tx.txid).collect();
    assert_eq!(order, [poor_id, rich_id, middle_id]);
    assert_eq!(template.transactions[1].depends, [1]);
    assert_eq!(template.coinbase_value, Amount::ONE_BTC * 50 + SAT * 55_100);
    let again = lone.core.template(lone.now).expect("never refused");
    assert!(
        std::sync::Arc::ptr_eq(&template.transactions, &again.transactions),
        "kept"
    );
    let one = template.build(&bob().script(), 1);
    let two = template.build(&bob().script(), 2);
    assert_ne!(one.header.merkle_root, two.header.merkle_root);
    lone.mine();
    assert!(lone.core.mempool().is_empty());
}

#[test]
fn nothing_is_known_of_transactions_that_never_came() {
    let lone = Lone::new();
    let txid = Txid::all_zeros();
    assert!(lone.core.mempool().get(&txid).is_none());
    assert!(lone.core.mempool().ancestors(&txid).is_empty());
    assert!(
        lone.core
            .mempool()
            .spender(&OutPoint { txid, vout: 0 })
            .is_none()
    );
}
