//! Several transactions of a wallet at once: a child may pay for its parents.

use std::sync::Arc;

use bitcoin::Transaction;
use chain::StoreError;
use p2p::wire::Gossip;

use super::{Output, Payments, Scope, tell_changes};
use crate::mempool::package::{Judgement, PackageOutcome};
use crate::mempool::{SatPerKvb, Surroundings};

impl Payments {
    /// Checks transactions that may spend each other, parents first, and keeps nothing. Each pays for itself.
    ///
    /// It puts them in and takes them out again, which nobody sees: hence `mut`.
    pub(in crate::node) fn test_package(
        &mut self,
        package: &[Arc<Transaction>],
        scope: &Scope<'_>,
    ) -> Vec<Judgement> {
        let world = Surroundings {
            chain: scope.chain,
            signatures: &self.signatures,
            now: scope.now,
        };
        self.pool.test_package(package, &world)
    }

    /// Takes transactions from a wallet, parents first: each by itself if that pays enough, else together. What is taken, or was
    /// here, is gossiped. Beside the outcome: whether storage failed when orphans were tried.
    pub(in crate::node) fn submit_package(
        &mut self,
        package: &[Arc<Transaction>],
        max_rate: Option<SatPerKvb>,
        scope: &mut Scope<'_>,
    ) -> (PackageOutcome, Result<(), StoreError>) {
        let mut changes = Vec::new();
        let world = Surroundings {
            chain: scope.chain,
            signatures: &self.signatures,
            now: scope.now,
        };
        let outcome = self
            .pool
            .accept_package(package, &world, max_rate, &mut changes);
        tell_changes(&changes, scope.out);
        let mut adopted = Ok(());
        for (transaction, judgement) in package.iter().zip(&outcome.judgements) {
            match judgement {
                Judgement::Fit(_) => {
                    let gossip = Gossip::Transaction(Arc::clone(transaction));
                    scope.out.push(Output::Publish(gossip));
                }
                Judgement::AlreadyHere { .. } => scope.publish_again(Arc::clone(transaction)),
                _ => continue,
            }
            if adopted.is_ok() {
                adopted = self.adopt_children(transaction.compute_txid(), scope);
            }
        }
        (outcome, adopted)
    }
}
