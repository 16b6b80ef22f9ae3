//! Backups.

use std::fs;
use std::path::Path;

use bitcoin::Amount;
use chain::backup::{BackupError, MANIFEST_NAME, backup, restore};
use chain::fixtures::{Key, TestChain, test_params};
use chain::store::{DirectoryLock, FILE_NAME};
use chain::{Chain, ChainOptions, Height, OpenError};

const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 4 << 20,
};

fn source(dir: &Path) -> TestChain {
    let mut net = TestChain::on(Chain::open(dir, TestChain::params(), SMALL).unwrap());
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    for n in 1..=8 {
        let pay = net.pay(&alice, &bob, Amount::ONE_BTC);
        net.including(&pay).mine(&format!("a{n}"));
    }
    net
}

fn own(dir: &Path) -> DirectoryLock {
    DirectoryLock::acquire(dir).unwrap()
}

#[test]
fn a_backup_of_a_chain_in_use_is_restored_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = source(&dir.path().join("data"));
    let copy = dir.path().join("copy");
    let manifest = backup(net.chain_mut(), &copy).unwrap();
    assert_eq!(manifest.height, 8);
    let want = (net.chain().tip(), net.chain().coin_set_stats(true).unwrap());
    net.mine("later");
    let again = backup(net.chain_mut(), &copy).unwrap_err();
    assert!(matches!(again, BackupError::Exists { .. }));

    let restored = dir.path().join("restored");
    let (chain, found) = restore(&copy, own(&restored), TestChain::params(), SMALL).unwrap();
    assert_eq!(found, manifest);
    assert_eq!((chain.tip(), chain.coin_set_stats(true).unwrap()), want);
    for height in 0..=8 {
        let hash = chain.at_height(Height(height)).unwrap().hash;
        assert!(chain.block(&hash).unwrap().is_some());
        assert!(chain.undo(&hash).unwrap().is_some());
    }
    drop(chain);
    let twice = restore(&copy, own(&restored), TestChain::params(), SMALL).unwrap_err();
    assert!(matches!(twice, BackupError::Exists { .. }), "{twice}");
}

#[test]
fn a_damaged_or_foreign_backup_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    backup(source(&dir.path().join("data")).chain_mut(), &copy).unwrap();
    let target = dir.path().join("restored");
    let other = restore(&copy, own(&target), test_params(), SMALL).unwrap_err();
    assert!(matches!(
        other,
        BackupError::Open(OpenError::OtherNetwork { .. })
    ));

    let file = copy.join(FILE_NAME);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let damaged = restore(&copy, own(&target), TestChain::params(), SMALL).unwrap_err();
    assert!(matches!(
        damaged,
        BackupError::Mismatch {
            what: "SHA-256",
            ..
        }
    ));
    fs::write(copy.join(MANIFEST_NAME), "{}").unwrap();
    let unclear = restore(&copy, own(&target), TestChain::params(), SMALL).unwrap_err();
    assert!(matches!(unclear, BackupError::Manifest { .. }));
    assert!(!target.join(FILE_NAME).exists());
}
