//! Several transactions of a wallet at once: a child may pay for its parents.

use std::sync::Arc;

use bitcoin::Transaction;
use p2p::wire::Gossip;

use super::output::tell_changes;
use super::{NodeCore, Output};
use crate::mempool::package::{PackageOutcome, Verdict};
use crate::mempool::{MempoolError, SatPerKvb, Surroundings};
use crate::now::Now;

impl NodeCore {
    /// Checks transactions that may spend each other, parents first, and keeps nothing. Each pays for itself.
    ///
    /// It puts them in and takes them out again, which nobody sees: hence `mut`.
    pub fn test_package(
        &mut self,
        now: Now,
        package: &[Arc<Transaction>],
        out: &mut Vec<Output>,
    ) -> Vec<Verdict> {
        let world = Surroundings {
            chain: &self.chain,
            signatures: &self.signatures,
            now: now.wall,
        };
        let mut verdicts = self.mempool.test_package(package, &world);
        self.fail_by_storage(&mut verdicts, out);
        verdicts
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
        let mut changes = Vec::new();
        let world = Surroundings {
            chain: &self.chain,
            signatures: &self.signatures,
            now: now.wall,
        };
        let mut outcome = self
            .mempool
            .accept_package(package, &world, max_rate, &mut changes);
        tell_changes(&changes, out);
        self.fail_by_storage(&mut outcome.verdicts, out);
        for (transaction, verdict) in package.iter().zip(&outcome.verdicts) {
            let transaction = Arc::clone(transaction);
            let gossip = match verdict {
                Verdict::Fit(_) => Some(Gossip::Transaction(Arc::clone(&transaction))),
                Verdict::AlreadyHere { .. } => Some(Gossip::Again {
                    transaction: Arc::clone(&transaction),
                    salt: self.nonces.next(),
                }),
                _ => None,
            };
            if let Some(gossip) = gossip {
                out.push(Output::Publish(gossip));
                self.adopt_orphans(now, transaction.compute_txid(), out);
            }
        }
        self.settle(now, out);
        Ok(outcome)
    }

    /// A failing disk says nothing about a transaction: it stops the node.
    fn fail_by_storage(&mut self, verdicts: &mut [Verdict], out: &mut Vec<Output>) {
        for verdict in verdicts {
            if let Verdict::Refused(MempoolError::Store(_)) = verdict {
                let failed = std::mem::replace(verdict, Verdict::NotJudged);
                if let Verdict::Refused(MempoolError::Store(error)) = failed {
                    *verdict = Verdict::Refused(self.fail_with(error, out).into());
                }
            }
        }
    }
}
