//! Blocks that cost so much work that a node which mines beside them hardly ever finds one itself.

use std::path::{Path, PathBuf};

use bitcoin::Block;
use bitcoin::block::Header;
use chain::fixtures::{BlockBuilder, TEST_GENESIS_TIME};
use chain::genesis::{Algorithm, AnchorName, GenesisSpec};
use chain::rules::difficulty::{self, DifficultyContext, Past};
use chain::{Height, Params, Timestamp};
use miner::{Job, ROLLING_MASK, SearchOptions, SearchOutcome, Searcher, StopFlag};

use super::paying::Purses;

/// By how many halvings the target falls after the first block: from 2 hashes a block to 2^26.
const HALVINGS: u32 = 25;
/// The schedule of blocks, by their own times; nobody waits for it.
const SPACING_S: u32 = 600;
/// The first block comes 25 of these too early, all others in time.
const HALF_LIFE_S: u32 = 20;

/// A chain of payments, made block by block with the fastest kernel on all cores. The first block costs two hashes, all others 2^26.
pub struct HardChain {
    params: Params,
    searcher: Searcher,
    purses: Purses,
    tip: Header,
    height: Height,
}

impl HardChain {
    /// A chain without blocks, and the genesis.json of its network.
    pub fn new(folder: &Path, payments_per_block: usize) -> (HardChain, PathBuf) {
        let mut spec = GenesisSpec::trivial("hard", TEST_GENESIS_TIME);
        spec.pow.algorithm = Algorithm::Asert;
        spec.pow.anchor = Some(AnchorName::Genesis);
        spec.pow.spacing_s = SPACING_S;
        spec.pow.half_life_s = Some(HALF_LIFE_S);
        let path = super::write_spec(folder, spec, payments_per_block);
        let text = std::fs::read_to_string(&path).expect("just written");
        let params = Params::from_json(&text).expect("a valid network");
        let chain = HardChain {
            searcher: Searcher::new(SearchOptions::default()).expect("threads"),
            purses: Purses::of(&params),
            tip: params.genesis.header,
            height: Height::GENESIS,
            params,
        };
        (chain, path)
    }

    /// Height of the last block.
    pub fn height(&self) -> Height {
        self.height
    }

    /// The next block.
    pub fn next_block(&mut self) -> Block {
        let parent_height = self.height;
        let at = |height: Height| {
            let header = match height {
                height if height == parent_height => &self.tip,
                _ => &self.params.genesis.header,
            };
            Past {
                time: Timestamp(header.time),
                bits: header.bits,
            }
        };
        let context = DifficultyContext {
            parent_height,
            at: &at,
        };
        // ASERT does not look at the block's own time.
        let bits = difficulty::next_bits(&self.params, &context, Timestamp(0)).bits;
        self.height = Height(self.height.0 + 1);
        let mut builder = BlockBuilder::on(&self.params, &self.tip, self.height).bits(bits);
        if self.height == Height(1) {
            let early_s = HALVINGS * HALF_LIFE_S;
            builder = builder.time(Timestamp(self.tip.time + SPACING_S - early_s));
        }
        let payments = self.purses.pay();
        let mut block = payments.iter().fold(builder, BlockBuilder::with).unmined();
        let job = Job {
            header: block.header,
            target: block.header.target(),
            version_mask: ROLLING_MASK,
        };
        match self.searcher.search(&job, &StopFlag::new()) {
            SearchOutcome::Found(header) => block.header = header,
            other => panic!("one nonce in 2^26 is good, but the search was {other:?}"),
        }
        self.tip = block.header;
        block
    }
}
