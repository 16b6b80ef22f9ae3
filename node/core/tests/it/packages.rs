//! Packages: what the mempool takes together that it would not take alone, and that it forgets what was only tested.

use std::sync::Arc;

use bitcoin::{Amount, Transaction, Wtxid};
use chain::fixtures::Payment;
use node_core::events::NodeEvent;
use node_core::mempool::SatPerKvb;
use node_core::mempool::package::{Fit, Judgement, PackageOutcome};

use crate::support::{FEE, Lone, alice, bob, pay, pay_on};

fn package(list: &[&Transaction]) -> Vec<Arc<Transaction>> {
    list.iter()
        .map(|tx| Arc::new(Transaction::clone(tx)))
        .collect()
}

fn submit(lone: &mut Lone, list: &[&Transaction]) -> PackageOutcome {
    submit_up_to(lone, list, None)
}

fn submit_up_to(lone: &mut Lone, list: &[&Transaction], max: Option<SatPerKvb>) -> PackageOutcome {
    let now = lone.now;
    lone.core
        .submit_package(now, &package(list), max, &mut lone.out)
        .expect("there is room on the disk")
}

/// What is said of each: `ok`, `here`, `other`, `-`, or the reason against it.
fn words(judgements: &[Judgement]) -> Vec<String> {
    let word = |judgement: &Judgement| match judgement {
        Judgement::Fit(_) => "ok".to_owned(),
        Judgement::AlreadyHere { .. } => "here".to_owned(),
        Judgement::OtherWitness(_) => "other".to_owned(),
        Judgement::NotJudged => "-".to_owned(),
        Judgement::Refused(error) => error.reject_reason().into_owned(),
    };
    judgements.iter().map(word).collect()
}

fn test(lone: &mut Lone, list: &[&Transaction]) -> Vec<String> {
    let (pool, sequence) = (lone.pool(), lone.core.mempool().sequence());
    lone.take_events();
    let now = lone.now;
    let judgements = lone.core.test_package(now, &package(list), &mut lone.out);
    assert_eq!(lone.pool(), pool, "nothing is kept");
    assert_eq!(lone.core.mempool().sequence(), sequence);
    assert!(lone.take_events().is_empty(), "nobody is told");
    words(&judgements)
}

fn fits(outcome: &PackageOutcome) -> Vec<&Fit> {
    let fits = outcome.judgements.iter().map(|judgement| match judgement {
        Judgement::Fit(fit) => fit,
        other => panic!("{other:?}"),
    });
    fits.collect()
}

/// A child of all of `parents`, each of which pays bob with its first output.
fn child_of(parents: &[&Transaction], fee: Amount) -> Transaction {
    let worth: Amount = parents.iter().map(|parent| parent.output[0].value).sum();
    let spend = parents.iter().fold(Payment::new(), |payment, parent| {
        payment.spend_output_of(parent, 0, &bob())
    });
    spend.pay(&alice(), worth - fee).sign()
}

#[test]
fn a_child_pays_for_parents_that_pay_nothing() {
    let mut lone = Lone::new();
    let a = pay(&alice(), 0, &bob(), Amount::ZERO);
    let b = pay(&alice(), 1, &bob(), Amount::ZERO);
    let child = child_of(&[&a, &b], FEE);
    assert_eq!(lone.send(&a), Err("min relay fee not met".to_owned()));
    lone.take_events();

    let outcome = submit(&mut lone, &[&a, &b, &child]);
    assert!(outcome.is_success(), "{outcome:?}");
    let wtxids: Vec<Wtxid> = [&a, &b, &child].map(Transaction::compute_wtxid).to_vec();
    for fit in fits(&outcome) {
        assert_eq!(fit.includes, wtxids);
        assert_eq!(fit.effective.fee, FEE);
        assert_eq!(
            fit.effective.vsize,
            (a.vsize() + b.vsize() + child.vsize()) as u64
        );
    }
    let added = lone
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            NodeEvent::TransactionAdded { txid } => Some(txid),
            _ => None,
        });
    assert_eq!(
        added.collect::<Vec<_>>(),
        [a.compute_txid(), b.compute_txid(), child.compute_txid()]
    );
    // They are worth mining together.
    let block = lone.mine();
    assert_eq!(block.txdata.len(), 4);
    assert!(lone.pool().is_empty());
}

#[test]
fn what_is_good_alone_does_not_share_its_fee() {
    let mut lone = Lone::new();
    let rich = pay(&alice(), 0, &bob(), FEE);
    let poor = pay(&alice(), 1, &bob(), Amount::ZERO);
    let child = child_of(&[&rich, &poor], FEE);
    let outcome = submit(&mut lone, &[&rich, &poor, &child]);
    let fits = fits(&outcome);
    assert_eq!(fits[0].includes, [rich.compute_wtxid()]);
    assert_eq!(
        fits[1].includes,
        [poor.compute_wtxid(), child.compute_wtxid()]
    );
    assert_eq!(fits[1].effective, fits[2].effective);

    // A child that pays too little for both is refused with its parent, and the rich one stays.
    let mut lone = Lone::new();
    let child = child_of(&[&rich, &poor], Amount::ONE_SAT);
    let outcome = submit(&mut lone, &[&rich, &poor, &child]);
    assert_eq!(
        words(&outcome.judgements),
        ["ok", "min relay fee not met", "min relay fee not met"]
    );
    assert!(!outcome.is_success());
    assert_eq!(lone.pool().len(), 1);
}

#[test]
fn one_bad_transaction_ends_the_judging_together() {
    let mut lone = Lone::new();
    let poor = pay(&alice(), 0, &bob(), Amount::ZERO);
    let mut forged = pay(&alice(), 1, &bob(), FEE);
    forged.output[0].value -= Amount::ONE_SAT;
    let child = child_of(&[&poor, &forged], FEE);
    let outcome = submit(&mut lone, &[&poor, &forged, &child]);
    assert_eq!(
        words(&outcome.judgements),
        [
            "min relay fee not met",
            "mempool-script-verify-flag-failed (Invalid Schnorr signature)",
            "bad-txns-inputs-missingorspent"
        ]
    );
    assert!(lone.pool().is_empty());

    // The child alone is bad: the parents were put in for it, and are taken out again.
    let mut child = child_of(&[&poor], FEE);
    child.output[0].value -= Amount::ONE_SAT;
    let outcome = submit(&mut lone, &[&poor, &child]);
    assert!(
        words(&outcome.judgements)[1].contains("script-verify"),
        "{outcome:?}"
    );
    assert!(lone.pool().is_empty());
    assert_eq!(
        lone.core.mempool().totals(),
        Lone::new().core.mempool().totals()
    );
}

#[test]
fn a_package_is_sent_again_without_harm() {
    let mut lone = Lone::new();
    let parent = pay(&alice(), 0, &bob(), Amount::ZERO);
    let child = child_of(&[&parent], FEE);
    submit(&mut lone, &[&parent, &child]);
    let again = submit(&mut lone, &[&parent, &child]);
    assert_eq!(words(&again.judgements), ["here", "here"]);
    assert!(again.is_success());
    // The parent with another signature is the same transaction.
    let mut other = parent.clone();
    let mut signature = other.input[0].witness.nth(0).expect("one").to_vec();
    signature[0] ^= 1;
    other.input[0].witness = bitcoin::Witness::from_slice(&[signature]);
    let outcome = submit(&mut lone, &[&other, &child]);
    assert_eq!(words(&outcome.judgements), ["other", "here"]);
}

#[test]
fn alone_one_replaces_and_together_none_does() {
    let mut lone = Lone::new();
    let first = pay(&alice(), 0, &bob(), FEE);
    lone.send(&first).expect("good");
    let better = pay(&alice(), 0, &bob(), FEE * 3);
    let child = child_of(&[&better], FEE);
    let outcome = submit(&mut lone, &[&better, &child]);
    assert!(outcome.is_success(), "{outcome:?}");
    assert!(outcome.replaced.contains(&first.compute_txid()));

    let cheaper = pay(&alice(), 0, &bob(), Amount::ZERO);
    let rich_child = child_of(&[&cheaper], FEE * 100);
    let outcome = submit(&mut lone, &[&cheaper, &rich_child]);
    assert_eq!(
        words(&outcome.judgements)[0],
        "bip125-replacement-disallowed",
        "{outcome:?}"
    );
    assert!(!lone.pool().contains(&cheaper.compute_txid()));
    assert!(lone.pool().contains(&child.compute_txid()));
}

#[test]
fn nobody_pays_more_than_was_meant() {
    let mut lone = Lone::new();
    let parent = pay(&alice(), 0, &bob(), Amount::ZERO);
    let child = child_of(&[&parent], Amount::ONE_BTC);
    let outcome = submit_up_to(&mut lone, &[&parent, &child], Some(SatPerKvb(10_000_000)));
    assert_eq!(
        words(&outcome.judgements),
        ["min relay fee not met", "max feerate exceeded"]
    );
    assert!(lone.pool().is_empty());
    let alone = pay(&alice(), 1, &bob(), Amount::ONE_BTC);
    let outcome = submit_up_to(&mut lone, &[&alone], Some(SatPerKvb(10_000_000)));
    assert_eq!(words(&outcome.judgements), ["max feerate exceeded"]);
}

#[test]
fn limits_on_chains_count_what_comes_together() {
    let mut lone = Lone::new();
    let mut last = pay(&alice(), 0, &bob(), FEE);
    lone.send(&last).expect("good");
    let mut payer = (bob(), alice());
    for _ in 0..23 {
        let next = pay_on(&last, &payer.0, &payer.1, FEE);
        lone.send(&next).expect("good");
        payer = (payer.1, payer.0);
        last = next;
    }
    // 24 are here: one more is the last that fits.
    let parent = pay_on(&last, &payer.0, &payer.1, Amount::ZERO);
    let child = pay_on(&parent, &payer.1, &payer.0, FEE);
    let outcome = submit(&mut lone, &[&parent, &child]);
    assert_eq!(words(&outcome.judgements)[1], "too-long-mempool-chain");
    assert_eq!(lone.pool().len(), 24);
}

#[test]
fn a_test_of_several_lets_the_later_spend_the_earlier() {
    let mut lone = Lone::new();
    let parent = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&parent, &bob(), &alice(), FEE);
    let grandchild = pay_on(&child, &alice(), &bob(), FEE);
    assert_eq!(
        test(&mut lone, &[&parent, &child, &grandchild]),
        ["ok", "ok", "ok"]
    );
    assert_eq!(
        test(&mut lone, &[&child]),
        ["bad-txns-inputs-missingorspent"]
    );
    // Each pays for itself here, as in Core.
    let poor = pay(&alice(), 1, &bob(), Amount::ZERO);
    let payer = child_of(&[&poor], FEE);
    assert_eq!(
        test(&mut lone, &[&poor, &payer]),
        ["min relay fee not met", "-"]
    );
    let mut forged = child.clone();
    forged.output[0].value -= Amount::ONE_SAT;
    let judgements = test(&mut lone, &[&parent, &forged, &grandchild]);
    assert_eq!((judgements[0].as_str(), judgements[2].as_str()), ("-", "-"));
    assert!(judgements[1].contains("script-verify"), "{judgements:?}");
    // One alone may replace, several may not.
    lone.send(&parent).expect("good");
    let better = pay(&alice(), 0, &bob(), FEE * 3);
    assert_eq!(test(&mut lone, &[&better]), ["ok"]);
    let other = pay(&alice(), 2, &bob(), FEE);
    assert_eq!(
        test(&mut lone, &[&other, &better]),
        ["-", "bip125-replacement-disallowed"]
    );
    assert_eq!(
        test(&mut lone, &[&parent, &other]),
        ["txn-already-in-mempool", "-"]
    );
}

#[test]
fn what_was_tested_or_refused_leaves_the_next_block_as_it_was() {
    let mut lone = Lone::new();
    let kept = pay(&alice(), 3, &bob(), FEE);
    lone.send(&kept).expect("good");
    let parent = pay(&alice(), 0, &bob(), FEE);
    let child = pay_on(&parent, &bob(), &alice(), FEE);
    test(&mut lone, &[&parent, &child]);
    let block = lone.mine();
    assert_eq!(block.txdata.len(), 2);
    assert_eq!(block.txdata[1].compute_txid(), kept.compute_txid());
}
