//! Bodies by themselves; those in their place are in `in_place`.

mod in_place;

use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut, Witness};

use super::*;
use crate::Standing;
use crate::block::HEADER_BYTES;
use crate::fixtures::{BlockBuilder, Key, Payment, commit_to_witnesses, remine, test_params};

fn output(sat: u64) -> TxOut {
    TxOut {
        value: Amount::from_sat(sat),
        script_pubkey: Key::p2tr("alice").script(),
    }
}

/// A signed payment of a coin that need not exist; `n` tells it from others.
fn payment(n: u32) -> Transaction {
    let coin = OutPoint {
        txid: Txid::hash(b"someone"),
        vout: n,
    };
    let sat = Amount::from_sat(1_000);
    Payment::new()
        .spend(coin, &output(2_000), &Key::p2tr("alice"))
        .pay(&Key::p2wpkh("bob"), sat)
        .sign()
}

fn block_of(payments: u32) -> Block {
    let params = test_params();
    (0..payments)
        .fold(BlockBuilder::first(&params), |block, n| {
            block.with(&payment(n))
        })
        .mine()
}

const PLACE: BodyContext = BodyContext {
    height: Height(1),
    parent_median_time_past: Timestamp(1_700_000_000),
};

fn error(block: Block, params: &Params, place: &BodyContext) -> Option<RuleError> {
    check(block, params)
        .and_then(|block| check_contextual(&block, place, params))
        .err()
}

fn reason_under(block: &Block, params: &Params, place: &BodyContext) -> String {
    let error = error(block.clone(), params, place);
    error.map_or_else(
        || "valid".to_owned(),
        |error| error.reject_reason().into_owned(),
    )
}

fn reason(block: &Block) -> String {
    reason_under(block, &test_params(), &PLACE)
}

#[test]
fn blocks_of_any_number_of_transactions_are_valid() {
    for payments in [0, 1, 2, 3, 4, 6, 7, 8, 300] {
        let block = block_of(payments);
        assert_eq!(reason(&block), "valid", "{payments} payments");
        let checked = check(block.clone(), &test_params()).expect("valid");
        assert_eq!(checked.hash(), block.block_hash());
        let txids: Vec<_> = block.txdata.iter().map(Transaction::compute_txid).collect();
        assert_eq!(checked.txids(), txids);
        let wtxids: Vec<_> = block
            .txdata
            .iter()
            .map(Transaction::compute_wtxid)
            .collect();
        assert_eq!(checked.wtxids(), wtxids);
    }
}

/// Case 11: a wrong merkle root says nothing of the header.
#[test]
fn a_body_of_another_header_is_other_bytes() {
    let mut block = block_of(2);
    block.txdata.swap(1, 2);
    let error = error(block.clone(), &test_params(), &PLACE).expect("a rule is broken");
    assert_eq!(error.reject_reason(), "bad-txnmrklroot");
    assert_eq!(error.standing(), Standing::OtherBytes);
    let RuleError::MerkleRootMismatch { expected, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(expected, block.header.merkle_root);
}

/// Case 12, CVE-2012-2459: repeating the last transactions leaves the root unchanged. The honest body is valid before and
/// after.
#[test]
fn repeated_transactions_with_the_same_root_are_other_bytes() {
    // Transactions with the coinbase, and how many of the last are repeated.
    for (transactions, repeated) in [(3, 1), (5, 1), (6, 2), (7, 1), (9, 1), (10, 2), (12, 4)] {
        let honest = block_of(transactions - 1);
        let mut mutated = honest.clone();
        let from = mutated.txdata.len() - repeated;
        mutated.txdata.extend_from_within(from..);
        assert_eq!(mutated.compute_merkle_root(), honest.compute_merkle_root());
        let error = error(mutated, &test_params(), &PLACE).expect("a rule is broken");
        assert_eq!(error, RuleError::RepeatedMerkleBranch, "{transactions}");
        assert_eq!(error.reject_reason(), "bad-txns-duplicate");
        assert_eq!(error.standing(), Standing::OtherBytes);
        assert_eq!(reason(&honest), "valid");
    }
}

/// Case 10: no transactions, no coinbase, a coinbase that is not first, two coinbases.
#[test]
fn exactly_the_first_transaction_is_a_coinbase() {
    let mut empty = block_of(0);
    empty.txdata.clear();
    assert_eq!(reason(&empty), "bad-txnmrklroot");
    remine(&mut empty);
    assert_eq!(reason(&empty), "bad-blk-length");

    let mut none = block_of(2);
    none.txdata.remove(0);
    remine(&mut none);
    assert_eq!(reason(&none), "bad-cb-missing");

    let mut late = block_of(2);
    late.txdata.swap(0, 1);
    remine(&mut late);
    assert_eq!(reason(&late), "bad-cb-missing");

    let mut two = block_of(2);
    let mut second = two.txdata[0].clone();
    second.output[0].value = Amount::ZERO;
    two.txdata.push(second);
    remine(&mut two);
    let error = error(two, &test_params(), &PLACE).expect("a rule is broken");
    assert_eq!(error, RuleError::SecondCoinbase { index: 3 });
    assert_eq!(error.standing(), Standing::Never);
}

/// Case 13: where 64-byte transactions are allowed, a body that begins with one may be the inner nodes of an honest body's
/// tree: it does not condemn the header.
#[test]
fn a_body_that_may_be_merkle_nodes_is_other_bytes() {
    let mut tx = payment(0);
    tx.input[0].witness = Witness::new();
    tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51; 4]);
    let mut block = block_of(0);
    block.txdata = vec![tx];
    remine(&mut block);
    let error = error(block, &Params::bitcoin_regtest(), &PLACE).expect("a rule is broken");
    assert_eq!(error, RuleError::CoinbaseMissing { ambiguous: true });
    assert_eq!(error.standing(), Standing::OtherBytes);
}

/// Case 13: behind a coinbase a transaction of 64 bytes is a transaction, for the bytes of a coinbase cannot be those of inner nodes.
#[test]
fn sixty_four_bytes_behind_a_coinbase_condemn_the_header() {
    let mut tx = payment(0);
    tx.input[0].witness = Witness::new();
    tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x51; 4]);
    assert_eq!(tx.base_size(), 64);
    let mut block = block_of(0);
    block.txdata.push(tx);
    remine(&mut block);
    let error = error(block, &test_params(), &PLACE).expect("a rule is broken");
    assert_eq!(error.reject_reason(), "bad-txns-size-64");
    assert_eq!(error.standing(), Standing::Never);
}

/// Cases 16, 17 as part of a block: a transaction that is wrong by itself makes the block so.
#[test]
fn every_transaction_is_checked_by_itself() {
    let mut block = block_of(2);
    block.txdata[2].output[0].value = Amount::MAX_MONEY + Amount::ONE_SAT;
    remine(&mut block);
    assert_eq!(reason(&block), "bad-txns-vout-toolarge");
    let mut block = block_of(1);
    let input = block.txdata[1].input[0].clone();
    block.txdata[1].input.push(input);
    remine(&mut block);
    assert_eq!(reason(&block), "bad-txns-inputs-duplicate");
}

/// Case 8: a coinbase script of maximal length, and one byte more.
#[test]
fn the_coinbase_script_is_bounded() {
    let params = test_params();
    for (bytes, expected) in [
        (1, "bad-cb-length"),
        (2, "valid"),
        (100, "valid"),
        (101, "bad-cb-length"),
    ] {
        let script = ScriptBuf::from_bytes(vec![0x51; bytes]);
        let block = BlockBuilder::first(&params).coinbase_script(script).mine();
        assert_eq!(reason(&block), expected, "{bytes} bytes");
    }
}

/// A block filled with data outputs of the coinbase to an exact stripped size.
fn stripped_to(size: usize) -> Block {
    let mut block = block_of(0);
    let filler = |bytes: usize| TxOut {
        value: Amount::ZERO,
        script_pubkey: ScriptBuf::from_bytes(vec![0x6a; bytes]),
    };
    block.txdata[0].output.push(filler(300));
    // Lengths of 253 to 65,535 bytes take three bytes.
    let missing = size - HEADER_BYTES - 1 - block.txdata[0].base_size();
    block.txdata[0].output[1] = filler(300 + missing);
    assert_eq!(HEADER_BYTES + 1 + block.txdata[0].base_size(), size);
    remine(&mut block);
    block
}

fn small_blocks() -> Params {
    let mut params = test_params();
    params.max_block_weight = Weight::from_wu(40_000);
    params
}

/// Case 7: a block of exactly the limit without witnesses, and one byte more.
#[test]
fn a_block_of_exactly_the_limit_size_is_valid() {
    let params = small_blocks();
    assert_eq!(reason_under(&stripped_to(10_000), &params, &PLACE), "valid");
    let error = error(stripped_to(10_001), &params, &PLACE).expect("a rule is broken");
    let (got, limit) = (Weight::from_wu(40_004), Weight::from_wu(40_000));
    assert_eq!(error, RuleError::BlockTooLong { got, limit });
}

/// Case 7: a block of exactly the limit weight, one unit more by a byte of witness.
#[test]
fn a_block_of_exactly_the_limit_weight_is_valid() {
    let mut params = test_params();
    let with_witness_of = |bytes: usize| {
        let mut block = block_of(1);
        block.txdata[0].output.truncate(1);
        block.txdata[1].input[0].witness = Witness::from_slice(&[vec![7; bytes]]);
        commit_to_witnesses(&mut block.txdata);
        remine(&mut block);
        block
    };
    params.max_block_weight = with_witness_of(30_000).weight();
    assert_eq!(
        reason_under(&with_witness_of(30_000), &params, &PLACE),
        "valid"
    );
    assert_eq!(
        reason_under(&with_witness_of(30_001), &params, &PLACE),
        "bad-blk-weight"
    );
}

/// The signature-operation limit: a cost of exactly 80,000, and four more.
#[test]
fn signature_operations_are_bounded_without_coins() {
    let with_sigops = |count: usize| {
        let mut block = block_of(0);
        block.txdata[0].output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xac; count]);
        remine(&mut block);
        block
    };
    assert_eq!(reason(&with_sigops(20_000)), "valid");
    let error = error(with_sigops(20_001), &test_params(), &PLACE).expect("a rule is broken");
    assert_eq!(
        error,
        RuleError::TooManySigops {
            got: 80_004,
            limit: 80_000,
            index: 0
        }
    );
    assert_eq!(error.reject_reason(), "bad-blk-sigops");
}

#[test]
fn the_first_broken_rule_is_that_of_core() {
    let params = small_blocks();
    // Too long, a transaction that is wrong, too many signature operations, locked, wrong height, unexpected witness.
    let mut block = block_of(2);
    block.txdata[0].output.truncate(1);
    block.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(vec![0x52, 0x51]);
    block.txdata[1].lock_time = bitcoin::absolute::LockTime::from_consensus(9);
    block.txdata[1].input[0].sequence = bitcoin::Sequence::ZERO;
    block.txdata[1].output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xac; 20_001]);
    block.txdata[2].output[0].value = Amount::MAX_MONEY + Amount::ONE_SAT;
    let mut reasons = vec![reason_under(&block, &params, &PLACE)];
    remine(&mut block);
    reasons.push(reason_under(&block, &params, &PLACE));
    reasons.push(reason(&block));
    block.txdata[2].output[0].value = Amount::ZERO;
    remine(&mut block);
    reasons.push(reason(&block));
    block.txdata[1].output[0].script_pubkey = ScriptBuf::new();
    remine(&mut block);
    reasons.push(reason(&block));
    block.txdata[1].lock_time = bitcoin::absolute::LockTime::ZERO;
    remine(&mut block);
    reasons.push(reason(&block));
    block.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(vec![0x51, 0x51]);
    remine(&mut block);
    reasons.push(reason(&block));
    assert_eq!(
        reasons,
        [
            "bad-txnmrklroot",
            "bad-blk-length",
            "bad-txns-vout-toolarge",
            "bad-blk-sigops",
            "bad-txns-nonfinal",
            "bad-cb-height",
            "unexpected-witness",
        ]
    );
}

/// Case 20: a length in more bytes than it needs, trailing bytes, a truncated block.
#[test]
fn bytes_that_are_no_canonical_block_are_not_decoded() {
    use bitcoin::consensus::encode::{deserialize, serialize};
    let bytes = serialize(&block_of(1));
    assert_eq!(
        deserialize::<Block>(&bytes)
            .map(|block| reason(&block))
            .expect("a block"),
        "valid"
    );
    let trailing = [&bytes[..], &[0]].concat();
    assert!(deserialize::<Block>(&trailing).is_err());
    assert!(deserialize::<Block>(&bytes[..bytes.len() - 1]).is_err());
    assert_eq!(bytes[80], 2, "the number of transactions");
    let bloated = [&bytes[..80], &[0xfd, 2, 0], &bytes[81..]].concat();
    assert!(deserialize::<Block>(&bloated).is_err());
}

/// Case 27: a bad witness is found in whichever of two blocks it comes, as the ids say nothing of witnesses.
#[test]
fn checked_blocks_tell_witnesses_apart() {
    let honest = block_of(1);
    let mut other = honest.clone();
    other.txdata[1].input[0].witness = Witness::from_slice(&[[7; 64]]);
    let params = test_params();
    let [honest, other] =
        [honest, other].map(|block| check(block, &params).expect("the root fits"));
    assert_eq!(honest.txids(), other.txids());
    assert_ne!(honest.wtxids()[1], other.wtxids()[1]);
}
