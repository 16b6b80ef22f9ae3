//! What happens when a data directory is not what was hoped for.

use std::fs;
use std::path::Path;

use chain::fixtures::{TestChain, test_params};
use chain::store::{FILE_NAME, LOCK_NAME};
use chain::{Chain, ChainOptions, Height, OpenError};

const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 4 << 20,
};

fn open(dir: &Path) -> Result<Chain, OpenError> {
    Chain::open(dir, TestChain::params(), SMALL)
}

/// A directory with a chain of ten blocks.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::on(open(dir.path()).unwrap());
    net.mine_many("a", 10);
    net.chain_mut().flush().unwrap();
    dir
}

#[test]
fn a_chain_comes_back_as_it_was() {
    let dir = directory();
    let first = open(dir.path()).unwrap();
    let tip = first.tip();
    assert_eq!(tip.height, Height(10));
    let stats = first.coin_set_stats(true).unwrap();
    drop(first);
    let second = open(dir.path()).unwrap();
    assert_eq!(
        (second.tip(), second.coin_set_stats(true).unwrap()),
        (tip, stats)
    );
    assert_eq!(second.unflushed_bytes(), 0);
}

#[test]
fn what_was_not_flushed_is_gone_and_nothing_else() {
    let dir = directory();
    let mut net = TestChain::on(open(dir.path()).unwrap());
    net.mine("b1").mine("b2");
    assert!(net.chain().unflushed_bytes() > 0);
    drop(net);
    assert_eq!(open(dir.path()).unwrap().tip().height, Height(10));
}

#[test]
fn bodies_ahead_of_the_coins_are_connected_again() {
    let dir = directory();
    let mut net = TestChain::on(open(dir.path()).unwrap());
    net.mine("b1").mine("b2");
    net.chain_mut().flush_bodies().unwrap();
    let want = (net.chain().tip(), net.chain().coin_set_stats(true).unwrap());
    drop(net);
    let mut net = TestChain::on(open(dir.path()).unwrap());
    assert_eq!(net.chain().tip().height, Height(10));
    net.activate();
    assert_eq!(
        (net.chain().tip(), net.chain().coin_set_stats(true).unwrap()),
        want
    );
}

#[test]
fn marks_of_invalid_blocks_are_remembered() {
    let dir = directory();
    let mut net = TestChain::on(open(dir.path()).unwrap());
    let hash = net.chain().at_height(Height(5)).unwrap().hash;
    net.chain_mut().invalidate(&hash).unwrap();
    net.chain_mut().flush().unwrap();
    drop(net);
    let mut net = TestChain::on(open(dir.path()).unwrap());
    net.activate();
    assert_eq!(net.chain().tip().height, Height(4));
    assert!(net.chain().tree().get(&hash).unwrap().status.invalidated);
    net.chain_mut().reconsider(&hash);
    net.activate();
    assert_eq!(net.chain().tip().height, Height(10));
}

#[test]
fn the_second_process_is_refused() {
    let dir = directory();
    let first = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::InUse { .. })));
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn another_network_is_refused_and_left_as_it_is() {
    let dir = directory();
    let error = Chain::open(dir.path(), test_params(), SMALL).unwrap_err();
    assert!(matches!(error, OpenError::OtherNetwork { .. }), "{error}");
    assert!(error.to_string().contains("--data-dir"));
    assert_eq!(open(dir.path()).unwrap().tip().height, Height(10));
}

#[test]
fn foreign_and_cut_files_are_refused_and_left_as_they_are() {
    let original = directory();
    let whole = fs::read(original.path().join(FILE_NAME)).unwrap();
    let damaged: [Vec<u8>; 5] = [
        b"this is a letter to a friend".to_vec(),
        b"x".to_vec(),
        whole[..100].to_vec(),
        whole[..whole.len() / 2].to_vec(),
        [&whole[..9], &[0xff; 500], &whole[509..]].concat(),
    ];
    for content in damaged {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE_NAME);
        fs::write(&file, &content).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&file).unwrap(), content, "left as it is");
    }
}

#[test]
fn a_database_that_was_never_finished_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(format!("{FILE_NAME}.new")), [0; 10_000]).unwrap();
    assert_eq!(open(dir.path()).unwrap().tip().height, Height(0));
    let mut files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, [LOCK_NAME, FILE_NAME]);
}

#[test]
fn another_redb_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let table: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("theirs");
    let database = redb::Database::create(dir.path().join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(open(dir.path()), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_newer_format_is_refused() {
    let dir = directory();
    let table: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
    let database = redb::Database::create(dir.path().join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(table)
        .unwrap()
        .insert("format", &9u32.to_le_bytes()[..])
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(error, OpenError::NewerFormat { found: 9, .. }),
        "{error}"
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_an_io_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(open(&file), Err(OpenError::Io { .. })));
    fs::create_dir(dir.path().join(FILE_NAME)).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Io { .. })));
}
