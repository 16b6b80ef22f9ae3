//! Bits that flip, pages that are lost, files that are cut: whatever happens to a database, no honest block is condemned, nothing
//! wrong is told, and with an honest source of blocks the chain is whole again.
//!
//! `MEND_BITROT=N` plays N flips instead of the few that are played by default, and N / 10 ruined pages and cuts;
//! `MEND_BITROT_SEED=N` plays others, `MEND_BITROT_FIRST=N` leaves those before the Nth out. What was met is told on standard error (`--nocapture`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bitcoin::{Amount, Block, OutPoint};
use chain::coins::CoinSetStats;
use chain::fixtures::{Key, TestChain};
use chain::rules::spend::SignatureCache;
use chain::salvage;
use chain::scrub::Scrub;
use chain::store::{DirectoryLock, FILE_NAME};
use chain::{Chain, ChainOptions, Coin, Cure, Timestamp};

const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 4 << 20,
};
const NOW: Timestamp = Timestamp(u32::MAX);

/// Blocks of the database, and those that come after.
const BLOCKS: usize = 200;
const LATER: usize = 6;

/// Looks, cures and fetched bodies until all must be whole.
const ROUNDS: usize = 8;

/// What an honest node has.
struct Honest {
    /// The database of the first blocks.
    file: Vec<u8>,
    /// All blocks, from height 1 on.
    blocks: Vec<Block>,
    stats: CoinSetStats,
    /// Coins at the tip, and some that are spent.
    coins: Vec<(OutPoint, Option<Coin>)>,
}

fn honest() -> Honest {
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), TestChain::params(), SMALL).unwrap();
    let mut net = TestChain::on(chain);
    let keys = [Key::p2tr("alice"), Key::p2wpkh("bob")];
    let grow = |net: &mut TestChain, n: usize| {
        for payment in 0..n % 3 {
            let (from, to) = (&keys[(n + payment) % 2], &keys[(n + payment + 1) % 2]);
            let pay = net.pay(from, to, Amount::from_sat(20_000_000 + n as u64));
            net.including(&pay);
        }
        net.mine(&format!("a{n}"));
    };
    for n in 1..=BLOCKS {
        grow(&mut net, n);
        if n % 16 == 0 {
            net.chain_mut().flush().unwrap();
        }
    }
    net.chain_mut().flush().unwrap();
    let blocks = |net: &TestChain, range: std::ops::RangeInclusive<usize>| -> Vec<Block> {
        range.map(|n| net.block(&format!("a{n}")).clone()).collect()
    };
    let mut all = blocks(&net, 1..=BLOCKS);
    drop(net);
    let file = fs::read(dir.path().join(FILE_NAME)).unwrap();
    let mut net = TestChain::new();
    for (n, block) in (1..).zip(&all) {
        net.submit(&format!("a{n}"), block.clone());
    }
    let before: Vec<OutPoint> = outpoints(net.chain());
    for n in BLOCKS + 1..=BLOCKS + LATER {
        grow(&mut net, n);
    }
    all.extend(blocks(&net, BLOCKS + 1..=BLOCKS + LATER));
    let mut coins = before;
    coins.extend(outpoints(net.chain()));
    let coins = coins
        .into_iter()
        .map(|outpoint| (outpoint, net.chain().coin(&outpoint).unwrap()));
    Honest {
        file,
        coins: coins.collect(),
        stats: net.chain().coin_set_stats(true).unwrap(),
        blocks: all,
    }
}

fn outpoints(chain: &Chain) -> Vec<OutPoint> {
    let mut outpoints = Vec::new();
    chain
        .for_each_coin(|outpoint, _| {
            outpoints.push(outpoint);
            Ok(())
        })
        .unwrap();
    outpoints
}

/// Numbers that are as good as random (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((n ^ n >> 31) % limit as u64).unwrap()
    }
}

/// What happened to the whole of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Harmless,
    Coin,
    Undo,
    Header,
    Body,
    NewDatabase,
    Salvaged,
}

impl Honest {
    /// Opens the damaged file and lives with it until all is whole. What was told on the way was right.
    fn live_through(&self, content: &[u8], case: &str) -> Outcome {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), content).unwrap();
        let mut chain = open(dir.path(), case);
        let mut outcome = Outcome::Harmless;
        let mut scrub = Scrub::default();
        for round in 0.. {
            assert!(
                round < ROUNDS,
                "{case}: {:?} {:?}",
                chain.findings(),
                chain.damaged()
            );
            self.give(&mut chain, case);
            self.check_what_is_told(&chain, case);
            chain
                .heal_findings()
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            chain
                .flush()
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            let mut is_sound = true;
            loop {
                let step = scrub.step(&chain, 1 << 20, NOW).unwrap();
                is_sound &= step.findings.is_empty();
                if step.ends_round {
                    break;
                }
            }
            for cure in chain.take_cures() {
                outcome = outcome.max(match cure {
                    Cure::Coin { .. } => Outcome::Coin,
                    Cure::Undo { .. } => Outcome::Undo,
                    Cure::Header { .. } => Outcome::Header,
                    Cure::Database { before: None, .. } => Outcome::Salvaged,
                    Cure::Database { .. } => Outcome::NewDatabase,
                });
            }
            if chain.cure_counts().bodies > 0 {
                outcome = outcome.max(Outcome::Body);
            }
            if is_sound && !chain.has_findings() && chain.damaged().is_empty() {
                break;
            }
        }
        self.assert_whole(&chain, case);
        drop(chain);
        let mut chain = open(dir.path(), case);
        assert_eq!(chain.take_cures(), [], "{case}: healed on disk too");
        self.assert_whole(&chain, case);
        outcome
    }

    /// What an honest peer does: it has every block.
    fn give(&self, chain: &mut Chain, case: &str) {
        let mut failed = Vec::new();
        let signatures = SignatureCache::default();
        for block in &self.blocks {
            let status = chain
                .tree()
                .get(&block.block_hash())
                .map(|info| info.status);
            if status.is_some_and(|status| status.has_body) {
                continue;
            }
            let taken = chain.accept_block(block.clone(), NOW);
            taken.unwrap_or_else(|error| panic!("{case}: {error}"));
        }
        chain
            .activate_best(&signatures, &mut failed)
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(failed, [], "{case}: never condemned");
    }

    fn check_what_is_told(&self, chain: &Chain, case: &str) {
        for (n, block) in self.blocks.iter().enumerate().step_by(7) {
            if let Some(told) = chain.block(&block.block_hash()).unwrap() {
                assert_eq!(told.block(), block, "{case}: block {}", n + 1);
            }
        }
        if chain.tip().hash != self.blocks[self.blocks.len() - 1].block_hash() {
            return;
        }
        for (outpoint, coin) in self.coins.iter().step_by(5) {
            if let Ok(told) = chain.proved_coin(outpoint) {
                assert_eq!(told, *coin, "{case}: coin {outpoint}");
            }
        }
        if let Ok(stats) = chain.coin_set_stats(true) {
            assert_eq!(stats, self.stats, "{case}");
        }
    }

    fn assert_whole(&self, chain: &Chain, case: &str) {
        let tip = self.blocks[self.blocks.len() - 1].block_hash();
        assert_eq!(chain.tip().hash, tip, "{case}");
        assert_eq!(chain.coin_set_stats(true).unwrap(), self.stats, "{case}");
        for info in chain.tree().iter() {
            assert!(info.status.may_be_valid(), "{case}: {info:?}");
        }
        for block in &self.blocks {
            let told = chain.block(&block.block_hash()).unwrap();
            assert!(told.is_some_and(|told| told.block() == block), "{case}");
        }
        for (outpoint, coin) in &self.coins {
            assert_eq!(chain.coin(outpoint).unwrap(), *coin, "{case}: {outpoint}");
        }
    }
}

fn open(dir: &Path, case: &str) -> Chain {
    let lock = DirectoryLock::acquire(dir).unwrap();
    salvage::open(lock, TestChain::params(), SMALL, NOW, &mut |_| {})
        .unwrap_or_else(|error| panic!("{case}: {error}"))
}

fn number_from(name: &str) -> Option<u64> {
    let given = std::env::var(name).ok()?;
    Some(given.parse().expect("a number"))
}

/// Plays `count` cases of one kind, and tells what they met.
#[expect(clippy::print_stderr, reason = "it is asked for by --nocapture")]
fn play(kind: &str, count: usize, damage: impl Fn(&mut Vec<u8>, &mut Dice) -> String) {
    let honest = honest();
    let mut dice = Dice(number_from("MEND_BITROT_SEED").unwrap_or(1));
    let first = number_from("MEND_BITROT_FIRST").map_or(0, |first| first as usize);
    let mut outcomes: BTreeMap<Outcome, u32> = BTreeMap::new();
    for number in 0..count {
        let mut content = honest.file.clone();
        let case = format!("{kind} {number}: {}", damage(&mut content, &mut dice));
        if number < first {
            continue;
        }
        *outcomes
            .entry(honest.live_through(&content, &case))
            .or_default() += 1;
    }
    eprintln!(
        "{kind}: {count} in {} bytes: {outcomes:?}",
        honest.file.len()
    );
    let harmless = outcomes
        .get(&Outcome::Harmless)
        .copied()
        .unwrap_or_default();
    assert!((harmless as usize) < count, "none of them did anything");
}

fn count(by_default: usize, share: u64) -> usize {
    let given = number_from("MEND_BITROT").map(|count| (count / share).max(1));
    given.map_or(by_default, |count| {
        usize::try_from(count).expect("not so many")
    })
}

#[test]
fn single_bits_flip() {
    play("flip", count(120, 1), |content, dice| {
        let (byte, bit) = (dice.below(content.len()), dice.below(8));
        content[byte] ^= 1 << bit;
        format!("bit {bit} of byte {byte}")
    });
}

#[test]
fn whole_pages_are_lost() {
    play("page", count(24, 20), |content, dice| {
        let page = dice.below(content.len() / 4096);
        let place = &mut content[page * 4096..][..4096];
        match dice.below(3) {
            0 => place.fill(0),
            1 => place.fill(0xff),
            _ => place
                .iter_mut()
                .for_each(|byte| *byte = dice.below(256) as u8),
        }
        format!("page {page}")
    });
}

#[test]
fn files_are_cut() {
    play("cut", count(12, 20), |content, dice| {
        let length = dice.below(content.len());
        content.truncate(length);
        format!("at byte {length}")
    });
}

/// Pages that lead to others are written anew with what is damaged on them when a row below changes.
#[test]
fn ways_are_hurt() {
    play("way", count(150, 10), |content, dice| {
        let leads_on = |page: &[u8]| {
            let is_branch = page[..2] == [2, 0];
            is_branch || page.windows(5).any(|name| name == b"coins")
        };
        let pages: Vec<usize> = (0..content.len())
            .step_by(4096)
            .filter(|&page| leads_on(&content[page..][..4096]))
            .collect();
        let (page, bit) = (pages[dice.below(pages.len())], dice.below(8));
        let used = 8 + (24 + 36) * usize::from(content[page + 2]);
        let byte = page + dice.below(used.min(4096));
        content[byte] ^= 1 << bit;
        format!("bit {bit} of byte {byte}")
    });
}
