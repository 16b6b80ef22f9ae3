use bitcoin::hashes::Hash;
use bitcoin::{ScriptBuf, TxOut};
use proptest::prelude::*;

use super::*;
use crate::fixtures::{Key, Payment, test_params};

/// A coin that someone made.
fn outpoint(vout: u32) -> OutPoint {
    OutPoint {
        txid: Txid::hash(b"someone"),
        vout,
    }
}

fn coin(sat: u64, height: u32, coinbase: bool) -> Coin {
    let output = TxOut {
        value: Amount::from_sat(sat),
        script_pubkey: Key::p2tr("alice").script(),
    };
    Coin {
        output,
        height: Height(height),
        coinbase,
    }
}

/// A transaction with as many inputs as `coins`, unsigned.
fn spending(coins: &[Coin]) -> Payment {
    coins
        .iter()
        .enumerate()
        .fold(Payment::new(), |payment, (vout, coin)| {
            payment.spend(outpoint(vout as u32), &coin.output, &Key::p2tr("alice"))
        })
}

fn one_input() -> Payment {
    spending(&[coin(10_000, 0, false)])
}

fn paying(sat: &[u64]) -> Transaction {
    let pay = |payment: Payment, sat: &u64| payment.pay(&Key::p2tr("bob"), Amount::from_sat(*sat));
    sat.iter().fold(one_input(), pay).unsigned().0
}

fn reason(tx: &Transaction) -> String {
    let verdict = check_alone(tx, &test_params());
    verdict.map_or_else(
        |error| error.reject_reason().into_owned(),
        |()| "valid".to_owned(),
    )
}

#[test]
fn inputs_and_outputs_must_exist() {
    let mut tx = paying(&[1]);
    assert_eq!(reason(&tx), "valid");
    tx.output.clear();
    assert_eq!(reason(&tx), "bad-txns-vout-empty");
    tx.input.clear();
    assert_eq!(reason(&tx), "bad-txns-vin-empty");
}

/// Case 16: one amount above all money, a sum above it, a sum that would overflow.
#[test]
fn amounts_and_their_sum_stay_within_all_money() {
    let all = Amount::MAX_MONEY.to_sat();
    assert_eq!(reason(&paying(&[all])), "valid");
    assert_eq!(reason(&paying(&[0])), "valid");
    assert_eq!(reason(&paying(&[all + 1])), "bad-txns-vout-toolarge");
    assert_eq!(
        reason(&paying(&[i64::MAX as u64])),
        "bad-txns-vout-toolarge"
    );
    assert_eq!(reason(&paying(&[1 << 63])), "bad-txns-vout-negative");
    assert_eq!(reason(&paying(&[u64::MAX])), "bad-txns-vout-negative");
    assert_eq!(reason(&paying(&[all, 1])), "bad-txns-txouttotal-toolarge");
    assert_eq!(reason(&paying(&[all - 1, 1])), "valid");
    assert_eq!(
        check_alone(&paying(&[5, u64::MAX]), &test_params()),
        Err(RuleError::NegativeOutput {
            index: 1,
            amount_sat: -1
        })
    );
}

/// Case 17: the same coin twice in one transaction (CVE-2018-17144), among few and among many inputs.
#[test]
fn a_coin_cannot_be_spent_twice_by_one_transaction() {
    for inputs in [2, FEW_INPUTS, FEW_INPUTS + 1, 200] {
        let coins = vec![coin(1, 0, false); inputs];
        let mut tx = spending(&coins)
            .pay(&Key::p2tr("bob"), Amount::ONE_SAT)
            .unsigned()
            .0;
        assert_eq!(reason(&tx), "valid");
        let first = tx.input[0].previous_output;
        tx.input[inputs - 1].previous_output = first;
        assert_eq!(
            check_alone(&tx, &test_params()),
            Err(RuleError::DuplicateInput { outpoint: first })
        );
    }
}

/// Case 8: a coinbase script of 1, 2, 100 and 101 bytes.
#[test]
fn a_coinbase_script_has_2_to_100_bytes() {
    let mut tx = paying(&[1, 1]);
    tx.input[0].previous_output = OutPoint::null();
    for (bytes, expected) in [
        (0, "bad-cb-length"),
        (1, "bad-cb-length"),
        (2, "valid"),
        (100, "valid"),
        (101, "bad-cb-length"),
    ] {
        tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51; bytes]);
        assert_eq!(reason(&tx), expected, "{bytes} bytes");
    }
}

#[test]
fn only_a_coinbase_spends_nothing() {
    let coins = vec![coin(1, 0, false); 2];
    let mut tx = spending(&coins)
        .pay(&Key::p2tr("bob"), Amount::ONE_SAT)
        .unsigned()
        .0;
    tx.input[1].previous_output = OutPoint::null();
    assert_eq!(reason(&tx), "bad-txns-prevout-null");
    // The zero id alone is no null outpoint.
    tx.input[1].previous_output.vout = 0;
    assert_eq!(reason(&tx), "valid");
}

#[test]
fn a_transaction_may_fill_a_block_but_not_more() {
    let mut params = test_params();
    params.max_block_weight = Weight::from_wu(40_000);
    let mut tx = paying(&[0]);
    let fill = |tx: &mut Transaction, size: usize| {
        tx.output[0].script_pubkey = ScriptBuf::new();
        // A script longer than 252 bytes has a length of three bytes.
        let rest = size - tx.base_size() - 2;
        tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x6a; rest]);
        assert_eq!(tx.base_size(), size);
    };
    fill(&mut tx, 10_000);
    assert_eq!(check_alone(&tx, &params), Ok(()));
    fill(&mut tx, 10_001);
    let (got, limit) = (Weight::from_wu(40_004), params.max_block_weight);
    assert_eq!(
        check_alone(&tx, &params),
        Err(RuleError::TransactionTooLong { got, limit })
    );
}

/// Case 13: a transaction of 64 bytes could be taken for two merkle nodes (BIP 54). Core allows it still.
#[test]
fn sixty_four_bytes_are_refused_except_under_the_preset() {
    let mut tx = paying(&[0]);
    for (script, size) in [(3, 63), (4, 64), (5, 65)] {
        tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0x6a; script]);
        assert_eq!(tx.base_size(), size);
        let expected = if size == 64 {
            "bad-txns-size-64"
        } else {
            "valid"
        };
        assert_eq!(reason(&tx), expected, "{size} bytes");
        assert_eq!(check_alone(&tx, &Params::bitcoin_regtest()), Ok(()));
    }
}

#[test]
fn the_first_broken_rule_is_that_of_core() {
    let mut tx = paying(&[u64::MAX, 1]);
    tx.input.push(tx.input[0].clone());
    assert_eq!(reason(&tx), "bad-txns-vout-negative");
    tx.output.remove(0);
    assert_eq!(reason(&tx), "bad-txns-inputs-duplicate");
    tx.input[1].previous_output = OutPoint::null();
    assert_eq!(reason(&tx), "bad-txns-prevout-null");
}

/// Case 6: a coinbase of depth 99 is immature, of depth 100 mature.
#[test]
fn a_coinbase_matures_after_a_hundred_blocks() {
    let params = test_params();
    let coins = [coin(10_000, 5, true)];
    let tx = paying(&[9_000]);
    let at = |height| check_amounts(&tx, &coins, Height(height), &params);
    let immature = |spent| RuleError::ImmatureCoinbase {
        created: Height(5),
        spent: Height(spent),
        maturity: 100,
    };
    assert_eq!(at(5), Err(immature(5)));
    assert_eq!(at(104), Err(immature(104)));
    assert_eq!(at(105), Ok(Amount::from_sat(1_000)));
    assert_eq!(
        check_amounts(&tx, &[coin(10_000, 5, false)], Height(5), &params),
        Ok(Amount::from_sat(1_000))
    );
}

/// Case 16: outputs above inputs; inputs above all money.
#[test]
fn inputs_pay_for_outputs() {
    let params = test_params();
    let check = |coins: &[Coin], sat: u64| {
        let tx = spending(coins)
            .pay(&Key::p2tr("bob"), Amount::from_sat(sat))
            .unsigned()
            .0;
        check_amounts(&tx, coins, Height(1), &params)
    };
    assert_eq!(check(&[coin(7, 0, false)], 7), Ok(Amount::ZERO));
    assert_eq!(
        check(&[coin(7, 0, false)], 8),
        Err(RuleError::OutputsExceedInputs {
            inputs: Amount::from_sat(7),
            outputs: Amount::from_sat(8)
        })
    );
    let all = Amount::MAX_MONEY.to_sat();
    assert_eq!(
        check(&[coin(all - 1, 0, false), coin(1, 0, false)], all),
        Ok(Amount::ZERO)
    );
    let too_much = [coin(all, 0, false), coin(1, 0, false)];
    assert_eq!(check(&too_much, 1), Err(RuleError::InputSumTooLarge));
    assert_eq!(
        check(&[coin(all + 1, 0, false)], 1),
        Err(RuleError::InputSumTooLarge)
    );
    assert_eq!(
        add_fee(Amount::MAX_MONEY, Amount::ONE_SAT),
        Err(RuleError::FeeSumTooLarge)
    );
    assert_eq!(
        add_fee(Amount::ZERO, Amount::MAX_MONEY),
        Ok(Amount::MAX_MONEY)
    );
}

/// Case 19: nLockTime by height and by median time past.
#[test]
fn lock_times_open_after_their_height_or_median_time() {
    let locked = |lock_time, sequence| {
        let payment = one_input().sequence(sequence).lock_time(lock_time);
        payment.pay(&Key::p2tr("bob"), Amount::ONE_SAT).unsigned().0
    };
    let final_at = |tx: &Transaction, height, time| is_final(tx, Height(height), Timestamp(time));
    let by_height = locked(10, 0);
    assert!(!final_at(&by_height, 10, u32::MAX));
    assert!(final_at(&by_height, 11, 0));
    let by_time = locked(500_000_000, 0);
    assert!(!final_at(&by_time, u32::MAX, 500_000_000));
    assert!(final_at(&by_time, 0, 500_000_001));
    let highest = locked(499_999_999, 0);
    assert!(!final_at(&highest, 499_999_999, u32::MAX));
    assert!(final_at(&highest, 500_000_000, 0));
    assert!(!final_at(&locked(u32::MAX, 0), u32::MAX, u32::MAX));
    assert!(
        final_at(&locked(u32::MAX, u32::MAX), 0, 0),
        "the last sequence number opens every lock"
    );
    assert!(final_at(&locked(0, 0), 0, 0), "zero is no lock");
}

#[test]
fn one_unfinished_input_keeps_the_lock() {
    let coins = vec![coin(1, 0, false); 2];
    let tx = spending(&coins)
        .sequence(u32::MAX - 1)
        .lock_time(10)
        .unsigned()
        .0;
    assert!(!is_final(&tx, Height(10), Timestamp(0)));
}

/// What BIP 68 says at a height, with a median time of 1000 s a block.
fn unlocked(tx: &Transaction, coins: &[Coin], height: u32) -> bool {
    let mtp_at = |height: Height| Timestamp(height.0 * 1000);
    let parent_mtp = mtp_at(Height(height - 1));
    check_sequence_locks(tx, coins, Height(height), parent_mtp, &mtp_at).is_ok()
}

#[test]
fn relative_locks_count_blocks() {
    let coins = [coin(1, 100, false)];
    let tx = |sequence| one_input().sequence(sequence).unsigned().0;
    assert!(unlocked(&tx(0), &coins, 100), "no distance, same block");
    assert!(!unlocked(&tx(1), &coins, 100));
    assert!(unlocked(&tx(1), &coins, 101));
    assert!(!unlocked(&tx(10), &coins, 109));
    assert!(unlocked(&tx(10), &coins, 110));
    assert!(!unlocked(&tx(0xffff), &coins, 100 + 0xfffe));
    assert!(unlocked(&tx(0xffff), &coins, 100 + 0xffff));
    assert!(
        unlocked(&tx(10 | 0x003f_0000), &coins, 110),
        "bits without meaning are ignored"
    );
}

#[test]
fn relative_locks_count_512_seconds() {
    let coins = [coin(1, 100, false)];
    let tx = |count: u32| {
        one_input()
            .sequence(SEQUENCE_LOCK_IS_TIME | count)
            .unsigned()
            .0
    };
    // The coin's time is the median at height 99: 99,000 s. Opens when the parent's median is 99,000 + 512 n.
    assert!(unlocked(&tx(0), &coins, 101));
    assert!(
        unlocked(&tx(0), &coins, 100),
        "the parent's median is the coin's own time"
    );
    assert!(!unlocked(&tx(1), &coins, 100));
    assert!(unlocked(&tx(1), &coins, 101));
    // 125 * 512 s is exactly 64 blocks.
    assert!(!unlocked(&tx(125), &coins, 163));
    assert!(unlocked(&tx(125), &coins, 164));
    assert!(!unlocked(&tx(126), &coins, 164));
}

#[test]
fn a_coin_of_genesis_has_the_time_of_genesis() {
    let coins = [coin(1, 0, false)];
    let tx = one_input().sequence(SEQUENCE_LOCK_IS_TIME | 1).unsigned().0;
    assert!(!unlocked(&tx, &coins, 1));
    assert!(unlocked(&tx, &coins, 2));
}

#[test]
fn relative_locks_bind_from_version_2_on_read_as_unsigned() {
    let coins = [coin(1, 100, false)];
    let tx = |version| one_input().sequence(10).version(version).unsigned().0;
    for version in [2, 3, i32::MAX, i32::MIN, -1] {
        assert!(!unlocked(&tx(version), &coins, 101), "version {version}");
    }
    for version in [0, 1] {
        assert!(unlocked(&tx(version), &coins, 101), "version {version}");
    }
    let disabled = one_input()
        .sequence(SEQUENCE_LOCK_DISABLED | 10)
        .unsigned()
        .0;
    assert!(unlocked(&disabled, &coins, 101));
}

#[test]
fn the_last_relative_lock_counts() {
    let coins = [coin(1, 100, false), coin(1, 50, false)];
    let alice = Key::p2tr("alice");
    let tx = Payment::new()
        .spend(outpoint(0), &coins[0].output, &alice)
        .sequence(1)
        .spend(outpoint(1), &coins[1].output, &alice)
        .sequence(60)
        .unsigned()
        .0;
    assert!(!unlocked(&tx, &coins, 109));
    assert!(unlocked(&tx, &coins, 110));
    let mtp_at = |_| Timestamp(0);
    let error = check_sequence_locks(&tx, &coins, Height(109), Timestamp(0), &mtp_at);
    let txid = tx.compute_txid();
    let expected = RuleError::SequenceLocked {
        txid,
        input: 1,
        min_height: 109,
        min_time: -1,
    };
    assert_eq!(error, Err(expected.clone()));
    assert_eq!(expected.reject_reason(), "bad-txns-nonfinal");
}

#[test]
fn signature_operations_are_counted_as_in_core() {
    let mut tx = paying(&[1]);
    let mut cost_of = |script: &[u8]| {
        tx.output[0].script_pubkey = ScriptBuf::from_bytes(script.to_vec());
        sigops_cost(&tx, &[coin(1, 0, false)])
    };
    assert_eq!(cost_of(&[0xac]), 4, "CHECKSIG");
    assert_eq!(cost_of(&[0xad]), 4, "CHECKSIGVERIFY");
    assert_eq!(
        cost_of(&[0x52, 0xae]),
        80,
        "CHECKMULTISIG counts twenty, whatever stands before"
    );
    assert_eq!(cost_of(&[0xaf, 0xac]), 84);
    assert_eq!(cost_of(&[0xba]), 0, "CHECKSIGADD counts nothing");
    assert_eq!(cost_of(&[0x01, 0xac]), 0, "inside a push");
    assert_eq!(
        cost_of(&[0xac, 0x4c, 0xff, 0xac]),
        4,
        "nothing counts after a push that ends too early"
    );
    assert_eq!(cost_of(&[0x6a, 0xac]), 4, "even where nobody can spend");
    tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0xac]);
    tx.output[0].script_pubkey = ScriptBuf::new();
    let wpkh = Coin {
        output: TxOut {
            value: Amount::ZERO,
            script_pubkey: Key::p2wpkh("bob").script(),
        },
        ..coin(1, 0, false)
    };
    assert_eq!(sigops_cost(&tx, &[wpkh]), 5, "a P2WPKH input counts one");
    assert_eq!(sigops_cost(&tx, &[]), 4);
}

proptest! {
    /// The two ways of looking for a repeated input agree.
    #[test]
    fn prop_repeated_inputs_are_found(vouts in proptest::collection::vec(0u32..40, 1..40)) {
        let mut tx = paying(&[1]);
        let input = tx.input[0].clone();
        tx.input = vouts.iter().map(|vout| {
            let mut input = input.clone();
            input.previous_output.vout = *vout;
            input
        }).collect();
        let distinct: std::collections::BTreeSet<_> = vouts.iter().collect();
        let expected = if distinct.len() == vouts.len() { "valid" } else { "bad-txns-inputs-duplicate" };
        prop_assert_eq!(reason(&tx), expected);
    }
}
