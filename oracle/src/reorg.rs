//! A deep reorganisation by both nodes: the same blocks, on the same machine, in the same run, on disk. All payments of the new
//! side are others, so every signature of it has to be checked.

use std::path::Path;

use bitcoin::consensus::serialize;
use bitcoin::{Amount, Block, BlockHash};
use chain::rules::spend::SignatureCache;
use chain::{Chain, ChainOptions, Params};
use tempfile::TempDir;

use crate::kernel::{Kernel, Signatures};
use crate::pair::now;
use crate::speed::{Growing, Seconds, measure};

const PAYMENTS_PER_BLOCK: u32 = 100;

/// What payments give away on the side that is left, and on the other.
const PAID: [Amount; 2] = [Amount::from_sat(1_000), Amount::from_sat(2_000)];

const ROUNDS: usize = 3;

/// The blocks of a reorganisation.
struct Sides {
    /// All but one, in the order in which they come: nothing is taken back by them.
    first: Vec<Block>,
    /// Where that leads.
    old_tip: BlockHash,
    /// The one that tips the scales.
    last: Block,
}

/// Takes so many blocks back, and one more forth, with both in turn. What is measured is the block that tips the scales, with
/// all that follows from it.
pub(crate) fn run(depth: u64) {
    let sides = make(depth);
    println!("{depth} blocks of {PAYMENTS_PER_BLOCK} one-input P2TR payments back, others forth");
    for round in 1..=ROUNDS {
        let dir = TempDir::new().expect("a directory can be made");
        let core = by_core(dir.path(), &sides);
        let dir = TempDir::new().expect("a directory can be made");
        let ours = by_us(dir.path(), &sides);
        println!(
            "round {round}: Core {:.2} s wall, {:.2} s CPU; ours {:.2} s wall, {:.2} s CPU, committed; {:.2} times as fast",
            core.wall,
            core.cpu,
            ours.wall,
            ours.cpu,
            core.wall / ours.wall
        );
    }
}

fn make(depth: u64) -> Sides {
    let shared = Growing::start(PAYMENTS_PER_BLOCK);
    let [mut old, mut new] = [shared.clone(), shared];
    let fork = old.blocks.len();
    old.grow(depth, PAID[0]);
    new.grow(depth + 1, PAID[1]);
    let old_tip = old.blocks[old.blocks.len() - 1].block_hash();
    let last = new.blocks.pop().expect("it has blocks");
    let mut first = old.blocks;
    first.extend(new.blocks.drain(fork..));
    Sides {
        first,
        old_tip,
        last,
    }
}

fn by_core(dir: &Path, sides: &Sides) -> Seconds {
    let mut kernel = Kernel::open(dir, Signatures::Last, false);
    for block in &sides.first {
        assert_eq!(kernel.submit(&serialize(block)).reason(), None);
    }
    assert_eq!(kernel.tip(), sides.old_tip);
    let bytes = serialize(&sides.last);
    let seconds = measure(|| assert_eq!(kernel.submit(&bytes).reason(), None));
    assert_eq!(kernel.tip(), sides.last.block_hash());
    seconds
}

fn by_us(dir: &Path, sides: &Sides) -> Seconds {
    let params = Params::bitcoin_regtest();
    let mut chain = Chain::open(dir, params, ChainOptions::default()).expect("new");
    let take = |chain: &mut Chain, block: &Block| {
        let mut failed = Vec::new();
        chain
            .accept_block(block.clone(), now())
            .expect("a good block");
        chain
            .activate_best(&SignatureCache::default(), &mut failed)
            .expect("storage works");
        assert!(failed.is_empty());
    };
    for block in &sides.first {
        take(&mut chain, block);
        chain.flush_when_large().expect("storage works");
    }
    chain.flush().expect("storage works");
    assert_eq!(chain.tip().hash, sides.old_tip);
    let seconds = measure(|| {
        take(&mut chain, &sides.last);
        chain.flush().expect("storage works");
    });
    assert_eq!(chain.tip().hash, sides.last.block_hash());
    seconds
}
