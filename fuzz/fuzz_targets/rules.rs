//! Valid blocks with changed bytes, connected on a real chain: no coin comes from nothing, and what a block did can be taken
//! back.
//!
//! The first byte of the input picks the block, the second what is made to fit again after the change; then come three bytes
//! for each change: where (two), and what is flipped.

#![no_main]

use std::sync::LazyLock;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{Amount, Block};
use chain::fixtures::{BlockBuilder, Payment, TestChain, commit_to_witnesses, remine};
use chain::rules::spend::SignatureCache;
use chain::{Chain, Height, Params, Timestamp};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp(u32::MAX);
const BLOCKS: usize = 4;

const FIT_COMMITMENT: u8 = 1;
const FIT_HEADER: u8 = 2;

static PARAMS: LazyLock<Params> = LazyLock::new(TestChain::params);
static MADE: LazyLock<Vec<Block>> = LazyLock::new(make);

/// Blocks with payments of both kinds, some of which spend outputs of the same block.
fn make() -> Vec<Block> {
    let [alice, bob] = TestChain::rich_keys();
    let coins = &PARAMS.genesis.txdata[1];
    let mut made: Vec<Block> = Vec::new();
    for n in 0..BLOCKS as u32 {
        let parent = made.last().unwrap_or(&PARAMS.genesis).header;
        let half = Amount::ONE_BTC * 5;
        let first = Payment::new()
            .spend_output_of(coins, n, &alice)
            .pay(&bob, half)
            .pay(&alice, half)
            .sign();
        let second = Payment::new()
            .spend_output_of(&first, 0, &bob)
            .spend_output_of(coins, 10 + n, &bob)
            .pay(&alice, half)
            .lock_time(n)
            .sequence(0)
            .sign();
        let third = Payment::new()
            .spend_output_of(&second, 0, &alice)
            .pay(&bob, half)
            .sign();
        made.push(
            BlockBuilder::on(&PARAMS, &parent, Height(n + 1))
                .with(&first)
                .with(&second)
                .with(&third)
                .fees(Amount::ONE_BTC)
                .mine(),
        );
    }
    made
}

fuzz_target!(|input: &[u8]| {
    let [which, fit, changes @ ..] = input else {
        return;
    };
    let which = usize::from(*which) % BLOCKS;
    let Some(block) = changed(&MADE[which], changes, *fit) else {
        return;
    };
    let mut chain = Chain::in_memory(PARAMS.clone());
    let signatures = SignatureCache::default();
    let mut failed = Vec::new();
    for parent in &MADE[..which] {
        chain.accept_block(parent.clone(), NOW).expect("valid");
    }
    chain
        .activate_best(&signatures, &mut failed)
        .expect("memory works");
    assert!(failed.is_empty());
    let before = chain.coin_set_stats(true).expect("memory works");
    let hash = block.block_hash();
    let _ = chain.accept_block(block, NOW);
    chain
        .activate_best(&signatures, &mut failed)
        .expect("memory works");
    let after = chain.coin_set_stats(true).expect("memory works");
    if chain.tip().hash == hash {
        let subsidy = PARAMS.subsidy_at(chain.tip().height);
        assert!(
            after.total <= before.total + subsidy,
            "no coin comes from nothing"
        );
        chain.invalidate(&hash).expect("memory works");
        chain
            .activate_best(&signatures, &mut failed)
            .expect("memory works");
        let back = chain.coin_set_stats(true).expect("memory works");
        assert_eq!(back, before);
    } else {
        assert_eq!(after, before, "a refused block leaves no trace");
    }
});

fn changed(block: &Block, changes: &[u8], fit: u8) -> Option<Block> {
    let mut bytes = serialize(block);
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let length = bytes.len();
        bytes[place % length] ^= change[2];
    }
    let mut block: Block = deserialize(&bytes).ok()?;
    let coinbase = block.txdata.first_mut()?;
    if fit & FIT_COMMITMENT != 0 && !coinbase.input.is_empty() && coinbase.output.len() > 1 {
        coinbase.output.pop();
        commit_to_witnesses(&mut block.txdata);
    }
    if fit & FIT_HEADER != 0 && block.header.bits == PARAMS.genesis.header.bits {
        remine(&mut block);
    }
    Some(block)
}
