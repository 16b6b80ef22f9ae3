//! Real nodes for benchmarks, and a chain of payments for them.
#![allow(dead_code, unreachable_pub, reason = "each benchmark uses some of it")]

pub mod bare;
pub mod deep;
pub mod hard;
pub mod node;
pub mod paying;
#[path = "../../chain/benches/chain/payments.rs"]
pub mod payments;

use std::path::{Path, PathBuf};

use bitcoin::Amount;
use chain::fixtures::{Key, TEST_GENESIS_TIME};
use chain::genesis::GenesisSpec;

/// Payments of a block.
pub const PAYMENTS_PER_BLOCK: usize = 1_000;

/// Writes the genesis.json of [`payments::params`], so that `mend` can be started on that network.
pub fn write_genesis(folder: &Path, payments_per_block: usize) -> PathBuf {
    let trivial = GenesisSpec::trivial("test", TEST_GENESIS_TIME);
    write_spec(folder, trivial, payments_per_block)
}

/// Writes the genesis.json of a network with one coin for each payment of a block.
pub fn write_spec(folder: &Path, spec: GenesisSpec, payments_per_block: usize) -> PathBuf {
    let payer = Key::p2tr("payer").address();
    let spec = (0..payments_per_block).fold(spec, |spec, _| spec.allocate(&payer, Amount::ONE_BTC));
    let file = spec.mine().expect("a nonce is soon found");
    let path = folder.join("genesis.json");
    std::fs::write(&path, file.to_json()).expect("the temporary folder can be written");
    path
}

/// The middle of some numbers, and the largest.
pub fn median_and_worst(mut numbers: Vec<f64>) -> (f64, f64) {
    numbers.sort_by(f64::total_cmp);
    (numbers[numbers.len() / 2], numbers[numbers.len() - 1])
}

/// A number given on the command line of `cargo bench -- N`.
pub fn number_argument(default: usize) -> usize {
    std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(default)
}

/// Whether a word was given on the command line.
pub fn has_argument(wanted: &str) -> bool {
    std::env::args().any(|word| word == wanted)
}
