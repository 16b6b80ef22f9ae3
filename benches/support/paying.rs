//! Blocks of payments that nodes relay: each pays a fee, and spends the change of one in the block before.

use bitcoin::{Amount, Block, OutPoint, Transaction, TxOut};
use chain::fixtures::{BlockBuilder, Key, Payment};
use chain::{Height, Params};
use rayon::prelude::*;

use super::payments;

/// What each payment leaves to the miner.
const FEE: Amount = Amount::from_sat(1_000);
/// What each payment gives away.
const PAID: Amount = Amount::from_sat(1_000);

/// Coins that are paid from again and again.
pub struct Purses(Vec<(OutPoint, TxOut)>);

impl Purses {
    /// The coins that a network of [`super::write_spec`] has from the start.
    pub fn of(params: &Params) -> Purses {
        let coins = &params.genesis.txdata[1];
        let txid = coins.compute_txid();
        let points = (0..).map(|vout| OutPoint { txid, vout });
        Purses(points.zip(coins.output.clone()).collect())
    }

    /// A payment from each, which spends the change of the one before.
    pub fn pay(&mut self) -> Vec<Transaction> {
        let payments: Vec<Transaction> = self
            .0
            .par_iter()
            .map(|(outpoint, output)| pay(*outpoint, output))
            .collect();
        let change = |payment: &Transaction| {
            let txid = payment.compute_txid();
            (OutPoint { txid, vout: 1 }, payment.output[1].clone())
        };
        self.0 = payments.iter().map(change).collect();
        payments
    }
}

/// `blocks` blocks of `per_block` payments each, on the network of [`payments::params`].
pub fn blocks(blocks: usize, per_block: usize) -> Vec<Block> {
    let params = payments::params(per_block);
    let mut purses = Purses::of(&params);
    let mut made: Vec<Block> = Vec::with_capacity(blocks);
    for height in (1..).map(Height).take(blocks) {
        let parent = made.last().unwrap_or(&params.genesis).header;
        let builder = BlockBuilder::on(&params, &parent, height);
        let payments = purses.pay();
        made.push(payments.iter().fold(builder, BlockBuilder::with).mine());
    }
    made
}

/// A payment of one coin: a little is given away, and output 1 is the change.
pub fn pay(outpoint: OutPoint, output: &TxOut) -> Transaction {
    let (payer, payee) = (Key::p2tr("payer"), Key::p2tr("payee"));
    Payment::new()
        .spend(outpoint, output, &payer)
        .pay(&payee, PAID)
        .pay(&payer, output.value - PAID - FEE)
        .sign()
}
