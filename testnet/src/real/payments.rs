//! Mining and paying by order.

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction};
use chain::address::parse_address;

use super::network::Network;
use super::{LabError, NodeState, Probe};
use crate::accounts::Accounts;
use crate::pay::{self, KnownCoin, Payment, SentPayment};

/// More than any fee of the lab's payments: coins are looked for until they cover amount and this.
const FEE_ROOM: Amount = Amount::from_sat(20_000);

impl Network {
    /// Whom to ask for blocks of a node, and the address that they pay.
    ///
    /// # Errors
    ///
    /// [`LabError`].
    pub fn miner(&mut self, node: usize) -> Result<(Probe, String), LabError> {
        let probe = self.answering(node)?.patient();
        Ok((probe, self.nodes[node].address.clone()))
    }

    /// Turns a node's own miner on or off, or changes its rate (hashes per second; 0: off).
    ///
    /// # Errors
    ///
    /// [`LabError`].
    pub fn set_mining(&mut self, node: usize, rate: u64) -> Result<(), LabError> {
        self.answering(node)?
            .set_mining(rate, &self.nodes[node].address)?;
        self.note_rate(node, rate);
        Ok(())
    }

    /// A node's own miner has this rate now.
    pub(super) fn note_rate(&mut self, node: usize, rate: u64) {
        self.nodes[node].rate = rate;
    }

    /// As [`Network::set_mining`]; a node that does not run mines so when it is started again.
    ///
    /// # Errors
    ///
    /// [`LabError`].
    pub fn plan_mining(&mut self, node: usize, rate: u64) -> Result<(), LabError> {
        if self.state(node)? == NodeState::Up {
            return self.set_mining(node, rate);
        }
        self.nodes[node].rate = rate;
        Ok(())
    }

    /// Pays from an account by the first of its coins that the node holds for unspent. Two nodes that cannot talk may so be
    /// given two payments of the same coin.
    ///
    /// # Errors
    ///
    /// [`LabError`].
    pub fn pay(
        &mut self,
        from: u32,
        to: &str,
        amount: Amount,
        node: Option<usize>,
    ) -> Result<SentPayment, LabError> {
        let paid = self.draft(from, to, amount, node)?.send()?;
        Ok(self.note_payment(paid))
    }

    /// A payment that is still to be made of coins that the node has to be asked about.
    ///
    /// # Errors
    ///
    /// [`LabError`].
    pub(super) fn draft(
        &mut self,
        from: u32,
        to: &str,
        amount: Amount,
        node: Option<usize>,
    ) -> Result<Draft, LabError> {
        let probe = match node {
            Some(node) => self.answering(node)?,
            None => self.probes().into_iter().next().ok_or(LabError::AllDown)?,
        };
        let script = self.recipient(to)?;
        if self.accounts.get(from).is_none() {
            return Err(self.no_account(from));
        }
        Ok(Draft {
            probe,
            accounts: self.accounts.clone(),
            from,
            to: to.to_owned(),
            payment: Payment { to: script, amount },
            coins: self.purse.coins(from).to_vec(),
            asks_first: true,
        })
    }

    /// A payment was made: what it gives can be spent.
    pub(super) fn note_payment(
        &mut self,
        (transaction, sent): (Transaction, SentPayment),
    ) -> SentPayment {
        self.purse.note(&self.accounts, &transaction);
        self.sent.push(sent.clone());
        sent
    }

    /// An account's number, or an address of this kind of network.
    fn recipient(&self, to: &str) -> Result<ScriptBuf, LabError> {
        if let Ok(number) = to.parse::<u32>() {
            let account = self.accounts.get(number);
            return Ok(account.ok_or_else(|| self.no_account(number))?.script());
        }
        let refused = |problem: String| {
            LabError::Refused(format!(
                "{to:?} is no account number and no address of a test network: {problem}; use 0, 1, ... or bcrt1..."
            ))
        };
        parse_address(to)
            .map(|address| address.script_pubkey())
            .map_err(|error| refused(error.to_string()))
    }

    fn no_account(&self, got: u32) -> LabError {
        LabError::NoSuchAccount {
            got,
            last: (self.accounts.list().len() as u32).saturating_sub(1),
        }
    }
}

/// A payment that is still to be made: all that it needs, so that nobody else waits while the node is asked.
pub(super) struct Draft {
    pub(super) probe: Probe,
    accounts: Accounts,
    from: u32,
    to: String,
    payment: Payment,
    coins: Vec<KnownCoin>,
    /// Whether the node is asked which of the coins are unspent.
    asks_first: bool,
}

impl Draft {
    /// Spends the coins of an earlier payment, whatever the node thinks of that: a double spend.
    #[must_use]
    pub(super) fn against(mut self, first: &SentPayment) -> Draft {
        self.coins
            .retain(|coin| first.spends.contains(&coin.outpoint));
        self.asks_first = false;
        self
    }

    /// Makes the payment and hands it to the node.
    ///
    /// # Errors
    ///
    /// [`LabError`].
    pub(super) fn send(self) -> Result<(Transaction, SentPayment), LabError> {
        let probe = self.probe.clone();
        let made = self.make()?;
        probe.send(&made.0)?;
        Ok(made)
    }

    /// Makes the payment, for [`Probe::send`].
    ///
    /// # Errors
    ///
    /// [`LabError`].
    pub(super) fn make(self) -> Result<(Transaction, SentPayment), LabError> {
        let amount = self.payment.amount;
        let coins = match self.asks_first {
            true => unspent(&self.coins, amount, &self.probe)?,
            false => self.coins,
        };
        let account = self.accounts.get(self.from).ok_or(LabError::AllDown)?;
        let transaction = pay::build(&self.accounts, account, &coins, &self.payment)?;
        let txid = transaction.compute_txid();
        let spends: Vec<OutPoint> = transaction
            .input
            .iter()
            .map(|input| input.previous_output)
            .collect();
        let spent = coins.iter().filter(|coin| spends.contains(&coin.outpoint));
        let spent: Amount = spent.map(|coin| coin.value).sum();
        let left: Amount = transaction.output.iter().map(|output| output.value).sum();
        let sent = SentPayment {
            txid,
            from: self.from,
            to: self.to,
            amount_sat: amount.to_sat(),
            fee_sat: (spent - left).to_sat(),
            node: self.probe.node(),
            spends,
        };
        Ok((transaction, sent))
    }
}

/// The coins that a node holds for unspent, until they cover the amount.
fn unspent(known: &[KnownCoin], amount: Amount, probe: &Probe) -> Result<Vec<KnownCoin>, LabError> {
    let mut found = Vec::new();
    let mut sum = Amount::ZERO;
    for coin in known {
        if probe.is_unspent(&coin.outpoint)? {
            found.push(*coin);
            sum += coin.value;
            if sum >= amount + FEE_ROOM {
                break;
            }
        }
    }
    Ok(found)
}
