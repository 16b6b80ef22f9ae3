//! Equal tips mean equal coins, and their sum is what genesis and the subsidies gave.

use std::collections::BTreeMap;

use bitcoin::BlockHash;
use chain::Chain;
use chain::coins::CoinSetStats;

use super::{Rule, Watch};
use crate::network::supply_at;

impl Watch {
    /// Compares the coins of some nodes: those on one tip must have the same, and as many as the rules give.
    pub(crate) fn check_coins<'a>(
        &mut self,
        at_us: u64,
        chains: impl Iterator<Item = (usize, &'a Chain)>,
    ) {
        let mut by_tip: BTreeMap<BlockHash, (usize, CoinSetStats)> = BTreeMap::new();
        for (node, chain) in chains {
            let tip = chain.tip();
            let stats = match chain.coin_set_stats(false) {
                Ok(stats) => stats,
                Err(error) => {
                    self.failed(at_us, node, &error.to_string());
                    continue;
                }
            };
            match by_tip.get(&tip.hash) {
                Some((other, known)) if *known != stats => {
                    let detail = format!(
                        "nodes {other} and {node} are on {} with other coins",
                        tip.hash
                    );
                    self.violate(at_us, Rule::OneTipOneSetOfCoins, detail);
                }
                Some(_) => {}
                None => {
                    let expected = supply_at(chain.params(), tip.height.0);
                    if stats.total != expected {
                        let detail =
                            format!("node {node} has {}, expected {expected}", stats.total);
                        self.violate(at_us, Rule::Supply, detail);
                    }
                    by_tip.insert(tip.hash, (node, stats));
                }
            }
        }
    }
}
