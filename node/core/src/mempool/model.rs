//! The mempool against a naive second implementation, over random payments, blocks and reorgs.

use std::collections::BTreeSet;

use bitcoin::{Amount, Block, OutPoint, Transaction, TxOut, Txid};
use chain::assemble::{self, BlockFrame};
use chain::fixtures::{Key, Payment, TestChain, grind};
use chain::{Chain, Height, Timestamp};
use p2p::Mono;
use proptest::prelude::*;

use super::RemovalReason;
use crate::events::NodeEvent;
use crate::{CoreOptions, NodeCore, Now, Output};

#[derive(Clone, Debug)]
enum Step {
    /// Spends these outputs of all that ever were, pays `outputs` of them.
    Send {
        spends: Vec<usize>,
        outputs: u64,
        fee: u64,
    },
    /// Mines the template.
    Mine,
    /// Mines the first part of the mempool, and a conflicting payment that nobody saw before.
    MineOther {
        part: usize,
        conflict: Option<usize>,
    },
    /// Takes back the last blocks.
    Undo { blocks: u32 },
    /// Forgives all that was taken back.
    Redo,
}

fn step() -> impl Strategy<Value = Step> {
    let send = (
        prop::collection::vec(any::<usize>(), 1..4),
        1..4u64,
        1..6u64,
    )
        .prop_map(|(spends, outputs, fee)| Step::Send {
            spends,
            outputs,
            fee: fee * 700,
        });
    prop_oneof![
        12 => send,
        2 => Just(Step::Mine),
        3 => (0..8usize, prop::option::of(any::<usize>()))
            .prop_map(|(part, conflict)| Step::MineOther { part, conflict }),
        2 => (1..4u32).prop_map(|blocks| Step::Undo { blocks }),
        1 => Just(Step::Redo),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_mempool_does_what_a_naive_one_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
            world.compare();
        }
    }
}

/// An output that a step may spend, if it is there.
type Spendable = (OutPoint, TxOut, Key);

struct World {
    core: NodeCore,
    now: Now,
    /// The naive mempool: transactions in an order in which they could be mined.
    pool: Vec<Transaction>,
    /// What the chain contradicted, oldest first.
    aside: Vec<Transaction>,
    /// Outputs of the active chain that are not spent in it.
    unspent: BTreeSet<OutPoint>,
    spendable: Vec<Spendable>,
    undone: Vec<bitcoin::BlockHash>,
    salt: u64,
}

impl World {
    fn new() -> World {
        let params = TestChain::params();
        let genesis = params.genesis.txdata[1].clone();
        let core = NodeCore::new(Chain::in_memory(params), CoreOptions::default());
        let wall = Timestamp(1_700_100_000);
        let mut world = World {
            core,
            now: Now {
                mono: Mono::ZERO,
                wall,
            },
            pool: Vec::new(),
            aside: Vec::new(),
            unspent: BTreeSet::new(),
            spendable: Vec::new(),
            undone: Vec::new(),
            salt: 0,
        };
        world.note_outputs(&genesis);
        // Few coins, so that steps meet.
        world.spendable.truncate(6);
        world.unspent = world.unspent_after(&world.active());
        world
    }

    fn note_outputs(&mut self, tx: &Transaction) {
        let txid = tx.compute_txid();
        for (vout, output) in tx.output.iter().enumerate() {
            let owner = TestChain::rich_keys()
                .into_iter()
                .find(|key| key.script() == output.script_pubkey)
                .expect("all is paid to the two");
            let outpoint = OutPoint {
                txid,
                vout: vout as u32,
            };
            self.spendable.push((outpoint, output.clone(), owner));
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Send {
                spends,
                outputs,
                fee,
            } => self.send(&spends, outputs, fee),
            Step::Mine => self.mine_template(),
            Step::MineOther { part, conflict } => self.mine_other(part, conflict),
            Step::Undo { blocks } => self.undo(blocks),
            Step::Redo => self.redo(),
        }
    }

    fn payment(&mut self, spends: &[usize], outputs: u64, fee: u64) -> Option<Transaction> {
        let chosen: BTreeSet<usize> = spends.iter().map(|i| i % self.spendable.len()).collect();
        let mut payment = Payment::new();
        let mut sum = Amount::ZERO;
        for index in chosen {
            let (outpoint, output, key) = &self.spendable[index];
            payment = payment.spend(*outpoint, output, key);
            sum += output.value;
        }
        let each = sum.checked_sub(Amount::from_sat(fee))? / outputs;
        let keys = TestChain::rich_keys();
        for index in 0..outputs {
            payment = payment.pay(&keys[index as usize % 2], each);
        }
        (each > Amount::from_sat(1_000)).then(|| payment.sign())
    }

    fn send(&mut self, spends: &[usize], outputs: u64, fee: u64) {
        let Some(tx) = self.payment(spends, outputs, fee) else {
            return;
        };
        let txid = tx.compute_txid();
        if self.pool.iter().any(|known| known.compute_txid() == txid) {
            return;
        }
        let expected = self.expect_sent(&tx);
        let result = self
            .core
            .submit_transaction(self.now, tx.clone(), &mut Vec::new());
        assert_eq!(result.is_ok(), expected.is_some(), "{result:?}");
        if let Some(replaced) = expected {
            self.pool
                .retain(|known| !replaced.contains(&known.compute_txid()));
            self.aside.retain(|known| *known != tx);
            self.pool.push(tx.clone());
            self.note_outputs(&tx);
        }
    }

    /// What `tx` replaces, `None` if it is to be refused.
    fn expect_sent(&self, tx: &Transaction) -> Option<BTreeSet<Txid>> {
        if !tx
            .input
            .iter()
            .all(|input| self.is_there(&input.previous_output))
        {
            return None;
        }
        let conflicts: Vec<&Transaction> = self
            .pool
            .iter()
            .filter(|known| conflict(known, tx))
            .collect();
        let ids = |txs: &[&Transaction]| txs.iter().map(|tx| tx.compute_txid()).collect();
        let conflict_ids: BTreeSet<Txid> = ids(&conflicts);
        let replaced = self.with_descendants(conflict_ids.clone());
        let ancestors = self.ancestors(tx);
        if !ancestors.is_disjoint(&conflict_ids) {
            return None;
        }
        let (fee, size) = (self.fee(tx), tx.vsize() as u64);
        let rate = |fee: u64, size: u64| fee * 1_000 / size;
        for known in &conflicts {
            if rate(fee, size) <= rate(self.fee(known), known.vsize() as u64) {
                return None;
            }
        }
        let in_pool = |txid: &Txid| self.pool.iter().find(|tx| tx.compute_txid() == *txid);
        let lost: u64 = replaced
            .iter()
            .filter_map(in_pool)
            .map(|tx| self.fee(tx))
            .sum();
        if !conflicts.is_empty() && fee < lost + size.div_ceil(10) {
            return None;
        }
        let too_long = ancestors.len() >= 25
            || ancestors.iter().any(|ancestor| {
                let below = self.with_descendants(BTreeSet::from([*ancestor]));
                below.difference(&replaced).count() >= 25
            });
        (!too_long).then_some(replaced)
    }

    fn is_there(&self, outpoint: &OutPoint) -> bool {
        self.unspent.contains(outpoint)
            || self
                .pool
                .iter()
                .any(|tx| tx.compute_txid() == outpoint.txid)
    }

    fn fee(&self, tx: &Transaction) -> u64 {
        let value = |outpoint: &OutPoint| {
            let known = self
                .spendable
                .iter()
                .find(|(known, _, _)| known == outpoint);
            known.expect("made by a step").1.value.to_sat()
        };
        let inputs: u64 = tx
            .input
            .iter()
            .map(|input| value(&input.previous_output))
            .sum();
        inputs
            - tx.output
                .iter()
                .map(|output| output.value.to_sat())
                .sum::<u64>()
    }

    fn ancestors(&self, tx: &Transaction) -> BTreeSet<Txid> {
        let mut found: BTreeSet<Txid> = tx
            .input
            .iter()
            .map(|input| input.previous_output.txid)
            .collect();
        for known in self.pool.iter().rev() {
            if found.contains(&known.compute_txid()) {
                found.extend(known.input.iter().map(|input| input.previous_output.txid));
            }
        }
        let ids: BTreeSet<Txid> = self.pool.iter().map(Transaction::compute_txid).collect();
        &found & &ids
    }

    fn with_descendants(&self, mut set: BTreeSet<Txid>) -> BTreeSet<Txid> {
        for known in &self.pool {
            if known
                .input
                .iter()
                .any(|input| set.contains(&input.previous_output.txid))
            {
                set.insert(known.compute_txid());
            }
        }
        set
    }

    fn submit(&mut self, mut block: Block) {
        grind(&mut block.header);
        let before = self.active();
        let mut confirmed: Vec<Txid> = block.txdata.iter().map(Transaction::compute_txid).collect();
        confirmed.retain(|txid| self.pool.iter().any(|tx| tx.compute_txid() == *txid));
        let mut out = Vec::new();
        let result = self.core.submit_block(self.now, block, &mut out);
        result.expect("a good block");
        let told: Vec<Txid> = out.iter().filter_map(confirmed_by).collect();
        assert_eq!(told, confirmed, "told in the block's order");
        self.follow(&before, &self.active());
    }

    fn mine_template(&mut self) {
        self.now.wall = self.now.wall.saturating_add_secs(1);
        self.salt += 1;
        let template = self.core.template(self.now).expect("never refused");
        self.submit(template.build(&Key::p2tr("miner").script(), self.salt));
    }

    fn mine_other(&mut self, part: usize, conflict_at: Option<usize>) {
        self.now.wall = self.now.wall.saturating_add_secs(1);
        self.salt += 1;
        let mut transactions: Vec<Transaction> = self.pool.iter().take(part).cloned().collect();
        if let Some(at) = conflict_at
            && let Some(tx) = self.payment(&[at], 1, 12_345)
        {
            let spent = tx.input[0].previous_output;
            let free = self.core.chain().coin(&spent).expect("reads").is_some()
                // The same payment may be back in the mempool after an undo: once is enough.
                && !transactions
                    .iter()
                    .any(|other| *other == tx || conflict(other, &tx));
            let known = self
                .spendable
                .iter()
                .any(|(known, _, _)| known.txid == tx.compute_txid());
            if free {
                if !known {
                    self.note_outputs(&tx);
                }
                // Its coin is confirmed, so it may come anywhere.
                transactions.insert(at % (transactions.len() + 1), tx);
            }
        }
        let template = self.core.template(self.now).expect("never refused");
        let frame = BlockFrame {
            parent: template.parent,
            height: template.height,
            bits: template.bits,
            time: template.time,
            coinbase_value: Amount::ONE_BTC,
        };
        let payout = Key::p2tr("miner").script();
        self.submit(assemble::block(
            &frame,
            &payout,
            self.salt,
            b"",
            transactions,
        ));
    }

    fn undo(&mut self, blocks: u32) {
        let height = self.core.chain().tip().height.0;
        let from = height.saturating_sub(blocks - 1).max(1);
        let Some(info) = self.core.chain().at_height(Height(from)) else {
            return;
        };
        let before = self.active();
        let result = self
            .core
            .invalidate_block(self.now, &info.hash, &mut Vec::new());
        result.expect("a known block");
        self.undone.push(info.hash);
        self.follow(&before, &self.active());
    }

    fn redo(&mut self) {
        for hash in std::mem::take(&mut self.undone) {
            let before = self.active();
            let result = self.core.reconsider_block(self.now, &hash, &mut Vec::new());
            result.expect("a known block");
            self.follow(&before, &self.active());
        }
    }

    fn active(&self) -> Vec<bitcoin::BlockHash> {
        let chain = self.core.chain();
        (0..=chain.tip().height.0)
            .map(|height| chain.at_height(Height(height)).expect("below the tip").hash)
            .collect()
    }

    fn transactions_of(&self, hash: &bitcoin::BlockHash) -> Vec<Transaction> {
        let block = self
            .core
            .chain()
            .block(hash)
            .expect("reads")
            .expect("stored");
        block.block().txdata[1..].to_vec()
    }

    /// The naive mempool after the active chain changed from one to another.
    fn follow(&mut self, before: &[bitcoin::BlockHash], after: &[bitcoin::BlockHash]) {
        let shared = before.iter().zip(after).take_while(|(a, b)| a == b).count();
        let transactions_of = |blocks: &[bitcoin::BlockHash]| -> Vec<Transaction> {
            let each = blocks.iter().flat_map(|hash| self.transactions_of(hash));
            each.collect()
        };
        let confirmed = transactions_of(&after[shared..]);
        let returned = transactions_of(&before[shared..]);
        self.unspent = self.unspent_after(after);
        let contradicted = self.confirm(&confirmed);
        if !returned.is_empty() || before.len() > shared {
            self.give_back(returned, &confirmed);
        }
        if contradicted || before.len() > shared {
            self.try_aside();
        }
    }

    fn unspent_after(&self, blocks: &[bitcoin::BlockHash]) -> BTreeSet<OutPoint> {
        let genesis = &self.core.chain().params().genesis.txdata[1];
        let mined = blocks[1..]
            .iter()
            .flat_map(|hash| self.transactions_of(hash));
        let mut unspent = BTreeSet::new();
        for tx in std::iter::once(genesis.clone()).chain(mined) {
            for input in &tx.input {
                unspent.remove(&input.previous_output);
            }
            let txid = tx.compute_txid();
            let outputs = 0..tx.output.len() as u32;
            unspent.extend(outputs.map(|vout| OutPoint { txid, vout }));
        }
        unspent
    }

    /// Takes out what blocks confirm and contradict; tells whether anything was contradicted.
    fn confirm(&mut self, confirmed: &[Transaction]) -> bool {
        let mut contradicted = false;
        for tx in confirmed {
            let txid = tx.compute_txid();
            self.pool.retain(|known| known.compute_txid() != txid);
            self.aside.retain(|known| known.compute_txid() != txid);
            let rivals = self.pool.iter().filter(|known| conflict(known, tx));
            let gone = self.with_descendants(rivals.map(Transaction::compute_txid).collect());
            let (gone, left): (Vec<Transaction>, Vec<Transaction>) = self
                .pool
                .drain(..)
                .partition(|known| gone.contains(&known.compute_txid()));
            contradicted |= !gone.is_empty();
            self.pool = left;
            for tx in gone {
                self.set_aside(tx);
            }
        }
        contradicted
    }

    fn set_aside(&mut self, tx: Transaction) {
        if !self.aside.contains(&tx) {
            self.aside.push(tx);
        }
    }

    fn inputs_are_there(&self, tx: &Transaction) -> bool {
        let mut inputs = tx.input.iter();
        inputs.all(|input| self.is_there(&input.previous_output))
    }

    /// Transactions of lost blocks come back if they can; what stood on them goes if it cannot stand any more.
    fn give_back(&mut self, returned: Vec<Transaction>, confirmed: &[Transaction]) {
        let waiting = std::mem::take(&mut self.pool);
        for tx in returned {
            let rival = self
                .pool
                .iter()
                .chain(&waiting)
                .any(|known| conflict(known, &tx));
            if confirmed.contains(&tx) {
                continue;
            }
            if self.inputs_are_there(&tx) && !rival {
                self.aside.retain(|known| *known != tx);
                self.pool.push(tx);
            } else {
                self.set_aside(tx);
            }
        }
        for tx in waiting {
            if self.inputs_are_there(&tx) {
                self.pool.push(tx);
            } else {
                self.set_aside(tx);
            }
        }
    }

    /// Tries what was set aside, oldest first, until nothing more comes back.
    fn try_aside(&mut self) {
        loop {
            let mut came_back = false;
            for tx in self.aside.clone() {
                let rival = self.pool.iter().any(|known| conflict(known, &tx));
                if self.inputs_are_there(&tx) && !rival {
                    self.aside.retain(|known| *known != tx);
                    self.pool.push(tx);
                    came_back = true;
                }
            }
            if !came_back {
                return;
            }
        }
    }

    fn compare(&self) {
        let mempool = self.core.mempool();
        mempool.graph.assert_consistent();
        let ours: BTreeSet<Txid> = mempool.entries().map(|entry| entry.txid).collect();
        let naive: BTreeSet<Txid> = self.pool.iter().map(Transaction::compute_txid).collect();
        assert_eq!(ours, naive);
        for entry in mempool.entries() {
            let inputs = entry.transaction.input.iter();
            let coins = inputs.filter_map(|input| {
                let coin = self.core.chain().coin(&input.previous_output);
                coin.expect("reads")
            });
            let youngest = coins.map(|coin| coin.height).max();
            assert_eq!(entry.footing.youngest_coin, youngest);
        }
        let aside = mempool.aside.oldest_first().into_iter();
        let ours: BTreeSet<Txid> = aside.map(|(txid, _)| txid).collect();
        let expected = self.aside.iter().map(Transaction::compute_txid).collect();
        assert_eq!(ours, expected, "set aside");
        let fees: u64 = self.pool.iter().map(|tx| self.fee(tx)).sum();
        assert_eq!(mempool.total_fee().to_sat(), fees);
        let template = self.core.template(self.now).expect("never refused");
        let selected: BTreeSet<Txid> = template.transactions.iter().map(|tx| tx.txid).collect();
        assert_eq!(selected, naive, "all fits into one block");
        let block = template.build(&Key::p2tr("miner").script(), 0);
        self.core
            .chain()
            .test_block(block, self.now.wall)
            .expect("the template is valid");
    }
}

/// Which entry this tells to be confirmed, if any.
fn confirmed_by(output: &Output) -> Option<Txid> {
    match output {
        Output::Event(NodeEvent::TransactionRemoved {
            txid,
            reason: RemovalReason::Confirmed,
        }) => Some(*txid),
        _ => None,
    }
}

fn conflict(a: &Transaction, b: &Transaction) -> bool {
    let spends = |outpoint: &OutPoint| b.input.iter().any(|i| i.previous_output == *outpoint);
    a.compute_txid() != b.compute_txid() && a.input.iter().any(|i| spends(&i.previous_output))
}
