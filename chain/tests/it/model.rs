//! Random block trees, in any order of arrival, against a naive model.
//!
//! The model keeps all blocks, walks from genesis for each question, and knows nothing of caches, undo data or candidates.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, Block, BlockHash, OutPoint, Transaction};
use chain::fixtures::{BlockBuilder, Key, Payment, TestChain};
use chain::rules::spend::SignatureCache;
use chain::store::MemoryDisk;
use chain::{AcceptError, Chain, ChainOptions, Height, Params, Timestamp};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(u32::MAX);
const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 1 << 20,
};

/// A block to be made: its parent among the blocks before it, and what it spends.
#[derive(Clone, Debug)]
struct Plan {
    parent: prop::sample::Index,
    /// Spends this coin of genesis, if any; twice on one branch is invalid.
    spends: Option<u8>,
}

/// What happens to the chain between blocks.
#[derive(Clone, Debug)]
enum Event {
    Block(prop::sample::Index),
    /// The lowest block that has not come yet.
    NextBlock,
    Flush,
    FlushBodies,
    Reopen,
    Invalidate(prop::sample::Index),
    Reconsider(prop::sample::Index),
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        any::<prop::sample::Index>(),
        prop::option::weighted(0.4, 0..6u8),
    )
        .prop_map(|(parent, spends)| Plan { parent, spends })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => any::<prop::sample::Index>().prop_map(Event::Block),
        2 => Just(Event::Flush),
        1 => Just(Event::FlushBodies),
        1 => Just(Event::Reopen),
        1 => any::<prop::sample::Index>().prop_map(Event::Invalidate),
        1 => any::<prop::sample::Index>().prop_map(Event::Reconsider),
    ]
}

struct Made {
    block: Block,
    hash: BlockHash,
    parent: Option<usize>,
    height: u32,
    spends: Option<u8>,
}

/// Payments of alice's first coins of genesis, one each.
fn payments(params: &Params) -> Vec<Transaction> {
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    let coins = &params.genesis.txdata[1];
    (0..6)
        .map(|vout| {
            assert_eq!(coins.output[vout as usize].script_pubkey, alice.script());
            Payment::new()
                .spend_output_of(coins, vout, &alice)
                .pay(&bob, Amount::ONE_BTC)
                .sign()
        })
        .collect()
}

fn make(params: &Params, payments: &[Transaction], plans: &[Plan]) -> Vec<Made> {
    let mut made = vec![Made {
        block: params.genesis.clone(),
        hash: params.genesis_hash,
        parent: None,
        height: 0,
        spends: None,
    }];
    for (n, plan) in plans.iter().enumerate() {
        // Mostly recent parents, so that branches grow long.
        let parent = made.len() - 1 - plan.parent.index(made.len().min(4));
        let height = made[parent].height + 1;
        let mut builder = BlockBuilder::on(params, &made[parent].block.header, Height(height))
            .extra_nonce(n as u64);
        if let Some(which) = plan.spends {
            builder = builder.with(&payments[which as usize]);
        }
        let block = builder.mine();
        made.push(Made {
            hash: block.block_hash(),
            block,
            parent: Some(parent),
            height,
            spends: plan.spends,
        });
    }
    made
}

/// The naive second opinion.
struct Model<'a> {
    made: &'a [Made],
    arrived: BTreeSet<usize>,
    invalidated: BTreeSet<usize>,
}

impl Model<'_> {
    fn path(&self, mut n: usize) -> Vec<usize> {
        let mut path = vec![n];
        while let Some(parent) = self.made[n].parent {
            path.push(parent);
            n = parent;
        }
        path.reverse();
        path
    }

    /// Whether every body is here, no coin is spent twice and no operator objects.
    fn is_valid(&self, n: usize) -> bool {
        let path = self.path(n);
        let spends: Vec<u8> = path.iter().filter_map(|&n| self.made[n].spends).collect();
        let unique: BTreeSet<u8> = spends.iter().copied().collect();
        unique.len() == spends.len()
            && path
                .iter()
                .all(|n| (*n == 0 || self.arrived.contains(n)) && !self.invalidated.contains(n))
    }

    /// The best height that a valid chain reaches. Work is the same for every block.
    fn best_height(&self) -> u32 {
        (0..self.made.len())
            .filter(|&n| self.is_valid(n))
            .map(|n| self.made[n].height)
            .max()
            .unwrap()
    }

    /// All unspent outpoints at block `n`.
    fn coins(&self, n: usize) -> BTreeMap<OutPoint, u32> {
        let mut coins = BTreeMap::new();
        for n in self.path(n) {
            let made = &self.made[n];
            for (index, tx) in made.block.txdata.iter().enumerate() {
                for input in &tx.input {
                    coins.remove(&input.previous_output);
                }
                if made.height == 0 && index == 0 {
                    continue;
                }
                for (vout, output) in (0..).zip(&tx.output) {
                    if !output.script_pubkey.is_op_return() {
                        coins.insert(
                            OutPoint {
                                txid: tx.compute_txid(),
                                vout,
                            },
                            made.height,
                        );
                    }
                }
            }
        }
        coins
    }
}

fn check(
    chain: &Chain,
    model: &Model<'_>,
    tip_before: Option<BlockHash>,
) -> Result<(), TestCaseError> {
    let tip = chain.tip();
    let n = model
        .made
        .iter()
        .position(|made| made.hash == tip.hash)
        .unwrap();
    prop_assert!(model.is_valid(n), "the tip is valid");
    prop_assert_eq!(
        tip.height.0,
        model.best_height(),
        "no valid chain has more work"
    );
    if let Some(tip_before) = tip_before {
        let before = model
            .made
            .iter()
            .position(|made| made.hash == tip_before)
            .unwrap();
        if model.is_valid(before) && model.made[before].height == tip.height.0 {
            prop_assert_eq!(tip.hash, tip_before, "first seen wins a tie");
        }
    }
    let mut coins = BTreeMap::new();
    chain
        .for_each_coin(|outpoint, coin| {
            coins.insert(outpoint, coin.height.0);
            Ok(())
        })
        .unwrap();
    prop_assert_eq!(coins, model.coins(n));
    for (height, n) in (0..).zip(model.path(n)) {
        prop_assert_eq!(
            chain.at_height(Height(height)).unwrap().hash,
            model.made[n].hash
        );
    }
    Ok(())
}

fn run(plans: &[Plan], events: &[Event]) -> Result<(), TestCaseError> {
    let params = TestChain::params();
    let payments = payments(&params);
    let made = make(&params, &payments, plans);
    let mut model = Model {
        made: &made,
        arrived: BTreeSet::new(),
        invalidated: BTreeSet::new(),
    };
    let disk = MemoryDisk::new();
    let open = || Chain::open_backend(disk.clone(), params.clone(), SMALL).unwrap();
    let mut chain = open();
    let signatures = SignatureCache::default();
    let mut events: Vec<Event> = events.to_vec();
    // In the end everything arrives, parents first.
    events.extend((0..made.len()).map(|_| Event::NextBlock));
    let mut rest: Vec<usize> = (1..made.len()).collect();
    for event in events {
        // A chain that is reconsidered may have been seen before the tip.
        let tip_before = match event {
            Event::Reconsider(_) => None,
            _ => Some(chain.tip().hash),
        };
        let block = |index: &prop::sample::Index| index.index(made.len());
        match &event {
            Event::Block(_) | Event::NextBlock if rest.is_empty() => continue,
            Event::Block(_) | Event::NextBlock => {
                // Not far from the order of making, as blocks arrive.
                let n = match &event {
                    Event::Block(index) => rest[index.index(rest.len().min(5))],
                    _ => rest[0],
                };
                match chain.accept_block(made[n].block.clone(), NOW) {
                    Ok(_) => {
                        model.arrived.insert(n);
                        rest.retain(|&other| other != n);
                    }
                    Err(AcceptError::UnknownParent { .. }) => {}
                    Err(AcceptError::InvalidParent { .. }) => {
                        prop_assert!(!model.is_valid(made[n].parent.unwrap()));
                        rest.retain(|&other| other != n);
                    }
                    Err(AcceptError::KnownInvalid { .. }) => {
                        prop_assert!(
                            !model.is_valid(made[n].parent.unwrap())
                                || model.invalidated.contains(&n)
                        );
                        rest.retain(|&other| other != n);
                    }
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                }
            }
            Event::Flush => chain.flush().unwrap(),
            Event::FlushBodies => chain.flush_bodies().unwrap(),
            Event::Reopen => {
                // A clean end; what crashes leave is the crash tests' subject.
                chain.flush().unwrap();
                drop(chain);
                chain = open();
            }
            Event::Invalidate(index) => {
                let n = block(index);
                if n != 0 && chain.tree().id_of(&made[n].hash).is_some() {
                    model.invalidated.insert(n);
                    chain.invalidate(&made[n].hash).unwrap();
                }
            }
            Event::Reconsider(index) => {
                let n = block(index);
                if chain.tree().id_of(&made[n].hash).is_some() {
                    let related = |other: &usize| {
                        model.path(n).contains(other) || model.path(*other).contains(&n)
                    };
                    let stays: BTreeSet<usize> = model
                        .invalidated
                        .iter()
                        .copied()
                        .filter(|n| !related(n))
                        .collect();
                    model.invalidated = stays;
                    chain.reconsider(&made[n].hash);
                }
            }
        }
        chain.activate_best(&signatures, &mut Vec::new()).unwrap();
        check(&chain, &model, tip_before)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_chain_agrees_with_a_naive_model(
        plans in prop::collection::vec(plan(), 1..25),
        events in prop::collection::vec(event(), 0..50),
    ) {
        run(&plans, &events)?;
    }
}
