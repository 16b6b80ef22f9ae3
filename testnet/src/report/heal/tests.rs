//! Drawn chains and the reports they must give.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{Amount, CompactTarget, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use chain::{Height, Timestamp, assemble};

use super::*;

/// Chains drawn by hand: blocks need no proof of work here, only their links.
#[derive(Default)]
struct Drawing {
    blocks: BTreeMap<BlockHash, SeenBlock>,
    number: u64,
}

impl Drawing {
    fn block(&mut self, parent: BlockHash, payments: &[&Transaction]) -> BlockHash {
        self.number += 1;
        let height = self.blocks.get(&parent).map_or(0, |seen| seen.height + 1);
        let frame = assemble::BlockFrame {
            parent,
            height: Height(height),
            bits: CompactTarget::from_consensus(0x207f_ffff),
            time: Timestamp(height),
            coinbase_value: Amount::from_int_btc(50),
        };
        let transactions = payments.iter().map(|tx| (*tx).clone()).collect();
        let block = assemble::block(&frame, &ScriptBuf::new(), self.number, b"", transactions);
        let hash = block.block_hash();
        self.blocks.insert(hash, SeenBlock { height, block });
        hash
    }

    fn chain(&mut self, parent: BlockHash, blocks: &[&[&Transaction]]) -> BlockHash {
        blocks
            .iter()
            .fold(parent, |parent, payments| self.block(parent, payments))
    }

    fn report(
        &self,
        fork: BlockHash,
        tips: &[BlockHash],
        final_tip: BlockHash,
        mempools: &[(usize, &Transaction)],
    ) -> HealReport {
        let mut pools: BTreeMap<usize, BTreeSet<Txid>> = BTreeMap::new();
        for (node, transaction) in mempools {
            pools
                .entry(*node)
                .or_default()
                .insert(transaction.compute_txid());
        }
        let nodes = tips.iter().enumerate().map(|(node, tip)| NodeObservation {
            node,
            tip_before: *tip,
            changed_ms: None,
        });
        HealReport::new(&Observations {
            nodes: nodes.collect(),
            final_tip,
            one_tip_ms: 80,
            fork,
            blocks: self.blocks.clone(),
            mempools: pools,
        })
        .unwrap()
    }
}

/// A payment that spends output `vout` of `parent`; `tag` makes two of them differ.
fn spend(parent: Txid, vout: u32, tag: u64) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: parent, vout },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(1_000 + tag),
            script_pubkey: ScriptBuf::new(),
        }],
    }
}

fn coin(number: u8) -> Txid {
    Txid::from_byte_array([number; 32])
}

#[test]
fn the_shorter_side_goes_back_and_its_payments_are_accounted_for() {
    //        a1(p) - a2 - a3(x') - a4(w)     nodes 0, 1, 2; w is confirmed after the heal
    //  G - f
    //        b1(p, w) - b2(x, y, z)          nodes 3, 4; z spends x
    let mut drawing = Drawing::default();
    let genesis = drawing.block(BlockHash::all_zeros(), &[]);
    let fork = drawing.block(genesis, &[]);
    let p = spend(coin(1), 0, 0);
    let w = spend(coin(2), 0, 0);
    let (x, x_other) = (spend(coin(3), 0, 0), spend(coin(3), 0, 1));
    let y = spend(coin(4), 0, 0);
    let z = spend(x.compute_txid(), 0, 0);
    let a3 = drawing.chain(fork, &[&[&p], &[], &[&x_other]]);
    let b2 = drawing.chain(fork, &[&[&p, &w], &[&x, &y, &z]]);
    let a4 = drawing.block(a3, &[&w]);

    let report = drawing.report(fork, &[a3, a3, a3, b2, b2], a4, &[(0, &y), (4, &y)]);

    assert_eq!(report.fork.height, 1);
    assert_eq!(report.sides.len(), 2);
    assert_eq!(report.sides[0].nodes, [0, 1, 2]);
    assert_eq!((report.sides[0].blocks, report.sides[1].blocks), (3, 2));
    assert_eq!((report.sides[0].work, report.sides[1].work), (6, 4));
    assert!(report.sides[0].won && !report.sides[1].won);
    assert_eq!(report.deepest_reorg(), 2);
    assert_eq!(
        (report.nodes[0].reorg_depth, report.nodes[0].adopted),
        (0, 1)
    );
    assert_eq!(
        (report.nodes[4].reorg_depth, report.nodes[4].adopted),
        (2, 4)
    );
    assert_eq!(report.orphaned.len(), 2);
    assert_eq!(report.orphaned[0].reward_sat, 5_000_000_000);

    let fate = |tx: &Transaction| {
        let txid = tx.compute_txid();
        let found = report.payments.iter().find(|payment| payment.txid == txid);
        found.unwrap().fate.clone()
    };
    assert!(matches!(fate(&p), Fate::OnBothSides { at } if at.height == 2));
    assert!(matches!(fate(&w), Fate::ConfirmedAgain { at } if at.hash == a4));
    assert!(matches!(fate(&x), Fate::DoubleSpent { by, .. } if by == x_other.compute_txid()));
    assert_eq!(fate(&y), Fate::InMempool { nodes: vec![0, 4] });
    assert_eq!(
        fate(&z),
        Fate::ParentLost {
            parent: x.compute_txid()
        }
    );
    assert_eq!(report.open_payments(), 1);
}

#[test]
fn a_payment_that_nobody_has_is_gone() {
    //  G - a1 - a2
    //    \ b1(p)
    let mut drawing = Drawing::default();
    let genesis = drawing.block(BlockHash::all_zeros(), &[]);
    let p = spend(coin(1), 0, 0);
    let a2 = drawing.chain(genesis, &[&[], &[]]);
    let b1 = drawing.block(genesis, &[&p]);
    let report = drawing.report(genesis, &[a2, b1], a2, &[]);
    assert_eq!(report.payments[0].fate, Fate::Gone);
    assert_eq!(report.open_payments(), 1);
}

#[test]
fn nodes_a_block_apart_are_one_side() {
    //  G - a1 - a2      node 0 on a2, node 1 still on a1, node 2 still on G
    let mut drawing = Drawing::default();
    let genesis = drawing.block(BlockHash::all_zeros(), &[]);
    let a1 = drawing.block(genesis, &[]);
    let a2 = drawing.block(a1, &[]);
    let report = drawing.report(genesis, &[a2, a1, genesis], a2, &[]);
    assert_eq!(report.sides.len(), 1);
    assert_eq!(report.sides[0].nodes, [0, 1, 2]);
    assert_eq!(report.deepest_reorg(), 0);
    assert!(report.orphaned.is_empty() && report.payments.is_empty());
}

#[test]
fn a_network_that_was_never_apart_has_an_empty_report() {
    let mut drawing = Drawing::default();
    let genesis = drawing.block(BlockHash::all_zeros(), &[]);
    let report = drawing.report(genesis, &[genesis, genesis], genesis, &[]);
    assert_eq!(report.sides.len(), 1);
    assert_eq!(report.sides[0].blocks, 0);
}

#[test]
fn three_sides_have_one_winner() {
    //  G - a1 - a2 - a3
    //    \ b1 - b2
    //    \ c1
    let mut drawing = Drawing::default();
    let genesis = drawing.block(BlockHash::all_zeros(), &[]);
    let a = drawing.chain(genesis, &[&[], &[], &[]]);
    let b = drawing.chain(genesis, &[&[], &[]]);
    let c = drawing.chain(genesis, &[&[]]);
    let report = drawing.report(genesis, &[c, b, a], a, &[]);
    let won: Vec<bool> = report.sides.iter().map(|side| side.won).collect();
    assert_eq!(won, [true, false, false]);
    assert_eq!(report.orphaned.len(), 3);
    assert_eq!(report.nodes[0].reorg_depth, 1);
}

#[test]
fn a_hole_in_the_observations_is_an_error() {
    let mut drawing = Drawing::default();
    let genesis = drawing.block(BlockHash::all_zeros(), &[]);
    let a1 = drawing.block(genesis, &[]);
    let a2 = drawing.block(a1, &[]);
    drawing.blocks.remove(&a1);
    let result = HealReport::new(&Observations {
        nodes: vec![],
        final_tip: a2,
        one_tip_ms: 0,
        fork: genesis,
        blocks: drawing.blocks,
        mempools: BTreeMap::new(),
    });
    assert_eq!(result, Err(ReportError::MissingBlock(a1)));
}

#[test]
fn the_report_survives_json_and_reads_well() {
    let mut drawing = Drawing::default();
    let genesis = drawing.block(BlockHash::all_zeros(), &[]);
    let p = spend(coin(1), 0, 0);
    let a2 = drawing.chain(genesis, &[&[], &[]]);
    let b1 = drawing.block(genesis, &[&p]);
    let report = drawing.report(genesis, &[a2, b1], a2, &[(1, &p)]);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<HealReport>(&json).unwrap(), report);
    let text = report.to_string();
    for part in [
        "one tip 80 ms after the links opened",
        "node 0: 2 blocks, 4 hashes of work, 0 payments, tip",
        "node 1: 1 block back, 2 blocks forward",
        "back in the mempool of 1 node",
        "1 block, 50 BTC of rewards",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}
