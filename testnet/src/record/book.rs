//! [`Book`]: writes the record of a run for an engine. Transactions and blocks are told once, before the first line that names
//! them.

use std::collections::BTreeSet;
use std::io::Write;

use bitcoin::{Block, BlockHash, Transaction, Txid};
use chain::Params;

use super::{
    Block as BlockLine, End, Genesis, Line, Record, Start, Transaction as TransactionLine,
    WriteError, Writer,
};

/// The record of a run that goes on.
pub(crate) struct Book<'a> {
    writer: Writer<'a>,
    /// Transactions that were told.
    told: BTreeSet<Txid>,
    /// Blocks that were told.
    blocks: BTreeSet<BlockHash>,
}

impl Genesis {
    /// What a network begins with.
    pub(crate) fn of(params: &Params) -> Genesis {
        let coins = params.genesis.txdata[1..].iter().flat_map(|tx| &tx.output);
        let halving_blocks = params.subsidy.halving_interval;
        Genesis {
            hash: params.genesis_hash,
            coins_sat: coins.map(|coin| coin.value.to_sat()).sum(),
            subsidy_sat: params.subsidy_at(chain::Height(1)).to_sat(),
            halving_blocks: (halving_blocks > 0).then_some(halving_blocks),
        }
    }
}

impl<'a> Book<'a> {
    /// A record that begins.
    pub(crate) fn begin(out: Option<&'a mut dyn Write>, start: Start, params: &Params) -> Book<'a> {
        let mut writer = Writer::new(out);
        writer.line(Line::Start(Box::new(start)));
        let mut book = Book {
            writer,
            told: BTreeSet::new(),
            blocks: BTreeSet::from([params.genesis_hash]),
        };
        for allocation in &params.genesis.txdata[1..] {
            book.transaction(allocation);
        }
        book
    }

    pub(crate) fn line(&mut self, line: Line) {
        self.writer.line(line);
    }

    /// Tells a transaction, unless it was told before. Gives its id.
    pub(crate) fn transaction(&mut self, transaction: &Transaction) -> Txid {
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

    /// Tells a block, unless it was told before.
    pub(crate) fn block(&mut self, t: u64, found_by: Option<usize>, height: u32, block: &Block) {
        let hash = block.block_hash();
        if !self.blocks.insert(hash) {
            return;
        }
        let txids: Vec<Txid> = block.txdata.iter().map(|tx| self.transaction(tx)).collect();
        let reward = block.txdata[0].output.iter();
        self.writer.line(Line::Block(BlockLine {
            t,
            hash,
            parent: block.header.prev_blockhash,
            height,
            work: work(block),
            found_by,
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
    pub(crate) fn end(
        mut self,
        t: u64,
        failed: Option<String>,
        events: Option<u64>,
    ) -> Result<(Record, String), WriteError> {
        let lines = self.writer.lines();
        self.writer.line(Line::End(End {
            t,
            failed,
            lines,
            events,
        }));
        self.writer.finish()
    }
}

/// The expected number of hashes of a block.
fn work(block: &Block) -> u64 {
    let work = block.header.work().to_be_bytes();
    // Targets of the lab's networks are so large that the rest is zero.
    u64::from_be_bytes(work[24..].try_into().expect("eight bytes"))
}
