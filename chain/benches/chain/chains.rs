//! Many small chains in memory, as a simulation holds them.

use std::sync::Arc;

use chain::fixtures::{BlockBuilder, test_params};
use chain::rules::block_alone;
use chain::rules::spend::SignatureCache;
use chain::{Chain, Height, Timestamp};

use crate::process;

const BLOCKS: u32 = 144;

pub(crate) fn run(count: usize) {
    let params = Arc::new(test_params());
    let mut parent = params.genesis.header;
    let blocks: Vec<_> = (1..=BLOCKS)
        .map(|height| {
            let block = BlockBuilder::on(&params, &parent, Height(height)).mine();
            parent = block.header;
            Arc::new(block_alone::check(block, &params).unwrap())
        })
        .collect();
    let start = process::resident_mib();
    let mut chains: Vec<Chain> = (0..count)
        .map(|_| Chain::in_memory(params.clone()))
        .collect();
    let empty = process::resident_mib();
    let signatures = SignatureCache::default();
    for chain in &mut chains {
        for block in &blocks {
            chain
                .accept_checked(block.clone(), Timestamp(u32::MAX))
                .unwrap();
            chain.activate_best(&signatures, &mut Vec::new()).unwrap();
        }
    }
    let grown = process::resident_mib();
    for chain in &mut chains {
        chain.flush().unwrap();
    }
    let flushed = process::resident_mib();
    let each = |mib: f64| mib * 1024.0 / count as f64;
    println!(
        "chains: {count} in memory, KiB each: {:.0} empty, {:.0} with {BLOCKS} blocks, {:.0} committed",
        each(empty - start),
        each(grown - start),
        each(flushed - start)
    );
}
