//! A story for a disk: blocks with payments, commits of both kinds, and a longer fork that takes the payments back. And what
//! must hold when the disk gave up in the middle of it.

use std::collections::BTreeMap;

use bitcoin::{Amount, Block, BlockHash};
use chain::coins::CoinSetStats;
use chain::fixtures::{GENESIS, Key, TestChain};
use chain::rules::spend::SignatureCache;
use chain::store::MemoryDisk;
use chain::{AcceptError, Chain, ChainOptions, Height, OpenError, Params, StoreError, Timestamp};
use redb::StorageBackend;

pub(crate) const NOW: Timestamp = Timestamp(u32::MAX);
pub(crate) const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 1 << 20,
};

/// The blocks, and what a chain that never crashed says of the coins at each tip.
pub(crate) struct Story {
    pub(crate) params: Params,
    pub(crate) first: Vec<Block>,
    pub(crate) fork: Vec<Block>,
    coins: BTreeMap<BlockHash, CoinSetStats>,
}

/// Why a run did not reach the end of the story.
#[derive(Debug)]
pub(crate) enum Stopped {
    NotOpened(OpenError),
    Failed(StoreError),
}

/// What a run was told is on disk, and what it was committing when the disk broke.
#[derive(Clone, Default)]
pub(crate) struct Acknowledged {
    /// Tip of the last commit of coins that returned.
    pub(crate) tip: Option<BlockHash>,
    /// Tips of commits of coins that may have begun and did not return.
    pub(crate) attempted: Vec<BlockHash>,
    /// Blocks whose bodies were committed.
    pub(crate) bodies: Vec<BlockHash>,
}

impl Story {
    pub(crate) fn new() -> Story {
        let mut net = TestChain::new();
        let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
        for n in 1..=6 {
            let one = net.pay(&alice, &bob, Amount::ONE_BTC);
            let two = net.pay(&bob, &alice, Amount::ONE_BTC);
            net.including(&one).including(&two).mine(&format!("a{n}"));
        }
        net.fork_at(GENESIS).mine_many("b", 7);
        let blocks = |prefix: &str, count: usize| {
            (1..=count)
                .map(|n| net.block(&format!("{prefix}{n}")).clone())
                .collect()
        };
        let mut story = Story {
            params: TestChain::params(),
            first: blocks("a", 6),
            fork: blocks("b", 7),
            coins: BTreeMap::new(),
        };
        let mut chain = Chain::in_memory(story.params.clone());
        let mut coins = BTreeMap::new();
        for block in [None].into_iter().chain(story.blocks().map(Some)) {
            if let Some(block) = block {
                chain.accept_block(block.clone(), NOW).unwrap();
                activate(&mut chain).unwrap();
            }
            let stats = chain.coin_set_stats(true).unwrap();
            coins.insert(chain.tip().hash, stats);
        }
        story.coins = coins;
        story
    }

    /// All blocks in the order in which they come.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.first.iter().chain(&self.fork)
    }

    /// The coins of a tip.
    pub(crate) fn coins_at(&self, tip: &BlockHash) -> &CoinSetStats {
        let coins = self.coins.get(tip);
        coins.expect("a tip on disk is one that was reached")
    }

    /// The last tip.
    pub(crate) fn end(&self) -> BlockHash {
        self.fork[self.fork.len() - 1].block_hash()
    }

    pub(crate) fn open(&self, disk: impl StorageBackend) -> Result<Chain, OpenError> {
        Chain::open_backend(disk, self.params.clone(), SMALL)
    }

    /// Plays the story on a disk until the end or the first failure, after which nothing is committed any more.
    pub(crate) fn play(
        &self,
        disk: impl StorageBackend,
        acknowledged: &mut Acknowledged,
    ) -> Result<(), Stopped> {
        let mut chain = self.open(disk).map_err(Stopped::NotOpened)?;
        acknowledged.tip = Some(chain.tip().hash);
        self.play_on(&mut chain, acknowledged).map_err(|error| {
            let refused = chain.flush();
            assert_eq!(refused, Err(error.stopped()), "no further commit is taken");
            Stopped::Failed(error)
        })
    }

    fn play_on(
        &self,
        chain: &mut Chain,
        acknowledged: &mut Acknowledged,
    ) -> Result<(), StoreError> {
        let mut uncommitted = Vec::new();
        for (n, block) in self.blocks().enumerate() {
            accept(chain, block)?;
            activate(chain)?;
            uncommitted.push(block.block_hash());
            match n % 3 {
                0 => chain.flush_bodies()?,
                1 => commit(chain, acknowledged)?,
                _ => continue,
            }
            acknowledged.bodies.append(&mut uncommitted);
        }
        commit(chain, acknowledged)?;
        acknowledged.bodies.append(&mut uncommitted);
        Ok(())
    }

    /// Takes blocks and goes to the best tip.
    pub(crate) fn take(&self, chain: &mut Chain, blocks: &[Block]) -> Result<(), StoreError> {
        for block in blocks {
            accept(chain, block)?;
        }
        activate(chain)
    }

    /// Opens what a crash left, as a node does: what lies ahead of the stored tip is connected, and committed.
    pub(crate) fn recover(
        &self,
        disk: impl StorageBackend,
        acknowledged: &mut Acknowledged,
    ) -> Result<(), Stopped> {
        let mut chain = self.open(disk).map_err(Stopped::NotOpened)?;
        acknowledged.tip = Some(chain.tip().hash);
        acknowledged.attempted.clear();
        activate(&mut chain).map_err(Stopped::Failed)?;
        commit(&mut chain, acknowledged).map_err(Stopped::Failed)
    }

    /// What a crash left opens; its tip is the one committed last, or the one that was being committed; its coins are those of
    /// that tip; no acknowledged body is lost; and it goes on to the end of the story.
    pub(crate) fn check_recovered(
        &self,
        disk: &MemoryDisk,
        acknowledged: &Acknowledged,
        what: &str,
    ) {
        let opened = self.open(disk.clone());
        if opened.is_err() && acknowledged.tip.is_none() {
            // It broke while the database was being made. A file has another name until it is whole.
            return;
        }
        let mut chain = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
        let tip = chain.tip().hash;
        let last = acknowledged.tip.unwrap_or(self.params.genesis_hash);
        assert!(
            tip == last || acknowledged.attempted.contains(&tip),
            "{what}: the tip {tip} was never committed, {last} was"
        );
        assert_eq!(
            &chain.coin_set_stats(true).unwrap(),
            self.coins_at(&tip),
            "{what}: coins belong to the tip"
        );
        for hash in &acknowledged.bodies {
            let body = chain.block(hash).unwrap();
            assert!(body.is_some(), "{what}: the body of {hash} was lost");
        }
        for block in self.blocks() {
            accept(&mut chain, block).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        activate(&mut chain).unwrap();
        chain.flush().unwrap();
        let reached = (chain.tip().hash, chain.tip().height);
        assert_eq!(reached, (self.end(), Height(7)), "{what}");
        let coins = chain.coin_set_stats(true).unwrap();
        assert_eq!(&coins, self.coins_at(&self.end()), "{what}");
    }
}

fn accept(chain: &mut Chain, block: &Block) -> Result<(), StoreError> {
    match chain.accept_block(block.clone(), NOW) {
        Ok(_) => Ok(()),
        Err(AcceptError::Store(error)) => Err(error),
        Err(refusal) => panic!("a good block was refused: {refusal}"),
    }
}

pub(crate) fn activate(chain: &mut Chain) -> Result<(), StoreError> {
    let mut failed = Vec::new();
    chain.activate_best(&SignatureCache::default(), &mut failed)?;
    assert_eq!(failed, [], "all blocks are good");
    Ok(())
}

pub(crate) fn commit(chain: &mut Chain, acknowledged: &mut Acknowledged) -> Result<(), StoreError> {
    let tip = chain.tip().hash;
    acknowledged.attempted = vec![tip];
    chain.flush()?;
    acknowledged.attempted.clear();
    acknowledged.tip = Some(tip);
    Ok(())
}
