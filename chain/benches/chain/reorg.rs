//! A deep reorganisation: as many blocks of 100 payments leave the active chain, and one more joins. Once with the same payments
//! on both sides, whose signatures are known then, and once with others, each of which has to be checked.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use bitcoin::consensus::deserialize;
use bitcoin::{Amount, Block};
use chain::fixtures::BlockBuilder;
use chain::import::import;
use chain::rules::spend::SignatureCache;
use chain::{Chain, ChainOptions, Height, Timestamp};

use crate::payments::{self, PaymentChain};
use crate::process;

const PAYMENTS_PER_BLOCK: usize = 100;
const NOW: Timestamp = Timestamp(u32::MAX);

/// What payments of the other side give away, where they are others.
const PAID_ELSEWHERE: Amount = Amount::from_sat(2_000);

/// Measurements of each kind.
const ROUNDS: usize = 3;

pub(crate) fn run(depth: usize) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let old = payments::make(depth, PAYMENTS_PER_BLOCK);
    fs::write(file("old"), old.to_file()).unwrap();
    fs::write(file("the same"), rebuilt(old, depth).to_file()).unwrap();
    let others = payments::make_paying(PAID_ELSEWHERE, depth + 1, PAYMENTS_PER_BLOCK);
    fs::write(file("other"), others.to_file()).unwrap();
    drop(others);
    for kind in ["the same", "other"] {
        for round in 0..ROUNDS {
            let data_dir = file(&format!("{kind} {round}"));
            let paths = [file("old"), file(kind), data_dir];
            let mut words = vec!["reorg-files"];
            words.extend(paths.iter().map(|path| path.to_str().unwrap()));
            print!("reorg to {kind} payments: {}", process::again(&words));
        }
    }
}

/// The same payments in other blocks, and one block more.
fn rebuilt(made: PaymentChain, depth: usize) -> PaymentChain {
    let mut parent = made.params.genesis.header;
    let mut blocks: Vec<Block> = Vec::new();
    for height in 1..=depth as u32 + 1 {
        let builder = BlockBuilder::on(&made.params, &parent, Height(height)).extra_nonce(1);
        let payments = made
            .blocks
            .get(height as usize - 1)
            .map_or(&[][..], |block| &block.txdata[1..]);
        let block = payments
            .iter()
            .fold(builder, |builder, tx| builder.with(tx))
            .mine();
        parent = block.header;
        blocks.push(block);
    }
    PaymentChain { blocks, ..made }
}

/// Stores the blocks of two files, the first connected, the other one block longer. Goes over in a process of its own, as a node
/// does when a partition ends: the bodies are on disk, and nothing is in memory but headers.
pub(crate) fn run_files(old: &Path, new: &Path, data_dir: &Path) {
    let params = payments::params(PAYMENTS_PER_BLOCK);
    let mut chain = Chain::open(data_dir, params, ChainOptions::default()).unwrap();
    import(&mut chain, File::open(old).unwrap(), NOW, &mut |_| {}).unwrap();
    accept_all(&mut chain, new);
    drop(chain);
    print!(
        "{}",
        process::again(&["reorg-stored", data_dir.to_str().unwrap()])
    );
}

/// Goes to the best chain that is stored, and prints what that took.
pub(crate) fn run_stored(data_dir: &Path) {
    let params = payments::params(PAYMENTS_PER_BLOCK);
    let mut chain = Chain::open(data_dir, params, ChainOptions::default()).unwrap();
    let depth = chain.tip().height.0 as usize;
    let before = process::resident_mib();
    let cpu_before = process::cpu_seconds();
    let start = Instant::now();
    let mut failed = Vec::new();
    let reorg = chain
        .activate_best(&SignatureCache::default(), &mut failed)
        .unwrap()
        .unwrap();
    let activated = start.elapsed().as_secs_f64();
    chain.flush().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert!(failed.is_empty());
    assert_eq!(
        (reorg.disconnected.len(), reorg.connected.len()),
        (depth, depth + 1)
    );
    let peak = process::peak_mib();
    println!(
        "{depth} blocks of {PAYMENTS_PER_BLOCK} back, {} forth in {seconds:.2} s ({:.2} s of it committing; {:.2} s of CPU), {peak:.0} MiB at the peak, {:.0} more than before",
        depth + 1,
        seconds - activated,
        process::cpu_seconds() - cpu_before,
        peak - before
    );
}

/// Stores all blocks of a file, and connects none.
fn accept_all(chain: &mut Chain, file: &Path) {
    let bytes = fs::read(file).unwrap();
    let mut rest = bytes.as_slice();
    while let Some((frame, after)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes(frame[4..].try_into().unwrap()) as usize;
        let (block, after) = after.split_at(length);
        let block: Block = deserialize(block).unwrap();
        chain.accept_block(block, NOW).unwrap();
        chain.flush_when_large().unwrap();
        rest = after;
    }
    chain.flush().unwrap();
}
