//! Databases of older formats are taken over.

use std::path::Path;

use chain::fixtures::{TestChain, damage_copies};
use chain::store::{DirectoryLock, FILE_NAME, FORMAT};
use chain::verify::{VerifyLevel, verify};
use chain::{Chain, ChainOptions, Cure, OpenError, Timestamp, salvage};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 4 << 20,
};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const HEADERS: TableDefinition<'_, &[u8; 36], &[u8]> = TableDefinition::new("headers");
const HEADERS_1: TableDefinition<'_, &[u8; 36], &[u8; 85]> = TableDefinition::new("headers");
const COINS: TableDefinition<'_, &[u8; 36], &[u8]> = TableDefinition::new("coins");

fn open(dir: &Path) -> Chain {
    Chain::open(dir, TestChain::params(), SMALL).unwrap()
}

/// The value of a row without its checksum.
fn bare(row: &[u8]) -> &[u8] {
    &row[..row.len() - 4]
}

/// Writes a database as version 0.1 did: the same rows without checksums.
fn make_format_1(dir: &Path) {
    let database = Database::open(dir.join(FILE_NAME)).unwrap();
    let new = database.begin_read().unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.delete_table(HEADERS).unwrap();
    {
        let mut headers = transaction.open_table(HEADERS_1).unwrap();
        for row in new.open_table(HEADERS).unwrap().iter().unwrap() {
            let (key, row) = row.unwrap();
            let row: &[u8; 85] = bare(row.value()).try_into().unwrap();
            headers.insert(key.value(), row).unwrap();
        }
        let mut coins = transaction.open_table(COINS).unwrap();
        for row in new.open_table(COINS).unwrap().iter().unwrap() {
            let (key, row) = row.unwrap();
            coins.insert(key.value(), bare(row.value())).unwrap();
        }
        let mut names = transaction.open_table(META).unwrap();
        for row in new.open_table(META).unwrap().iter().unwrap() {
            let (name, row) = row.unwrap();
            names.insert(name.value(), bare(row.value())).unwrap();
        }
        let format = 1u32.to_le_bytes();
        names.insert("format", format.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_database_of_format_1_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::on(open(dir.path()));
    net.mine_many("a", 10);
    net.invalidate("a9");
    net.chain_mut().flush().unwrap();
    let want = (net.chain().tip(), net.chain().coin_set_stats(true).unwrap());
    drop(net);
    make_format_1(dir.path());

    for _ in 0..2 {
        let chain = open(dir.path());
        assert_eq!((chain.tip(), chain.coin_set_stats(true).unwrap()), want);
        assert_eq!(chain.tree().len(), 11);
        let report = verify(&chain, VerifyLevel::Reconnect, 0, &mut |_, _| {}).unwrap();
        assert_eq!((report.blocks, report.problems), (8, vec![]));
    }
    let database = Database::open(dir.path().join(FILE_NAME)).unwrap();
    let names = database.begin_read().unwrap().open_table(META).unwrap();
    let format = names.get("format").unwrap().unwrap();
    assert_eq!(bare(format.value()), FORMAT.to_le_bytes());
}

/// What is damaged must not get a checksum that says it is sound.
#[test]
fn a_damaged_database_of_format_1_is_not_taken_over_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::on(open(dir.path()));
    net.mine_many("a", 10);
    net.chain_mut().flush().unwrap();
    let want = (net.chain().tip(), net.chain().coin_set_stats(true).unwrap());
    drop(net);
    let mut key = None;
    {
        let database = Database::open(dir.path().join(FILE_NAME)).unwrap();
        let coins = database.begin_read().unwrap().open_table(COINS).unwrap();
        for row in coins.iter().unwrap() {
            let found = *row.unwrap().0.value();
            // In bodies the bytes of an output's index have another order.
            key = Some(found).filter(|key| key[35] == 3).or(key);
        }
    }
    make_format_1(dir.path());
    let path = dir.path().join(FILE_NAME);
    let mut content = std::fs::read(&path).unwrap();
    damage_copies(&mut content, &key.expect("a coin of a fourth output"));
    std::fs::write(&path, content).unwrap();
    let refused = Chain::open(dir.path(), TestChain::params(), SMALL).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    let lock = DirectoryLock::acquire(dir.path()).unwrap();
    let now = Timestamp(u32::MAX);
    let mut chain = salvage::open(lock, TestChain::params(), SMALL, now, &mut |_| {}).unwrap();
    let cures = chain.take_cures();
    assert!(matches!(cures[..], [Cure::Database { .. }]), "{cures:?}");
    assert_eq!((chain.tip(), chain.coin_set_stats(true).unwrap()), want);
}
