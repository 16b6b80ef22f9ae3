//! Transactions of wallets, and answers to peers.

use std::sync::Arc;

use bitcoin::{Transaction, Txid};
use chain::{StoreError, Timestamp};
use p2p::sync::{self, Answer, Input as EngineInput};
use p2p::wire::Request;
use p2p::{AnswerToken, PeerNum};

use super::payments::{self, BlockTemplate, ChainAhead, Payments, Scope};
use super::{NodeCore, Output};
use crate::mempool::package::{self, PackageOutcome};
use crate::mempool::{Candidate, MempoolError, SatPerKvb};
use crate::now::Now;

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
        self.take_own(now, out, |payments, scope| {
            payments.submit(transaction, scope)
        })
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
        self.take_own(now, out, |payments, scope| {
            payments.restore(transaction, time, scope)
        })
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
        self.payments.test(transaction, &self.chain, now.wall)
    }

    /// Checks transactions that may spend each other, parents first, and keeps nothing. Each pays for itself.
    ///
    /// It puts them in and takes them out again, which nobody sees: hence `mut`.
    pub fn test_package(
        &mut self,
        now: Now,
        package: &[Arc<Transaction>],
        out: &mut Vec<Output>,
    ) -> Vec<package::Judgement> {
        let (payments, scope) = self.payments_at(now, out);
        let mut judgements = payments.test_package(package, &scope);
        self.fail_by_storage(&mut judgements, out);
        judgements
    }

    /// Takes transactions from a wallet, parents first: each by itself if that pays enough, else together. `max_rate` is what the
    /// wallet pays at most. What is taken, or was here, is gossiped; peers judge each by itself.
    ///
    /// # Errors
    ///
    /// [`MempoolError::DiskLow`], or that storage failed before. What is wrong with a transaction is in the outcome.
    pub fn submit_package(
        &mut self,
        now: Now,
        package: &[Arc<Transaction>],
        max_rate: Option<SatPerKvb>,
        out: &mut Vec<Output>,
    ) -> Result<PackageOutcome, MempoolError> {
        self.check_writable()?;
        if self.mode.is_disk_low() {
            return Err(MempoolError::DiskLow);
        }
        let (payments, mut scope) = self.payments_at(now, out);
        let (mut outcome, adopted) = payments.submit_package(package, max_rate, &mut scope);
        self.fail_by_storage(&mut outcome.judgements, out);
        if let Err(error) = adopted {
            self.fail(error, out);
        }
        self.settle(now, out);
        Ok(outcome)
    }

    /// A failing disk says nothing about a transaction: it stops the node.
    fn fail_by_storage(&mut self, judgements: &mut [package::Judgement], out: &mut Vec<Output>) {
        for judgement in judgements {
            if let package::Judgement::Refused(MempoolError::Store(error)) = judgement {
                let error = self.fail_with(error.clone(), out);
                *judgement = package::Judgement::Refused(error.into());
            }
        }
    }

    /// Transactions that wait for their parents.
    #[must_use]
    pub fn orphan_count(&self) -> usize {
        self.payments.orphan_count()
    }

    /// What the next block may hold, never with a time that this node would refuse. Given out however few the peers and however old
    /// the tip. Cheap while nothing changed.
    ///
    /// # Errors
    ///
    /// [`ChainAhead`] when the earliest time that the median allows is too far ahead of the clock.
    pub fn template(&self, now: Now) -> Result<BlockTemplate, ChainAhead> {
        self.payments.template(&self.chain, now.wall)
    }

    /// Why no block can be made now, if none can.
    pub fn chain_ahead(&self, now: Now) -> Option<ChainAhead> {
        payments::chain_ahead(&self.chain, now.wall)
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
            Request::Peers => self.connections.addresses_to_tell(peer),
            _ => Vec::new(),
        };
        let answer = match sync::answer(
            now.mono,
            request,
            &self.chain,
            self.payments.pool(),
            &addresses,
            &mut self.served,
        ) {
            Ok(answer) => answer,
            Err(error) => {
                self.fail(error, out);
                Answer::Made(None)
            }
        };
        out.push(match answer {
            Answer::Made(response) => Output::Answer { token, response },
            Answer::Blocks(blocks) => Output::AnswerBlocks { token, blocks },
        });
        if let Request::Status(status) = request {
            let status = *status;
            self.drive(now, EngineInput::PeerStatus { peer, status }, out);
        }
    }

    /// Takes a transaction of this node's own, and does what follows.
    fn take_own(
        &mut self,
        now: Now,
        out: &mut Vec<Output>,
        take: impl FnOnce(&mut Payments, &mut Scope<'_>) -> Result<Txid, MempoolError>,
    ) -> Result<Txid, MempoolError> {
        self.check_writable()?;
        let (payments, mut scope) = self.payments_at(now, out);
        let taken = take(payments, &mut scope);
        if let Err(MempoolError::Store(error)) = taken {
            return Err(self.fail_with(error, out).into());
        }
        if taken.is_ok() {
            self.settle(now, out);
        }
        taken
    }

    /// Has payments do something. `None`: storage failed, and the node stops.
    pub(super) fn with_payments<T>(
        &mut self,
        now: Now,
        out: &mut Vec<Output>,
        act: impl FnOnce(&mut Payments, &mut Scope<'_>) -> Result<T, StoreError>,
    ) -> Option<T> {
        let (payments, mut scope) = self.payments_at(now, out);
        match act(payments, &mut scope) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(error, out);
                None
            }
        }
    }

    /// Payments, and what they are judged by now.
    pub(super) fn payments_at<'a>(
        &'a mut self,
        now: Now,
        out: &'a mut Vec<Output>,
    ) -> (&'a mut Payments, Scope<'a>) {
        let scope = Scope {
            chain: &self.chain,
            now: now.wall,
            disk_low: self.mode.is_disk_low(),
            nonces: &mut self.nonces,
            out,
        };
        (&mut self.payments, scope)
    }
}
