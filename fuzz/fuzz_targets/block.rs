//! Bytes that claim to be a block: what passes the checks of a body alone has the shape that later rules rely on.

#![no_main]

use std::sync::LazyLock;

use bitcoin::Block;
use bitcoin::consensus::{deserialize, serialize};
use chain::rules::block_alone::{self, BodyContext};
use chain::{Height, Params, Timestamp};
use libfuzzer_sys::fuzz_target;

static REGTEST: LazyLock<Params> = LazyLock::new(Params::bitcoin_regtest);

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut block) = deserialize::<Block>(bytes) else {
        return;
    };
    assert_eq!(deserialize(&serialize(&block)).ok().as_ref(), Some(&block));
    let _ = block_alone::check(block.clone(), &REGTEST);
    // With the root that fits, the rest is looked at.
    if let Some(root) = block.compute_merkle_root() {
        block.header.merkle_root = root;
    }
    let Ok(checked) = block_alone::check(block, &REGTEST) else {
        return;
    };
    let transactions = &checked.block().txdata;
    assert_eq!(checked.txids().len(), transactions.len());
    assert!(transactions[0].is_coinbase());
    assert!(
        !transactions[1..]
            .iter()
            .any(bitcoin::Transaction::is_coinbase)
    );
    let context = BodyContext {
        height: Height(1),
        parent_median_time_past: Timestamp(1_296_688_602),
    };
    if block_alone::check_contextual(&checked, &context, &REGTEST).is_ok() {
        assert!(checked.block().weight() <= REGTEST.max_block_weight);
    }
});
