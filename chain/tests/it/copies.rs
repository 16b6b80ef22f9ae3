//! Backups.

use std::fs;
use std::path::Path;

use bitcoin::Amount;
use chain::backup::{
    BackupError, MANIFEST_NAME, Step, backup, check, copy, copy_to_all, drill, restore,
};
use chain::fixtures::{Key, TestChain, test_params};
use chain::store::{DirectoryLock, FILE_NAME};
use chain::verify::{VerifyLevel, verify};
use chain::{Chain, ChainOptions, FrozenChain, Height, OpenError};

pub(crate) const SMALL: ChainOptions = ChainOptions {
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

pub(crate) fn own(dir: &Path) -> DirectoryLock {
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
    let (chain, found) = restore(
        &copy,
        own(&restored),
        TestChain::params(),
        SMALL,
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(found, manifest);
    assert_eq!((chain.tip(), chain.coin_set_stats(true).unwrap()), want);
    for height in 0..=8 {
        let hash = chain.at_height(Height(height)).unwrap().hash;
        assert!(chain.block(&hash).unwrap().is_some());
        assert!(chain.undo(&hash).unwrap().is_some());
    }
    drop(chain);
    let twice = restore(
        &copy,
        own(&restored),
        TestChain::params(),
        SMALL,
        &mut |_| {},
    )
    .unwrap_err();
    assert!(matches!(twice, BackupError::Exists { .. }), "{twice}");
}

#[test]
fn a_damaged_or_foreign_backup_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    backup(source(&dir.path().join("data")).chain_mut(), &copy).unwrap();
    let target = dir.path().join("restored");
    let other = restore(&copy, own(&target), test_params(), SMALL, &mut |_| {}).unwrap_err();
    assert!(matches!(
        other,
        BackupError::Open(OpenError::OtherNetwork { .. })
    ));

    let file = copy.join(FILE_NAME);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let damaged =
        restore(&copy, own(&target), TestChain::params(), SMALL, &mut |_| {}).unwrap_err();
    assert!(matches!(
        damaged,
        BackupError::Mismatch {
            what: "SHA-256",
            ..
        }
    ));
    fs::write(copy.join(MANIFEST_NAME), "{}").unwrap();
    let unclear =
        restore(&copy, own(&target), TestChain::params(), SMALL, &mut |_| {}).unwrap_err();
    assert!(matches!(unclear, BackupError::Manifest { .. }));
    assert!(!target.join(FILE_NAME).exists());
}

/// Names and bytes of all files in a folder.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_backup_that_was_verified_is_the_same_and_can_be_restored() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let manifest = backup(source(&dir.path().join("data")).chain_mut(), &copy).unwrap();
    let before = files(&copy);
    let chain = FrozenChain::open(&copy, TestChain::params(), SMALL).unwrap();
    let report = verify(&chain, VerifyLevel::Reconnect, 0, &mut |_, _| {}).unwrap();
    assert_eq!((report.blocks, report.problems.len()), (8, 0));
    drop(chain);
    assert_eq!(files(&copy), before);
    let target = dir.path().join("restored");
    let (_, found) = restore(&copy, own(&target), TestChain::params(), SMALL, &mut |_| {}).unwrap();
    assert_eq!(found, manifest);
}

#[test]
fn a_chain_that_was_not_closed_is_read_without_being_mended() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut net = source(&data);
    net.chain_mut().flush().unwrap();
    let (tip, stats) = (net.chain().tip(), net.chain().coin_set_stats(true).unwrap());
    // As a kill leaves it: the file of a chain in use.
    let left = dir.path().join("left");
    fs::create_dir(&left).unwrap();
    fs::copy(data.join(FILE_NAME), left.join(FILE_NAME)).unwrap();
    let busy = FrozenChain::open(&data, TestChain::params(), SMALL).unwrap_err();
    assert!(matches!(busy, OpenError::InUse { .. }), "{busy}");
    drop(net);
    // Several look at once, and a writer is kept out meanwhile.
    let lookers = [(); 2].map(|()| FrozenChain::open(&data, TestChain::params(), SMALL).unwrap());
    let writer = Chain::open(&data, TestChain::params(), SMALL).unwrap_err();
    assert!(matches!(writer, OpenError::InUse { .. }), "{writer}");
    drop(lookers);
    let before = files(&left);
    // An unclean file says so; a clean one differs.
    assert_ne!(before[0].1, fs::read(data.join(FILE_NAME)).unwrap());
    let chain = FrozenChain::open(&left, TestChain::params(), SMALL).unwrap();
    assert_eq!(
        (chain.tip(), chain.coin_set_stats(true).unwrap()),
        (tip, stats)
    );
    drop(chain);
    assert_eq!(files(&left), before);
    let (none, empty) = (dir.path().join("none"), dir.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join(FILE_NAME), "").unwrap();
    for dir in [&none, &empty] {
        let error = FrozenChain::open(dir, TestChain::params(), SMALL).unwrap_err();
        assert!(
            matches!(error, OpenError::Io { .. } | OpenError::Damaged { .. }),
            "{error}"
        );
    }
    assert!(!none.exists());
}

#[test]
fn several_copies_are_the_same_and_one_that_fails_does_not_concern_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = source(&dir.path().join("data"));
    let path = |name: &str| dir.path().join(name);
    fs::write(path("file"), "in the way").unwrap();
    fs::create_dir(path("others")).unwrap();
    fs::write(path("others").join(MANIFEST_NAME), "somebody's").unwrap();
    let dirs = ["data", "a", "file", "b", "others"].map(path);
    let frozen = net.chain_mut().frozen().unwrap();
    let results = copy_to_all(&frozen, &dirs, &mut |_| {});
    drop(frozen);
    let failed: Vec<bool> = results.iter().map(Result::is_err).collect();
    assert_eq!(failed, [true, false, true, false, true]);
    assert!(matches!(results[0], Err(BackupError::Exists { .. })));
    assert!(matches!(results[4], Err(BackupError::Exists { .. })));
    assert_eq!(files(&path("a")), files(&path("b")));
    assert_eq!(files(&path("others")).len(), 1);
    for name in ["a", "b"] {
        let manifest = check(&path(name), TestChain::params(), SMALL).unwrap();
        assert_eq!(manifest.height, 8);
    }
}

#[test]
fn one_process_at_a_time_writes_to_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = source(&dir.path().join("data"));
    let target = dir.path().join("copy");
    let frozen = net.chain_mut().frozen().unwrap();
    let mut refused = 0;
    copy(&frozen, &target, &mut |_| {
        let other = copy(&frozen, &target, &mut |_| {});
        assert!(matches!(other, Err(BackupError::Busy { .. })));
        refused += 1;
    })
    .unwrap();
    assert_eq!(refused, 5);
}

#[test]
fn a_drill_restores_and_verifies_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let manifest = backup(source(&dir.path().join("data")).chain_mut(), &copy).unwrap();
    let before = files(&copy);
    let scratch = dir.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let run = || {
        let mut steps = Vec::new();
        let drilled = drill(
            &copy,
            &scratch,
            TestChain::params(),
            SMALL,
            &mut |step| steps.push((step, fs::read_dir(&scratch).unwrap().count())),
            &mut |_, _| {},
        );
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
        (drilled, steps)
    };
    let (drilled, steps) = run();
    let drilled = drilled.unwrap();
    assert_eq!((drilled.manifest, drilled.blocks), (manifest, 8));
    assert_eq!(steps.last(), Some(&(Step::Named, 1)));
    assert_eq!(files(&copy), before);
    // A manifest that is changed with the file does not help: the coins are hashed.
    let text = fs::read_to_string(copy.join(MANIFEST_NAME)).unwrap();
    let wrong = text.replace("\"muhash\": \"", "\"muhash\": \"0");
    fs::write(copy.join(MANIFEST_NAME), wrong).unwrap();
    let (drilled, _) = run();
    assert!(matches!(
        drilled,
        Err(BackupError::Mismatch { what: "MuHash", .. })
    ));
}
