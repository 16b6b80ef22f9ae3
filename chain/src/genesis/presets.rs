//! The networks that need no file.

use bitcoin::{Amount, Target, Weight};

use crate::params::{DifficultyRule, NetworkDigest, Params, PowParams, SubsidyParams};
use crate::units::Height;

/// The repository's `genesis.json`.
const LOCAL: &str = include_str!("../../../genesis.json");

impl Params {
    /// Name of [`Params::local`].
    pub const LOCAL_NAME: &'static str = "mend-local";

    /// Name of [`Params::bitcoin_regtest`].
    pub const BITCOIN_REGTEST_NAME: &'static str = "bitcoin-regtest";

    /// The built-in default network: the repository's `genesis.json`.
    #[must_use]
    pub fn local() -> Params {
        Params::from_json(LOCAL).expect("the built-in genesis.json is valid")
    }

    /// The text of [`Params::local`]'s `genesis.json`.
    #[must_use]
    pub fn local_json() -> &'static str {
        LOCAL
    }

    /// Bitcoin Core's regtest, exactly: its genesis block, no retargeting, halving every 150 blocks, BIP 34 from block 1,
    /// the genesis coinbase unspendable. It cannot be written as a `genesis.json`, as its coinbase has another form.
    #[must_use]
    pub fn bitcoin_regtest() -> Params {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest);
        let mut params = Params {
            name: Params::BITCOIN_REGTEST_NAME.to_owned(),
            genesis_hash: genesis.block_hash(),
            pow: PowParams {
                difficulty: DifficultyRule::Fixed,
                // All ones below the first bit: a little above what its compact form can say.
                limit: Target::from_be_bytes(regtest_limit()),
                limit_bits: genesis.header.bits,
                spacing_s: 600,
            },
            genesis,
            digest: NetworkDigest([0; 32]),
            subsidy: SubsidyParams {
                initial: Amount::from_int_btc(50),
                halving_interval: 150,
            },
            coinbase_maturity: 100,
            bip34_height: Height(1),
            max_block_weight: Weight::MAX_BLOCK,
            max_future_s: 7_200,
            forbid_64_byte_transactions: false,
        };
        params.digest = NetworkDigest::of(&params);
        params
    }

    /// A built-in network by name; `None` for any other name.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Params> {
        match name {
            Params::LOCAL_NAME => Some(Params::local()),
            Params::BITCOIN_REGTEST_NAME => Some(Params::bitcoin_regtest()),
            _ => None,
        }
    }
}

/// 2^255 - 1, big-endian.
fn regtest_limit() -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0x7f;
    bytes
}
