//! What it takes the mempool to follow a block that confirms some of its entries.
//!
//! `cargo bench -p node-core --bench mempool`: several mempools are filled side by side, so that none finds its entries in the CPU's
//! caches, as on a machine with several nodes. Then each follows the same blocks. Printed: the middle time of one block.

#![expect(clippy::print_stdout, reason = "a benchmark shows its numbers")]
#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::sync::Arc;
use std::time::Instant;

use bitcoin::{Amount, OutPoint, Transaction, TxOut};
use chain::fixtures::{BlockBuilder, Key, Payment, TEST_GENESIS_TIME, test_params_with};
use chain::rules::spend::SignatureCache;
use chain::{Chain, Height, Params, Reorg, Timestamp};
use node_core::mempool::{Mempool, Surroundings};
use rayon::prelude::*;

const NOW: Timestamp = Timestamp(TEST_GENESIS_TIME.0 + 1_000_000);
/// Coins that one payment makes, and such payments in one block.
const FAN: usize = 100;
const FANS_PER_BLOCK: usize = 200;

/// Chains of payments, each payment on the one before it, and what blocks confirm of them.
struct Case {
    name: &'static str,
    chains: usize,
    length: usize,
    /// Of how many chains a block confirms something, and how many payments of each: the first ones.
    confirmed_chains: usize,
    confirmed_length: usize,
    blocks: usize,
    mempools: usize,
}

const CASES: [Case; 6] = [
    Case {
        name: "1,000 of 1,000",
        chains: 1_000,
        length: 1,
        confirmed_chains: 1_000,
        confirmed_length: 1,
        blocks: 1,
        mempools: 15,
    },
    Case {
        name: "1,000 of 10,000",
        chains: 10_000,
        length: 1,
        confirmed_chains: 1_000,
        confirmed_length: 1,
        blocks: 5,
        mempools: 5,
    },
    Case {
        name: "10 of 50,000",
        chains: 50_000,
        length: 1,
        confirmed_chains: 10,
        confirmed_length: 1,
        blocks: 20,
        mempools: 3,
    },
    Case {
        name: "40 chains of 25",
        chains: 40,
        length: 25,
        confirmed_chains: 40,
        confirmed_length: 25,
        blocks: 1,
        mempools: 15,
    },
    Case {
        name: "12 of 25 of 40 chains",
        chains: 40,
        length: 25,
        confirmed_chains: 40,
        confirmed_length: 12,
        blocks: 1,
        mempools: 15,
    },
    Case {
        name: "12 of 25 of 1 of 40 chains",
        chains: 40,
        length: 25,
        confirmed_chains: 1,
        confirmed_length: 12,
        blocks: 20,
        mempools: 5,
    },
];

fn main() {
    // `cargo bench` adds this word; `cargo test --benches` does not, and wants to be done soon.
    if std::env::args().any(|word| word == "--bench") {
        CASES.iter().for_each(run);
    }
}

fn run(case: &Case) {
    let (mut world, coins) = World::with_coins(case.chains);
    let chains: Vec<Vec<Transaction>> = coins
        .par_iter()
        .enumerate()
        .map(|(number, coin)| chain_of_payments(number, coin, case.length))
        .collect();
    let mut mempools: Vec<Mempool> = (0..case.mempools).map(|_| Mempool::new(1 << 30)).collect();
    for payment in (0..case.length).flat_map(|place| chains.iter().map(move |chain| &chain[place]))
    {
        for mempool in &mut mempools {
            let copy = Arc::new(payment.clone());
            mempool
                .accept(copy, &world.surroundings(), &mut Vec::new())
                .unwrap();
        }
    }
    let mut micros = Vec::new();
    for confirmed in chains.chunks(case.confirmed_chains).take(case.blocks) {
        let payments = confirmed
            .iter()
            .flat_map(|chain| &chain[..case.confirmed_length]);
        let reorg = world.connect(payments);
        for mempool in &mut mempools {
            let mut changes = Vec::new();
            let start = Instant::now();
            mempool
                .on_reorg(&reorg, &world.surroundings(), &mut changes)
                .unwrap();
            micros.push(start.elapsed().as_micros());
            assert_eq!(changes.len(), confirmed.len() * case.confirmed_length);
        }
    }
    micros.sort_unstable();
    println!("{}: {} µs", case.name, micros[micros.len() / 2]);
}

/// Payments with different fees, each of which spends the change of the one before.
fn chain_of_payments(number: usize, coin: &(OutPoint, TxOut), length: usize) -> Vec<Transaction> {
    let (payer, payee) = (Key::p2tr("payer"), Key::p2tr("payee"));
    let mut purse = coin.clone();
    let payments = (0..length).map(|place| {
        let fee = Amount::from_sat(500 + ((number + place) * 7_919 % 1_000) as u64);
        let paid = Amount::from_sat(1_000);
        let payment = Payment::new()
            .spend(purse.0, &purse.1, &payer)
            .pay(&payee, paid)
            .pay(&payer, purse.1.value - paid - fee)
            .sign();
        let txid = payment.compute_txid();
        purse = (OutPoint { txid, vout: 1 }, payment.output[1].clone());
        payment
    });
    payments.collect()
}

struct World {
    params: Params,
    chain: Chain,
    signatures: SignatureCache,
}

impl World {
    /// A chain with at least so many coins of the payer.
    fn with_coins(count: usize) -> (World, Vec<(OutPoint, TxOut)>) {
        let payer = Key::p2tr("payer");
        let rich = (payer.address(), Amount::ONE_BTC);
        let params = test_params_with(&vec![rich; count.div_ceil(FAN)]);
        let mut world = World {
            chain: Chain::in_memory(params.clone()),
            signatures: SignatureCache::default(),
            params,
        };
        let genesis = world.params.genesis.txdata[1].clone();
        let fans: Vec<Transaction> = (0..genesis.output.len() as u32)
            .into_par_iter()
            .map(|vout| {
                let payment = Payment::new().spend_output_of(&genesis, vout, &payer);
                let each = Amount::ONE_BTC / FAN as u64;
                (0..FAN)
                    .fold(payment, |payment, _| payment.pay(&payer, each))
                    .sign()
            })
            .collect();
        for fans in fans.chunks(FANS_PER_BLOCK) {
            world.connect(fans);
        }
        let coins = fans.iter().flat_map(|fan| {
            let txid = fan.compute_txid();
            let points = (0..).map(move |vout| OutPoint { txid, vout });
            points.zip(fan.output.clone())
        });
        (world, coins.take(count).collect())
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            chain: &self.chain,
            signatures: &self.signatures,
            now: NOW,
        }
    }

    fn connect<'a>(&mut self, payments: impl IntoIterator<Item = &'a Transaction>) -> Reorg {
        let tip = self.chain.tip();
        let parent = self.chain.block(&tip.hash).unwrap().unwrap().block().header;
        let builder = BlockBuilder::on(&self.params, &parent, Height(tip.height.0 + 1));
        let block = payments
            .into_iter()
            .fold(builder, BlockBuilder::with)
            .mine();
        self.chain.accept_block(block, NOW).unwrap();
        let reorg = self.chain.activate_best(&self.signatures, &mut Vec::new());
        reorg.unwrap().unwrap()
    }
}
