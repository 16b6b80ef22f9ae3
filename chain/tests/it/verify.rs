//! `verify` finds what is wrong, and `rebuild_coins` cures it.

use std::path::Path;

use bitcoin::Amount;
use chain::fixtures::{Key, TestChain};
use chain::repair::rebuild_coins;
use chain::store::{FILE_NAME, Place, Table};
use chain::verify::{Problem, VerifyLevel, verify};
use chain::{BlockPosition, Chain, ChainOptions, Damage, Height};
use redb::{ReadableTable, TableDefinition};

const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 4 << 20,
};
const LEVELS: [VerifyLevel; 4] = [
    VerifyLevel::Bodies,
    VerifyLevel::Undo,
    VerifyLevel::Disconnect,
    VerifyLevel::Reconnect,
];

fn open(dir: &Path) -> Chain {
    Chain::open(dir, TestChain::params(), SMALL).unwrap()
}

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::on(open(dir.path()));
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    for n in 1..=8 {
        let pay = net.pay(&alice, &bob, Amount::ONE_BTC);
        net.including(&pay).mine(&format!("a{n}"));
    }
    net.chain_mut().flush().unwrap();
    dir
}

/// Changes the first row of a table behind the chain's back.
fn tamper<const N: usize>(dir: &Path, table: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let definition: TableDefinition<'_, &[u8; N], &[u8]> = TableDefinition::new(table);
    let database = redb::Database::create(dir.join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut rows = transaction.open_table(definition).unwrap();
        let (key, mut value) = {
            let (key, value) = rows.last().unwrap().unwrap();
            (*key.value(), value.value().to_vec())
        };
        change(&mut value);
        rows.insert(&key, value.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

fn problems(chain: &Chain, level: VerifyLevel) -> Vec<Problem> {
    verify(chain, level, 0, &mut |_, _| {}).unwrap().problems
}

#[test]
fn a_sound_chain_passes_every_level_at_any_depth() {
    let dir = directory();
    let mut net = TestChain::on(open(dir.path()));
    net.mine("unflushed");
    for level in LEVELS {
        for depth in [0, 1, 5, 100] {
            let mut last = (0, 0);
            let report = verify(net.chain(), level, depth, &mut |done, all| {
                last = (done, all)
            })
            .unwrap();
            assert_eq!(report.problems, []);
            assert_eq!(last.0, last.1, "all steps were made");
        }
    }
}

#[test]
fn a_damaged_body_is_a_problem_at_every_level() {
    for level in LEVELS {
        let dir = directory();
        tamper::<36>(dir.path(), "blocks", |body| *body.last_mut().unwrap() ^= 1);
        let chain = open(dir.path());
        let problems = problems(&chain, level);
        assert!(matches!(problems[..], [Problem::Body(block)] if block.height == Height(8)));
        assert_eq!(chain.damaged(), [chain.tip().hash]);
    }
}

#[test]
fn damaged_undo_data_are_found_and_made_anew() {
    let dir = directory();
    tamper::<36>(dir.path(), "undo", |undo| *undo.last_mut().unwrap() ^= 1);
    let mut chain = open(dir.path());
    let stats = chain.coin_set_stats(true).unwrap();
    let tip = chain.tip();
    let undo = chain.undo(&tip.hash).unwrap().unwrap();
    let found = problems(&chain, VerifyLevel::Undo);
    let block = BlockPosition {
        hash: tip.hash,
        height: tip.height,
    };
    assert!(
        matches!(&found[..], [Problem::Stored(Damage { table: Some(Table::Undo), place: Place::Block(at), .. })] if *at == block),
        "{found:?}"
    );
    let report = rebuild_coins(&mut chain, &mut |_| {}).unwrap();
    assert_eq!((report.before, report.after), (Height(8), Height(8)));
    assert_eq!(chain.coin_set_stats(true).unwrap(), stats);
    assert_eq!(
        chain.undo(&tip.hash).unwrap(),
        Some(undo),
        "told right all the while"
    );
    drop(chain);
    assert_eq!(problems(&open(dir.path()), VerifyLevel::Reconnect), []);
}

#[test]
fn a_changed_coin_is_found_and_made_anew() {
    let dir = directory();
    let stats = open(dir.path()).coin_set_stats(true).unwrap();
    tamper::<36>(dir.path(), "coins", |coin| coin[1] ^= 1);
    let mut chain = open(dir.path());
    assert_eq!(chain.coin_set_stats(true).unwrap(), stats, "never told");
    let found = problems(&chain, VerifyLevel::Reconnect);
    assert!(
        matches!(
            &found[..],
            [Problem::Stored(Damage {
                table: Some(Table::Coins),
                place: Place::Coin(_),
                ..
            })]
        ),
        "{found:?}"
    );
    rebuild_coins(&mut chain, &mut |_| {}).unwrap();
    drop(chain);
    let chain = open(dir.path());
    assert_eq!(chain.coin_set_stats(true).unwrap(), stats);
    assert!(chain.findings().is_empty());
    drop(chain);
    assert_eq!(problems(&open(dir.path()), VerifyLevel::Reconnect), []);
}
