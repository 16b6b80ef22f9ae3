//! Changes of chains that go back further than one step: the tip goes down and up step by step, memory stays bounded, and a crash
//! anywhere leaves a chain of one of the tips on the way.

use std::collections::BTreeMap;

use bitcoin::{Amount, Block, BlockHash, OutPoint, Transaction, TxOut};
use chain::coins::CoinSetStats;
use chain::fixtures::{BlockBuilder, Key, Payment, test_params_with};
use chain::rules::spend::SignatureCache;
use chain::store::MemoryDisk;
use chain::verify::{VerifyLevel, verify};
use chain::{
    Chain, ChainOptions, Flush, Height, InvalidateError, Params, StepLimit, StoreError, Timestamp,
};

use crate::faulty_disk::{FaultyDisk, Plan, Remains};

const NOW: Timestamp = Timestamp(u32::MAX);

/// A chain of payments, each of which leaves a coin behind.
struct Side {
    blocks: Vec<Block>,
}

fn params(payments_per_block: usize) -> Params {
    let coin = (Key::p2tr("payer").address(), Amount::ONE_BTC);
    test_params_with(&vec![coin; payments_per_block])
}

/// A chain from genesis in which every payment gives away `paid` to a coin of its own.
fn side(params: &Params, blocks: usize, paid: u64) -> Side {
    let (payer, payee) = (Key::p2tr("payer"), Key::p2wpkh("payee"));
    let coins = &params.genesis.txdata[1];
    let mut purses: Vec<(OutPoint, TxOut)> = (0..)
        .map(|vout| OutPoint::new(coins.compute_txid(), vout))
        .zip(coins.output.clone())
        .collect();
    let mut made: Vec<Block> = Vec::new();
    for n in 0..blocks {
        let payments: Vec<Transaction> = purses
            .iter()
            .map(|(outpoint, output)| {
                Payment::new()
                    .spend(*outpoint, output, &payer)
                    .pay(&payee, Amount::from_sat(paid))
                    .pay(&payer, output.value - Amount::from_sat(paid))
                    .sign()
            })
            .collect();
        let change = |tx: &Transaction| (OutPoint::new(tx.compute_txid(), 1), tx.output[1].clone());
        purses = payments.iter().map(change).collect();
        let parent = made.last().unwrap_or(&params.genesis).header;
        let builder = BlockBuilder::on(params, &parent, Height(n as u32 + 1)).extra_nonce(paid);
        let builder = payments
            .iter()
            .fold(builder, |builder, tx| builder.with(tx));
        made.push(builder.mine());
    }
    Side { blocks: made }
}

fn accept_all(chain: &mut Chain, blocks: &[Block]) {
    for block in blocks {
        chain.accept_block(block.clone(), NOW).unwrap();
    }
}

fn activate(chain: &mut Chain) {
    let mut failed = Vec::new();
    chain
        .activate_best(&SignatureCache::default(), &mut failed)
        .unwrap();
    assert_eq!(failed, []);
}

/// Two chains from genesis, the second one block longer, and a disk on which the first is active.
struct Scene {
    params: Params,
    old: Side,
    new: Side,
    start: MemoryDisk,
    /// The coins at every tip on the way.
    coins: BTreeMap<BlockHash, CoinSetStats>,
}

fn scene(depth: usize, payments_per_block: usize) -> Scene {
    let params = params(payments_per_block);
    let (old, new) = (side(&params, depth, 1_000), side(&params, depth + 1, 2_000));
    let start = MemoryDisk::new();
    let mut scene = Scene {
        params,
        old,
        new,
        start: start.clone(),
        coins: BTreeMap::new(),
    };
    let mut chain = scene.open(start, ChainOptions::default());
    accept_all(&mut chain, &scene.old.blocks);
    activate(&mut chain);
    accept_all(&mut chain, &scene.new.blocks);
    chain.flush().unwrap();
    // The other chain is better, and not connected: that is what is played.
    assert_eq!(chain.tip().hash, scene.old_tip());
    drop(chain);
    scene.start = scene.start.copy();
    scene
}

impl Scene {
    fn open(&self, disk: impl redb::StorageBackend, options: ChainOptions) -> Chain {
        Chain::open_backend(disk, self.params.clone(), options).unwrap()
    }

    /// Works out the coins at every tip on the way, on chains that only grow.
    fn with_coins(mut self) -> Scene {
        for side in [&self.old, &self.new] {
            let mut chain = Chain::in_memory(self.params.clone());
            for block in [None].into_iter().chain(side.blocks.iter().map(Some)) {
                accept_all(&mut chain, block.map_or(&[], std::slice::from_ref));
                activate(&mut chain);
                let stats = chain.coin_set_stats(false).unwrap();
                self.coins.insert(chain.tip().hash, stats);
            }
        }
        self
    }

    fn old_tip(&self) -> BlockHash {
        self.old.blocks[self.old.blocks.len() - 1].block_hash()
    }

    fn new_tip(&self) -> BlockHash {
        self.new.blocks[self.new.blocks.len() - 1].block_hash()
    }

    fn check_coins(&self, chain: &Chain, what: &str) {
        let coins = chain.coin_set_stats(false).unwrap();
        assert_eq!(Some(&coins), self.coins.get(&chain.tip().hash), "{what}");
    }
}

const STEP: StepLimit = StepLimit {
    blocks: 3,
    transactions: 20,
};

/// Commits what is due, if that is left to the host, and reads the coins between writing and taking note.
fn flush_as_host(chain: &mut Chain) -> Result<(), StoreError> {
    if let Some(flush) = chain.flush_due().filter(|_| chain.is_flushed_by_host()) {
        let before = chain.coin_set_stats(false)?;
        let written = chain.write_out(flush);
        if written.is_ok() {
            assert_eq!(chain.coin_set_stats(false)?, before);
        }
        chain.note_written(written)?;
        assert_eq!(chain.coin_set_stats(false)?, before);
        assert_eq!(chain.flush_due(), None);
    }
    Ok(())
}

/// Goes to the best chain in steps, and tells each tip.
fn walk(
    chain: &mut Chain,
    limit: StepLimit,
    mut at: impl FnMut(&Chain),
) -> Result<usize, StoreError> {
    let signatures = SignatureCache::default();
    let mut failed = Vec::new();
    let mut steps = 0;
    while !chain.is_at_best() {
        let change = chain.activate_step(&signatures, &mut failed, limit)?;
        let change = change.expect("every step moves the tip");
        let moved = change.disconnected.len().max(change.connected.len());
        assert!(moved <= limit.transactions, "{change:?}");
        flush_as_host(chain)?;
        at(chain);
        steps += 1;
    }
    assert_eq!(failed, [], "all blocks are good");
    Ok(steps)
}

#[test]
fn a_deep_change_goes_down_and_up_in_steps_with_the_right_coins_at_each() {
    let scene = scene(20, 10).with_coins();
    let mut chain = scene.open(scene.start.copy(), ChainOptions::default());
    let work = chain.tip().chain_work;
    let mut heights = vec![20];
    let steps = walk(&mut chain, STEP, |chain| {
        let tip = chain.tip();
        scene.check_coins(chain, &format!("at height {}", tip.height));
        assert_eq!(chain.is_between_chains(), tip.chain_work < work);
        heights.push(tip.height.0);
    })
    .unwrap();
    // 11 transactions a block, at most 20 and one block more in a step.
    assert_eq!(steps, 21, "{heights:?}");
    assert_eq!(heights[10], 0, "{heights:?}");
    assert!(heights[..=10].is_sorted_by(|a, b| a > b), "{heights:?}");
    assert!(heights[10..].is_sorted(), "{heights:?}");
    assert_eq!(chain.tip().hash, scene.new_tip());
    assert!(!chain.is_between_chains());
    let report = verify(&chain, VerifyLevel::Reconnect, 0, &mut |_, _| {}).unwrap();
    assert_eq!(report.problems, vec![]);
}

#[test]
fn a_change_that_fits_into_a_step_is_made_in_one() {
    let scene = scene(20, 10).with_coins();
    let mut chain = scene.open(scene.start.copy(), ChainOptions::default());
    let limit = StepLimit {
        blocks: 3,
        transactions: 20 * 11,
    };
    let mut tips = Vec::new();
    walk(&mut chain, limit, |chain| tips.push(chain.tip().hash)).unwrap();
    assert_eq!(tips, [scene.new_tip()]);
}

#[test]
fn memory_stays_bounded_however_deep_the_change_is() {
    const CACHE_BYTES: usize = 256 << 10;
    let scene = scene(120, 30);
    let options = ChainOptions {
        cache_bytes: CACHE_BYTES,
    };
    let ways = [
        (STEP, false),
        (StepLimit::default(), false),
        (STEP, true),
        (StepLimit::default(), true),
    ];
    for (limit, by_host) in ways {
        let mut chain = scene.open(scene.start.copy(), options);
        if by_host {
            chain.leave_flushing_to_host();
        }
        let mut most = 0;
        walk(&mut chain, limit, |chain| {
            most = most.max(chain.coins_memory_bytes());
        })
        .unwrap();
        assert_eq!(chain.tip().hash, scene.new_tip());
        // Every payment of the new chain left a coin, and so did every coinbase; genesis' coins moved on.
        let coins = chain.coin_set_stats(false).unwrap().coins;
        assert_eq!(coins, 121 * 31 + 30);
        assert!(most < 2 * CACHE_BYTES, "{most} bytes, {limit:?}");
        // 3,600 coins of the old chain were taken back, at 100 bytes each.
        assert!(most > CACHE_BYTES / 2, "{most} bytes: nothing to bound");
    }
}

/// Goes to the best chain in steps of a small cache, so that every step commits.
fn walk_on(scene: &Scene, disk: FaultyDisk, by_host: bool) -> Result<(), StoreError> {
    // Opening writes too; a failure there is another test's subject.
    let options = ChainOptions { cache_bytes: 0 };
    let Ok(mut chain) = Chain::open_backend(disk, scene.params.clone(), options) else {
        return Ok(());
    };
    if by_host {
        chain.leave_flushing_to_host();
    }
    walk(&mut chain, STEP, |_| {})?;
    chain.flush()
}

#[test]
fn a_crash_at_any_operation_of_a_deep_change_leaves_a_tip_on_the_way() {
    crash_everywhere(false);
}

#[test]
fn a_crash_at_any_operation_of_a_deep_change_that_a_host_commits_leaves_a_tip_on_the_way() {
    crash_everywhere(true);
}

#[test]
#[should_panic(expected = "the chain changed in between")]
fn nothing_may_change_between_writing_and_taking_note() {
    let scene = scene(6, 6);
    let mut chain = scene.open(scene.start.copy(), ChainOptions::default());
    let signatures = SignatureCache::default();
    let written = chain.write_out(Flush::Everything);
    chain
        .activate_step(&signatures, &mut Vec::new(), STEP)
        .unwrap();
    let _ = chain.note_written(written);
}

fn crash_everywhere(by_host: bool) {
    let scene = scene(6, 6).with_coins();
    let mut tips: BTreeMap<BlockHash, u32> = BTreeMap::new();
    let mut failures = 0;
    for k in 1.. {
        let disk = FaultyDisk::new(scene.start.copy(), Plan::crash(k));
        failures += u32::from(walk_on(&scene, disk.clone(), by_host).is_err());
        if !disk.has_fired() {
            break;
        }
        for remains in [Remains::All, Remains::Synced, Remains::Torn(k)] {
            let what = format!("{remains:?} at {k}");
            let mut chain = scene.open(disk.remains(remains), ChainOptions::default());
            scene.check_coins(&chain, &what);
            *tips.entry(chain.tip().hash).or_default() += 1;
            // As a node does after a crash: in steps.
            walk(&mut chain, STEP, |_| {}).unwrap();
            scene.check_coins(&chain, &what);
            assert_eq!(chain.tip().hash, scene.new_tip(), "{what}");
            chain.flush().unwrap();
        }
    }
    assert!(failures > 50, "the change itself was hit: {failures}");
    let on_the_way = tips.len() - tips.contains_key(&scene.old_tip()) as usize;
    assert!(
        on_the_way > 4,
        "the tip on disk moved with the steps: {tips:?}"
    );
}

#[test]
fn a_block_deep_down_is_invalidated_in_steps_and_its_mark_survives_a_crash_on_the_way() {
    let scene = scene(20, 10).with_coins();
    let disk = scene.start.copy();
    let mut chain = scene.open(disk.clone(), ChainOptions { cache_bytes: 0 });
    activate(&mut chain);
    let (third, second) = (
        scene.new.blocks[2].block_hash(),
        scene.new.blocks[1].block_hash(),
    );
    // The old chain is out of the way, so that the best is the part below.
    chain.invalidate(&scene.old.blocks[0].block_hash()).unwrap();
    chain.invalidate(&third).unwrap();
    assert_eq!(chain.tip().hash, scene.new_tip(), "nothing moves at once");
    let signatures = SignatureCache::default();
    for _ in 0..3 {
        let change = chain
            .activate_step(&signatures, &mut Vec::new(), STEP)
            .unwrap()
            .unwrap();
        assert!(change.connected.is_empty() && !change.disconnected.is_empty());
        assert!(chain.is_between_chains());
    }
    let between = chain.tip().hash;
    assert!(between != scene.new_tip() && between != second);
    drop(chain);
    // What a crash leaves, without the last flush: marks and tip are on disk.
    let mut chain = scene.open(disk, ChainOptions::default());
    assert_eq!(chain.tip().hash, between);
    walk(&mut chain, STEP, |_| {}).unwrap();
    assert_eq!(chain.tip().hash, second);
    assert!(!chain.is_between_chains(), "no more work is to be had");
    scene.check_coins(&chain, "below the block");
    chain.reconsider(&third);
    walk(&mut chain, STEP, |_| {}).unwrap();
    assert_eq!(chain.tip().hash, scene.new_tip());
    scene.check_coins(&chain, "back again");
}

#[test]
fn a_new_chain_that_fails_on_the_way_up_gives_the_old_one_back() {
    let scene = scene(20, 10).with_coins();
    let mut chain = scene.open(scene.start.copy(), ChainOptions::default());
    let signatures = SignatureCache::default();
    let mut failed = Vec::new();
    while chain.tip().height != Height(0) {
        chain.activate_step(&signatures, &mut failed, STEP).unwrap();
    }
    chain.invalidate(&scene.new.blocks[5].block_hash()).unwrap();
    walk(&mut chain, STEP, |chain| {
        scene.check_coins(chain, "on the way")
    })
    .unwrap();
    assert_eq!(chain.tip().hash, scene.old_tip());
    assert!(!chain.is_between_chains());
}

#[test]
fn there_is_a_way_back_to_every_height_and_none_is_asked_above_the_tip() {
    let mut chain = Chain::in_memory(params(1));
    assert!(chain.can_go_back_to(Height(0)));
    assert!(chain.can_go_back_to(Height(7)));
    let unknown = BlockHash::from_raw_hash(bitcoin::hashes::Hash::all_zeros());
    let refused: Result<(), InvalidateError> = chain.invalidate(&unknown);
    assert!(refused.is_ok(), "an unknown block is left alone");
}
