//! [`Params`]: the rules of one network. They are made in [`crate::genesis`], which verifies them.

mod digest;

use bitcoin::{Amount, Block, BlockHash, CompactTarget, Target, Weight};

use crate::units::{Height, Timestamp};

pub use digest::NetworkDigest;

/// The address kind of every network: `bcrt1...` (BIP 173, 350). Networks differ by their genesis hash.
pub const ADDRESS_NETWORK: bitcoin::Network = bitcoin::Network::Regtest;

/// The rules of one network, verified on loading.
#[derive(Clone, Debug)]
pub struct Params {
    /// What people call the network.
    pub name: String,
    /// Block 0.
    pub genesis: Block,
    /// The hash of block 0.
    pub genesis_hash: BlockHash,
    /// Names these parameters as a whole.
    pub digest: NetworkDigest,
    /// Proof of work.
    pub pow: PowParams,
    /// New coins.
    pub subsidy: SubsidyParams,
    /// Blocks that must follow before a coinbase output may be spent: 100 as in Bitcoin.
    pub coinbase_maturity: u32,
    /// First height at which the coinbase must commit to its height (BIP 34).
    pub bip34_height: Height,
    /// Largest weight of a block (BIP 141).
    pub max_block_weight: Weight,
    /// How far ahead of our clock a header's time may lie, in seconds.
    pub max_future_s: u32,
    /// Whether 64-byte transactions are refused (BIP 54). Off under the `bitcoin-regtest` preset.
    pub forbid_64_byte_transactions: bool,
}

/// Proof-of-work parameters.
#[derive(Clone, Debug)]
pub struct PowParams {
    /// How the target follows the chain.
    pub difficulty: DifficultyRule,
    /// The easiest target that is allowed.
    pub limit: Target,
    /// `limit` in compact form.
    pub limit_bits: CompactTarget,
    /// The wished time between blocks, in seconds.
    pub spacing_s: u32,
}

/// How the target follows the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifficultyRule {
    /// Every block has the bits of genesis.
    Fixed,
    /// A moving average by solve time, without a schedule: for networks that rest.
    Ema {
        /// The time, in seconds, by which blocks must come too early for the difficulty to double.
        half_life_s: u32,
    },
    /// aserti3-2d on every block.
    Asert {
        /// The time, in seconds, by which the chain must run ahead for the difficulty to double.
        half_life_s: u32,
        /// Where the schedule starts.
        anchor: AsertAnchor,
    },
}

/// The block that an ASERT schedule is measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsertAnchor {
    /// Genesis: for networks whose genesis is made when they start. Its (absent) parent counts as one spacing earlier.
    Genesis,
    /// Block 1, mined at the limit: for networks whose genesis is older than their first miner. Its parent counts as
    /// one spacing earlier than block 1, whatever the time of genesis.
    FirstBlock,
}

impl AsertAnchor {
    /// The anchor block's height.
    #[must_use]
    pub fn height(self) -> Height {
        match self {
            AsertAnchor::Genesis => Height::GENESIS,
            AsertAnchor::FirstBlock => Height(1),
        }
    }
}

/// New coins per block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubsidyParams {
    /// Subsidy of the first `halving_interval` blocks.
    pub initial: Amount,
    /// Blocks between halvings; 0 means never.
    pub halving_interval: u32,
}

impl Params {
    /// The subsidy of a block at `height`: halved every interval, and nothing after 64 halvings.
    #[must_use]
    pub fn subsidy_at(&self, height: Height) -> Amount {
        let halvings = height
            .0
            .checked_div(self.subsidy.halving_interval)
            .unwrap_or(0);
        Amount::from_sat(
            self.subsidy
                .initial
                .to_sat()
                .checked_shr(halvings)
                .unwrap_or(0),
        )
    }

    /// All that blocks up to `height` can have made, with the allocations of genesis. Satoshis that do not fit into 64 bits are not
    /// counted; no network of [`crate::genesis`] comes there in its first 2^31 blocks.
    pub fn supply_at(&self, height: Height) -> Amount {
        let allocated = self.genesis.txdata.iter().skip(1).flat_map(|tx| &tx.output);
        let mut total: u128 = allocated
            .map(|output| u128::from(output.value.to_sat()))
            .sum();
        let mut first = 1;
        while first <= height.0 {
            let subsidy = self.subsidy_at(Height(first)).to_sat();
            let last = match self.subsidy.halving_interval {
                0 => height.0,
                interval => (first / interval)
                    .saturating_add(1)
                    .saturating_mul(interval)
                    .saturating_sub(1)
                    .min(height.0),
            };
            total += u128::from(subsidy) * u128::from(last - first + 1);
            let Some(next) = last.checked_add(1).filter(|_| subsidy > 0) else {
                break;
            };
            first = next;
        }
        Amount::from_sat(u64::try_from(total).unwrap_or(u64::MAX))
    }

    /// The time of block 0.
    #[must_use]
    pub fn genesis_time(&self) -> Timestamp {
        Timestamp(self.genesis.header.time)
    }
}
