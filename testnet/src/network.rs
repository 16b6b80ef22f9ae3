//! A fresh network for one testnet: rules that give blocks every few seconds on a laptop, and funded accounts.

use bitcoin::{Amount, CompactTarget, Transaction};
use chain::genesis::{Algorithm, GenesisError, GenesisFile, GenesisSpec, HexBits};
use chain::{Params, Timestamp};

use crate::accounts::Accounts;

/// Coins that each account gets: several, so that payments do not wait for each other's change.
pub const COINS_PER_ACCOUNT: u32 = 10;
/// Value of each, in BTC.
pub const COIN_BTC: u64 = 10;
/// Coins that a faucet gets: many, so that it pays often between two blocks.
pub const FAUCET_COINS: u32 = 100;
/// Value of each, in BTC.
pub const FAUCET_COIN_BTC: u64 = 100;

/// What may be chosen about a fresh network.
#[derive(Clone, Copy, Debug)]
pub struct NetworkPlan {
    /// Time of block 0: now.
    pub time: Timestamp,
    /// Wished time between blocks, in seconds.
    pub spacing_s: u32,
    /// By how many blocks the chain must run ahead for the difficulty to double; `None` keeps it as it is at first.
    pub half_life_blocks: Option<u32>,
    /// Every block is found at once, at a fixed target: for tests that mine by order, and never for miners that run.
    pub instant: bool,
    /// How far ahead of its clock a node takes a block's time for right, in seconds; `None`: as on the built-in network.
    pub max_future_s: Option<u32>,
    /// The account that gets a faucet's coins on top, if there is one.
    pub faucet: Option<u32>,
}

/// That of the built-in network: a side that lost half its hash power is back at its pace within about 15 blocks.
pub const HALF_LIFE_BLOCKS: u32 = 14;

/// The first difficulty: 131,072 hashes a block.
const FIRST_BITS: u32 = 0x1e7f_ffff;
/// A 128th of that: room for late blocks to be eased while the network's miners are as slow as they were at first.
const LIMIT: u32 = 0x1f3f_ffff;

/// A fresh network.
#[derive(Clone, Debug)]
pub struct FreshNetwork {
    /// `genesis.json`.
    pub file: GenesisFile,
    /// The same, verified.
    pub params: Params,
}

impl FreshNetwork {
    /// Makes the genesis block and mines it: about 130,000 hashes.
    ///
    /// # Errors
    ///
    /// [`GenesisError`] when the plan breaks a rule, as a spacing of 0.
    pub fn make(
        name: &str,
        plan: NetworkPlan,
        accounts: &Accounts,
    ) -> Result<FreshNetwork, GenesisError> {
        let mut spec = match plan.instant {
            true => GenesisSpec::trivial(name, plan.time),
            false => GenesisSpec {
                name: name.to_owned(),
                time: plan.time,
                ..GenesisSpec::default()
            },
        };
        spec.pow.spacing_s = plan.spacing_s;
        spec.max_future_s = plan.max_future_s.unwrap_or(spec.max_future_s);
        if !plan.instant {
            spec.bits = Some(CompactTarget::from_consensus(FIRST_BITS));
            match plan.half_life_blocks {
                Some(blocks) => {
                    spec.pow.limit = HexBits(CompactTarget::from_consensus(LIMIT));
                    spec.pow.half_life_s = Some(plan.spacing_s.saturating_mul(blocks));
                }
                None => {
                    spec.pow.algorithm = Algorithm::Fixed;
                    spec.pow.half_life_s = None;
                }
            }
        }
        for account in accounts.list() {
            for _ in 0..COINS_PER_ACCOUNT {
                spec = spec.allocate(&account.address, Amount::from_int_btc(COIN_BTC));
            }
            if plan.faucet == Some(account.index) {
                for _ in 0..FAUCET_COINS {
                    spec = spec.allocate(&account.address, Amount::from_int_btc(FAUCET_COIN_BTC));
                }
            }
        }
        let file = spec.mine()?;
        let params = file.verify()?;
        Ok(FreshNetwork { file, params })
    }

    /// The transaction of block 0 that pays the accounts, if there are any.
    pub fn allocation(&self) -> Option<&Transaction> {
        self.params.genesis.txdata.get(1)
    }
}

/// All coins that exist after block `height` if every miner claimed all it could.
pub fn supply_at(params: &Params, height: u32) -> Amount {
    let allocated: Amount = params.genesis.txdata[1..]
        .iter()
        .flat_map(|transaction| &transaction.output)
        .map(|output| output.value)
        .sum();
    (1..=height).fold(allocated, |sum, height| {
        sum + params.subsidy_at(chain::Height(height))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::WORDS;
    use crate::pay::Purse;

    #[test]
    fn a_fresh_network_funds_its_accounts() {
        let accounts = Accounts::from_words(WORDS, 3).unwrap();
        let plan = NetworkPlan {
            time: Timestamp(1_700_000_000),
            spacing_s: 2,
            half_life_blocks: Some(HALF_LIFE_BLOCKS),
            instant: false,
            max_future_s: None,
            faucet: None,
        };
        let network = FreshNetwork::make("test", plan, &accounts).unwrap();
        let purse = Purse::new(&accounts, network.allocation().unwrap());
        assert_eq!(purse.coins(2).len(), COINS_PER_ACCOUNT as usize);
        assert_eq!(supply_at(&network.params, 0), Amount::from_int_btc(300));
        assert_eq!(supply_at(&network.params, 2), Amount::from_int_btc(400));
        // What is written can be read.
        let again = Params::from_json(&network.file.to_json()).unwrap();
        assert_eq!(again.genesis_hash, network.params.genesis_hash);
    }
    #[test]
    fn a_network_for_tests_finds_blocks_at_once_and_has_a_faucet() {
        let accounts = Accounts::from_words(WORDS, 2).unwrap();
        let plan = NetworkPlan {
            time: Timestamp(1_700_000_000),
            spacing_s: 600,
            half_life_blocks: Some(HALF_LIFE_BLOCKS),
            instant: true,
            max_future_s: None,
            faucet: Some(1),
        };
        let network = FreshNetwork::make("test", plan, &accounts).unwrap();
        assert_eq!(
            network.params.genesis.header.bits.to_consensus(),
            0x207f_ffff
        );
        let purse = Purse::new(&accounts, network.allocation().unwrap());
        assert_eq!(purse.coins(0).len(), COINS_PER_ACCOUNT as usize);
        let faucet: Amount = purse.coins(1).iter().map(|coin| coin.value).sum();
        assert_eq!(faucet, Amount::from_int_btc(100 + 100 * 100));
    }
}
