//! Payments in stored blocks beside the active chain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bitcoin::{Transaction, Txid};
use chain::{Height, StoreError};

use super::NodeCore;

/// Blocks as far below the tip as this are looked at: a coinbase may be spent after as many.
const DEPTH: u32 = 100;

impl NodeCore {
    /// Transactions of recent blocks beside the active chain that `children` spend, and their own ancestors there, parents first. A
    /// reorganisation returns them to the mempool; after a crash in the middle of one they are in no saved mempool.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub fn parents_beside_chain(
        &self,
        children: &[Arc<Transaction>],
    ) -> Result<Vec<Arc<Transaction>>, StoreError> {
        let lowest = self.chain.tip().height.0.saturating_sub(DEPTH);
        let tree = self.chain.tree();
        let beside = tree.iter().filter(|info| {
            info.height > Height(lowest)
                && info.status.has_body
                && !self.chain.is_active(&info.hash)
        });
        let mut blocks: Vec<_> = beside.map(|info| (info.height, info.hash)).collect();
        blocks.sort_unstable();
        let mut order = Vec::new();
        let mut found = BTreeMap::new();
        for (_, hash) in blocks {
            let Some(body) = self.chain.block(&hash)? else {
                continue;
            };
            let transactions = body.block().txdata.iter().zip(body.txids());
            for (transaction, txid) in transactions.skip(1) {
                order.push(*txid);
                found.insert(*txid, Arc::new(transaction.clone()));
            }
        }
        let parents = |transaction: &Transaction| -> Vec<Txid> {
            let spent = transaction.input.iter();
            spent.map(|input| input.previous_output.txid).collect()
        };
        let mut wanted: Vec<Txid> = children.iter().flat_map(|child| parents(child)).collect();
        let mut needed = BTreeSet::new();
        while let Some(txid) = wanted.pop() {
            if let Some(transaction) = found.get(&txid)
                && needed.insert(txid)
            {
                wanted.extend(parents(transaction));
            }
        }
        order.retain(|txid| needed.remove(txid));
        Ok(order
            .into_iter()
            .filter_map(|txid| found.remove(&txid))
            .collect())
    }
}
