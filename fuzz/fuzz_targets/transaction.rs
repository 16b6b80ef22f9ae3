//! Bytes that claim to be a transaction, spending outputs of both kinds: verdicts on any, and none is a forgery.

#![no_main]

use std::sync::LazyLock;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{Amount, Transaction, TxOut};
use chain::fixtures::Key;
use chain::rules::{spend, transaction};
use chain::{Height, Params, Timestamp};
use libfuzzer_sys::fuzz_target;

static REGTEST: LazyLock<Params> = LazyLock::new(Params::bitcoin_regtest);
static OUTPUTS: LazyLock<[TxOut; 2]> = LazyLock::new(|| {
    [Key::p2tr("fuzz"), Key::p2wpkh("fuzz")].map(|key| TxOut {
        value: Amount::ONE_BTC,
        script_pubkey: key.script(),
    })
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(tx) = deserialize::<Transaction>(bytes) else {
        return;
    };
    assert_eq!(deserialize(&serialize(&tx)).ok().as_ref(), Some(&tx));
    let _ = transaction::is_final(&tx, Height(1), Timestamp(1_700_000_000));
    let _ = transaction::legacy_sigops(&tx);
    if transaction::check_alone(&tx, &REGTEST).is_err() {
        return;
    }
    let sum: u64 = tx.output.iter().map(|output| output.value.to_sat()).sum();
    assert!(sum <= Amount::MAX_MONEY.to_sat());
    let spent: Vec<TxOut> = (0..tx.input.len())
        .map(|n| OUTPUTS[n % 2].clone())
        .collect();
    // Nobody has signed anything with these keys.
    assert!(spend::check_inputs(&tx, &spent).is_err());
});
