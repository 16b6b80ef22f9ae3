//! Payments between accounts, handed to random nodes that are up.

use bitcoin::{Amount, OutPoint, Txid};
use chain::Params;
use node_core::NodeCore;
use rand::RngExt;

use super::random::interval_us;
use super::trace::Line;
use super::world::{Event, World};
use crate::accounts::Accounts;
use crate::pay::{self, KnownCoin, Payment, Purse};

/// The accounts of a run and every coin they ever got.
pub(super) struct Payers {
    accounts: Accounts,
    purse: Purse,
}

impl Payers {
    pub(super) fn new(accounts: Accounts, params: &Params) -> Payers {
        let purse = match params.genesis.txdata.get(1) {
            Some(allocation) => Purse::new(&accounts, allocation),
            None => Purse::default(),
        };
        Payers { accounts, purse }
    }
}

impl World<'_> {
    /// Somebody pays now.
    pub(super) fn payment(&mut self) {
        let Some(plan) = self.scenario.payments else {
            return;
        };
        let rng = &mut self.streams.payments;
        let next = self.now_us + interval_us(plan.every.0, rng);
        if plan.until.is_none_or(|until| next < until.0) {
            self.queue.push(next, Event::Payment);
        }
        let from = rng.random_range(0..plan.accounts);
        let to = rng.random_range(0..plan.accounts);
        let amount = Amount::from_sat(rng.random_range(10_000..5_000_000));
        let node = rng.random_range(0..self.nodes.len());
        let now = self.now(node);
        let sim = &mut self.nodes[node];
        let (Some(core), Some(payers)) = (&mut sim.core, &mut self.payers) else {
            return;
        };
        if sim.paused {
            return;
        }
        let coins: Vec<KnownCoin> = payers
            .purse
            .coins(from)
            .iter()
            .rev()
            .filter(|coin| is_unspent(core, &coin.outpoint))
            .take(2)
            .copied()
            .collect();
        let Some(payer) = payers.accounts.get(from) else {
            return;
        };
        let script = match payers.accounts.get(to) {
            Some(account) => account.script(),
            None => return,
        };
        let payment = Payment { to: script, amount };
        let Ok(transaction) = pay::build(&payers.accounts, payer, &coins, &payment) else {
            return;
        };
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

/// Whether a node holds a coin for unspent: in its chain or mempool, and not spent in the mempool.
fn is_unspent(core: &NodeCore, coin: &OutPoint) -> bool {
    let exists = core.chain().coin(coin).is_ok_and(|found| found.is_some())
        || core.mempool().get(&coin.txid).is_some();
    exists && core.mempool().spender(coin).is_none()
}
