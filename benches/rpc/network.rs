//! A network with many coins, and blocks and payments that spend them.

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Block, OutPoint, Transaction, TxOut};
use chain::fixtures::{BlockBuilder, Key, Payment, TEST_GENESIS_TIME};
use chain::genesis::GenesisSpec;
use chain::{Height, Params};

/// Transactions that split a coin each, in the first block.
const SPLITTERS: usize = 20;
/// Coins that each of them makes.
const COINS_PER_SPLITTER: usize = 1_000;
const COIN: Amount = Amount::from_sat(100_000);
const FEE: Amount = Amount::from_sat(1_000);
/// What a payment of [`Blocks`] gives away, and its fee.
const SMALL: Amount = Amount::from_sat(400);

/// A network whose first block makes 20,000 coins.
pub(crate) struct Network {
    pub(crate) genesis_json: String,
    params: Params,
    coins: Vec<(OutPoint, TxOut)>,
    tip: Block,
    height: u32,
}

impl Network {
    /// The network, and its first block.
    pub(crate) fn new() -> (Network, Block) {
        let payer = Key::p2tr("payer");
        let whole = COIN * COINS_PER_SPLITTER as u64 + FEE * 1_000;
        let spec = (0..SPLITTERS).fold(
            GenesisSpec::trivial("bench", TEST_GENESIS_TIME),
            |spec, _| spec.allocate(&payer.address(), whole),
        );
        let file = spec.mine().expect("a network");
        let params = file.verify().expect("it is valid");
        let rich = &params.genesis.txdata[1];
        let splitters: Vec<Transaction> = (0..SPLITTERS)
            .map(|vout| {
                let spend = Payment::new().spend_output_of(rich, vout as u32, &payer);
                (0..COINS_PER_SPLITTER)
                    .fold(spend, |payment, _| payment.pay(&payer, COIN))
                    .sign()
            })
            .collect();
        let builder = BlockBuilder::on(&params, &params.genesis.header, Height(1));
        let first = splitters
            .iter()
            .fold(builder, |builder, tx| builder.with(tx))
            .mine();
        let coins = splitters.iter().flat_map(|tx| {
            let txid = tx.compute_txid();
            (0..)
                .map(move |vout| OutPoint { txid, vout })
                .zip(tx.output.clone())
        });
        let network = Network {
            genesis_json: file.to_json(),
            coins: coins.collect(),
            params,
            tip: first.clone(),
            height: 1,
        };
        (network, first)
    }

    /// Payments of one input and two outputs from fresh coins, none of which depends on another.
    pub(crate) fn payments(&mut self, count: usize) -> Vec<Transaction> {
        let (payer, payee) = (Key::p2tr("payer"), Key::p2tr("payee"));
        let half = (COIN - FEE) / 2;
        self.coins
            .drain(..count)
            .map(|(outpoint, output)| {
                Payment::new()
                    .spend(outpoint, &output, &payer)
                    .pay(&payee, half)
                    .pay(&payer, half)
                    .sign()
            })
            .collect()
    }

    /// The next block, with these payments.
    pub(crate) fn block(&mut self, payments: &[Transaction]) -> Block {
        self.height += 1;
        let builder = BlockBuilder::on(&self.params, &self.tip.header, Height(self.height));
        self.tip = payments
            .iter()
            .fold(builder, |builder, tx| builder.with(tx))
            .mine();
        self.tip.clone()
    }
}

/// Blocks, each of which spends the change of the one before, so that there is no end of them.
pub(crate) struct Blocks<'a> {
    network: &'a mut Network,
    purses: Vec<(OutPoint, TxOut)>,
}

impl Network {
    /// Blocks of so many payments.
    pub(crate) fn blocks(&mut self, payments: usize) -> Blocks<'_> {
        let purses = self.coins.drain(..payments).collect();
        Blocks {
            network: self,
            purses,
        }
    }
}

impl Blocks<'_> {
    pub(crate) fn next_block(&mut self) -> Block {
        let (payer, payee) = (Key::p2tr("payer"), Key::p2tr("payee"));
        let pay = |(outpoint, output): &(OutPoint, TxOut)| {
            Payment::new()
                .spend(*outpoint, output, &payer)
                .pay(&payee, SMALL)
                .pay(&payer, output.value - SMALL - SMALL)
                .sign()
        };
        let payments: Vec<Transaction> = self.purses.iter().map(pay).collect();
        let change = |tx: &Transaction| {
            let txid = tx.compute_txid();
            (OutPoint { txid, vout: 1 }, tx.output[1].clone())
        };
        self.purses = payments.iter().map(change).collect();
        self.network.block(&payments)
    }
}

/// Consensus encoded, in hexadecimal.
pub(crate) fn hex<T: bitcoin::consensus::Encodable>(thing: &T) -> String {
    serialize_hex(thing)
}
