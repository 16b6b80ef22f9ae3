//! Signatures, their cache, and outputs that cannot be spent.

use super::*;

/// Case 25: outputs of other kinds can be made, but never spent; those that nobody can spend never exist.
#[test]
fn other_outputs_are_never_anyone_can_spend() {
    let mut coins = Coins::default();
    let (outpoint, output) = coins.add(1, 10_000, &alice());
    let make = |script: Vec<u8>| {
        let payment = Payment::new().spend(outpoint, &output, &alice());
        // The second output keeps the length from being 64 bytes.
        payment
            .pay_script(ScriptBuf::from_bytes(script), sat(8_000))
            .pay(&bob(), sat(1))
            .sign()
    };
    let unsupported = "block-script-verify-flag-failed (Unsupported spend)";
    for (script, expected) in [
        (vec![], unsupported),
        (vec![0x51], unsupported),
        (vec![0x51, 0x02, 0x4e, 0x73], unsupported),
        ([&[0x60, 0x20][..], &[7; 32]].concat(), unsupported),
        ([&[0x00, 0x20][..], &[7; 32]].concat(), unsupported),
        (vec![0x6a, 0x01, 0x07], "bad-txns-inputs-missingorspent"),
    ] {
        let parent = make(script.clone());
        assert_eq!(
            reason(0, &[&parent], &mut coins),
            "valid",
            "making {script:02x?}"
        );
        let child = Payment::new()
            .spend_output_of(&parent, 0, &alice())
            .pay(&bob(), sat(1));
        let child = child.unsigned().0;
        assert_eq!(
            reason(0, &[&parent, &child], &mut coins),
            expected,
            "spending {script:02x?}"
        );
    }
}

/// The signatures come last, as in Core with parallel checks: a coinbase that pays too much is found first.
#[test]
fn the_first_broken_rule_is_that_of_core() {
    let mut coins = Coins::default();
    let mut tx = payment(&mut coins, 1);
    tx.input[0].witness = bitcoin::Witness::from_slice(&[[7; 64]]);
    assert_eq!(reason(2_000, &[&tx], &mut coins), "bad-cb-amount");
    assert_eq!(
        reason(0, &[&tx], &mut coins),
        "block-script-verify-flag-failed (Invalid Schnorr signature)"
    );
}

/// The first input that fails, in block order, is the one that is named, however many threads look.
#[test]
fn the_first_bad_signature_is_named() {
    let mut coins = Coins::default();
    let mut transactions: Vec<_> = (0..40).map(|n| payment(&mut coins, n)).collect();
    for bad in [39, 23, 11] {
        transactions[bad].input[0].witness = bitcoin::Witness::from_slice(&[[7; 64]]);
        let refs: Vec<_> = transactions.iter().collect();
        let error = connect(0, &refs, &mut coins).expect_err("a bad signature");
        let RuleError::Spend { txid, input: 0, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(txid, transactions[bad].compute_txid());
    }
}

/// Case 27: the cache knows transactions by wtxid: a bad witness on a known txid is still found.
#[test]
fn a_known_transaction_with_another_witness_is_checked() {
    let params = test_params();
    let mut coins = Coins::default();
    let good = payment(&mut coins, 1);
    let cache = SignatureCache::default();
    cache.insert(good.compute_wtxid());
    let mut bad = good.clone();
    bad.input[0].witness = bitcoin::Witness::from_slice(&[[7; 64]]);
    assert_eq!(bad.compute_txid(), good.compute_txid());
    let block = block_of(&params, 0, &[&bad]);
    let error = connect_at(&block, &mut coins, &params, HEIGHT, &cache).expect_err("bad");
    assert!(matches!(error, RuleError::Spend { .. }), "{error}");
}

#[test]
fn known_signatures_are_not_checked_again() {
    let params = test_params();
    let mut coins = Coins::default();
    let mut tx = payment(&mut coins, 1);
    tx.input[0].witness = bitcoin::Witness::from_slice(&[[7; 64]]);
    let cache = SignatureCache::default();
    cache.insert(tx.compute_wtxid());
    let block = block_of(&params, 0, &[&tx]);
    assert!(connect_at(&block, &mut coins, &params, HEIGHT, &cache).is_ok());
}

#[test]
fn a_failure_to_read_coins_is_no_verdict() {
    struct Broken;
    impl CoinView for Broken {
        type Error = &'static str;

        fn coin(&mut self, _: &OutPoint) -> Result<Option<Coin>, &'static str> {
            Err("no disk")
        }
    }
    let params = test_params();
    let tx = payment(&mut Coins::default(), 1);
    let block = block_of(&params, 0, &[&tx]);
    let context = ConnectContext {
        height: HEIGHT,
        parent_median_time_past: Timestamp(0),
        mtp_at: &|_| Timestamp(0),
        params: &params,
        signatures: &SignatureCache::default(),
    };
    let error = check(&block, &context, &mut Broken).expect_err("no coins");
    assert!(matches!(error, ConnectError::Coins("no disk")), "{error}");
}
