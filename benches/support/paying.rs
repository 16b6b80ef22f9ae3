//! Blocks of payments that nodes relay: each pays a fee, and spends the change of one in the block before.

use bitcoin::{Amount, Block, OutPoint, Transaction, TxOut};
use chain::Height;
use chain::fixtures::{BlockBuilder, Key, Payment};

use super::payments;

/// What each payment leaves to the miner.
const FEE: Amount = Amount::from_sat(1_000);
/// What each payment gives away.
const PAID: Amount = Amount::from_sat(1_000);

/// `blocks` blocks of `per_block` payments each, on the network of [`payments::params`].
pub fn blocks(blocks: usize, per_block: usize) -> Vec<Block> {
    let params = payments::params(per_block);
    let coins = &params.genesis.txdata[1];
    let mut purses: Vec<(OutPoint, TxOut)> =
        output_points(coins).zip(coins.output.clone()).collect();
    let mut made: Vec<Block> = Vec::with_capacity(blocks);
    for height in (1..).map(Height).take(blocks) {
        let parent = made.last().unwrap_or(&params.genesis).header;
        let mut builder = BlockBuilder::on(&params, &parent, height);
        for (outpoint, output) in &mut purses {
            let payment = pay(*outpoint, output);
            *outpoint = OutPoint::new(payment.compute_txid(), 1);
            *output = payment.output[1].clone();
            builder = builder.with(&payment);
        }
        made.push(builder.mine());
    }
    made
}

fn output_points(transaction: &Transaction) -> impl Iterator<Item = OutPoint> {
    let txid = transaction.compute_txid();
    (0..).map(move |vout| OutPoint { txid, vout })
}

fn pay(outpoint: OutPoint, output: &TxOut) -> Transaction {
    let (payer, payee) = (Key::p2tr("payer"), Key::p2tr("payee"));
    Payment::new()
        .spend(outpoint, output, &payer)
        .pay(&payee, PAID)
        .pay(&payer, output.value - PAID - FEE)
        .sign()
}
