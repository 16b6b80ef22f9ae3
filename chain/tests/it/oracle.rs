//! A chain that Bitcoin Core made, imported and compared with what Core says of it.

use std::fs::File;
use std::path::PathBuf;

use chain::import::import;
use chain::{Chain, ChainOptions, Height, Params, Timestamp};

/// Long after every block of the recorded chain.
const NOW: Timestamp = Timestamp(u32::MAX);

/// The file of blocks that Core made.
pub(crate) fn core_chain() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/regtest-162.blk")
}

fn assert_is_what_core_says(chain: &Chain) {
    let tip = chain.tip();
    assert_eq!(tip.height, Height(162));
    assert_eq!(
        tip.hash.to_string(),
        "069a9128e9d1ac08c1c66e038b6c018c15065db643b4b87ea6e9bb887cc0a6d3"
    );
    let stats = chain.coin_set_stats(true).unwrap();
    assert_eq!(stats.coins, 5042);
    assert_eq!(stats.total.to_sat(), 7775_0000_0000);
    assert_eq!(
        stats.muhash.to_string(),
        "4d2d834c56cf9e712b2034a07ea053c09a913350e3052fe4445e66ca5073241b"
    );
}

#[test]
fn a_chain_made_by_core_gives_the_same_coins() {
    let path = core_chain();
    let dir = tempfile::tempdir().unwrap();
    let params = || Params::bitcoin_regtest();
    let mut chain = Chain::open(dir.path(), params(), ChainOptions::default()).unwrap();
    let mut calls = 0;
    let report = import(&mut chain, File::open(&path).unwrap(), NOW, &mut |_| {
        calls += 1
    })
    .unwrap();
    assert!(calls > 0);
    assert_eq!(report.rejected, 0, "{:?}", report.rejects);
    assert_eq!(
        (report.connected, report.orphans, report.skipped_bytes),
        (162, 0, 0)
    );
    assert_is_what_core_says(&chain);

    // The same after opening again, and importing again changes nothing.
    drop(chain);
    let mut chain = Chain::open(dir.path(), params(), ChainOptions::default()).unwrap();
    assert_is_what_core_says(&chain);
    let again = import(&mut chain, File::open(&path).unwrap(), NOW, &mut |_| {}).unwrap();
    assert_eq!((again.stored, again.connected, again.rejected), (0, 0, 0));
}
