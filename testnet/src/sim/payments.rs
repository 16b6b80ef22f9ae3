//! Planned payments, made of the coins that the node they are handed to holds for unspent.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint, Txid};
use chain::Params;
use node_core::NodeCore;

use super::trace::Line;
use super::world::{Event, World};
use crate::accounts::Accounts;
use crate::pay::{self, KnownCoin, Payment, Purse};

/// The accounts of a run and every coin they ever got.
pub(super) struct Payers {
    accounts: Accounts,
    purse: Purse,
    /// What payments were given to spend, by their place in the plan: for those that spend the same again.
    spent_by: BTreeMap<usize, Vec<KnownCoin>>,
}

impl Payers {
    pub(super) fn new(accounts: Accounts, params: &Params) -> Payers {
        let purse = match params.genesis.txdata.get(1) {
            Some(allocation) => Purse::new(&accounts, allocation),
            None => Purse::default(),
        };
        let spent_by = BTreeMap::new();
        Payers {
            accounts,
            purse,
            spent_by,
        }
    }
}

impl World<'_> {
    /// The planned payment with this number is due.
    pub(super) fn payment(&mut self, index: usize) {
        if let Some(next) = self.plan.payments.get(index + 1) {
            let due_us = next.at_us.max(self.now_us);
            self.queue.push(due_us, Event::Payment(index + 1));
        }
        let planned = self.plan.payments[index];
        let node = planned.node;
        let now = self.now(node);
        let sim = &mut self.nodes[node];
        let (Some(core), Some(payers)) = (&mut sim.core, &mut self.payers) else {
            return;
        };
        if sim.paused {
            return;
        }
        let coins = match planned.conflicts_with {
            Some(first) => payers.spent_by.get(&first).cloned().unwrap_or_default(),
            None => payers.newest_coins(planned.from, core),
        };
        let (Some(payer), Some(paid)) = (
            payers.accounts.get(planned.from),
            payers.accounts.get(planned.to),
        ) else {
            return;
        };
        let payment = Payment {
            to: paid.script(),
            amount: Amount::from_sat(planned.amount_sat),
        };
        let Ok(transaction) = pay::build(&payers.accounts, payer, &coins, &payment) else {
            return;
        };
        payers.spent_by.insert(index, coins);
        let mut outputs = Vec::new();
        let taken = core.submit_transaction(now, transaction.clone(), &mut outputs);
        if taken.is_ok() {
            payers.purse.note(&payers.accounts, &transaction);
            let txid: Txid = transaction.compute_txid();
            self.payments.paid(&transaction);
            let t = self.now_us;
            self.trace.line(&Line::Paid { t, node, txid });
        }
        self.carry_out(node, outputs);
    }
}

impl Payers {
    /// The newest coins of an account that a node holds for unspent.
    fn newest_coins(&self, account: u32, core: &NodeCore) -> Vec<KnownCoin> {
        let coins = self.purse.coins(account).iter().rev();
        coins
            .filter(|coin| is_unspent(core, &coin.outpoint))
            .take(2)
            .copied()
            .collect()
    }
}

/// Whether a node holds a coin for unspent: in its chain or mempool, and not spent in the mempool.
fn is_unspent(core: &NodeCore, coin: &OutPoint) -> bool {
    let exists = core.chain().coin(coin).is_ok_and(|found| found.is_some())
        || core.mempool().get(&coin.txid).is_some();
    exists && core.mempool().spender(coin).is_none()
}
