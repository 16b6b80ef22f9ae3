//! A chain of payments: each block holds the same number of one-input P2TR payments, each of which spends the change of one in
//! the block before.

use bitcoin::consensus::serialize;
use bitcoin::{Amount, Block, OutPoint, Transaction, TxOut};
use chain::fixtures::{BlockBuilder, Key, Payment, test_params_with};
use chain::framing::magic;
use chain::{Height, Params};
use rayon::prelude::*;

/// What each payment gives away unless something else is said. It leaves nothing to the miner.
const PAID: Amount = Amount::from_sat(1_000);

pub(crate) struct PaymentChain {
    pub(crate) params: Params,
    pub(crate) blocks: Vec<Block>,
    /// What each payment spends, in order.
    pub(crate) spent: Vec<TxOut>,
}

/// The network, with one coin for each payment of a block.
pub(crate) fn params(payments_per_block: usize) -> Params {
    let coin = (Key::p2tr("payer").address(), Amount::ONE_BTC);
    test_params_with(&vec![coin; payments_per_block])
}

pub(crate) fn make(blocks: usize, payments_per_block: usize) -> PaymentChain {
    make_paying(PAID, blocks, payments_per_block)
}

/// As [`make`], on the same network: with another amount all payments are others.
pub(crate) fn make_paying(paid: Amount, blocks: usize, payments_per_block: usize) -> PaymentChain {
    let params = params(payments_per_block);
    let (payer, payee) = (Key::p2tr("payer"), Key::p2tr("payee"));
    let coins = &params.genesis.txdata[1];
    let mut purses: Vec<(OutPoint, TxOut)> = (0..)
        .map(|vout| OutPoint {
            txid: coins.compute_txid(),
            vout,
        })
        .zip(coins.output.clone())
        .collect();
    let mut made: Vec<Block> = Vec::with_capacity(blocks);
    let mut spent = Vec::new();
    for n in 0..blocks {
        spent.extend(purses.iter().map(|(_, output)| output.clone()));
        let payments: Vec<Transaction> = purses
            .par_iter()
            .map(|(outpoint, output)| {
                let change = output.value - paid;
                Payment::new()
                    .spend(*outpoint, output, &payer)
                    .pay(&payee, paid)
                    .pay(&payer, change)
                    .sign()
            })
            .collect();
        purses = payments
            .par_iter()
            .map(|tx| {
                (
                    OutPoint {
                        txid: tx.compute_txid(),
                        vout: 1,
                    },
                    tx.output[1].clone(),
                )
            })
            .collect();
        let parent = made.last().unwrap_or(&params.genesis).header;
        let builder = BlockBuilder::on(&params, &parent, Height(n as u32 + 1));
        made.push(
            payments
                .iter()
                .fold(builder, |builder, tx| builder.with(tx))
                .mine(),
        );
    }
    PaymentChain {
        params,
        blocks: made,
        spent,
    }
}

impl PaymentChain {
    /// All blocks in the framing of `blk*.dat`.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for block in &self.blocks {
            let bytes = serialize(block);
            file.extend(magic(&self.params));
            file.extend((bytes.len() as u32).to_le_bytes());
            file.extend(bytes);
        }
        file
    }

    /// All payments, in order.
    pub(crate) fn payments(&self) -> impl Iterator<Item = &Transaction> {
        self.blocks.iter().flat_map(|block| &block.txdata[1..])
    }
}
