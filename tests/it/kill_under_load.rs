//! A node that is killed again and again while it mines, takes payments and changes chains, with the index of transactions on.
//!
//! Each kill waits for the phase that it is meant for and is counted for the one that it fell into; the test fails when a phase was
//! never hit. After each, no acknowledged block is lost, the index names the block of every payment, and payments that were
//! saved are in the mempool or in a block. `MEND_KILL_ROUNDS` asks for more rounds.

#![expect(clippy::print_stdout, reason = "it tells where the kills fell")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{OutPoint, Transaction, TxOut};
use chain::fixtures::Key;
use rpc_client::RpcError;
use serde_json::{Value, json};

use crate::kill::{instant, rounds};
use crate::process::{PATIENCE, told};
use crate::support::node::Node;
use crate::support::paying::pay;
use crate::support::{payments, write_genesis};

/// Payers, each with a chain of payments of its own.
const PURSES: usize = 20;
/// Rounds on one data directory, before a fresh one: checking a long chain again and again tells nothing more.
const ROUNDS_PER_DIRECTORY: u64 = 25;
/// Blocks that a change of chains takes back.
const REORG_BLOCKS: u64 = 4;

/// What the node is doing when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Mining,
    Paying,
    Reorganising,
    SavingTheMempool,
}

const PHASES: [Phase; 4] = [
    Phase::Mining,
    Phase::Paying,
    Phase::Reorganising,
    Phase::SavingTheMempool,
];

/// What came of a call.
enum Answer {
    Given(Value),
    /// It says no, and lives.
    Refused(String),
    Gone,
}

impl Answer {
    /// The answer to a call that may not be refused; `None`: the node is gone.
    fn value(self) -> Option<Value> {
        match self {
            Answer::Given(value) => Some(value),
            Answer::Refused(why) => panic!("{why}"),
            Answer::Gone => None,
        }
    }
}

/// A payer's coins, each the change of the one before; the last that a node knows is spent next.
struct Purse(Vec<(OutPoint, TxOut)>);

impl Purse {
    fn next_payment(&self) -> Transaction {
        let (outpoint, output) = self.0.last().expect("the coin of genesis");
        pay(*outpoint, output)
    }

    fn took(&mut self, payment: &Transaction) {
        let txid = payment.compute_txid();
        let change = (OutPoint { txid, vout: 1 }, payment.output[1].clone());
        self.0.push(change);
    }

    /// Goes to the last coin that a node knows: on to the change of a payment whose answer was lost with the node, though it may even be in
    /// a block; or back, before payments that nobody saved.
    fn go_to_what(&mut self, node: &Node) {
        let is_known = |outpoint: &OutPoint| {
            let at = json!([outpoint.txid, outpoint.vout, true]);
            !node.call("gettxout", at).is_null()
        };
        let unanswered = self.next_payment();
        let change = OutPoint::new(unanswered.compute_txid(), 1);
        if is_known(&change) {
            return self.took(&unanswered);
        }
        while self.0.len() > 1 && !is_known(&self.0.last().expect("coins").0) {
            self.0.pop();
        }
    }
}

/// What was acknowledged, and what is under way.
#[derive(Default)]
struct Load {
    under_way: [AtomicBool; PHASES.len()],
    blocks: Mutex<BTreeSet<String>>,
    saved: Mutex<BTreeSet<String>>,
    over: AtomicBool,
}

impl Load {
    /// Calls, and tells what it is meanwhile.
    fn during(&self, phase: Phase, node: &Node, method: &str, params: Value) -> Answer {
        let flag = &self.under_way[phase as usize];
        flag.store(true, Ordering::SeqCst);
        let answer = node.try_call(method, params);
        flag.store(false, Ordering::SeqCst);
        match answer {
            Ok(value) => Answer::Given(value),
            Err(RpcError::Rpc { message, .. }) => Answer::Refused(message),
            Err(_) => {
                self.over.store(true, Ordering::SeqCst);
                Answer::Gone
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn mine(&self, phase: Phase, node: &Node, count: u64) -> Option<()> {
        let payee = Key::p2tr("miner").address().to_string();
        let params = json!([count, payee]);
        let mined = self.during(phase, node, "generatetoaddress", params);
        locked(&self.blocks).extend(texts(&mined.value()?));
        Some(())
    }

    /// Blocks, and now and then a longer branch in place of the last ones. Ends with the node.
    fn keep_mining(&self, node: &Node) -> Option<()> {
        for number in 1_u64.. {
            self.mine(Phase::Mining, node, 1)?;
            let height = self.during(Phase::Mining, node, "getblockcount", json!([]));
            let height = height.value()?.as_u64().expect("a number");
            if number.is_multiple_of(3) && height > REORG_BLOCKS {
                let ask = |method: &str, params| {
                    self.during(Phase::Reorganising, node, method, params)
                        .value()
                };
                let first = ask("getblockhash", json!([height - REORG_BLOCKS + 1]))?;
                ask("invalidateblock", json!([first]))?;
                self.mine(Phase::Reorganising, node, REORG_BLOCKS + 1)?;
                ask("reconsiderblock", json!([first]))?;
            }
        }
        None
    }

    fn keep_paying(&self, node: &Node, purses: &mut [Purse]) {
        while !self.is_over() {
            for purse in &mut *purses {
                let payment = purse.next_payment();
                let hex = json!([serialize_hex(&payment)]);
                match self.during(Phase::Paying, node, "sendrawtransaction", hex) {
                    Answer::Given(_) => purse.took(&payment),
                    // Until the next block.
                    Answer::Refused(why) if why.contains("too-long") => {}
                    Answer::Refused(why) => panic!("{payment:?}: {why}"),
                    Answer::Gone => return,
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Saves the mempool, and notes what was in it then. Ends with the node.
    fn keep_saving(&self, node: &Node) -> Option<()> {
        loop {
            let ask = |method: &str| {
                let phase = Phase::SavingTheMempool;
                self.during(phase, node, method, json!([])).value()
            };
            let tip = ask("getbestblockhash")?;
            let waiting = texts(&ask("getrawmempool")?);
            // While it is written anew, nobody can say what is in it.
            locked(&self.saved).clear();
            ask("savemempool")?;
            if ask("getbestblockhash")? == tip {
                locked(&self.saved).extend(waiting);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for a phase and kills the node a little later; tells in which phases it was then.
    fn kill_in(&self, phase: Phase, later: Duration, node: &Node) -> Vec<Phase> {
        let deadline = Instant::now() + PATIENCE;
        let is_on = |phase: &Phase| self.under_way[*phase as usize].load(Ordering::SeqCst);
        while !is_on(&phase) {
            assert!(Instant::now() < deadline, "{phase:?} never came");
            std::thread::yield_now();
        }
        std::thread::sleep(later);
        let hit = PHASES.into_iter().filter(is_on).collect();
        node.send_kill();
        hit
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    list.map(|text| text.as_str().expect("text").to_owned())
        .collect()
}

#[test]
fn a_node_that_is_killed_under_load_keeps_what_it_acknowledged() {
    let mut hits = [0_u64; PHASES.len()];
    let rounds = rounds();
    let mut round = 0;
    while round < rounds || (hits.contains(&0) && round < rounds + 40) {
        let folder = tempfile::tempdir().expect("a folder");
        let genesis = write_genesis(folder.path(), PURSES);
        let params = payments::params(PURSES);
        let coins = &params.genesis.txdata[1];
        let txid = coins.compute_txid();
        let mut purses: Vec<Purse> = (0..)
            .zip(&coins.output)
            .map(|(vout, output)| Purse(vec![(OutPoint { txid, vout }, output.clone())]))
            .collect();
        let load = Load::default();
        for _ in 0..ROUNDS_PER_DIRECTORY {
            let more = round < rounds || (hits.contains(&0) && round < rounds + 40);
            if !more {
                break;
            }
            let phase = PHASES[usize::try_from(round).expect("few") % PHASES.len()];
            let later = instant(9, round, 30);
            for hit in kill_once(folder.path(), &genesis, &mut purses, &load, phase, later) {
                hits[hit as usize] += 1;
            }
            round += 1;
        }
        let data = folder.path().join("node");
        let text = told(&[
            "verify",
            "--json",
            "--data-dir",
            data.to_str().expect("text"),
            "--genesis",
            genesis.to_str().expect("text"),
        ]);
        let found: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(found["problems"], json!([]), "{found}");
    }
    println!("{round} kills; they fell into {PHASES:?} {hits:?} times");
    assert!(!hits.contains(&0), "of {PHASES:?} kills hit {hits:?}");
}

/// One life of the node, its end, and a look at what is left.
fn kill_once(
    folder: &Path,
    genesis: &Path,
    purses: &mut [Purse],
    load: &Load,
    phase: Phase,
    later: Duration,
) -> Vec<Phase> {
    let data = folder.join("node");
    let arguments = ["--txindex", "--connect", "/ip4/127.0.0.1/tcp/1"];
    let node = Node::start(&data, genesis, &arguments);
    purses.iter_mut().for_each(|purse| purse.go_to_what(&node));
    load.over.store(false, Ordering::SeqCst);
    let hit = std::thread::scope(|scope| {
        let miner = scope.spawn(|| load.keep_mining(&node));
        let payer = scope.spawn(|| load.keep_paying(&node, purses));
        let saver = scope.spawn(|| load.keep_saving(&node));
        let hit = load.kill_in(phase, later, &node);
        assert_eq!(miner.join().expect("every answer was right"), None);
        payer.join().expect("every answer was right");
        assert_eq!(saver.join().expect("every answer was right"), None);
        hit
    });
    drop(node);
    let node = Node::start(&data, genesis, &arguments);
    for hash in &*locked(&load.blocks) {
        let header = node.try_call("getblock", json!([hash, 0]));
        assert!(
            header.is_ok(),
            "{hash} was acknowledged and is lost: {header:?}"
        );
    }
    check_index(&node);
    eventually(&node, "the mempool is read", |node| {
        node.call("getmempoolinfo", json!([]))["loaded"] == json!(true)
    });
    let waiting: BTreeSet<String> = texts(&node.call("getrawmempool", json!([])))
        .into_iter()
        .collect();
    for txid in &*locked(&load.saved) {
        let there = waiting.contains(txid) || is_confirmed(&node, txid);
        assert!(
            there,
            "{txid} was saved and is neither waiting nor confirmed"
        );
    }
    node.stop();
    hit
}

fn eventually(node: &Node, what: &str, is_so: impl Fn(&Node) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(node) {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_confirmed(node: &Node, txid: &str) -> bool {
    let told = node.try_call("getrawtransaction", json!([txid, true]));
    told.is_ok_and(|told| told["confirmations"].as_u64() > Some(0))
}

/// The index names the right block for every transaction of the last blocks.
fn check_index(node: &Node) {
    eventually(node, "the index catches up", |node| {
        node.call("getindexinfo", json!([]))["txindex"]["synced"] == json!(true)
    });
    let tip = node.call("getblockcount", json!([]));
    let tip = tip.as_u64().expect("a number");
    for height in tip.saturating_sub(30).max(1)..=tip {
        let hash = node.call("getblockhash", json!([height]));
        for txid in texts(&node.call("getblock", json!([hash, 1]))["tx"]) {
            let told = node.call("getrawtransaction", json!([txid, true]));
            assert_eq!(told["blockhash"], hash, "{txid} at height {height}");
        }
    }
}
