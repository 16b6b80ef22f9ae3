//! Replacing by fee: BIP 125 without opting in ("full RBF", as in Core since version 28).

use std::collections::BTreeSet;

use bitcoin::{Amount, Transaction, Txid};

use super::Mempool;
use super::error::MempoolError;
use super::policy::INCREMENTAL_RELAY_FEE;
use super::rate::FeeRate;

/// Most transactions that one may push out (BIP 125, rule 5).
pub(super) const MAX_REPLACEMENTS: usize = 100;

impl Mempool {
    /// The entries that spend a coin that `transaction` spends.
    pub(super) fn conflicts_of(&self, transaction: &Transaction) -> BTreeSet<Txid> {
        let spent = transaction.input.iter().map(|input| &input.previous_output);
        spent
            .filter_map(|outpoint| self.graph.spender(outpoint))
            .collect()
    }

    /// Checks that a transaction which pays `own` and depends on `ancestors` may take the place of `conflicts`. Gives all
    /// that would have to go.
    pub(super) fn check_replacement(
        &self,
        own: FeeRate,
        ancestors: &BTreeSet<Txid>,
        conflicts: &BTreeSet<Txid>,
    ) -> Result<BTreeSet<Txid>, MempoolError> {
        if conflicts.is_empty() {
            return Ok(BTreeSet::new());
        }
        if let Some(both) = ancestors.intersection(conflicts).next() {
            return Err(MempoolError::SpendsReplaced(*both));
        }
        self.check_number(conflicts)?;
        let replaced = self.graph.with_descendants(conflicts.iter().copied());
        self.check_better_rate(own, conflicts)?;
        self.check_pays_for_all(own, &replaced)?;
        Ok(replaced)
    }

    /// Rule 5. Counts what hangs on several conflicts for each of them, as Core does: the bound is what matters.
    fn check_number(&self, conflicts: &BTreeSet<Txid>) -> Result<(), MempoolError> {
        let entries = conflicts.iter().filter_map(|txid| self.graph.get(txid));
        let got = entries.map(|entry| entry.descendants.count as usize).sum();
        if got > MAX_REPLACEMENTS {
            return Err(MempoolError::TooManyReplacements {
                got,
                limit: MAX_REPLACEMENTS,
            });
        }
        Ok(())
    }

    /// Rule 6: a better rate than each of those that it directly conflicts with, so that miners gain.
    fn check_better_rate(
        &self,
        own: FeeRate,
        conflicts: &BTreeSet<Txid>,
    ) -> Result<(), MempoolError> {
        let entries = conflicts.iter().filter_map(|txid| self.graph.get(txid));
        let Some(best) = entries.map(|entry| entry.own().rate()).max() else {
            return Ok(());
        };
        if own.per_kvb() <= best.per_kvb() {
            let need = best.per_kvb().fee_for(own.vsize) + Amount::from_sat(1);
            return Err(MempoolError::ReplacementFee {
                got: own.fee,
                need,
                conflicts: conflicts.len(),
            });
        }
        Ok(())
    }

    /// Rules 3 and 4: at least the fees of all that goes, and its own relay on top.
    fn check_pays_for_all(
        &self,
        own: FeeRate,
        replaced: &BTreeSet<Txid>,
    ) -> Result<(), MempoolError> {
        let entries = replaced.iter().filter_map(|txid| self.graph.get(txid));
        let lost: Amount = entries.map(|entry| entry.fee).sum();
        let need = lost + INCREMENTAL_RELAY_FEE.fee_for(own.vsize);
        if own.fee < need {
            return Err(MempoolError::ReplacementFee {
                got: own.fee,
                need,
                conflicts: replaced.len(),
            });
        }
        Ok(())
    }
}
