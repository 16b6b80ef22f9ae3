//! Backups and snapshots.

use std::fs;
use std::path::Path;

use bitcoin::Amount;
use chain::backup::{BackupError, MANIFEST_NAME, backup, restore};
use chain::coins::SetHash;
use chain::fixtures::{Key, TestChain, test_params};
use chain::snapshot::{SnapshotError, dump, load};
use chain::store::FILE_NAME;
use chain::{Chain, ChainOptions, Height, OpenError, Timestamp};

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
    let (chain, found) = restore(&copy, &restored, TestChain::params(), SMALL).unwrap();
    assert_eq!(found, manifest);
    assert_eq!((chain.tip(), chain.coin_set_stats(true).unwrap()), want);
    for height in 0..=8 {
        let hash = chain.at_height(Height(height)).unwrap().hash;
        assert!(chain.block(&hash).unwrap().is_some());
        assert!(chain.undo(&hash).unwrap().is_some());
    }
    drop(chain);
    let twice = restore(&copy, &restored, TestChain::params(), SMALL).unwrap_err();
    assert!(matches!(twice, BackupError::Exists { .. }), "{twice}");
}

#[test]
fn a_damaged_or_foreign_backup_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    backup(source(&dir.path().join("data")).chain_mut(), &copy).unwrap();
    let target = dir.path().join("restored");
    let other = restore(&copy, &target, test_params(), SMALL).unwrap_err();
    assert!(matches!(
        other,
        BackupError::Open(OpenError::OtherNetwork { .. })
    ));

    let file = copy.join(FILE_NAME);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let damaged = restore(&copy, &target, TestChain::params(), SMALL).unwrap_err();
    assert!(matches!(
        damaged,
        BackupError::Mismatch {
            what: "SHA-256",
            ..
        }
    ));
    fs::write(copy.join(MANIFEST_NAME), "{}").unwrap();
    let unclear = restore(&copy, &target, TestChain::params(), SMALL).unwrap_err();
    assert!(matches!(unclear, BackupError::Manifest { .. }));
    assert!(!target.join(FILE_NAME).exists());
}

/// A chain with all headers of `net` and no block.
fn headers_of(net: &TestChain) -> Chain {
    let mut chain = Chain::in_memory(TestChain::params());
    for info in net.chain().tree().iter().skip(1) {
        chain
            .accept_header(&info.header, Timestamp(u32::MAX))
            .unwrap();
    }
    chain
}

#[test]
fn a_snapshot_stands_in_for_the_blocks_below_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = source(dir.path());
    let mut file = Vec::new();
    let info = dump(net.chain(), &mut file).unwrap();
    let mut chain = headers_of(&net);
    let trusted = info.stats.serialized;
    assert_eq!(
        load(&mut chain, &mut file.as_slice(), trusted).unwrap(),
        info
    );
    assert_eq!(chain.tip(), net.chain().tip());
    assert!(chain.missing_bodies(10).is_empty());
    assert_eq!(chain.unflushed_bytes(), 0);

    // It goes on from there, reorganisations above the snapshot included.
    net.mine("b9")
        .mine("b10")
        .fork_at("a8")
        .mine("c9")
        .mine("c10")
        .mine("c11");
    let signatures = chain::rules::spend::SignatureCache::default();
    for name in ["b9", "b10", "c9", "c10", "c11"] {
        chain
            .accept_block(net.block(name).clone(), Timestamp(u32::MAX))
            .unwrap();
        chain.activate_best(&signatures, &mut Vec::new()).unwrap();
    }
    assert_eq!(chain.tip(), net.chain().tip());
    assert_eq!(
        chain.coin_set_stats(true).unwrap(),
        net.chain().coin_set_stats(true).unwrap()
    );
    let twice = load(&mut chain, &mut file.as_slice(), None).unwrap_err();
    assert!(matches!(twice, SnapshotError::NotEmpty { .. }));
}

#[test]
fn a_wrong_snapshot_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let net = source(dir.path());
    let mut file = Vec::new();
    dump(net.chain(), &mut file).unwrap();
    let mut chain = headers_of(&net);
    let before = chain.coin_set_stats(true).unwrap();
    let distrusted = load(&mut chain, &mut file.as_slice(), Some(SetHash([1; 32]))).unwrap_err();
    assert!(matches!(distrusted, SnapshotError::WrongHash { .. }));
    for place in (0..file.len()).step_by(41) {
        let mut wrong = file.clone();
        wrong[place] ^= 0x01;
        assert!(
            load(&mut chain, &mut wrong.as_slice(), None).is_err(),
            "flipped at {place}"
        );
        assert!(
            load(&mut chain, &mut &file[..place], None).is_err(),
            "cut at {place}"
        );
    }
    assert_eq!(chain.tip().height, Height(0));
    assert_eq!(chain.coin_set_stats(true).unwrap(), before);
    let mut no_headers = Chain::in_memory(TestChain::params());
    let unknown = load(&mut no_headers, &mut file.as_slice(), None).unwrap_err();
    assert!(matches!(unknown, SnapshotError::UnknownBase { .. }));
}
