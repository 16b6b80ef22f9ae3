//! Coins and amounts; spends are in `spends`.

mod spends;

use std::collections::BTreeMap;
use std::convert::Infallible;

use bitcoin::hashes::Hash;
use bitcoin::{ScriptBuf, TxOut};

use super::*;
use crate::fixtures::{BlockBuilder, Key, Payment, test_params};
use crate::rules::block_alone;

const HEIGHT: Height = Height(1);

/// Coins in memory, and a count of look-ups.
#[derive(Default)]
struct Coins {
    unspent: BTreeMap<OutPoint, Coin>,
    lookups: usize,
}

impl CoinView for Coins {
    type Error = Infallible;

    fn coin(&mut self, outpoint: &OutPoint) -> Result<Option<Coin>, Infallible> {
        self.lookups += 1;
        Ok(self.unspent.get(outpoint).cloned())
    }
}

impl Coins {
    /// Adds coin number `n`.
    fn add(&mut self, n: u32, sat: u64, key: &Key) -> (OutPoint, TxOut) {
        self.add_coin(n, sat, key, Height::GENESIS, false)
    }

    fn add_coin(
        &mut self,
        n: u32,
        sat: u64,
        key: &Key,
        height: Height,
        coinbase: bool,
    ) -> (OutPoint, TxOut) {
        let outpoint = OutPoint {
            txid: Txid::hash(b"someone"),
            vout: n,
        };
        let output = TxOut {
            value: Amount::from_sat(sat),
            script_pubkey: key.script(),
        };
        self.unspent.insert(
            outpoint,
            Coin {
                output: output.clone(),
                height,
                coinbase,
            },
        );
        (outpoint, output)
    }
}

fn alice() -> Key {
    Key::p2tr("alice")
}

fn bob() -> Key {
    Key::p2wpkh("bob")
}

fn sat(sat: u64) -> Amount {
    Amount::from_sat(sat)
}

/// A payment of coin number `n` of 10,000 sat with a fee of 1,000.
fn payment(coins: &mut Coins, n: u32) -> Transaction {
    let (outpoint, output) = coins.add(n, 10_000, &alice());
    Payment::new()
        .spend(outpoint, &output, &alice())
        .pay(&bob(), sat(9_000))
        .sign()
}

fn block_of(params: &Params, fees: u64, transactions: &[&Transaction]) -> CheckedBlock {
    let builder = BlockBuilder::first(params).fees(sat(fees));
    let builder = transactions
        .iter()
        .fold(builder, |builder, tx| builder.with(tx));
    block_alone::check(builder.mine(), params).expect("valid by itself")
}

fn connect_at(
    block: &CheckedBlock,
    coins: &mut Coins,
    params: &Params,
    height: Height,
    signatures: &SignatureCache,
) -> Result<ConnectedBlock, RuleError> {
    let context = ConnectContext {
        height,
        parent_median_time_past: Timestamp(1_700_000_000),
        mtp_at: &|height| Timestamp(1_699_990_000 + height.0),
        params,
        signatures,
    };
    check(block, &context, coins).map_err(|error| match error {
        ConnectError::Rule(rule) => rule,
        ConnectError::Coins(never) => match never {},
    })
}

fn connect(
    fees: u64,
    transactions: &[&Transaction],
    coins: &mut Coins,
) -> Result<ConnectedBlock, RuleError> {
    let params = test_params();
    let block = block_of(&params, fees, transactions);
    connect_at(&block, coins, &params, HEIGHT, &SignatureCache::default())
}

fn reason(fees: u64, transactions: &[&Transaction], coins: &mut Coins) -> String {
    let verdict = connect(fees, transactions, coins);
    verdict.map_or_else(|e| e.reject_reason().into_owned(), |_| "valid".to_owned())
}

#[test]
fn undo_holds_what_was_spent_in_input_order() {
    let mut coins = Coins::default();
    let (a, b) = (payment(&mut coins, 1), payment(&mut coins, 2));
    let both = Payment::new()
        .spend_output_of(&b, 0, &bob())
        .spend_output_of(&a, 0, &bob())
        .pay(&alice(), sat(17_500))
        .sign();
    let connected = connect(2_500, &[&a, &b, &both], &mut coins).expect("valid");
    assert_eq!(connected.fees, sat(2_500));
    let spent: Vec<_> = connected
        .undo
        .iter()
        .map(|c| (c.output.value.to_sat(), c.height.0))
        .collect();
    assert_eq!(spent, [(10_000, 0), (10_000, 0), (9_000, 1), (9_000, 1)]);
    assert!(connected.undo.iter().all(|coin| !coin.coinbase));
    assert_eq!(
        coins.lookups, 2,
        "one for each coin of the parent, none for the block's own"
    );
}

#[test]
fn a_block_without_payments_connects() {
    let connected = connect(0, &[], &mut Coins::default()).expect("valid");
    assert!(connected.undo.is_empty());
    assert_eq!(connected.fees, Amount::ZERO);
}

/// Case 4: a coinbase of subsidy plus fees, one satoshi more, and less.
#[test]
fn the_coinbase_takes_subsidy_and_fees_at_most() {
    let mut coins = Coins::default();
    let tx = payment(&mut coins, 1);
    assert_eq!(reason(1_000, &[&tx], &mut coins), "valid");
    assert_eq!(reason(0, &[&tx], &mut coins), "valid");
    let subsidy = Amount::from_int_btc(50);
    assert_eq!(
        connect(1_001, &[&tx], &mut coins).expect_err("too much"),
        RuleError::CoinbaseAmount {
            got: subsidy + sat(1_001),
            limit: subsidy + sat(1_000)
        }
    );
    assert_eq!(reason(1, &[], &mut coins), "bad-cb-amount");
}

#[test]
fn the_subsidy_is_that_of_the_height() {
    let params = test_params();
    let block = block_of(&params, 0, &[]);
    let at = |height| {
        let cache = SignatureCache::default();
        connect_at(
            &block,
            &mut Coins::default(),
            &params,
            Height(height),
            &cache,
        )
        .is_ok()
    };
    assert!(at(149));
    assert!(
        !at(150),
        "the block pays what a block before the halving may"
    );
}

/// Case 15: a missing input, and an index that its transaction does not have.
#[test]
fn inputs_must_exist() {
    let mut coins = Coins::default();
    let tx = payment(&mut coins, 1);
    let missing = tx.input[0].previous_output;
    coins.unspent.clear();
    let txid = tx.compute_txid();
    let error = connect(0, &[&tx], &mut coins).expect_err("missing");
    assert_eq!(
        error,
        RuleError::MissingInput {
            txid,
            outpoint: missing
        }
    );
    assert_eq!(error.reject_reason(), "bad-txns-inputs-missingorspent");

    let mut coins = Coins::default();
    let tx = payment(&mut coins, 1);
    let outpoint = OutPoint {
        txid: tx.compute_txid(),
        vout: 1,
    };
    let beyond = Payment::new()
        .spend(outpoint, &tx.output[0], &bob())
        .pay(&alice(), sat(1))
        .sign();
    assert_eq!(
        reason(0, &[&tx, &beyond], &mut coins),
        "bad-txns-inputs-missingorspent"
    );
}

/// Case 15: chained spends within a block, in order and out of order.
#[test]
fn a_block_may_spend_its_own_earlier_outputs() {
    let mut coins = Coins::default();
    let parent = payment(&mut coins, 1);
    let child = Payment::new()
        .spend_output_of(&parent, 0, &bob())
        .pay(&alice(), sat(8_000))
        .sign();
    let grandchild = Payment::new()
        .spend_output_of(&child, 0, &alice())
        .pay(&bob(), sat(7_000))
        .sign();
    assert_eq!(
        reason(3_000, &[&parent, &child, &grandchild], &mut coins),
        "valid"
    );
    assert_eq!(
        reason(0, &[&child, &parent], &mut coins),
        "bad-txns-inputs-missingorspent",
        "created later in the block"
    );
}

/// Case 14: the same coin spent twice in a block; the same transaction twice; an output of the block spent twice.
#[test]
fn a_block_spends_each_coin_once() {
    let mut coins = Coins::default();
    let (outpoint, output) = coins.add(1, 10_000, &alice());
    let pay = |sat_| {
        Payment::new()
            .spend(outpoint, &output, &alice())
            .pay(&bob(), sat(sat_))
            .sign()
    };
    let spent = "bad-txns-inputs-missingorspent";
    assert_eq!(reason(0, &[&pay(9_000), &pay(8_000)], &mut coins), spent);
    let (twice, other) = (pay(9_000), payment(&mut coins, 2));
    assert_eq!(reason(0, &[&twice, &other, &twice], &mut coins), spent);
    let child = |sat_| {
        Payment::new()
            .spend_output_of(&twice, 0, &bob())
            .pay(&alice(), sat(sat_))
            .sign()
    };
    assert_eq!(
        reason(0, &[&twice, &child(1), &child(2)], &mut coins),
        spent
    );
}

/// Case 6: an immature coinbase, of an ancestor and of the block itself.
#[test]
fn a_coinbase_is_not_spent_early() {
    let params = test_params();
    let mut coins = Coins::default();
    let (outpoint, output) = coins.add_coin(1, 10_000, &alice(), Height(20), true);
    let tx = Payment::new()
        .spend(outpoint, &output, &alice())
        .pay(&bob(), sat(9_000))
        .sign();
    let builder = BlockBuilder::first(&params).reward(sat(1_000)).with(&tx);
    let block = block_alone::check(builder.mine(), &params).expect("valid by itself");
    let mut at = |height| {
        let cache = SignatureCache::default();
        connect_at(&block, &mut coins, &params, Height(height), &cache).map(|_| ())
    };
    let early = RuleError::ImmatureCoinbase {
        created: Height(20),
        spent: Height(119),
        maturity: 100,
    };
    assert_eq!(at(119), Err(early.clone()));
    assert_eq!(
        early.reject_reason(),
        "bad-txns-premature-spend-of-coinbase"
    );
    assert_eq!(at(120), Ok(()));

    let coinbase = BlockBuilder::first(&params).unmined().txdata.remove(0);
    let own = Payment::new()
        .spend_output_of(&coinbase, 0, &Key::p2tr("miner"))
        .pay(&bob(), sat(1))
        .unsigned()
        .0;
    assert_eq!(
        reason(0, &[&own], &mut Coins::default()),
        "bad-txns-premature-spend-of-coinbase"
    );
}

/// Case 16.
#[test]
fn a_payment_pays_no_more_than_it_spends() {
    let mut coins = Coins::default();
    let (outpoint, output) = coins.add(1, 10_000, &alice());
    let pay = |sat_| {
        Payment::new()
            .spend(outpoint, &output, &alice())
            .pay(&bob(), sat(sat_))
            .sign()
    };
    assert_eq!(reason(0, &[&pay(10_000)], &mut coins), "valid");
    assert_eq!(
        reason(0, &[&pay(10_001)], &mut coins),
        "bad-txns-in-belowout"
    );
}

#[test]
fn fees_of_a_block_stay_within_all_money() {
    let mut coins = Coins::default();
    let most = Amount::MAX_MONEY.to_sat();
    let spend_all = |coins: &mut Coins, n| {
        let (outpoint, output) = coins.add(n, most, &alice());
        Payment::new()
            .spend(outpoint, &output, &alice())
            .pay(&bob(), sat(0))
            .sign()
    };
    let (a, b) = (spend_all(&mut coins, 1), spend_all(&mut coins, 2));
    assert_eq!(reason(0, &[&a], &mut coins), "valid");
    assert_eq!(
        reason(0, &[&a, &b], &mut coins),
        "bad-txns-accumulated-fee-outofrange"
    );
}

/// BIP 68 in a block: a lock of one block on a coin of the same block cannot open.
#[test]
fn relative_locks_bind_in_blocks() {
    let mut coins = Coins::default();
    let parent = payment(&mut coins, 1);
    let child = |sequence| {
        let payment = Payment::new()
            .spend_output_of(&parent, 0, &bob())
            .sequence(sequence);
        payment.pay(&alice(), sat(8_000)).sign()
    };
    assert_eq!(reason(0, &[&parent, &child(0)], &mut coins), "valid");
    assert_eq!(
        reason(0, &[&parent, &child(1)], &mut coins),
        "bad-txns-nonfinal"
    );
    let by_time = |n: u32| child(1 << 22 | n);
    // The coin's time is the median at height 0, the parent's median lies 10,000 s after it.
    assert_eq!(reason(0, &[&parent, &by_time(19)], &mut coins), "valid");
    assert_eq!(
        reason(0, &[&parent, &by_time(20)], &mut coins),
        "bad-txns-nonfinal"
    );
}

/// The limit counts each P2WPKH input once: a cost of exactly 80,000, and one more.
#[test]
fn witness_signature_operations_count_too() {
    let params = test_params();
    let mut coins = Coins::default();
    let mut spend_three = Payment::new();
    for n in 0..3 {
        let (outpoint, output) = coins.add(n, 10_000, &bob());
        spend_three = spend_three.spend(outpoint, &output, &bob());
    }
    let with_bare = |count: usize, tx: &Transaction| {
        let script = ScriptBuf::from_bytes(vec![0xac; count]);
        let builder = BlockBuilder::first(&params).reward_to(script).with(tx);
        block_alone::check(builder.mine(), &params).expect("valid by itself")
    };
    let cache = SignatureCache::default();
    let four = {
        let (outpoint, output) = coins.add(3, 10_000, &bob());
        spend_three
            .clone()
            .spend(outpoint, &output, &bob())
            .pay(&alice(), sat(1))
            .sign()
    };
    let block = with_bare(19_999, &four);
    assert!(connect_at(&block, &mut coins, &params, HEIGHT, &cache).is_ok());
    let block = with_bare(20_000, &spend_three.pay(&alice(), sat(1)).sign());
    let error = connect_at(&block, &mut coins, &params, HEIGHT, &cache).expect_err("too many");
    assert_eq!(
        error,
        RuleError::TooManySigops {
            got: 80_003,
            limit: 80_000,
            index: 1
        }
    );
}

/// Case 18: BIP 30, below the height from which coinbases cannot repeat.
#[test]
fn an_unspent_output_is_not_overwritten() {
    let mut params = test_params();
    params.bip34_height = Height(17);
    let block = block_of(&params, 0, &[]);
    let outpoint = OutPoint {
        txid: block.txids()[0],
        vout: 0,
    };
    let output = block.block().txdata[0].output[0].clone();
    let old = Coin {
        output,
        height: Height(1),
        coinbase: true,
    };
    let mut coins = Coins::default();
    let cache = SignatureCache::default();
    assert!(connect_at(&block, &mut coins, &params, Height(9), &cache).is_ok());
    coins.unspent.insert(outpoint, old);
    for height in [9, 17, 100] {
        let error = connect_at(&block, &mut coins, &params, Height(height), &cache);
        let error = error.expect_err("overwrites");
        assert_eq!(error, RuleError::OverwritesCoin { outpoint });
        assert_eq!(error.reject_reason(), "bad-txns-BIP30");
    }
}

/// Core says so before anything else of the coins, also where coinbases cannot repeat: such a block breaks another rule
/// besides.
#[test]
fn a_confirmed_transaction_again_breaks_bip_30_first() {
    let mut coins = Coins::default();
    let tx = payment(&mut coins, 1);
    let outpoint = OutPoint {
        txid: tx.compute_txid(),
        vout: 0,
    };
    coins.unspent.clear();
    let missing = connect(0, &[&tx], &mut coins).expect_err("spends nothing");
    assert_eq!(missing.reject_reason(), "bad-txns-inputs-missingorspent");
    let confirmed = Coin {
        output: tx.output[0].clone(),
        height: Height::GENESIS,
        coinbase: false,
    };
    coins.unspent.insert(outpoint, confirmed);
    let error = connect(0, &[&tx], &mut coins).expect_err("overwrites");
    assert_eq!(error, RuleError::OverwritesCoin { outpoint });
}

#[test]
fn outputs_are_not_looked_up_where_coinbases_cannot_repeat() {
    let mut coins = Coins::default();
    let tx = payment(&mut coins, 1);
    connect(0, &[&tx], &mut coins).expect("valid");
    assert_eq!(coins.lookups, 1);
}
