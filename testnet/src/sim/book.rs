//! [`Book`]: writes the record of a run. Transactions and blocks are told once, before the first line that names them.

use std::collections::BTreeSet;
use std::io::Write;

use bitcoin::{Block, Transaction, Txid};
use chain::Params;

use crate::plan::Plan;
use crate::record::{
    self, End, Engine, Genesis, Line, Start, Transaction as TransactionLine, WriteError, Writer,
};

/// The record of a run that goes on.
pub(super) struct Book<'a> {
    writer: Writer<'a>,
    /// Transactions that were told.
    told: BTreeSet<Txid>,
}

impl<'a> Book<'a> {
    /// A record that begins.
    pub(super) fn begin(
        out: Option<&'a mut dyn Write>,
        plan: &Plan,
        seed: u64,
        params: &Params,
    ) -> Book<'a> {
        let mut writer = Writer::new(out);
        let coins = params.genesis.txdata[1..].iter().flat_map(|tx| &tx.output);
        let start = Start {
            plan: plan.clone(),
            engine: Engine::Sim,
            seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program: None,
            speed: 1.0,
            left_out: Vec::new(),
            genesis: Genesis {
                hash: params.genesis_hash,
                coins_sat: coins.map(|coin| coin.value.to_sat()).sum(),
                subsidy_sat: params.subsidy_at(chain::Height(1)).to_sat(),
                halving_blocks: (params.subsidy.halving_interval > 0)
                    .then_some(params.subsidy.halving_interval),
            },
        };
        writer.line(Line::Start(Box::new(start)));
        let mut book = Book {
            writer,
            told: BTreeSet::new(),
        };
        for allocation in &params.genesis.txdata[1..] {
            book.transaction(allocation);
        }
        book
    }

    pub(super) fn line(&mut self, line: Line) {
        self.writer.line(line);
    }

    /// Tells a transaction, unless it was told before. Gives its id.
    pub(super) fn transaction(&mut self, transaction: &Transaction) -> Txid {
        let txid = transaction.compute_txid();
        if !self.told.insert(txid) {
            return txid;
        }
        let coinbase = transaction.is_coinbase();
        let inputs = transaction.input.iter().map(|input| input.previous_output);
        let outputs = transaction.output.iter();
        self.writer.line(Line::Transaction(TransactionLine {
            txid,
            spends: inputs.filter(|_| !coinbase).collect(),
            outputs_sat: outputs.map(|output| output.value.to_sat()).collect(),
            coinbase,
        }));
        txid
    }

    /// Tells a block that somebody has found.
    pub(super) fn block(&mut self, t: u64, node: usize, height: u32, block: &Block) {
        let txids: Vec<Txid> = block.txdata.iter().map(|tx| self.transaction(tx)).collect();
        let reward = block.txdata[0].output.iter();
        self.writer.line(Line::Block(record::Block {
            t,
            hash: block.block_hash(),
            parent: block.header.prev_blockhash,
            height,
            work: work(block),
            found_by: Some(node),
            reward_sat: reward.map(|output| output.value.to_sat()).sum(),
            coinbase: txids[0],
            payments: txids[1..].to_vec(),
        }));
    }

    /// The last line. Gives the SHA-256 of all of them.
    ///
    /// # Errors
    ///
    /// As [`Writer::finish`].
    pub(super) fn end(
        mut self,
        t: u64,
        events: u64,
    ) -> Result<(record::Record, String), WriteError> {
        let lines = self.writer.lines();
        self.writer.line(Line::End(End {
            t,
            failed: None,
            lines,
            events: Some(events),
        }));
        self.writer.finish()
    }
}

/// The expected number of hashes of a block.
fn work(block: &Block) -> u64 {
    let work = block.header.work().to_be_bytes();
    // The simulator's targets are so large that the rest is zero.
    u64::from_be_bytes(work[24..].try_into().expect("eight bytes"))
}
