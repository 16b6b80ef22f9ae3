//! Taking a transaction: the rules on the tip's coins, then the policy, in Bitcoin Core's order.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::{Amount, OutPoint, Transaction, Txid, Weight, Wtxid};
use chain::rules::{spend, transaction as rules};
use chain::{Chain, Coin, Height, RuleError, Timestamp};

use super::entry::{Entry, Footing, Sums, memory_bytes};
use super::error::{ChainLimit, MempoolError};
use super::policy::{self, CHAIN_LIMITS, ChainLimits, RETURNED_CHAIN_LIMITS};
use super::rate::FeeRate;
use super::{Change, Mempool, RemovalReason, Surroundings};

/// Outputs that are looked up to tell a confirmed transaction from one whose inputs are missing: cheap against floods.
const MAX_OUTPUTS_LOOKED_UP: usize = 100;

/// A transaction that was found good: what the mempool would keep of it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The transaction.
    pub transaction: Arc<Transaction>,
    /// Its id.
    pub txid: Txid,
    /// Its witness id.
    pub wtxid: Wtxid,
    /// What it pays.
    pub fee: Amount,
    /// Its weight.
    pub weight: Weight,
    /// Virtual bytes, as the mempool counts them.
    pub vsize: u64,
    /// Signature operation cost.
    pub sigops: u64,
    /// What would have to go: conflicts and all that depends on them.
    pub replaced: BTreeSet<Txid>,
    footing: Footing,
}

/// The signatures of a transaction that is good but for them, if they are not. To check them takes no mempool and no chain.
#[derive(Clone, Debug)]
pub struct UncheckedSignatures {
    transaction: Arc<Transaction>,
    txid: Txid,
    wtxid: Wtxid,
    coins: Vec<Coin>,
}

impl UncheckedSignatures {
    /// The transaction's id with its witnesses.
    #[must_use]
    pub fn wtxid(&self) -> Wtxid {
        self.wtxid
    }

    /// Checks them.
    ///
    /// # Errors
    ///
    /// [`RuleError::Spend`] of the first input that fails.
    pub fn check(&self) -> Result<(), RuleError> {
        spend::check_coins(&self.transaction, self.txid, &self.coins)
    }
}

/// What is asked of a transaction, by where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terms {
    /// A wallet or a peer.
    Offered,
    /// The same, with others that may pay for it.
    Together,
    /// A block that left the active chain: signatures were checked, and fees are no concern.
    Returned,
}

impl Mempool {
    /// Checks a transaction without keeping it.
    ///
    /// # Errors
    ///
    /// The first rule or policy that it does not meet.
    pub fn test(
        &self,
        transaction: Arc<Transaction>,
        world: &Surroundings<'_>,
    ) -> Result<Candidate, MempoolError> {
        self.check(transaction, world, Terms::Offered)
    }

    /// Checks a transaction and keeps it; what it replaces or pushes out goes.
    ///
    /// # Errors
    ///
    /// The first rule or policy that it does not meet.
    pub fn accept(
        &mut self,
        transaction: Arc<Transaction>,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Txid, MempoolError> {
        let ids = (transaction.compute_wtxid(), transaction.compute_txid());
        match self.check(transaction, world, Terms::Offered) {
            Ok(candidate) => self.keep(candidate, world, changes),
            Err(error) => {
                self.note_refusal(ids, &error);
                Err(error)
            }
        }
    }

    /// The signatures that [`Mempool::accept`] would check as the last thing. `None`: it would refuse the transaction before that, or
    /// knows that they are good.
    #[must_use]
    pub fn unchecked_signatures(
        &self,
        transaction: Arc<Transaction>,
        world: &Surroundings<'_>,
    ) -> Option<UncheckedSignatures> {
        let checked = self.check_unsigned(transaction, world, Terms::Offered);
        let (candidate, coins) = checked.ok()?;
        let wtxid = candidate.wtxid;
        (!world.signatures.contains(&wtxid)).then_some(UncheckedSignatures {
            transaction: candidate.transaction,
            txid: candidate.txid,
            wtxid,
            coins,
        })
    }

    /// Remembers a transaction as refused that was judged elsewhere, as [`Mempool::accept`] does.
    pub fn refuse(&mut self, transaction: &Transaction, error: &MempoolError) {
        self.note_refusal(
            (transaction.compute_wtxid(), transaction.compute_txid()),
            error,
        );
    }

    fn note_refusal(&mut self, (wtxid, txid): (Wtxid, Txid), error: &MempoolError) {
        if error.is_lasting() {
            let txid = (!error.depends_on_witness()).then_some(txid);
            self.refused.insert(wtxid, txid);
        }
    }

    /// Takes back a transaction of a block that left the active chain. The caller evicts when all are back.
    pub(super) fn take_back(
        &mut self,
        transaction: Arc<Transaction>,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<(), MempoolError> {
        let candidate = self.check(transaction, world, Terms::Returned)?;
        let entry = self.entry_of(candidate, world);
        self.admit(entry, changes);
        Ok(())
    }

    fn keep(
        &mut self,
        candidate: Candidate,
        world: &Surroundings<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<Txid, MempoolError> {
        let txid = candidate.txid;
        self.remove_all(&candidate.replaced, RemovalReason::Replaced, changes);
        let entry = self.entry_of(candidate, world);
        self.admit(entry, changes);
        self.evict_to_size(world.now, changes);
        if self.graph.get(&txid).is_none() {
            return Err(MempoolError::Full);
        }
        Ok(txid)
    }

    pub(super) fn entry_of(&self, candidate: Candidate, world: &Surroundings<'_>) -> Entry {
        Entry {
            memory_bytes: memory_bytes(&candidate.transaction),
            transaction: candidate.transaction,
            txid: candidate.txid,
            wtxid: candidate.wtxid,
            fee: candidate.fee,
            weight: candidate.weight,
            vsize: candidate.vsize,
            sigops: candidate.sigops,
            time: world.now,
            height: world.chain.tip().height,
            sequence: self.sequence,
            footing: candidate.footing,
            parents: BTreeSet::new(),
            children: BTreeSet::new(),
            ancestors: Sums::default(),
            descendants: Sums::default(),
        }
    }

    pub(super) fn check(
        &self,
        transaction: Arc<Transaction>,
        world: &Surroundings<'_>,
        terms: Terms,
    ) -> Result<Candidate, MempoolError> {
        let (candidate, coins) = self.check_unsigned(transaction, world, terms)?;
        let wtxid = candidate.wtxid;
        if terms != Terms::Returned && !world.signatures.contains(&wtxid) {
            spend::check_coins(&candidate.transaction, candidate.txid, &coins)?;
        }
        world.signatures.insert(wtxid);
        Ok(candidate)
    }

    /// All checks but that of the signatures. Gives the coins that they are checked on, too.
    fn check_unsigned(
        &self,
        transaction: Arc<Transaction>,
        world: &Surroundings<'_>,
        terms: Terms,
    ) -> Result<(Candidate, Vec<Coin>), MempoolError> {
        let (tx, chain) = (&*transaction, world.chain);
        let params = chain.params();
        let txid = tx.compute_txid();
        rules::check_alone_of(tx, txid, params)?;
        if tx.is_coinbase() {
            return Err(MempoolError::Coinbase);
        }
        policy::check_form(tx, self.kinds)?;
        let place = NextBlock::of(chain);
        if !rules::is_final(tx, place.height, place.median_time_past) {
            return Err(MempoolError::NotFinal {
                lock_time: tx.lock_time.to_consensus_u32(),
            });
        }
        let wtxid = tx.compute_wtxid();
        self.check_not_here(&txid, &wtxid)?;

        let conflicts = self.conflicts_of(tx);
        let coins = self.coins_of(tx, txid, chain)?;
        place.check_relative_locks(tx, &coins, chain)?;
        let fee = rules::check_amounts(tx, &coins, place.height, params)?;
        policy::check_witnesses(
            &tx.input,
            coins
                .iter()
                .map(|coin| coin.output.script_pubkey.as_script()),
        )?;
        let sigops = rules::sigops_cost(tx, &coins);
        let limit = policy::MAX_STANDARD_SIGOPS_COST;
        if sigops > limit {
            return Err(MempoolError::TooManySigops { got: sigops, limit });
        }
        let weight = tx.weight();
        let vsize = policy::virtual_size(weight, sigops);
        let ancestors = self.ancestors_of_inputs(tx);
        let own = Sums {
            count: 1,
            vsize,
            fee,
            weight,
            sigops,
        };
        let replaced = match terms {
            Terms::Offered | Terms::Together => {
                if terms == Terms::Offered {
                    self.check_fee(FeeRate { fee, vsize }, world.now)?;
                }
                let replaced = self.check_replacement(own.rate(), &ancestors, &conflicts)?;
                self.check_chain(own, &ancestors, &replaced, CHAIN_LIMITS)?;
                replaced
            }
            Terms::Returned => {
                if let Some(conflict) = conflicts.first() {
                    return Err(MempoolError::SpendsReplaced(*conflict));
                }
                self.check_chain(own, &ancestors, &conflicts, RETURNED_CHAIN_LIMITS)?;
                conflicts
            }
        };
        let footing = footing_of(tx, &coins, place.height);
        let candidate = Candidate {
            txid,
            wtxid,
            fee,
            weight,
            vsize,
            sigops,
            replaced,
            footing,
            transaction,
        };
        Ok((candidate, coins))
    }

    fn check_not_here(&self, txid: &Txid, wtxid: &Wtxid) -> Result<(), MempoolError> {
        match self.graph.get(txid) {
            Some(entry) if entry.wtxid == *wtxid => Err(MempoolError::AlreadyHere(*txid)),
            Some(_) => Err(MempoolError::OtherWitnessHere(*txid)),
            None => Ok(()),
        }
    }

    /// What each input spends: an output of an entry, or a coin of the chain.
    pub(super) fn coins_of(
        &self,
        tx: &Transaction,
        txid: Txid,
        chain: &Chain,
    ) -> Result<Vec<Coin>, MempoolError> {
        let next = chain.tip().height.next();
        let mut coins = Vec::with_capacity(tx.input.len());
        for input in &tx.input {
            let outpoint = input.previous_output;
            let coin = match self.graph.get(&outpoint.txid) {
                Some(parent) => unconfirmed_coin(parent, &outpoint, next),
                None => chain.coin(&outpoint)?,
            };
            let Some(coin) = coin else {
                return Err(missing(tx, txid, outpoint, chain));
            };
            coins.push(coin);
        }
        Ok(coins)
    }

    fn ancestors_of_inputs(&self, tx: &Transaction) -> BTreeSet<Txid> {
        let spent = tx.input.iter().map(|input| input.previous_output.txid);
        self.graph
            .with_ancestors(spent.filter(|txid| self.graph.get(txid).is_some()))
    }

    pub(super) fn check_fee(&self, own: FeeRate, now: Timestamp) -> Result<(), MempoolError> {
        let got = own.fee;
        let rate = self.min_fee(now);
        let need = rate.fee_for(own.vsize);
        if got < need && rate > policy::MIN_RELAY_FEE {
            return Err(MempoolError::BelowMempoolFee { got, need, rate });
        }
        if got < need {
            return Err(MempoolError::BelowRelayFee { got, need });
        }
        Ok(())
    }

    /// Checks how much hangs together once `own` is here and `replaced` is gone.
    fn check_chain(
        &self,
        own: Sums,
        ancestors: &BTreeSet<Txid>,
        replaced: &BTreeSet<Txid>,
        limits: ChainLimits,
    ) -> Result<(), MempoolError> {
        let within = |what, got, limit| match got > limit {
            true => Err(MempoolError::ChainTooLong { what, got, limit }),
            false => Ok(()),
        };
        let entries = || ancestors.iter().filter_map(|txid| self.graph.get(txid));
        within(
            ChainLimit::Ancestors,
            ancestors.len() as u64 + 1,
            limits.ancestors,
        )?;
        let vsize = own.vsize + entries().map(|entry| entry.vsize).sum::<u64>();
        within(ChainLimit::AncestorSize, vsize, limits.ancestor_vsize)?;
        for entry in entries() {
            let leaving = match replaced.is_empty() {
                true => Sums::default(),
                false => self.sums_of(self.descendants(&entry.txid).intersection(replaced)),
            };
            let after = entry.descendants.minus(leaving).plus(own);
            within(ChainLimit::Descendants, after.count, limits.descendants)?;
            within(
                ChainLimit::DescendantSize,
                after.vsize,
                limits.descendant_vsize,
            )?;
        }
        Ok(())
    }

    fn sums_of<'a>(&self, txids: impl Iterator<Item = &'a Txid>) -> Sums {
        let entries = txids.filter_map(|txid| self.graph.get(txid));
        entries.fold(Sums::default(), |sum, entry| sum.plus(entry.own()))
    }
}

/// The place in which every entry must be valid: the next block on the active tip.
#[derive(Clone, Copy, Debug)]
pub(super) struct NextBlock {
    pub(super) height: Height,
    pub(super) median_time_past: Timestamp,
}

impl NextBlock {
    pub(super) fn of(chain: &Chain) -> NextBlock {
        let tip = chain.tip();
        NextBlock {
            height: tip.height.next(),
            median_time_past: tip.median_time_past,
        }
    }

    pub(super) fn check_relative_locks(
        self,
        tx: &Transaction,
        coins: &[Coin],
        chain: &Chain,
    ) -> Result<(), MempoolError> {
        // Only asked for blocks up to the tip: an unconfirmed coin counts from the next block, and its lock from the tip.
        let mtp_at = |height: Height| match chain.at_height(height) {
            Some(info) => chain.tree().median_time_past(info.id),
            None => self.median_time_past,
        };
        rules::check_sequence_locks(tx, coins, self.height, self.median_time_past, &mtp_at)
            .map_err(MempoolError::SequenceLocked)
    }
}

/// What a reorg may change about a transaction that spends `coins`; those of height `next` are unconfirmed.
pub(super) fn footing_of(tx: &Transaction, coins: &[Coin], next: Height) -> Footing {
    const RELATIVE_LOCK_OFF: u32 = 1 << 31;
    let confirmed = || coins.iter().filter(|coin| coin.height < next);
    Footing {
        youngest_coin: confirmed().map(|coin| coin.height).max(),
        youngest_coinbase: confirmed()
            .filter(|c| c.coinbase)
            .map(|coin| coin.height)
            .max(),
        relative_lock: tx.version.0 as u32 >= 2
            && tx
                .input
                .iter()
                .any(|i| i.sequence.to_consensus_u32() & RELATIVE_LOCK_OFF == 0),
    }
}

/// An output of an entry, as if it were in the next block.
fn unconfirmed_coin(parent: &Entry, outpoint: &OutPoint, next: Height) -> Option<Coin> {
    let output = parent.transaction.output.get(outpoint.vout as usize)?;
    let spendable = !chain::script::is_unspendable(&output.script_pubkey);
    spendable.then(|| Coin {
        output: output.clone(),
        height: next,
        coinbase: false,
    })
}

/// Why a coin is missing: perhaps because the transaction is in the chain itself.
fn missing(tx: &Transaction, txid: Txid, outpoint: OutPoint, chain: &Chain) -> MempoolError {
    for vout in 0..tx.output.len().min(MAX_OUTPUTS_LOOKED_UP) as u32 {
        match chain.coin(&OutPoint { txid, vout }) {
            Ok(Some(_)) => return MempoolError::AlreadyConfirmed(txid),
            Ok(None) => {}
            Err(error) => return error.into(),
        }
    }
    MempoolError::MissingInput { txid, outpoint }
}
