//! A database file that was changed by somebody else, and an honest source of blocks. Nothing panics, no block is condemned, and the chain
//! is whole again: tip and coins are the honest ones, and the file is sound.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use bitcoin::{Amount, Block};
use chain::coins::CoinSetStats;
use chain::fixtures::{Key, TestChain};
use chain::rules::spend::SignatureCache;
use chain::salvage::{self, SalvageError};
use chain::scrub::Scrub;
use chain::store::{DirectoryLock, FILE_NAME};
use chain::{Chain, ChainOptions, Timestamp};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp(u32::MAX);
const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 1 << 20,
};
/// How far a change reaches, at most.
const LONGEST: usize = 64;
/// Looks and cures until all must be whole.
const ROUNDS: usize = 8;

struct Honest {
    dir: PathBuf,
    file: Vec<u8>,
    blocks: Vec<Block>,
    stats: CoinSetStats,
}

static HONEST: LazyLock<Honest> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("mend-fuzz-database-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let chain = Chain::open(&dir, TestChain::params(), SMALL).expect("a fresh one");
    let mut net = TestChain::on(chain);
    let keys = [Key::p2tr("alice"), Key::p2wpkh("bob")];
    for n in 1..=12 {
        let pay = net.pay(&keys[n % 2], &keys[(n + 1) % 2], Amount::from_sat(50_000));
        net.including(&pay).mine(&format!("a{n}"));
        net.chain_mut().flush().expect("written");
    }
    let blocks = (1..=12)
        .map(|n| net.block(&format!("a{n}")).clone())
        .collect();
    let stats = net.chain().coin_set_stats(true).expect("sound");
    drop(net);
    let file = std::fs::read(dir.join(FILE_NAME)).expect("the file");
    Honest {
        dir,
        file,
        blocks,
        stats,
    }
});

fuzz_target!(|changes: Vec<(u32, Vec<u8>)>| {
    let mut file = HONEST.file.clone();
    for (at, bytes) in &changes {
        let at = *at as usize % file.len();
        for (there, byte) in file[at..].iter_mut().zip(bytes.iter().take(LONGEST)) {
            *there ^= byte;
        }
    }
    std::fs::write(HONEST.dir.join(FILE_NAME), &file).expect("written");
    let lock = DirectoryLock::acquire(&HONEST.dir).expect("nobody else's");
    let mut chain = match salvage::open(lock, TestChain::params(), SMALL, NOW, &mut |_| {}) {
        Ok(chain) => chain,
        // It names another network or a newer format, or nothing of ours is left in it: it stays as it is.
        Err(SalvageError::Open(_)) => return,
        Err(error) => panic!("{error}"),
    };
    let mut scrub = Scrub::default();
    for round in 0.. {
        assert!(
            round < ROUNDS,
            "{:?} {:?}",
            chain.findings(),
            chain.damaged()
        );
        let mut failed = Vec::new();
        for block in &HONEST.blocks {
            let known = chain.tree().get(&block.block_hash());
            if !known.is_some_and(|info| info.status.has_body) {
                chain
                    .accept_block(block.clone(), NOW)
                    .expect("an honest block");
            }
        }
        chain
            .activate_best(&SignatureCache::default(), &mut failed)
            .expect("healed");
        assert_eq!(failed, [], "no block is condemned");
        chain.heal_findings().expect("healed");
        chain.flush().expect("written");
        let mut is_sound = true;
        loop {
            let step = scrub.step(&chain, 1 << 20, NOW).expect("it can be read");
            is_sound &= step.findings.is_empty();
            if step.ends_round {
                break;
            }
        }
        if is_sound && !chain.has_findings() && chain.damaged().is_empty() {
            break;
        }
    }
    let tip = HONEST.blocks[HONEST.blocks.len() - 1].block_hash();
    assert_eq!(chain.tip().hash, tip);
    assert_eq!(chain.coin_set_stats(true).expect("sound"), HONEST.stats);
});
