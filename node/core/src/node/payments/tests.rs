use bitcoin::Amount;
use chain::fixtures::{Key, Payment, TestChain};
use p2p::{PeerGroup, PeerNum};

use super::*;
use crate::mempool::Sender;

const SENDER: Sender = Sender {
    peer: PeerNum(1),
    group: PeerGroup(0),
};

/// Payments beside a chain, driven by hand.
struct Scene {
    chain: TestChain,
    payments: Payments,
    nonces: SplitMix64,
    out: Vec<Output>,
    disk_low: bool,
}

impl Scene {
    fn new() -> Scene {
        Scene {
            chain: TestChain::new(),
            payments: Payments::new(Mempool::new(0), Arc::default()),
            nonces: SplitMix64::new(7),
            out: Vec::new(),
            disk_low: false,
        }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Payments, &mut Scope<'_>) -> T) -> T {
        let chain = self.chain.chain();
        let mut scope = Scope {
            chain,
            now: Timestamp(chain.params().genesis.header.time + 60),
            disk_low: self.disk_low,
            nonces: &mut self.nonces,
            out: &mut self.out,
        };
        act(&mut self.payments, &mut scope)
    }

    fn gossip(&mut self, transaction: &Transaction) -> FromPeer {
        let transaction = Arc::new(transaction.clone());
        self.with(|payments, scope| payments.take_gossip(transaction, scope))
            .expect("storage works")
    }

    /// A payment of alice's, and one that spends its change.
    fn parent_and_child(&mut self) -> (Transaction, Transaction) {
        let [alice, bob] = TestChain::rich_keys();
        let parent = self.chain.pay(&alice, &bob, Amount::ONE_BTC);
        (parent.clone(), spend_change(&parent, &alice, &bob))
    }

    /// What is to be told to peers: ids, with a mark where it is told again.
    fn published(&mut self) -> Vec<String> {
        let published = self.out.drain(..).filter_map(|output| match output {
            Output::Publish(Gossip::Transaction(tx)) => Some(tx.compute_txid().to_string()),
            Output::Publish(Gossip::Again { transaction, .. }) => {
                Some(format!("again {}", transaction.compute_txid()))
            }
            _ => None,
        });
        published.collect()
    }
}

fn spend_change(parent: &Transaction, from: &Key, to: &Key) -> Transaction {
    let amount = parent.output[1].value - Amount::from_sat(1_000);
    Payment::new()
        .spend_output_of(parent, 1, from)
        .pay(to, amount)
        .sign()
}

#[test]
fn an_orphan_waits_for_its_parent_and_is_told_after_it() {
    let mut scene = Scene::new();
    let (parent, child) = scene.parent_and_child();
    let FromPeer::MissingInput(orphan) = scene.gossip(&child) else {
        panic!("its parent is not here");
    };
    let missing = scene.with(|payments, scope| payments.keep_orphan(orphan, SENDER, scope.chain));
    assert_eq!(missing.expect("storage works"), [parent.compute_txid()]);
    assert_eq!(scene.payments.orphan_count(), 1);
    assert!(matches!(scene.gossip(&child), FromPeer::Ignored), "seen");
    let FromPeer::Taken(txid) = scene.gossip(&parent) else {
        panic!("it is good");
    };
    assert_eq!(
        scene.published(),
        [""; 0],
        "forwarding is up to the verdict"
    );
    scene
        .with(|payments, scope| payments.adopt_children(txid, scope))
        .expect("storage works");
    let told = format!("again {}", child.compute_txid());
    assert_eq!(scene.published(), [told]);
    assert_eq!(scene.payments.orphan_count(), 0);
    assert_eq!(scene.payments.pool().len(), 2);
}

#[test]
fn what_nobody_honest_passes_on_is_told_apart_from_what_is_not_wanted_here() {
    let mut scene = Scene::new();
    let (parent, _) = scene.parent_and_child();
    let mut forged = parent.clone();
    forged.output[0].value -= Amount::ONE_SAT;
    assert!(matches!(scene.gossip(&forged), FromPeer::Invalid(_)));
    scene.disk_low = true;
    assert!(matches!(scene.gossip(&parent), FromPeer::Ignored));
    assert!(scene.payments.pool().is_empty());
    scene.disk_low = false;
    assert!(matches!(scene.gossip(&parent), FromPeer::Taken(_)));
}

#[test]
fn an_own_payment_is_told_and_told_again_when_it_comes_again() {
    let mut scene = Scene::new();
    let (parent, _) = scene.parent_and_child();
    let txid = parent.compute_txid();
    for told in [format!("{txid}"), format!("again {txid}")] {
        let parent = parent.clone();
        let submitted = scene.with(|payments, scope| payments.submit(parent, scope));
        assert_eq!(submitted.expect("it is good"), txid);
        assert_eq!(scene.published(), [told]);
    }
}

#[test]
fn a_block_confirms_what_waits_and_brings_orphans_their_parents() {
    let mut scene = Scene::new();
    let (parent, child) = scene.parent_and_child();
    let orphan = Arc::new(child.clone());
    scene
        .with(|payments, scope| payments.keep_orphan(orphan, SENDER, scope.chain))
        .expect("storage works");
    let before = scene.chain.chain().tip().hash;
    scene.chain.including(&parent).mine("a1");
    let change = scene.chain.chain().change_from(&before);
    let change = change.expect("the tip has moved");
    scene
        .with(|payments, scope| payments.follow(&change, scope))
        .expect("storage works");
    let told = format!("again {}", child.compute_txid());
    assert_eq!(scene.published(), [told]);
    let now = Timestamp(scene.chain.block("a1").header.time + 60);
    let template = scene.payments.template(scene.chain.chain(), now);
    let template = template.expect("a block can be made");
    let selected = template.transactions.iter();
    let ids: Vec<_> = selected.map(|tx| tx.transaction.compute_txid()).collect();
    assert_eq!(ids, [child.compute_txid()]);
}
