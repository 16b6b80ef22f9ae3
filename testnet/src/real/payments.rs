//! Mining and paying by order.

use bitcoin::{Amount, ScriptBuf};
use chain::address::parse_address;

use super::network::Network;
use super::{LabError, NodeState, Probe};
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
        self.nodes[node].rate = rate;
        Ok(())
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
        let probe = match node {
            Some(node) => self.answering(node)?,
            None => self.probes().into_iter().next().ok_or(LabError::AllDown)?,
        };
        let script = self.recipient(to)?;
        let account = self
            .accounts
            .get(from)
            .ok_or_else(|| self.no_account(from))?;
        let coins = unspent(self.purse.coins(from), amount, &probe)?;
        let payment = Payment { to: script, amount };
        let transaction = pay::build(&self.accounts, account, &coins, &payment)?;
        let txid = probe.send(&transaction)?;
        let spent: Amount = coins
            .iter()
            .filter(|coin| {
                transaction
                    .input
                    .iter()
                    .any(|input| input.previous_output == coin.outpoint)
            })
            .map(|coin| coin.value)
            .sum();
        let left: Amount = transaction.output.iter().map(|output| output.value).sum();
        self.purse.note(&self.accounts, &transaction);
        let sent = SentPayment {
            txid,
            from,
            to: to.to_owned(),
            amount_sat: amount.to_sat(),
            fee_sat: (spent - left).to_sat(),
            node: probe.node(),
            spends: transaction
                .input
                .iter()
                .map(|input| input.previous_output)
                .collect(),
        };
        self.sent.push(sent.clone());
        Ok(sent)
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
