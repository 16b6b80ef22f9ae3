//! [`GenesisSpec`]: the description of a network that is yet to be made.

use bitcoin::hashes::Hash;
use bitcoin::{Amount, CompactTarget};

use super::block::merkle_root;
use super::error::GenesisError;
use super::file::{
    Algorithm, Allocation, GenesisFile, GenesisSection, HexBits, PowSection, SubsidySection,
};
use crate::rules::header::target_of_bits;
use crate::units::Timestamp;

/// A network that is yet to be made: everything but what mining its genesis finds. `Default` is the built-in network's rules, with
/// no time, no allocations, and the name `custom`.
#[derive(Clone, Debug)]
pub struct GenesisSpec {
    /// What people call the network.
    pub name: String,
    /// Text in block 0's coinbase, 4 to 75 bytes.
    pub message: String,
    /// Time of block 0.
    pub time: Timestamp,
    /// Target of block 0; the limit if absent. Under `fixed`, every block's target.
    pub bits: Option<CompactTarget>,
    /// Coins that exist from the start.
    pub allocations: Vec<Allocation>,
    /// Proof of work.
    pub pow: PowSection,
    /// New coins.
    pub subsidy: SubsidySection,
    /// Blocks that must follow before a coinbase output may be spent.
    pub coinbase_maturity: u32,
    /// First height at which the coinbase must commit to its height (BIP 34).
    pub bip34_height: u32,
    /// Largest weight of a block, in weight units.
    pub max_block_weight: u64,
    /// How far ahead of our clock a header's time may lie, in seconds.
    pub max_future_s: u32,
}

impl Default for GenesisSpec {
    fn default() -> GenesisSpec {
        GenesisSpec {
            name: "custom".to_owned(),
            message: "made to be split apart and to mend itself".to_owned(),
            time: Timestamp(0),
            bits: None,
            allocations: Vec::new(),
            pow: PowSection {
                algorithm: Algorithm::Ema,
                limit: HexBits(CompactTarget::from_consensus(0x1e7f_ffff)),
                spacing_s: 10,
                half_life_s: Some(140),
                anchor: None,
            },
            subsidy: SubsidySection {
                initial_sat: 50 * Amount::ONE_BTC.to_sat(),
                halving_interval: 150,
            },
            coinbase_maturity: 100,
            bip34_height: 17,
            max_block_weight: 4_000_000,
            max_future_s: 7_200,
        }
    }
}

impl GenesisSpec {
    /// The rules of a network whose blocks cost two hashes on average, at a fixed target, as tests want them.
    #[must_use]
    pub fn trivial(name: &str, time: Timestamp) -> GenesisSpec {
        GenesisSpec {
            name: name.to_owned(),
            time,
            pow: PowSection {
                algorithm: Algorithm::Fixed,
                limit: HexBits(CompactTarget::from_consensus(0x207f_ffff)),
                spacing_s: 10,
                half_life_s: None,
                anchor: None,
            },
            bip34_height: 1,
            ..GenesisSpec::default()
        }
    }

    /// Adds a coin that exists from the start.
    #[must_use]
    pub fn allocate(mut self, address: &bitcoin::Address, amount: Amount) -> GenesisSpec {
        let address = address.to_string();
        self.allocations.push(Allocation {
            address,
            amount_sat: amount.to_sat(),
        });
        self
    }

    /// The bits of block 0.
    #[must_use]
    pub fn bits(&self) -> CompactTarget {
        self.bits.unwrap_or(self.pow.limit.0)
    }

    /// Finds block 0's nonce by trying all in order, on this thread: at the built-in network's limit about 130,000 hashes.
    ///
    /// # Errors
    ///
    /// [`GenesisError`] names the field that is wrong, or `genesis.nonce` if no nonce meets the target: change the time or
    /// the message then.
    pub fn mine(&self) -> Result<GenesisFile, GenesisError> {
        self.mine_telling(|_| {})
    }

    /// As [`GenesisSpec::mine`]; `tried` hears now and then how many nonces were tried.
    ///
    /// # Errors
    ///
    /// As [`GenesisSpec::mine`].
    pub fn mine_telling(&self, mut tried: impl FnMut(u32)) -> Result<GenesisFile, GenesisError> {
        let mut file = self.unmined();
        let mut block = file.to_params()?.genesis;
        block.header.merkle_root = merkle_root(&block);
        let bits = block.header.bits;
        let target = target_of_bits(bits).expect("the file's bits were checked");
        let nonce = (0..=u32::MAX).find(|nonce| {
            if nonce.is_multiple_of(1 << 18) {
                tried(*nonce);
            }
            block.header.nonce = *nonce;
            target.is_met_by(block.block_hash())
        });
        let Some(nonce) = nonce else {
            let problem = format!("none of 2^32 meets the bits {bits:08x}; change time or message");
            return Err(GenesisError::new("genesis.nonce", problem));
        };
        file.genesis.nonce = nonce;
        file.genesis.merkle_root = block.header.merkle_root;
        file.genesis.hash = block.block_hash();
        Ok(file)
    }

    fn unmined(&self) -> GenesisFile {
        GenesisFile {
            name: self.name.clone(),
            genesis: GenesisSection {
                message: self.message.clone(),
                version: 0x2000_0000,
                time: self.time.0,
                bits: self.bits.map_or(self.pow.limit, HexBits),
                nonce: 0,
                merkle_root: bitcoin::TxMerkleNode::all_zeros(),
                hash: bitcoin::BlockHash::all_zeros(),
            },
            allocations: self.allocations.clone(),
            pow: self.pow.clone(),
            subsidy: self.subsidy.clone(),
            coinbase_maturity: self.coinbase_maturity,
            bip34_height: self.bip34_height,
            max_block_weight: self.max_block_weight,
            max_future_s: self.max_future_s,
        }
    }
}
