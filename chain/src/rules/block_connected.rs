//! Rules that a body on its parent's coins decides: amounts, maturity, relative locks, subsidy, sigops, signatures.

use bitcoin::{Amount, OutPoint, Transaction, Txid};
use rayon::prelude::*;

use crate::block::CheckedBlock;
use crate::coins::{Coin, CoinView};
use crate::params::Params;
use crate::pause;
use crate::rules::MAX_BLOCK_SIGOPS_COST;
use crate::rules::error::RuleError;
use crate::rules::outpoint_map::{OutPointSet, TxidMap};
use crate::rules::spend::{self, SignatureCache};
use crate::rules::transaction;
use crate::script::is_unspendable;
use crate::units::{Height, Timestamp};

/// What connecting may know of the chain.
pub struct ConnectContext<'a> {
    /// The block's height.
    pub height: Height,
    /// Median time past of the parent.
    pub parent_median_time_past: Timestamp,
    /// Median time past of this chain's block at a height below (BIP 68).
    pub mtp_at: &'a dyn Fn(Height) -> Timestamp,
    /// The network.
    pub params: &'a Params,
    /// Signatures that need no second check.
    pub signatures: &'a SignatureCache,
}

/// What a valid block does to the coins. Nothing is applied until all of it is known to be valid.
#[derive(Debug)]
pub struct ConnectedBlock {
    /// Coins spent that existed before the block, in input order of transactions 1.. ; also holds the coins that were created
    /// inside the block, as Core's undo data does.
    pub undo: Vec<Coin>,
    /// Sum of fees.
    pub fees: Amount,
}

/// Why a block was not connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError<E> {
    /// The block breaks a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The coins could not be read.
    #[error("{0}")]
    Coins(E),
}

/// Checks `block` on the coins of its parent. Signatures of the whole block are checked in parallel, last.
///
/// # Errors
///
/// The first rule that is broken, in Bitcoin Core's order; or a failure to read coins.
pub fn check<E>(
    block: &CheckedBlock,
    context: &ConnectContext<'_>,
    coins: &mut dyn CoinView<Error = E>,
) -> Result<ConnectedBlock, ConnectError<E>> {
    let connected = check_coins(block, context, coins)?;
    check_signatures(block, &connected, context.signatures)?;
    Ok(connected)
}

/// The first half of [`check`]: all but the signatures. A pipeline may go on to the next block while [`check_signatures`]
/// runs, as long as nothing is committed before its verdict.
///
/// # Errors
///
/// The first rule that is broken, in Bitcoin Core's order; or a failure to read coins.
pub fn check_coins<E>(
    block: &CheckedBlock,
    context: &ConnectContext<'_>,
    coins: &mut dyn CoinView<Error = E>,
) -> Result<ConnectedBlock, ConnectError<E>> {
    let repeats_are_named_late = !coinbases_may_repeat(context.params);
    if !repeats_are_named_late {
        check_overwrites_no_coin(block, coins)?;
    }
    let result = check_transactions(block, context, coins);
    if repeats_are_named_late && matches!(result, Err(ConnectError::Rule(_))) {
        check_overwrites_no_coin(block, coins)?;
    }
    result
}

/// Takes the transactions in turn: inputs, amounts, relative locks, signature operations; then the coinbase's amount.
fn check_transactions<E>(
    block: &CheckedBlock,
    context: &ConnectContext<'_>,
    coins: &mut dyn CoinView<Error = E>,
) -> Result<ConnectedBlock, ConnectError<E>> {
    let transactions = &block.block().txdata;
    let mut block_coins = BlockCoins::new(transactions, context.height, coins);
    let mut undo = Vec::with_capacity(transactions.iter().skip(1).map(|tx| tx.input.len()).sum());
    let mut fees = Amount::ZERO;
    let mut sigops = 0;
    for (index, (tx, txid)) in transactions.iter().zip(block.txids()).enumerate() {
        pause::point();
        let spent_from = undo.len();
        if index > 0 {
            for input in &tx.input {
                undo.push(block_coins.spend(&input.previous_output, *txid)?);
            }
            let spent = &undo[spent_from..];
            let fee = transaction::check_amounts(tx, spent, context.height, context.params)?;
            fees = transaction::add_fee(fees, fee)?;
            transaction::check_sequence_locks(
                tx,
                spent,
                context.height,
                context.parent_median_time_past,
                context.mtp_at,
            )?;
        }
        sigops += transaction::sigops_cost(tx, &undo[spent_from..]);
        check_sigops(sigops, index)?;
        block_coins.create(*txid, index);
    }
    check_coinbase_amount(&transactions[0], fees, context)?;
    Ok(ConnectedBlock { undo, fees })
}

/// The second half of [`check`]: every input's witness, in parallel on rayon's current pool. Transactions whose
/// signatures `cache` knows are skipped.
///
/// # Errors
///
/// [`RuleError::Spend`] of the first input, in block order, that fails.
pub fn check_signatures(
    block: &CheckedBlock,
    connected: &ConnectedBlock,
    cache: &SignatureCache,
) -> Result<(), RuleError> {
    let jobs = unknown_to(cache, block, connected);
    let failure = jobs.par_iter().find_map_first(|job| failure(block, job));
    failure.map_or(Ok(()), Err)
}

/// As [`check_signatures`], on this thread alone.
///
/// # Errors
///
/// As [`check_signatures`].
pub fn check_signatures_here(
    block: &CheckedBlock,
    connected: &ConnectedBlock,
    cache: &SignatureCache,
) -> Result<(), RuleError> {
    let jobs = unknown_to(cache, block, connected);
    let failure = jobs.iter().find_map(|job| failure(block, job));
    failure.map_or(Ok(()), Err)
}

/// A transaction's place in its block, and the coins that it spends.
type SpendJob<'a> = (usize, &'a [Coin]);

/// Why a transaction's witnesses do not unlock what it spends, if they do not.
fn failure(block: &CheckedBlock, (index, spent): &SpendJob<'_>) -> Option<RuleError> {
    spend::check_coins(&block.block().txdata[*index], block.txids()[*index], spent).err()
}

/// The transactions whose signatures `cache` does not know, in order.
fn unknown_to<'a>(
    cache: &SignatureCache,
    block: &CheckedBlock,
    connected: &'a ConnectedBlock,
) -> Vec<SpendJob<'a>> {
    let mut rest = connected.undo.as_slice();
    let jobs = block
        .block()
        .txdata
        .iter()
        .enumerate()
        .skip(1)
        .map(|(index, tx)| {
            let (spent, others) = rest.split_at(tx.input.len());
            rest = others;
            (index, spent)
        })
        .collect();
    if cache.is_empty() {
        return jobs;
    }
    let wtxids = block.wtxids();
    cache.without_known(jobs, |(index, _)| &wtxids[*index])
}

/// Whether a coinbase, and so any transaction that descends from it, may have the id of an earlier one. From the BIP 34
/// height on each begins with its own height; where that is block 1, no two are equal. A block that breaks BIP 30 then
/// breaks another rule as well: it spends again what the first of the two transactions has spent. So nothing has to be
/// looked up for a valid block, and for the others the reason that Core gives is found late.
fn coinbases_may_repeat(params: &Params) -> bool {
    params.bip34_height > Height(1)
}

/// Checks that no output of the block exists unspent (BIP 30).
fn check_overwrites_no_coin<E>(
    block: &CheckedBlock,
    coins: &mut dyn CoinView<Error = E>,
) -> Result<(), ConnectError<E>> {
    for (tx, txid) in block.block().txdata.iter().zip(block.txids()) {
        for vout in 0..tx.output.len() as u32 {
            let outpoint = OutPoint { txid: *txid, vout };
            if coins
                .coin(&outpoint)
                .map_err(ConnectError::Coins)?
                .is_some()
            {
                return Err(RuleError::OverwritesCoin { outpoint }.into());
            }
        }
    }
    Ok(())
}

fn check_sigops(got: u64, index: usize) -> Result<(), RuleError> {
    if got > MAX_BLOCK_SIGOPS_COST {
        return Err(RuleError::TooManySigops {
            got,
            limit: MAX_BLOCK_SIGOPS_COST,
            index,
        });
    }
    Ok(())
}

fn check_coinbase_amount(
    coinbase: &Transaction,
    fees: Amount,
    context: &ConnectContext<'_>,
) -> Result<(), RuleError> {
    let got = coinbase.output.iter().map(|output| output.value).sum();
    let limit = context.params.subsidy_at(context.height) + fees;
    if got > limit {
        return Err(RuleError::CoinbaseAmount { got, limit });
    }
    Ok(())
}

/// The parent's coins with what the block has created and spent so far.
struct BlockCoins<'a, E> {
    transactions: &'a [Transaction],
    height: Height,
    parent: &'a mut dyn CoinView<Error = E>,
    created: TxidMap<usize>,
    spent: OutPointSet,
}

impl<'a, E> BlockCoins<'a, E> {
    fn new(
        transactions: &'a [Transaction],
        height: Height,
        parent: &'a mut dyn CoinView<Error = E>,
    ) -> BlockCoins<'a, E> {
        let inputs = transactions.iter().map(|tx| tx.input.len()).sum();
        BlockCoins {
            transactions,
            height,
            parent,
            created: TxidMap::with_capacity_and_hasher(transactions.len(), Default::default()),
            spent: OutPointSet::with_capacity_and_hasher(inputs, Default::default()),
        }
    }

    /// Takes the coin at `outpoint` for `spender`.
    fn spend(&mut self, outpoint: &OutPoint, spender: Txid) -> Result<Coin, ConnectError<E>> {
        let missing = || RuleError::MissingInput {
            txid: spender,
            outpoint: *outpoint,
        };
        if !self.spent.insert(*outpoint) {
            return Err(missing().into());
        }
        let coin = match self.created.get(&outpoint.txid) {
            Some(index) => self.created_coin(*index, outpoint.vout),
            None => self.parent.coin(outpoint).map_err(ConnectError::Coins)?,
        };
        coin.ok_or_else(|| missing().into())
    }

    fn created_coin(&self, index: usize, vout: u32) -> Option<Coin> {
        let output = self.transactions[index].output.get(vout as usize)?;
        let coin = Coin {
            output: output.clone(),
            height: self.height,
            coinbase: index == 0,
        };
        (!is_unspendable(&output.script_pubkey)).then_some(coin)
    }

    /// Makes the outputs of the transaction at `index` spendable by later ones.
    fn create(&mut self, txid: Txid, index: usize) {
        self.created.insert(txid, index);
    }
}

#[cfg(test)]
mod tests;
