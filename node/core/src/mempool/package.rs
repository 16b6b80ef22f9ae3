//! Several transactions together: a child may pay for its parents, as in Bitcoin Core (`src/policy/packages.cpp`, and
//! `AcceptPackage` in `src/validation.cpp`). Without what Core calls package RBF: what is judged together replaces nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{Amount, OutPoint, Transaction, Txid, Weight, Wtxid};

use super::accept::{Candidate, Terms};
use super::error::MempoolError;
use super::rate::{FeeRate, SatPerKvb};
use super::{Change, Mempool, RemovalReason, Surroundings};

/// Most transactions of a package.
pub const MAX_PACKAGE_COUNT: usize = 25;
/// Most weight of a package: what hangs together in the mempool may be so heavy.
pub const MAX_PACKAGE_WEIGHT: Weight = Weight::from_wu(404_000);

/// Why several transactions are not judged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// Too many.
    #[error("package-too-many-transactions")]
    TooMany,
    /// Too heavy together.
    #[error("package-too-large")]
    TooLarge,
    /// One is there twice.
    #[error("package-contains-duplicates")]
    Duplicates,
    /// A child comes before its parent.
    #[error("package-not-sorted")]
    NotSorted,
    /// Two spend the same coin.
    #[error("conflict-in-package")]
    Conflict,
}

/// A transaction that was found good, alone or with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// What it pays.
    pub fee: Amount,
    /// Its virtual size.
    pub vsize: u64,
    /// The rate that it was judged by.
    pub effective: FeeRate,
    /// Whose fees and sizes are in that rate.
    pub includes: Vec<Wtxid>,
}

/// What came of one transaction of a package.
#[derive(Debug)]
pub enum Judgement {
    /// It is good.
    Fit(Fit),
    /// It was here before.
    AlreadyHere {
        /// What it pays.
        fee: Amount,
        /// Its virtual size.
        vsize: u64,
    },
    /// It was here before, with other witnesses.
    OtherWitness(Wtxid),
    /// It is not taken.
    Refused(MempoolError),
    /// Another one was refused first.
    NotJudged,
}

/// What came of a package.
#[derive(Debug, Default)]
pub struct PackageOutcome {
    /// In the package's order.
    pub judgements: Vec<Judgement>,
    /// What was replaced.
    pub replaced: BTreeSet<Txid>,
}

impl PackageOutcome {
    /// Whether all are in the mempool now, or were before.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.judgements
            .iter()
            .all(|judgement| !matches!(judgement, Judgement::Refused(_) | Judgement::NotJudged))
    }
}

/// Checks that transactions can be judged together, whatever they hold.
///
/// # Errors
///
/// [`PackageError`], in Core's order.
pub fn check_form(package: &[Arc<Transaction>]) -> Result<(), PackageError> {
    if package.len() > MAX_PACKAGE_COUNT {
        return Err(PackageError::TooMany);
    }
    let weight = package.iter().map(|transaction| transaction.weight());
    if package.len() > 1 && weight.sum::<Weight>() > MAX_PACKAGE_WEIGHT {
        return Err(PackageError::TooLarge);
    }
    let txids: Vec<Txid> = package.iter().map(|tx| tx.compute_txid()).collect();
    let mut later: BTreeSet<Txid> = txids.iter().copied().collect();
    if later.len() < package.len() {
        return Err(PackageError::Duplicates);
    }
    let mut spent = BTreeSet::new();
    let mut conflict = false;
    for (transaction, txid) in package.iter().zip(&txids) {
        let outpoints: BTreeSet<OutPoint> = spends(transaction).collect();
        if outpoints
            .iter()
            .any(|outpoint| later.contains(&outpoint.txid))
        {
            return Err(PackageError::NotSorted);
        }
        later.remove(txid);
        // One that spends a coin twice is refused for itself.
        conflict |= outpoints.iter().any(|outpoint| !spent.insert(*outpoint));
    }
    match conflict {
        true => Err(PackageError::Conflict),
        false => Ok(()),
    }
}

/// Whether the last one spends an output of every other one, and these none of each other's.
#[must_use]
pub fn is_child_with_parents(package: &[Arc<Transaction>]) -> bool {
    let Some((child, parents)) = package.split_last() else {
        return false;
    };
    let spent: BTreeSet<Txid> = spends(child).map(|outpoint| outpoint.txid).collect();
    let txids: BTreeSet<Txid> = parents.iter().map(|tx| tx.compute_txid()).collect();
    let of_parents = |outpoint: OutPoint| txids.contains(&outpoint.txid);
    txids.is_subset(&spent) && !parents.iter().any(|tx| spends(tx).any(of_parents))
}

fn spends(transaction: &Transaction) -> impl Iterator<Item = OutPoint> + '_ {
    transaction.input.iter().map(|input| input.previous_output)
}

impl Mempool {
    /// Checks transactions that may spend each other, each by its own fee, and keeps nothing. At the first that is refused, nothing
    /// is said of the others. One alone may replace others.
    pub fn test_package(
        &mut self,
        package: &[Arc<Transaction>],
        world: &Surroundings<'_>,
    ) -> Vec<Judgement> {
        if let [transaction] = package {
            return vec![match self.test(Arc::clone(transaction), world) {
                Ok(candidate) => Judgement::Fit(alone(&candidate)),
                Err(error) => Judgement::Refused(error),
            }];
        }
        let (kept, refused) = self.try_in_turn(package, world, Terms::Offered);
        self.forget(&kept);
        match refused {
            None => kept.iter().map(|one| Judgement::Fit(alone(one))).collect(),
            Some((place, error)) => {
                let mut judgements: Vec<Judgement> =
                    package.iter().map(|_| Judgement::NotJudged).collect();
                judgements[place] = Judgement::Refused(error);
                judgements
            }
        }
    }

    /// Takes each transaction that is good by itself; then those together whose fee alone is too low, or whose parents were not
    /// there: the child may pay for them. `max_rate` is what the sender pays at most.
    pub fn accept_package(
        &mut self,
        package: &[Arc<Transaction>],
        world: &Surroundings<'_>,
        max_rate: Option<SatPerKvb>,
        changes: &mut Vec<Change>,
    ) -> PackageOutcome {
        let mut outcome = PackageOutcome::default();
        let mut together = Vec::new();
        let mut hopeless = false;
        for (place, transaction) in package.iter().enumerate() {
            let judgement = match self.known(transaction) {
                Some(known) => known,
                None => self.accept_alone(transaction, world, max_rate, &mut outcome, changes),
            };
            match &judgement {
                Judgement::Refused(error) if package.len() > 1 && error.may_pass_in_package() => {
                    together.push(place);
                }
                Judgement::Refused(_) => hopeless = true,
                _ => {}
            }
            outcome.judgements.push(judgement);
        }
        if !hopeless && !together.is_empty() {
            let chosen: Vec<_> = together.iter().map(|i| Arc::clone(&package[*i])).collect();
            for (place, judgement) in self.accept_together(&chosen, world, max_rate, changes) {
                outcome.judgements[together[place]] = judgement;
            }
        }
        self.evict_to_size(world.now, changes);
        for (transaction, judgement) in package.iter().zip(&mut outcome.judgements) {
            let gone = self.get(&transaction.compute_txid()).is_none();
            if gone && matches!(judgement, Judgement::Fit(_) | Judgement::AlreadyHere { .. }) {
                *judgement = Judgement::Refused(MempoolError::Full);
            }
        }
        outcome
    }

    fn known(&self, transaction: &Transaction) -> Option<Judgement> {
        let entry = self.get(&transaction.compute_txid())?;
        Some(match entry.wtxid == transaction.compute_wtxid() {
            true => Judgement::AlreadyHere {
                fee: entry.fee,
                vsize: entry.vsize,
            },
            false => Judgement::OtherWitness(entry.wtxid),
        })
    }

    fn accept_alone(
        &mut self,
        transaction: &Arc<Transaction>,
        world: &Surroundings<'_>,
        max_rate: Option<SatPerKvb>,
        outcome: &mut PackageOutcome,
        changes: &mut Vec<Change>,
    ) -> Judgement {
        let checked = self.test(Arc::clone(transaction), world);
        let candidate = match checked {
            Ok(candidate) => candidate,
            Err(error) => return Judgement::Refused(error),
        };
        let fit = alone(&candidate);
        if let Err(error) = check_max_rate(fit.effective, max_rate) {
            return Judgement::Refused(error);
        }
        self.remove_all(&candidate.replaced, RemovalReason::Replaced, changes);
        outcome.replaced.extend(&candidate.replaced);
        let entry = self.entry_of(candidate, world);
        self.admit(entry, changes);
        Judgement::Fit(fit)
    }

    /// What changes by judging these together: all are taken, or one of them is refused for another reason.
    fn accept_together(
        &mut self,
        package: &[Arc<Transaction>],
        world: &Surroundings<'_>,
        max_rate: Option<SatPerKvb>,
        changes: &mut Vec<Change>,
    ) -> Vec<(usize, Judgement)> {
        let (kept, refused) = self.try_in_turn(package, world, Terms::Together);
        let whole = FeeRate {
            fee: kept.iter().map(|one| one.fee).sum(),
            vsize: kept.iter().map(|one| one.vsize).sum(),
        };
        let last = package.len().saturating_sub(1);
        let refused = refused.or_else(|| {
            let rate = self.check_fee(whole, world.now);
            let rate = rate.and_then(|()| check_max_rate(whole, max_rate));
            rate.err().map(|error| (last, error))
        });
        if let Some((place, error)) = refused {
            self.forget(&kept);
            return vec![(place, Judgement::Refused(error))];
        }
        changes.extend(kept.iter().map(|one| Change::Added(one.txid)));
        for one in &kept {
            self.aside.remove(&one.txid);
        }
        let includes: Vec<Wtxid> = kept.iter().map(|one| one.wtxid).collect();
        let fit = |one: &Candidate| Fit {
            fee: one.fee,
            vsize: one.vsize,
            effective: whole,
            includes: includes.clone(),
        };
        let judgements = kept.iter().map(|one| Judgement::Fit(fit(one)));
        judgements.enumerate().collect()
    }

    /// Puts transactions in, each on those before it, until one is refused. Who calls tells of them, or lets them be forgotten.
    fn try_in_turn(
        &mut self,
        package: &[Arc<Transaction>],
        world: &Surroundings<'_>,
        terms: Terms,
    ) -> (Vec<Candidate>, Option<(usize, MempoolError)>) {
        let mut kept: Vec<Candidate> = Vec::with_capacity(package.len());
        for (place, transaction) in package.iter().enumerate() {
            let checked = self.check(Arc::clone(transaction), world, terms);
            match checked {
                Ok(candidate) if !candidate.replaced.is_empty() => {
                    return (kept, Some((place, MempoolError::ReplacementInPackage)));
                }
                Err(MempoolError::ReplacementFee { .. }) => {
                    return (kept, Some((place, MempoolError::ReplacementInPackage)));
                }
                Ok(candidate) => {
                    let entry = self.entry_of(candidate.clone(), world);
                    self.insert(entry, &mut Vec::new());
                    kept.push(candidate);
                }
                Err(error) => return (kept, Some((place, error))),
            }
        }
        (kept, None)
    }

    /// Takes out again what nobody was told of.
    fn forget(&mut self, kept: &[Candidate]) {
        for candidate in kept.iter().rev() {
            self.graph.remove(&candidate.txid);
            self.sequence -= 1;
        }
    }
}

fn alone(candidate: &Candidate) -> Fit {
    Fit {
        fee: candidate.fee,
        vsize: candidate.vsize,
        effective: FeeRate {
            fee: candidate.fee,
            vsize: candidate.vsize,
        },
        includes: vec![candidate.wtxid],
    }
}

fn check_max_rate(rate: FeeRate, max_rate: Option<SatPerKvb>) -> Result<(), MempoolError> {
    match max_rate {
        Some(limit) if rate.fee > limit.fee_for(rate.vsize) => Err(MempoolError::AboveMaxRate {
            got: rate.per_kvb(),
            limit,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::absolute::LockTime;
    use bitcoin::hashes::Hash;
    use bitcoin::transaction::Version;
    use bitcoin::{ScriptBuf, TxIn, TxOut};

    use super::*;

    fn outside(number: u8) -> OutPoint {
        OutPoint {
            txid: Txid::from_byte_array([number; 32]),
            vout: 0,
        }
    }

    /// Spends `from`, with two outputs.
    fn tx(from: &[OutPoint]) -> Arc<Transaction> {
        let output = TxOut {
            value: Amount::ONE_SAT,
            script_pubkey: ScriptBuf::new(),
        };
        Arc::new(Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: from
                .iter()
                .map(|outpoint| TxIn {
                    previous_output: *outpoint,
                    ..TxIn::default()
                })
                .collect(),
            output: vec![output.clone(), output],
        })
    }

    fn of(parent: &Transaction, vout: u32) -> OutPoint {
        OutPoint {
            txid: parent.compute_txid(),
            vout,
        }
    }

    #[test]
    fn a_package_is_sorted_and_of_one_mind() {
        let (a, b) = (tx(&[outside(1)]), tx(&[outside(2)]));
        let child = tx(&[of(&a, 0), of(&b, 0)]);
        let form = |list: &[&Arc<Transaction>]| {
            check_form(&list.iter().map(|tx| Arc::clone(tx)).collect::<Vec<_>>())
        };
        assert_eq!(form(&[&a, &b, &child]), Ok(()));
        assert_eq!(form(&[&b, &a, &child]), Ok(()));
        assert_eq!(form(&[&a, &child, &b]), Err(PackageError::NotSorted));
        assert_eq!(form(&[&a, &a]), Err(PackageError::Duplicates));
        let rival = tx(&[outside(1), outside(3)]);
        assert_eq!(form(&[&a, &rival]), Err(PackageError::Conflict));
        assert_eq!(form(&[&tx(&[outside(1), outside(1)])]), Ok(()));
        let many: Vec<_> = (0..26).map(|number| tx(&[outside(number)])).collect();
        assert_eq!(check_form(&many), Err(PackageError::TooMany));
        assert_eq!(check_form(&many[..25]), Ok(()));
    }

    #[test]
    fn a_package_is_not_heavier_than_a_chain_may_be() {
        let heavy = |number| {
            let mut heavy = Transaction::clone(&tx(&[outside(number)]));
            heavy.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x6a; 60_000]);
            Arc::new(heavy)
        };
        assert_eq!(check_form(&[heavy(1)]), Ok(()));
        assert_eq!(
            check_form(&[heavy(1), heavy(2)]),
            Err(PackageError::TooLarge)
        );
    }

    #[test]
    fn a_child_has_all_others_for_parents() {
        let (a, b) = (tx(&[outside(1)]), tx(&[outside(2)]));
        let child = tx(&[of(&a, 0), of(&b, 0)]);
        assert!(is_child_with_parents(&[a.clone(), b.clone(), child]));
        // A chain of three: the first is no parent of the last.
        let middle = tx(&[of(&a, 0)]);
        let last = tx(&[of(&middle, 0)]);
        assert!(!is_child_with_parents(&[a.clone(), middle.clone(), last]));
        // A triangle: both are parents, and one is the other's.
        let last = tx(&[of(&middle, 0), of(&a, 1)]);
        assert!(!is_child_with_parents(&[a.clone(), middle, last]));
        assert!(!is_child_with_parents(&[a.clone(), b]));
        assert!(is_child_with_parents(&[a]), "one alone has no others");
        assert!(!is_child_with_parents(&[]));
    }

    #[test]
    fn a_rate_above_the_limit_is_refused() {
        let rate = FeeRate {
            fee: Amount::from_sat(1_001),
            vsize: 100,
        };
        assert!(check_max_rate(rate, None).is_ok());
        assert!(check_max_rate(rate, Some(SatPerKvb(10_010))).is_ok());
        let error = check_max_rate(rate, Some(SatPerKvb(10_000))).expect_err("too high");
        assert_eq!(error.reject_reason(), "max feerate exceeded");
    }
}
