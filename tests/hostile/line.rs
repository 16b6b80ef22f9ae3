//! Nobody hostile: a line of five nodes, where each has news from its neighbours alone, and payments that come in an awkward order.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, OutPoint, Transaction, Txid};
use chain::fixtures::{Key, Payment};
use serde_json::json;

use crate::judge::Cost;
use crate::peer::{HostilePeer, Manners, Topic};
use crate::scene::Scene;
use crate::support::node::Node;
use crate::wire;

const NODES: usize = 5;
/// The node that is cut off: on both sides of it there are two.
const MIDDLE: usize = 2;
const FEE: Amount = Amount::from_sat(1_000);
/// Seconds that mempools may take to become equal.
const STATED: f64 = 5.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// Five nodes, each connected to the one before and the one after.
struct Line {
    scene: Scene,
    nodes: Vec<Node>,
    /// Coins that were not spent yet.
    coins: std::vec::IntoIter<usize>,
    sent: BTreeSet<Txid>,
}

impl Line {
    fn new() -> Line {
        let scene = Scene::new();
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..NODES {
            let mut arguments = vec!["--no-discovery"];
            if let Some(before) = nodes.last() {
                arguments.extend(["--connect", &before.address]);
            }
            let node = scene.start(&format!("node-{number}"), &arguments);
            nodes.push(node);
        }
        let coins = scene.served.chain.params.genesis.txdata[1].output.len();
        let line = Line {
            scene,
            nodes,
            coins: (0..coins).collect::<Vec<_>>().into_iter(),
            sent: BTreeSet::new(),
        };
        line.wait_until_whole();
        line
    }

    fn wait_until_whole(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            let neighbours = if number == 0 || number == NODES - 1 {
                1
            } else {
                2
            };
            node.wait_until("the line is whole", |node| node.connections() >= neighbours);
        }
    }

    /// So many payments of which each spends the one before, oldest first.
    fn family(&mut self, members: usize) -> Vec<Transaction> {
        let coins = &self.scene.served.chain.params.genesis.txdata[1];
        let key = Key::p2tr("payer");
        let coin = self.coins.next().expect("coins are left");
        let outpoint = OutPoint {
            txid: coins.compute_txid(),
            vout: u32::try_from(coin).expect("few"),
        };
        let output = &coins.output[coin];
        let first = Payment::new()
            .spend(outpoint, output, &key)
            .pay(&key, output.value - FEE)
            .sign();
        let mut family = vec![first];
        while family.len() < members {
            let parent = family.last().expect("one at least");
            let child = Payment::new()
                .spend_output_of(parent, 0, &key)
                .pay(&key, parent.output[0].value - FEE)
                .sign();
            family.push(child);
        }
        self.sent
            .extend(family.iter().map(Transaction::compute_txid));
        family
    }

    /// Pays by the call of a wallet.
    fn pay(&self, node: usize, tx: &Transaction) {
        self.nodes[node].call("sendrawtransaction", json!([serialize_hex(tx)]));
    }

    /// A peer of `node` that gossips what it is told, and answers nothing.
    fn gossiper(&self, node: usize) -> HostilePeer {
        HostilePeer::join(
            &self.nodes[node].address,
            Manners::silent(&self.scene.network()),
        )
    }

    fn mempool(&self, node: usize) -> BTreeSet<Txid> {
        let told = self.nodes[node].call("getrawmempool", json!([]));
        serde_json::from_value(told).expect("ids")
    }

    /// Payments that wait for their parents.
    fn orphans(&self, node: usize) -> usize {
        self.nodes[node].metric("mend_mempool_orphans") as usize
    }

    /// Seconds until every mempool holds all that was sent.
    fn seconds_until_equal(&self) -> f64 {
        let began = Instant::now();
        loop {
            let missing: Vec<usize> = (0..NODES)
                .map(|node| self.sent.difference(&self.mempool(node)).count())
                .collect();
            if missing.iter().all(|missing| *missing == 0) {
                return began.elapsed().as_secs_f64();
            }
            assert!(
                began.elapsed() < PATIENCE,
                "of {} payments the nodes lack {missing:?}",
                self.sent.len()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn judge(&self, scene: &'static str) {
        let cost = Cost {
            attack: scene,
            measure: "seconds until all mempools are equal",
            without: 0.0,
            with: self.seconds_until_equal(),
        };
        cost.at_most(1.0, STATED, 4.0);
        for node in &self.nodes {
            assert_eq!(
                node.call("listbanned", json!([])),
                json!([]),
                "nobody is to blame"
            );
        }
    }
}

fn gossip_in_reverse(peer: &HostilePeer, family: &[Transaction]) {
    for member in family.iter().rev() {
        peer.gossip(Topic::Transactions, wire::gossiped(member));
    }
}

#[test]
fn families_that_come_in_reverse_reach_all_of_a_line() {
    let mut line = Line::new();
    let gossipers = [line.gossiper(0), line.gossiper(NODES - 1)];
    for number in 0..10 {
        let family = line.family(4);
        gossip_in_reverse(&gossipers[number % 2], &family);
    }
    line.judge("families in reverse, in a line");
}

#[test]
fn payments_during_a_partition_reach_all_of_a_line_when_it_heals() {
    let mut line = Line::new();
    let places = [0, MIDDLE + 1];
    let gossipers = places.map(|node| line.gossiper(node));
    let middle = &line.nodes[MIDDLE];
    middle.call("setnetworkactive", json!([false]));
    middle.wait_until("it is cut off", |node| node.connections() == 0);
    for node in 0..NODES {
        for tx in line.family(4) {
            line.pay(node, &tx);
        }
    }
    for gossiper in &gossipers {
        let family = line.family(4);
        gossip_in_reverse(gossiper, &family);
    }
    // A parent on one side; its children on the other, by one who does not give their parent. What the node wants of it it
    // could have of the other side.
    let last = NODES - 1;
    let torn = [
        (0, MIDDLE + 1),
        (MIDDLE, MIDDLE + 1),
        (MIDDLE, last),
        (last, MIDDLE - 1),
        (last, 0),
    ];
    let mut strangers = Vec::new();
    for (number, (near, far)) in torn.into_iter().enumerate() {
        let family = line.family(2 + number % 3);
        line.pay(near, &family[0]);
        let waiting = line.orphans(far) + family.len() - 1;
        strangers.push(line.gossiper(far));
        gossip_in_reverse(&strangers[number], &family[1..]);
        let node = &line.nodes[far];
        node.wait_until("the children came", |_| line.orphans(far) >= waiting);
    }
    let own = line.mempool(MIDDLE).len();
    assert_eq!(own, 4 + 2, "the partition holds");
    line.nodes[MIDDLE].call("setnetworkactive", json!([true]));
    line.judge("payments during a partition, in a line");
}

#[test]
fn payments_during_a_silence_reach_all_of_a_line_when_it_ends() {
    let mut line = Line::new();
    let gossiper = line.gossiper(MIDDLE + 1);
    line.nodes[MIDDLE].pause();
    for node in [0, 1, 3, 4] {
        for tx in line.family(4) {
            line.pay(node, &tx);
        }
    }
    let family = line.family(2);
    line.pay(0, &family[0]);
    gossip_in_reverse(&gossiper, &family[1..]);
    line.nodes[MIDDLE + 1].wait_until("the child came", |_| line.orphans(MIDDLE + 1) == 1);
    std::thread::sleep(Duration::from_secs(3));
    assert!(
        line.mempool(0).is_disjoint(&line.mempool(4)),
        "nothing passes"
    );
    line.nodes[MIDDLE].resume();
    line.judge("payments during a silence, in a line");
}
