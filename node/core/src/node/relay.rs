//! Transactions from peers and wallets, and answers to peers.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bitcoin::{Transaction, Txid};
use chain::{Reorg, StoreError, Timestamp};
use p2p::AnswerToken;
use p2p::sync::{self, GossipId, Input as EngineInput};
use p2p::wire::{Gossip, Request, Verdict};
use p2p::{PeerGroup, PeerNum};

use super::output::tell_changes;
use super::{NodeCore, Output};
use crate::mempool::{Candidate, MempoolError, Surroundings};
use crate::now::Now;

/// Every input of an orphan is looked up. One with more inputs is found when mempools are compared, after its parents.
const MAX_ORPHAN_INPUTS: usize = 100;

impl NodeCore {
    /// Takes a transaction from a wallet: checked, kept, gossiped. One that is here already is gossiped again.
    ///
    /// # Errors
    ///
    /// The rule or policy that it does not meet.
    pub fn submit_transaction(
        &mut self,
        now: Now,
        transaction: Transaction,
        out: &mut Vec<Output>,
    ) -> Result<Txid, MempoolError> {
        let transaction = Arc::new(transaction);
        let txid = match self.accept_transaction(now, Arc::clone(&transaction), out) {
            Ok(txid) => {
                out.push(Output::Publish(Gossip::Transaction(transaction)));
                txid
            }
            Err(MempoolError::AlreadyHere(txid)) => {
                let salt = self.nonces.next();
                out.push(Output::Publish(Gossip::Again { transaction, salt }));
                txid
            }
            Err(error) => return Err(error),
        };
        self.adopt_orphans(now, txid, out);
        self.settle(now, out);
        Ok(txid)
    }

    /// Takes a transaction that was saved when it had come at `time`, which is not after now. Nobody is told of it: it was told when it
    /// came, and peers compare mempools.
    ///
    /// # Errors
    ///
    /// The rule or policy that it does not meet any more.
    pub fn restore_transaction(
        &mut self,
        now: Now,
        transaction: Arc<Transaction>,
        time: Timestamp,
        out: &mut Vec<Output>,
    ) -> Result<Txid, MempoolError> {
        let then = Now { wall: time, ..now };
        let txid = self.accept_transaction(then, transaction, out)?;
        self.adopt_orphans(now, txid, out);
        self.settle(now, out);
        Ok(txid)
    }

    /// Checks a transaction as [`NodeCore::submit_transaction`] would, and keeps nothing.
    ///
    /// # Errors
    ///
    /// The rule or policy that it does not meet.
    pub fn test_accept(
        &self,
        now: Now,
        transaction: Transaction,
    ) -> Result<Candidate, MempoolError> {
        self.mempool
            .test(Arc::new(transaction), &self.surroundings(now))
    }

    /// Transactions that wait for their parents.
    #[must_use]
    pub fn orphan_count(&self) -> usize {
        self.orphans.len()
    }

    pub(super) fn gossip_received(
        &mut self,
        now: Now,
        peer: PeerNum,
        id: GossipId,
        gossip: Gossip,
        out: &mut Vec<Output>,
    ) {
        match gossip {
            Gossip::Transaction(transaction) | Gossip::Again { transaction, .. } => {
                let txid = transaction.compute_txid();
                let verdict = self.judge_transaction(now, peer, transaction, out);
                out.push(Output::Verdict { id, verdict });
                if verdict == Verdict::Accept {
                    // After the verdict: who hears of a child before its parent keeps it as an orphan, and tells nobody.
                    self.adopt_orphans(now, txid, out);
                }
            }
            Gossip::Block(_) | Gossip::Header(_) => {
                self.drive(now, EngineInput::Announcement { peer, id, gossip }, out);
            }
        }
    }

    fn judge_transaction(
        &mut self,
        now: Now,
        peer: PeerNum,
        transaction: Arc<Transaction>,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let wtxid = transaction.compute_wtxid();
        let known = self.mempool.get_by_wtxid(&wtxid).is_some()
            || self.mempool.was_refused(&wtxid)
            || self.orphans.contains(&wtxid);
        if known {
            return Verdict::Ignore;
        }
        match self.accept_transaction(now, Arc::clone(&transaction), out) {
            Ok(_) => {
                self.peers.note_transaction(peer, now);
                Verdict::Accept
            }
            Err(MempoolError::MissingInput { .. }) => {
                self.keep_orphan(now, peer, transaction, out);
                Verdict::Ignore
            }
            Err(error) if error.is_invalid_anywhere() => {
                // Whoever passes it on has checked it, if it is honest. Checking it cost us as much.
                self.punish(
                    now,
                    peer,
                    format!("it sent an invalid transaction: {error}"),
                    out,
                );
                Verdict::Reject
            }
            Err(_) => Verdict::Ignore,
        }
    }

    /// Transactions whose gossip was lost, fetched from a peer. What is new here may be new to our other peers.
    pub(super) fn accept_fetched_transactions(
        &mut self,
        now: Now,
        peer: PeerNum,
        transactions: Vec<Transaction>,
        out: &mut Vec<Output>,
    ) {
        let others = self.peers.len() > 1;
        for transaction in transactions.into_iter().map(Arc::new) {
            match self.accept_transaction(now, Arc::clone(&transaction), out) {
                Ok(txid) => {
                    self.peers.note_transaction(peer, now);
                    if others {
                        out.push(Output::Publish(Gossip::Transaction(transaction)));
                    }
                    self.adopt_orphans(now, txid, out);
                }
                Err(MempoolError::MissingInput { .. }) => {
                    self.keep_orphan(now, peer, transaction, out);
                }
                // It gave what is in its own mempool, so it has checked it.
                Err(error) if error.is_invalid_anywhere() => {
                    let reason = format!("it gave an invalid transaction: {error}");
                    return self.punish(now, peer, reason, out);
                }
                Err(_) => {}
            }
        }
    }

    /// Keeps a transaction until its parents come, and asks its sender for them.
    fn keep_orphan(
        &mut self,
        now: Now,
        peer: PeerNum,
        transaction: Arc<Transaction>,
        out: &mut Vec<Output>,
    ) {
        if transaction.input.len() > MAX_ORPHAN_INPUTS {
            return;
        }
        match self.missing_parents(&transaction) {
            Ok(txids) if txids.is_empty() => {}
            Ok(txids) => {
                let sender = self.peers.get(peer);
                let sender = sender.map(|info| PeerGroup::of(info.direction, &info.address));
                self.orphans.add(transaction, sender.unwrap_or_default());
                self.drive(now, EngineInput::ParentsMissing { peer, txids }, out);
            }
            Err(error) => self.fail(error, out),
        }
    }

    /// The transactions that a transaction spends of and that are neither in the mempool nor in the chain. None: it spends what
    /// is spent or never was, and its parents would not help.
    fn missing_parents(&self, transaction: &Transaction) -> Result<Vec<Txid>, StoreError> {
        let mut missing = BTreeSet::new();
        for input in &transaction.input {
            let outpoint = input.previous_output;
            let here = self.mempool.get(&outpoint.txid).is_some()
                || missing.contains(&outpoint.txid)
                || self.chain.coin(&outpoint)?.is_some();
            if !here {
                missing.insert(outpoint.txid);
            }
        }
        Ok(missing.into_iter().collect())
    }

    fn accept_transaction(
        &mut self,
        now: Now,
        transaction: Arc<Transaction>,
        out: &mut Vec<Output>,
    ) -> Result<Txid, MempoolError> {
        self.check_writable()?;
        if self.mode.is_disk_low() {
            return Err(MempoolError::DiskLow);
        }
        let mut changes = Vec::new();
        let world = Surroundings {
            chain: &self.chain,
            signatures: &self.signatures,
            now: now.wall,
        };
        let result = self.mempool.accept(transaction, &world, &mut changes);
        tell_changes(&changes, out);
        match result {
            Err(MempoolError::Store(error)) => Err(self.fail_with(error, out).into()),
            result => result,
        }
    }

    /// Tries orphans whose parent has come. Their own gossip was not forwarded when it came, so they are told again: by everyone
    /// under a name of its own, since what others tell again may have come before the parent, too.
    pub(super) fn adopt_orphans(&mut self, now: Now, parent: Txid, out: &mut Vec<Output>) {
        let mut parents = VecDeque::from([parent]);
        while let Some(parent) = parents.pop_front() {
            for (transaction, sender) in self.orphans.take_children(&parent) {
                match self.accept_transaction(now, Arc::clone(&transaction), out) {
                    Ok(txid) => {
                        let salt = self.nonces.next();
                        out.push(Output::Publish(Gossip::Again { transaction, salt }));
                        parents.push_back(txid);
                    }
                    Err(MempoolError::MissingInput { .. }) => self.orphans.add(transaction, sender),
                    Err(_) => {}
                }
            }
        }
    }

    /// Tries orphans whose parents were in new blocks.
    pub(super) fn adopt_orphans_of_blocks(
        &mut self,
        now: Now,
        reorg: &Reorg,
        out: &mut Vec<Output>,
    ) -> Result<(), StoreError> {
        for position in &reorg.connected {
            if self.orphans.is_empty() {
                return Ok(());
            }
            if let Some(block) = self.chain.block(&position.hash)? {
                for txid in block.txids() {
                    self.adopt_orphans(now, *txid, out);
                }
            }
        }
        Ok(())
    }

    pub(super) fn request_received(
        &mut self,
        now: Now,
        peer: PeerNum,
        token: AnswerToken,
        request: &Request,
        out: &mut Vec<Output>,
    ) {
        let addresses = match request {
            Request::Peers => self.addresses_to_tell(peer),
            _ => Vec::new(),
        };
        let response = match sync::answer(
            now.mono,
            request,
            &self.chain,
            &self.mempool,
            &addresses,
            &mut self.served,
        ) {
            Ok(response) => response,
            Err(error) => {
                self.fail(error, out);
                None
            }
        };
        out.push(Output::Answer { token, response });
        if let Request::Status(status) = request {
            self.drive(
                now,
                EngineInput::PeerStatus {
                    peer,
                    status: *status,
                },
                out,
            );
        }
    }

    fn surroundings(&self, now: Now) -> Surroundings<'_> {
        Surroundings {
            chain: &self.chain,
            signatures: &self.signatures,
            now: now.wall,
        }
    }
}
