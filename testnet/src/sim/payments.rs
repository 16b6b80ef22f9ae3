//! Planned payments, made of the coins that the node they are handed to holds for unspent.

use std::collections::BTreeMap;

use bitcoin::{Amount, OutPoint};
use chain::Params;
use node_core::NodeCore;

use super::world::{Event, World};
use crate::accounts::Accounts;
use crate::pay::{self, KnownCoin, Payment, Purse};
use crate::record::Line;

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
        if let Err(why) = self.pay_now(index) {
            let (t, payment) = (self.now_us, index);
            self.book.line(Line::Unpaid { t, payment, why });
        }
    }

    /// Makes a payment and hands it to its node; why there was none, if there was none.
    fn pay_now(&mut self, index: usize) -> Result<(), String> {
        let planned = self.plan.payments[index];
        let (node, t) = (planned.node, self.now_us);
        let now = self.now(node);
        let sim = &mut self.nodes[node];
        let Some(core) = sim.core.as_mut().filter(|_| !sim.paused) else {
            return Err(format!("node {node} is down or frozen"));
        };
        let Some(payers) = &mut self.payers else {
            return Err("there are no accounts".to_owned());
        };
        let coins = match planned.conflicts_with {
            Some(first) => payers.spent_by.get(&first).cloned().unwrap_or_default(),
            None => payers.newest_coins(planned.from, core),
        };
        let accounts = (
            payers.accounts.get(planned.from),
            payers.accounts.get(planned.to),
        );
        let (Some(payer), Some(paid)) = accounts else {
            return Err("there is no such account".to_owned());
        };
        let payment = Payment {
            to: paid.script(),
            amount: Amount::from_sat(planned.amount_sat),
        };
        let transaction = pay::build(&payers.accounts, payer, &coins, &payment)
            .map_err(|error| error.to_string())?;
        payers.spent_by.insert(index, coins);
        let mut outputs = Vec::new();
        let taken = core.submit_transaction(now, transaction.clone(), &mut outputs);
        let txid = self.book.transaction(&transaction);
        self.book.line(Line::Handed {
            t,
            node,
            txid,
            by: Some(index),
            refused: taken.as_ref().err().map(ToString::to_string),
        });
        if taken.is_ok() {
            payers.purse.note(&payers.accounts, &transaction);
            self.payments.paid(&transaction);
        }
        self.carry_out(node, outputs);
        Ok(())
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
