//! Transactions of peers with many signatures: judged one at a time, by what the host found of them without the core.

use bitcoin::{Amount, Transaction, Txid, Witness};
use chain::fixtures::Payment;
use node_core::{Input, Output};
use p2p::sync::GossipId;
use p2p::wire::{Gossip, Verdict};
use p2p::{Direction, PeerNum};

use crate::support::{FEE, Lone, alice, allocations, bob};

const MALLORY: PeerNum = PeerNum(7);
const CAROL: PeerNum = PeerNum(8);
const INPUTS: u32 = 10;

/// A core with two peers, and a mined payment of many outputs to alice.
fn scene() -> (Lone, Transaction) {
    let mut lone = Lone::new();
    let outpoint = allocations(&alice())[0];
    let genesis = &chain::fixtures::TestChain::params().genesis;
    let output = &genesis.txdata[1].output[outpoint.vout as usize];
    let mut split = Payment::new().spend(outpoint, output, &alice());
    for _ in 0..2 * INPUTS {
        split = split.pay(&alice(), Amount::from_sat(100_000));
    }
    let split = split.sign();
    lone.send(&split).expect("good");
    lone.mine();
    for peer in [MALLORY, CAROL] {
        lone.handle(Input::PeerUp {
            peer,
            peer_id: format!("12D3KooW{:044}", peer.0),
            address: format!("/ip4/127.0.0.1/tcp/{}", 20_000 + peer.0),
            direction: Direction::Inbound,
            agent: "test".to_owned(),
        });
    }
    lone.out.clear();
    (lone, split)
}

/// Spends ten outputs of `parent` from `first` on.
fn costly(parent: &Transaction, first: u32) -> Transaction {
    let spend = |payment: Payment, vout| payment.spend_output_of(parent, vout, &alice());
    (first..first + INPUTS)
        .fold(Payment::new(), spend)
        .pay(&bob(), Amount::from_sat(500_000))
        .sign()
}

/// The same with a last signature that is none.
fn spoilt(mut tx: Transaction) -> Transaction {
    let last = tx.input.last_mut().expect("inputs");
    let mut parts: Vec<Vec<u8>> = last.witness.to_vec();
    parts[0][10] ^= 1;
    last.witness = Witness::from_slice(&parts);
    tx
}

fn gossip(lone: &mut Lone, peer: PeerNum, id: u64, tx: &Transaction) {
    lone.handle(Input::Gossip {
        peer,
        id: GossipId(id),
        gossip: Gossip::Transaction(tx.clone().into()),
    });
}

/// Does what the node's host does before a tick. Gives what was checked.
fn check_and_tick(lone: &mut Lone) -> Option<(PeerNum, bool)> {
    let found = lone.core.unchecked_signatures(lone.now);
    let checked = found.map(|(peer, signatures)| {
        let checked = signatures.check();
        let is_good = checked.is_ok();
        match checked {
            Ok(()) => lone.core.signatures().insert(signatures.wtxid()),
            Err(error) => lone.core.note_bad_signature(signatures.wtxid(), error),
        }
        (peer, is_good)
    });
    lone.handle(Input::Tick);
    checked
}

fn verdicts(lone: &mut Lone) -> Vec<(u64, Verdict)> {
    let verdict = |output: &Output| match output {
        Output::Verdict { id, verdict } => Some((id.0, *verdict)),
        _ => None,
    };
    lone.out.iter().filter_map(verdict).collect()
}

fn sent_away(lone: &Lone) -> Vec<PeerNum> {
    let gone = |output: &Output| match output {
        Output::Disconnect { peer, .. } => Some(*peer),
        _ => None,
    };
    lone.out.iter().filter_map(gone).collect()
}

fn pool(lone: &Lone) -> Vec<Txid> {
    lone.pool().into_iter().collect()
}

#[test]
fn many_signatures_wait_for_a_call_of_their_own() {
    let (mut lone, split) = scene();
    let good = costly(&split, 0);
    gossip(&mut lone, CAROL, 1, &good);
    assert_eq!(verdicts(&mut lone), []);
    let now = lone.now.mono;
    let wakes = |output: &Output| matches!(output, Output::WakeAt(at) if *at == now);
    assert!(lone.out.iter().any(wakes), "it goes on at once");
    gossip(&mut lone, MALLORY, 2, &good);
    assert_eq!(verdicts(&mut lone), [(2, Verdict::Ignore)], "it waits here");
    assert_eq!(check_and_tick(&mut lone), Some((CAROL, true)));
    assert_eq!(
        verdicts(&mut lone),
        [(2, Verdict::Ignore), (1, Verdict::Accept)]
    );
    assert_eq!(pool(&lone), [good.compute_txid()]);
}

/// Who believes the host has not checked anything itself: it takes what the host says is good.
#[test]
fn the_core_checks_no_signature_that_its_host_has_checked() {
    let (mut lone, split) = scene();
    let bad = spoilt(costly(&split, 0));
    gossip(&mut lone, CAROL, 1, &bad);
    lone.core.signatures().insert(bad.compute_wtxid());
    assert!(lone.core.unchecked_signatures(lone.now).is_none(), "known");
    lone.handle(Input::Tick);
    assert_eq!(verdicts(&mut lone), [(1, Verdict::Accept)]);
    // And it refuses what the host says is bad.
    let (mut lone, split) = scene();
    let (bad, good) = (spoilt(costly(&split, 0)), costly(&split, 0));
    gossip(&mut lone, CAROL, 1, &bad);
    let (_, unchecked) = lone.core.unchecked_signatures(lone.now).expect("unchecked");
    let error = unchecked.check().expect_err("it is bad");
    lone.core.note_bad_signature(good.compute_wtxid(), error);
    lone.handle(Input::Tick);
    assert_eq!(
        verdicts(&mut lone),
        [(1, Verdict::Reject)],
        "what was said of another does not count"
    );
}

#[test]
fn a_simulated_host_leaves_the_checking_to_the_core() {
    let (mut lone, split) = scene();
    gossip(&mut lone, CAROL, 1, &costly(&split, 0));
    gossip(&mut lone, MALLORY, 2, &spoilt(costly(&split, INPUTS)));
    lone.handle(Input::Tick);
    assert_eq!(verdicts(&mut lone), [(1, Verdict::Accept)], "one at a time");
    lone.handle(Input::Tick);
    assert_eq!(
        verdicts(&mut lone),
        [(1, Verdict::Accept), (2, Verdict::Reject)]
    );
    assert_eq!(sent_away(&lone), [MALLORY]);
}

#[test]
fn who_is_sent_away_for_one_transaction_gets_no_other_checked() {
    let (mut lone, split) = scene();
    let bad = spoilt(costly(&split, 0));
    gossip(&mut lone, MALLORY, 1, &bad);
    for id in 2..5 {
        let mut other = spoilt(costly(&split, INPUTS));
        other.lock_time = bitcoin::absolute::LockTime::from_consensus(id);
        gossip(&mut lone, MALLORY, id.into(), &other);
    }
    let good = costly(&split, INPUTS);
    gossip(&mut lone, CAROL, 9, &good);
    assert_eq!(check_and_tick(&mut lone), Some((MALLORY, false)));
    assert_eq!(sent_away(&lone), [MALLORY]);
    // What came before it is gone, and comes too late.
    gossip(&mut lone, MALLORY, 10, &spoilt(costly(&split, 5)));
    assert_eq!(check_and_tick(&mut lone), Some((CAROL, true)));
    let mut all = verdicts(&mut lone);
    all.sort_by_key(|(id, _)| *id);
    let ignored = |id| (id, Verdict::Ignore);
    let [second, third, fourth, late] = [2, 3, 4, 10].map(ignored);
    let (first, good_one) = ((1, Verdict::Reject), (9, Verdict::Accept));
    assert_eq!(all, [first, second, third, fourth, good_one, late]);
    assert_eq!(pool(&lone), [good.compute_txid()]);
    assert_eq!(check_and_tick(&mut lone), None);
}

/// The parent of both: its outputs are alice's, and it is not here yet.
fn family(split: &Transaction) -> (Transaction, Transaction, Transaction) {
    let mut parent = Payment::new().spend_output_of(split, 0, &alice());
    for _ in 0..INPUTS {
        parent = parent.pay(&alice(), Amount::from_sat(9_000));
    }
    let parent = parent.sign();
    let spend = |payment: Payment, vout| payment.spend_output_of(&parent, vout, &alice());
    let large = (0..INPUTS - 1)
        .fold(Payment::new(), spend)
        .pay(&bob(), Amount::from_sat(60_000))
        .sign();
    let small = Payment::new()
        .spend_output_of(&parent, INPUTS - 1, &alice())
        .pay(&bob(), Amount::from_sat(9_000) - FEE)
        .sign();
    (parent, large, small)
}

#[test]
fn an_orphan_with_many_signatures_is_adopted_in_a_call_of_its_own() {
    let (mut lone, split) = scene();
    let (parent, large, small) = family(&split);
    gossip(&mut lone, CAROL, 1, &large);
    gossip(&mut lone, CAROL, 2, &small);
    check_and_tick(&mut lone);
    assert_eq!(lone.core.orphan_count(), 2);
    lone.out.clear();
    gossip(&mut lone, CAROL, 3, &parent);
    assert_eq!(lone.pool().len(), 2, "parent and small child");
    assert_eq!(check_and_tick(&mut lone), Some((CAROL, true)));
    assert_eq!(lone.pool().len(), 3);
    let told = |output: &&Output| matches!(output, Output::Publish(Gossip::Again { .. }));
    assert_eq!(lone.out.iter().filter(told).count(), 2);
    assert_eq!(lone.core.orphan_count(), 0);
}

#[test]
fn an_invalid_orphan_is_held_against_who_gave_it() {
    for is_large in [false, true] {
        let (mut lone, split) = scene();
        let (parent, large, small) = family(&split);
        let orphan = spoilt(if is_large { large } else { small });
        gossip(&mut lone, MALLORY, 1, &orphan);
        check_and_tick(&mut lone);
        assert_eq!(lone.core.orphan_count(), 1);
        gossip(&mut lone, CAROL, 2, &parent);
        check_and_tick(&mut lone);
        assert_eq!(sent_away(&lone), [MALLORY]);
        assert_eq!(pool(&lone), [parent.compute_txid()]);
    }
}
