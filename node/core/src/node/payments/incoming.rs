//! Transactions of wallets and peers, and orphans whose parents come.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bitcoin::{Transaction, Txid};
use chain::{Chain, StoreError, Timestamp};
use p2p::wire::Gossip;

use super::given::{FromPeer, Waiting, Way};
use super::{Output, Payments, Scope, tell_changes};
use crate::mempool::{Candidate, MempoolError, Sender, Surroundings};

/// Every input of an orphan is looked up. One with more inputs is found when mempools are compared, after its parents.
const MAX_ORPHAN_INPUTS: usize = 100;

impl Payments {
    /// Takes a transaction from a wallet: checked, kept, gossiped. One that is here already is gossiped again.
    ///
    /// # Errors
    ///
    /// The rule or policy that it does not meet, or that storage failed.
    pub(in crate::node) fn submit(
        &mut self,
        transaction: Transaction,
        scope: &mut Scope<'_>,
    ) -> Result<Txid, MempoolError> {
        let transaction = Arc::new(transaction);
        let txid = match self.accept(Arc::clone(&transaction), scope) {
            Ok(txid) => {
                let gossip = Gossip::Transaction(transaction);
                scope.out.push(Output::Publish(gossip));
                txid
            }
            Err(MempoolError::AlreadyHere(txid)) => {
                scope.publish_again(transaction);
                txid
            }
            Err(error) => return Err(error),
        };
        self.adopt_children(txid, scope)?;
        Ok(txid)
    }

    /// Takes a transaction that was saved when it had come at `time`, and tells nobody of it.
    ///
    /// # Errors
    ///
    /// As [`Payments::submit`].
    pub(in crate::node) fn restore(
        &mut self,
        transaction: Arc<Transaction>,
        time: Timestamp,
        scope: &mut Scope<'_>,
    ) -> Result<Txid, MempoolError> {
        let now = std::mem::replace(&mut scope.now, time);
        let accepted = self.accept(transaction, scope);
        scope.now = now;
        let txid = accepted?;
        self.adopt_children(txid, scope)?;
        Ok(txid)
    }

    /// Checks a transaction as [`Payments::submit`] would, and keeps nothing.
    ///
    /// # Errors
    ///
    /// The rule or policy that it does not meet.
    pub(in crate::node) fn test(
        &self,
        transaction: Transaction,
        chain: &Chain,
        now: Timestamp,
    ) -> Result<Candidate, MempoolError> {
        let world = Surroundings {
            chain,
            signatures: &self.signatures,
            now,
        };
        self.pool.test(Arc::new(transaction), &world)
    }

    /// Looks at a transaction that was gossiped. What was seen before is not checked again.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(in crate::node) fn take_gossip(
        &mut self,
        transaction: Arc<Transaction>,
        scope: &mut Scope<'_>,
    ) -> Result<FromPeer, StoreError> {
        let wtxid = transaction.compute_wtxid();
        let known = self.pool.get_by_wtxid(&wtxid).is_some()
            || self.pool.was_refused(&wtxid)
            || self.orphans.contains(&wtxid)
            || self.costly.contains(&wtxid);
        match known {
            true => Ok(FromPeer::Ignored),
            false => self.take(transaction, scope),
        }
    }

    /// Looks at a transaction that a peer gave. Its children come after it is told: [`Payments::adopt_children`].
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(in crate::node) fn take(
        &mut self,
        transaction: Arc<Transaction>,
        scope: &mut Scope<'_>,
    ) -> Result<FromPeer, StoreError> {
        match self.is_costly(&transaction) {
            true => Ok(FromPeer::Costly(transaction)),
            false => self.judge(transaction, scope),
        }
    }

    /// Judges a transaction that a peer gave, its signatures included.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(super) fn judge(
        &mut self,
        transaction: Arc<Transaction>,
        scope: &mut Scope<'_>,
    ) -> Result<FromPeer, StoreError> {
        match self.accept(Arc::clone(&transaction), scope) {
            Ok(txid) => Ok(FromPeer::Taken(txid)),
            Err(MempoolError::Store(error)) => Err(error),
            Err(MempoolError::MissingInput { .. }) => Ok(FromPeer::MissingInput(transaction)),
            Err(error) if error.is_invalid_anywhere() => Ok(FromPeer::Invalid(error)),
            Err(_) => Ok(FromPeer::Ignored),
        }
    }

    /// Keeps a transaction until its parents come. Gives those that are missing, which its sender may have; none if it is not
    /// kept.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(in crate::node) fn keep_orphan(
        &mut self,
        transaction: Arc<Transaction>,
        sender: Sender,
        chain: &Chain,
    ) -> Result<Vec<Txid>, StoreError> {
        if transaction.input.len() > MAX_ORPHAN_INPUTS {
            return Ok(Vec::new());
        }
        let missing = self.missing_parents(&transaction, chain)?;
        if !missing.is_empty() {
            self.orphans.add(transaction, sender);
        }
        Ok(missing)
    }

    /// The transactions that a transaction spends of and that are neither in the mempool nor in the chain. None: it spends what
    /// is spent or never was, and its parents would not help.
    fn missing_parents(
        &self,
        transaction: &Transaction,
        chain: &Chain,
    ) -> Result<Vec<Txid>, StoreError> {
        let mut missing = BTreeSet::new();
        for input in &transaction.input {
            let outpoint = input.previous_output;
            let here = self.pool.get(&outpoint.txid).is_some()
                || missing.contains(&outpoint.txid)
                || chain.coin(&outpoint)?.is_some();
            if !here {
                missing.insert(outpoint.txid);
            }
        }
        Ok(missing.into_iter().collect())
    }

    /// Tries orphans whose parent has come. Their own gossip was not forwarded when it came, so they are told again: by everyone
    /// under a name of its own, since what others tell again may have come before the parent, too.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub(in crate::node) fn adopt_children(
        &mut self,
        parent: Txid,
        scope: &mut Scope<'_>,
    ) -> Result<(), StoreError> {
        let mut parents = VecDeque::from([parent]);
        while let Some(parent) = parents.pop_front() {
            for (transaction, sender) in self.orphans.take_children(&parent) {
                if self.is_costly(&transaction) {
                    let way = Way::Orphanage;
                    self.put_off(Waiting {
                        transaction,
                        sender,
                        way,
                    });
                    continue;
                }
                match self.accept(Arc::clone(&transaction), scope) {
                    Ok(txid) => {
                        scope.publish_again(transaction);
                        parents.push_back(txid);
                    }
                    Err(MempoolError::MissingInput { .. }) => self.orphans.add(transaction, sender),
                    Err(MempoolError::Store(error)) => return Err(error),
                    // Who keeps it as an orphan passes it on to nobody: it is the sender's own.
                    Err(error) if error.is_invalid_anywhere() => {
                        self.culprits.push((sender.peer, error));
                    }
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Puts an orphan back whose other parents are not here yet.
    pub(in crate::node) fn keep_waiting(&mut self, transaction: Arc<Transaction>, sender: Sender) {
        self.orphans.add(transaction, sender);
    }

    fn accept(
        &mut self,
        transaction: Arc<Transaction>,
        scope: &mut Scope<'_>,
    ) -> Result<Txid, MempoolError> {
        if scope.disk_low {
            return Err(MempoolError::DiskLow);
        }
        let mut changes = Vec::new();
        let world = Surroundings {
            chain: scope.chain,
            signatures: &self.signatures,
            now: scope.now,
        };
        let accepted = self.pool.accept(transaction, &world, &mut changes);
        tell_changes(&changes, scope.out);
        accepted
    }
}
