//! Operations of the store against a model that keeps all blocks and replays them from genesis for every question.
//!
//! Each byte of the input is an operation: a block on one of the last four that may spend one of six coins, a flush, a clean
//! restart, or one that loses what was not flushed.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bitcoin::{Amount, Block, OutPoint, Transaction};
use chain::fixtures::{BlockBuilder, Key, Payment, TestChain};
use chain::rules::spend::SignatureCache;
use chain::store::MemoryDisk;
use chain::{Chain, ChainOptions, Height, Params, Timestamp};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp(u32::MAX);
const MAX_BLOCKS: usize = 40;
const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 1 << 20,
};

static PARAMS: LazyLock<Params> = LazyLock::new(TestChain::params);
static PAYMENTS: LazyLock<Vec<Transaction>> = LazyLock::new(|| {
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    (0..6)
        .map(|vout| {
            Payment::new()
                .spend_output_of(&PARAMS.genesis.txdata[1], vout, &alice)
                .pay(&bob, Amount::ONE_BTC)
                .sign()
        })
        .collect()
});

struct Made {
    block: Block,
    parent: usize,
    height: u32,
    spends: Option<u8>,
}

#[derive(Default)]
struct Model {
    made: Vec<Made>,
}

impl Model {
    fn new() -> Model {
        Model {
            made: vec![Made {
                block: PARAMS.genesis.clone(),
                parent: 0,
                height: 0,
                spends: None,
            }],
        }
    }

    fn make(&mut self, back: usize, spends: Option<u8>) {
        let parent = self.made.len() - 1 - back.min(self.made.len() - 1);
        let height = self.made[parent].height + 1;
        let mut builder =
            BlockBuilder::on(&PARAMS, &self.made[parent].block.header, Height(height))
                .extra_nonce(self.made.len() as u64);
        if let Some(which) = spends {
            builder = builder.with(&PAYMENTS[usize::from(which)]);
        }
        self.made.push(Made {
            block: builder.mine(),
            parent,
            height,
            spends,
        });
    }

    /// From genesis to block `n`.
    fn path(&self, mut n: usize) -> Vec<&Made> {
        let mut path = vec![&self.made[n]];
        while n != 0 {
            n = self.made[n].parent;
            path.push(&self.made[n]);
        }
        path.reverse();
        path
    }

    fn is_valid(&self, n: usize) -> bool {
        let mut spent = BTreeSet::new();
        self.path(n)
            .iter()
            .filter_map(|made| made.spends)
            .all(|which| spent.insert(which))
    }

    fn best_height(&self) -> u32 {
        let valid = (0..self.made.len()).filter(|n| self.is_valid(*n));
        valid.map(|n| self.made[n].height).max().expect("genesis")
    }

    fn coins(&self, n: usize) -> BTreeMap<OutPoint, u32> {
        let mut coins = BTreeMap::new();
        for made in self.path(n) {
            let skipped = usize::from(made.height == 0);
            for tx in &made.block.txdata[skipped..] {
                for input in &tx.input {
                    coins.remove(&input.previous_output);
                }
                let txid = tx.compute_txid();
                for (vout, output) in (0..).zip(&tx.output) {
                    if !output.script_pubkey.is_op_return() {
                        coins.insert(OutPoint { txid, vout }, made.height);
                    }
                }
            }
        }
        coins
    }
}

fuzz_target!(|operations: &[u8]| {
    let disk = MemoryDisk::new();
    let open = || Chain::open_backend(disk.clone(), PARAMS.clone(), SMALL).expect("it opens");
    let mut model = Model::new();
    let mut chain = open();
    for operation in operations {
        match operation {
            0xf0..=0xf7 => chain.flush().expect("memory works"),
            0xf8..=0xfb => chain.flush_bodies().expect("memory works"),
            0xfc | 0xfd => {
                chain.flush().expect("memory works");
                drop(chain);
                chain = open();
            }
            0xfe | 0xff => {
                drop(chain);
                chain = open();
                for made in &model.made[1..] {
                    submit(&mut chain, &made.block);
                }
            }
            _ if model.made.len() > MAX_BLOCKS => {}
            _ => {
                let spends = (operation >> 2) % 12;
                model.make(usize::from(operation % 4), (spends < 6).then_some(spends));
                let block = model.made.last().expect("one").block.clone();
                submit(&mut chain, &block);
            }
        }
        chain
            .activate_best(&SignatureCache::default(), &mut Vec::new())
            .expect("memory works");
        compare(&chain, &model);
    }
});

/// A block on an invalid one is refused, and that is right.
fn submit(chain: &mut Chain, block: &Block) {
    let _ = chain.accept_block(block.clone(), NOW);
}

fn compare(chain: &Chain, model: &Model) {
    let tip = chain.tip();
    let found = model
        .made
        .iter()
        .position(|made| made.block.block_hash() == tip.hash);
    let n = found.expect("the tip is one of the blocks");
    assert!(model.is_valid(n));
    assert_eq!(tip.height.0, model.best_height());
    let mut coins = BTreeMap::new();
    chain
        .for_each_coin(|outpoint, coin| {
            coins.insert(outpoint, coin.height.0);
            Ok(())
        })
        .expect("memory works");
    assert_eq!(coins, model.coins(n));
}
