//! Equal tips mean equal coins, and their sum is what genesis and the subsidies gave.

use std::collections::BTreeMap;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::{Amount, BlockHash};
use chain::{Chain, StoreError};

use super::{Rule, Watch};
use crate::network::supply_at;

/// All coins of a node: their sum, and a hash of them in order. Stricter than a MuHash, for it compares coin by coin, and
/// many times as fast.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CoinSet {
    pub(crate) hash: sha256::Hash,
    pub(crate) total: Amount,
}

impl CoinSet {
    fn of(chain: &Chain) -> Result<CoinSet, StoreError> {
        let mut engine = sha256::Hash::engine();
        let mut total = Amount::ZERO;
        chain.for_each_coin(|outpoint, coin| {
            engine.input(outpoint.txid.as_byte_array());
            engine.input(&outpoint.vout.to_le_bytes());
            engine.input(&coin.output.value.to_sat().to_le_bytes());
            engine.input(&coin.height.0.to_le_bytes());
            engine.input(&[u8::from(coin.coinbase)]);
            engine.input(&coin.output.script_pubkey.len().to_le_bytes());
            engine.input(coin.output.script_pubkey.as_bytes());
            total += coin.output.value;
            Ok(())
        })?;
        Ok(CoinSet {
            hash: sha256::Hash::from_engine(engine),
            total,
        })
    }
}

impl Watch {
    /// Compares the coins of some nodes: those on one tip must have the same, and as many as the rules give. Gives the tip and
    /// the coins of each.
    pub(crate) fn check_coins<'a>(
        &mut self,
        at_us: u64,
        chains: impl Iterator<Item = (usize, &'a Chain)>,
    ) -> Vec<(usize, BlockHash, CoinSet)> {
        let mut all = Vec::new();
        let mut by_tip: BTreeMap<BlockHash, (usize, CoinSet)> = BTreeMap::new();
        for (node, chain) in chains {
            let tip = chain.tip();
            let coins = match CoinSet::of(chain) {
                Ok(coins) => coins,
                Err(error) => {
                    self.failed(at_us, node, &error.to_string());
                    continue;
                }
            };
            all.push((node, tip.hash, coins));
            match by_tip.get(&tip.hash) {
                Some((other, known)) if *known != coins => {
                    let detail = format!(
                        "nodes {other} and {node} are on {} with other coins",
                        tip.hash
                    );
                    self.violate(at_us, Rule::OneTipOneSetOfCoins, detail);
                }
                Some(_) => {}
                None => {
                    let expected = supply_at(chain.params(), tip.height.0);
                    if coins.total != expected {
                        let detail =
                            format!("node {node} has {}, expected {expected}", coins.total);
                        self.violate(at_us, Rule::Supply, detail);
                    }
                    by_tip.insert(tip.hash, (node, coins));
                }
            }
        }
        all
    }
}
