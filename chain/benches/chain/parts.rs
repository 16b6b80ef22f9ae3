//! Where the time of an import goes: the same payments, part by part, each alone and on one thread.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Instant;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{Block, Transaction};
use chain::rules::spend::SignatureCache;
use chain::rules::{block_alone, spend};
use chain::{Chain, ChainOptions, CheckedBlock, Timestamp};

use crate::payments;
use crate::process;

const PAYMENTS_PER_BLOCK: usize = 1_000;

/// Blocks between two moves of the tip: about what an import takes at a time.
const RUN_BLOCKS: usize = 20;

/// Seconds of wall time and of CPU.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
}

impl Cost {
    fn of<T>(work: impl FnOnce() -> T) -> (Cost, T) {
        let (start, cpu) = (Instant::now(), process::cpu_seconds());
        let result = work();
        let cost = Cost {
            wall: start.elapsed().as_secs_f64(),
            cpu: process::cpu_seconds() - cpu,
        };
        (cost, result)
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

pub(crate) fn run(payments: usize) {
    let blocks = payments.div_ceil(PAYMENTS_PER_BLOCK);
    println!("parts: making {blocks} blocks of {PAYMENTS_PER_BLOCK} payments");
    let made = payments::make(blocks, PAYMENTS_PER_BLOCK);
    let raw: Vec<Vec<u8>> = made.blocks.iter().map(serialize).collect();
    let payments = made.payments().count();
    let one_thread = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();

    let (decode, decoded) = Cost::of(|| {
        let blocks = raw.iter().map(|bytes| deserialize(bytes).unwrap());
        blocks.collect::<Vec<Block>>()
    });
    let (hash, checked) = one_thread.install(|| {
        Cost::of(|| {
            let check = |block| Arc::new(block_alone::check(block, &made.params).unwrap());
            decoded.into_iter().map(check).collect::<Vec<_>>()
        })
    });
    let (signatures, ()) = Cost::of(|| check_signatures(made.payments(), &made.spent));

    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::open(dir.path(), made.params, ChainOptions::default()).unwrap();
    let (coins, bodies) = connect(&mut chain, &checked);
    let (rest, ()) = Cost::of(|| chain.flush().unwrap());

    println!("| part | wall, s | CPU, s | us a payment |");
    println!("| --- | --- | --- | --- |");
    let parts = [
        ("decode", decode),
        ("hash: txids, merkle roots, body rules", hash),
        ("coins: tree, look-ups, amounts, undo", coins),
        ("signatures, with their messages", signatures),
        ("flush: bodies and undo", bodies),
        ("flush: coins", rest),
    ];
    for (name, cost) in parts {
        let each = cost.cpu / payments as f64 * 1e6;
        println!(
            "| {name} | {:.2} | {:.2} | {each:.2} |",
            cost.wall, cost.cpu
        );
    }
}

/// All signatures, as the chain checks them.
fn check_signatures<'a>(payments: impl Iterator<Item = &'a Transaction>, spent: &[bitcoin::TxOut]) {
    for (tx, spent) in payments.zip(spent) {
        spend::check_inputs(tx, std::slice::from_ref(spent)).unwrap();
    }
}

/// Connects all blocks as if their signatures were known to be good. Gives the cost of coins, and that of writing bodies.
fn connect(chain: &mut Chain, blocks: &[Arc<CheckedBlock>]) -> (Cost, Cost) {
    let known = SignatureCache::with_capacity(RUN_BLOCKS * PAYMENTS_PER_BLOCK * 2);
    let (mut coins, mut bodies) = (Cost::default(), Cost::default());
    for run in blocks.chunks(RUN_BLOCKS) {
        for wtxid in run.iter().flat_map(|block| block.wtxids()) {
            known.insert(*wtxid);
        }
        let (cost, ()) = Cost::of(|| {
            for block in run {
                chain
                    .accept_checked(Arc::clone(block), Timestamp(u32::MAX))
                    .unwrap();
            }
            let mut failed = Vec::new();
            chain.activate_best(&known, &mut failed).unwrap();
            assert!(failed.is_empty());
        });
        coins += cost;
        let (cost, ()) = Cost::of(|| chain.flush_bodies().unwrap());
        bodies += cost;
    }
    assert_eq!(chain.tip().height.0 as usize, blocks.len());
    (coins, bodies)
}
