//! Import of one-input payments, against the bare rate of signature checks on the same cores in the same run.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use bitcoin::XOnlyPublicKey;
use bitcoin::secp256k1::{Message, Secp256k1, schnorr};
use bitcoin::sighash::{Prevouts, SighashCache, TapSighashType};
use chain::import::import;
use chain::{Chain, ChainOptions, Timestamp};
use rayon::prelude::*;

use crate::payments::{self, PaymentChain};
use crate::process;

const PAYMENTS_PER_BLOCK: usize = 1_000;

/// Imports, each between two measurements of the bare rate.
const ROUNDS: usize = 3;

/// One signature check, everything prepared but the key's point.
struct Check {
    signature: schnorr::Signature,
    message: Message,
    key: [u8; 32],
}

pub(crate) fn run(payments: usize) {
    let blocks = payments.div_ceil(PAYMENTS_PER_BLOCK);
    println!("import: making {blocks} blocks of {PAYMENTS_PER_BLOCK} payments");
    let made = payments::make(blocks, PAYMENTS_PER_BLOCK);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("blk00000.dat");
    fs::write(&file, made.to_file()).unwrap();
    let checks = checks(&made);
    drop(made);
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let before = bare_seconds(&checks);
        let data_dir = dir.path().join(format!("data{round}"));
        let words = [
            "import-file",
            file.to_str().unwrap(),
            data_dir.to_str().unwrap(),
        ];
        let printed = process::again(&words);
        let mut numbers = printed
            .split_whitespace()
            .map(|word| word.parse::<f64>().unwrap());
        let mut next = || numbers.next().unwrap();
        let (seconds, cpu_seconds, peak_mib) = (next(), next(), next());
        let cpu_before = process::cpu_seconds();
        let bare = (before + bare_seconds(&checks)) / 2.0;
        let bare_cpu_seconds = process::cpu_seconds() - cpu_before;
        let rate = |seconds: f64| checks.len() as f64 / seconds;
        println!(
            "import: {:.0} payments/s in {seconds:.2} s ({cpu_seconds:.2} s of CPU, {peak_mib:.0} MiB peak); \
             bare signature checks {:.0}/s ({bare_cpu_seconds:.2} s of CPU); ratio {:.2}, by CPU {:.2}",
            rate(seconds),
            rate(bare),
            bare / seconds,
            bare_cpu_seconds / cpu_seconds
        );
        ratios.push(bare / seconds);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "import: median ratio to bare signature checks {:.2}",
        ratios[ROUNDS / 2]
    );
}

fn checks(made: &PaymentChain) -> Vec<Check> {
    let payments: Vec<_> = made.payments().zip(&made.spent).collect();
    payments
        .par_iter()
        .map(|(tx, spent)| {
            let sighash = SighashCache::new(*tx)
                .taproot_key_spend_signature_hash(
                    0,
                    &Prevouts::All(&[(*spent).clone()]),
                    TapSighashType::Default,
                )
                .unwrap();
            Check {
                signature: schnorr::Signature::from_slice(&tx.input[0].witness[0]).unwrap(),
                message: Message::from(sighash),
                key: spent.script_pubkey.as_bytes()[2..].try_into().unwrap(),
            }
        })
        .collect()
}

/// Checks all signatures on all cores, and nothing else.
fn bare_seconds(checks: &[Check]) -> f64 {
    let curve = Secp256k1::verification_only();
    let start = Instant::now();
    let all_valid = checks.par_iter().all(|check| {
        let key = XOnlyPublicKey::from_slice(&check.key).unwrap();
        curve
            .verify_schnorr(&check.signature, &check.message, &key)
            .is_ok()
    });
    assert!(all_valid);
    start.elapsed().as_secs_f64()
}

/// Writes a file of payments.
pub(crate) fn make_file(payments: usize, file: &Path) {
    let blocks = payments.div_ceil(PAYMENTS_PER_BLOCK);
    fs::write(file, payments::make(blocks, PAYMENTS_PER_BLOCK).to_file()).unwrap();
}

/// Imports a file, and prints seconds, seconds of CPU and peak memory.
pub(crate) fn import_file(file: &Path, data_dir: &Path) {
    let start = Instant::now();
    let params = payments::params(PAYMENTS_PER_BLOCK);
    let mut chain = Chain::open(data_dir, params, ChainOptions::default()).unwrap();
    let file = File::open(file).unwrap();
    let report = import(&mut chain, file, Timestamp(u32::MAX), &mut |_| {}).unwrap();
    assert_eq!((report.rejected, report.connected), (0, report.read.blocks));
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{seconds} {} {}",
        process::cpu_seconds(),
        process::peak_mib()
    );
}
