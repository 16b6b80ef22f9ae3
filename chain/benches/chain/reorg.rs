//! A deep reorganisation: as many blocks of 100 payments leave the active chain, and one more joins.

use std::time::Instant;

use chain::fixtures::BlockBuilder;
use chain::rules::spend::SignatureCache;
use chain::{Chain, ChainOptions, Height, Timestamp};

use crate::{payments, process};

const PAYMENTS_PER_BLOCK: usize = 100;
const NOW: Timestamp = Timestamp(u32::MAX);

pub(crate) fn run(depth: usize) {
    let made = payments::make(depth, PAYMENTS_PER_BLOCK);
    let params = made.params.clone();
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::open(dir.path(), params.clone(), ChainOptions::default()).unwrap();
    let signatures = SignatureCache::default();
    let mut failed = Vec::new();
    for block in &made.blocks {
        chain.accept_block(block.clone(), NOW).unwrap();
    }
    chain.activate_best(&signatures, &mut failed).unwrap();
    chain.flush().unwrap();
    // The same payments in other blocks.
    let mut parent = params.genesis.header;
    let mut fork = Vec::new();
    for height in 1..=depth as u32 + 1 {
        let builder = BlockBuilder::on(&params, &parent, Height(height)).extra_nonce(1);
        let payments = made
            .blocks
            .get(height as usize - 1)
            .map_or(&[][..], |block| &block.txdata[1..]);
        let block = payments
            .iter()
            .fold(builder, |builder, tx| builder.with(tx))
            .mine();
        parent = block.header;
        fork.push(block);
    }
    for block in fork {
        chain.accept_block(block, NOW).unwrap();
    }
    chain.flush_bodies().unwrap();
    let before = process::resident_mib();
    let start = Instant::now();
    let reorg = chain
        .activate_best(&signatures, &mut failed)
        .unwrap()
        .unwrap();
    let activated = start.elapsed().as_secs_f64();
    chain.flush().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(
        (reorg.disconnected.len(), reorg.connected.len()),
        (depth, depth + 1)
    );
    println!(
        "reorg: {depth} blocks of {PAYMENTS_PER_BLOCK} payments back and forth in {seconds:.2} s \
         ({:.2} s of it committing), {:.0} MiB more at the peak",
        seconds - activated,
        process::peak_mib() - before
    );
}
