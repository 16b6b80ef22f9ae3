//! Damage to what is stored is found, never believed, and healed by the smallest cure.

use std::fs;
use std::path::Path;

use bitcoin::{Amount, OutPoint, Transaction};
use chain::fixtures::{GENESIS, Key, TestChain};
use chain::store::FILE_NAME;
use chain::{Chain, ChainOptions, Cure, Height};
use redb::{ReadableTable, TableDefinition};
use twox_hash::XxHash3_64;

const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 4 << 20,
};

type Rows = TableDefinition<'static, &'static [u8; 36], &'static [u8]>;
const COINS: Rows = TableDefinition::new("coins");
const UNDO: Rows = TableDefinition::new("undo");

fn open(dir: &Path) -> TestChain {
    TestChain::on(Chain::open(dir, TestChain::params(), SMALL).unwrap())
}

/// What a table's row is changed to; `None` deletes it.
type Change<'a> = dyn Fn(&[u8; 36], Vec<u8>) -> Option<Vec<u8>> + 'a;

/// Changes a row behind the chain's back.
fn tamper(dir: &Path, table: Rows, key: &[u8; 36], change: &Change<'_>) {
    let database = redb::Database::open(dir.join(FILE_NAME)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut rows = transaction.open_table(table).unwrap();
        let row = rows.get(key).unwrap().expect("the row").value().to_vec();
        match change(key, row) {
            Some(row) => drop(rows.insert(key, row.as_slice()).unwrap()),
            None => drop(rows.remove(key).unwrap()),
        }
    }
    transaction.commit().unwrap();
}

fn flip_a_bit(_: &[u8; 36], mut row: Vec<u8>) -> Option<Vec<u8>> {
    row[1] ^= 4;
    Some(row)
}

/// Another amount, and a checksum that fits: what a flip in memory leaves when it is written.
fn change_the_amount(key: &[u8; 36], mut row: Vec<u8>) -> Option<Vec<u8>> {
    row.truncate(row.len() - 4);
    row[1] ^= 4;
    let sum = XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key), &row) as u32;
    row.extend_from_slice(&sum.to_le_bytes());
    Some(row)
}

fn delete(_: &[u8; 36], _: Vec<u8>) -> Option<Vec<u8>> {
    None
}

fn key_of(outpoint: &OutPoint) -> [u8; 36] {
    use bitcoin::hashes::Hash;
    let mut key = [0; 36];
    key[..32].copy_from_slice(outpoint.txid.as_byte_array());
    key[32..].copy_from_slice(&outpoint.vout.to_be_bytes());
    key
}

fn block_key(height: u32, hash: &bitcoin::BlockHash) -> [u8; 36] {
    use bitcoin::hashes::Hash;
    let mut key = [0; 36];
    key[..4].copy_from_slice(&height.to_be_bytes());
    key[4..].copy_from_slice(hash.as_byte_array());
    key
}

/// Alice pays Carol in a1, Carol pays on in b; a1 to a4 are committed, b is not known yet. Gives what a sound node has after b.
struct Scene {
    dir: tempfile::TempDir,
    sound: TestChain,
    /// What Carol spends.
    coin: OutPoint,
    payment: Transaction,
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let (alice, carol) = (Key::p2tr("alice"), Key::p2tr("carol"));
    let mut sound = TestChain::new();
    let first = sound.pay(&alice, &carol, Amount::ONE_BTC * 3);
    sound
        .including(&first)
        .mine("a1")
        .mine("a2")
        .mine("a3")
        .mine("a4");
    let mut hurt = open(dir.path());
    for name in ["a1", "a2", "a3", "a4"] {
        hurt.submit(name, sound.block(name).clone());
    }
    hurt.chain_mut().flush().unwrap();
    let payment = sound.pay(&carol, &alice, Amount::ONE_BTC);
    sound.including(&payment).mine("b");
    let coin = payment.input[0].previous_output;
    Scene {
        dir,
        sound,
        coin,
        payment,
    }
}

impl Scene {
    /// After the next block the hurt chain is as the sound one, and stays so.
    fn assert_heals(&self, cure: impl Fn(&Cure) -> bool) {
        let mut hurt = open(self.dir.path());
        hurt.submit("b", self.sound.block("b").clone());
        let status = |net: &TestChain| {
            net.chain()
                .tree()
                .get(&self.sound.hash("b"))
                .unwrap()
                .status
        };
        assert!(!status(&hurt).failed, "never condemned");
        let cures = hurt.chain_mut().take_cures();
        assert!(cures.iter().any(cure), "{cures:?}");
        self.assert_same(&hurt);
        hurt.chain_mut().flush().unwrap();
        drop(hurt);
        let hurt = open(self.dir.path());
        self.assert_same(&hurt);
        assert!(!hurt.chain().has_findings(), "healed on disk too");
    }

    fn assert_same(&self, hurt: &TestChain) {
        assert_eq!(hurt.chain().tip(), self.sound.chain().tip());
        assert_eq!(
            hurt.chain().coin_set_stats(true).unwrap(),
            self.sound.chain().coin_set_stats(true).unwrap()
        );
    }

    fn is_the_coin(&self, cure: &Cure) -> bool {
        matches!(cure, Cure::Coin { outpoint } if *outpoint == self.coin)
    }
}

#[test]
fn a_flipped_bit_in_a_coin_neither_condemns_the_block_that_spends_it_nor_stays() {
    let scene = scene();
    tamper(scene.dir.path(), COINS, &key_of(&scene.coin), &flip_a_bit);
    scene.assert_heals(|cure| scene.is_the_coin(cure));
}

#[test]
fn a_wrong_coin_with_a_right_checksum_is_found_when_a_block_fails_on_it() {
    let scene = scene();
    let key = key_of(&scene.coin);
    tamper(scene.dir.path(), COINS, &key, &change_the_amount);
    scene.assert_heals(|cure| scene.is_the_coin(cure));
}

#[test]
fn a_missing_coin_is_made_again_when_a_block_fails_on_it() {
    let scene = scene();
    tamper(scene.dir.path(), COINS, &key_of(&scene.coin), &delete);
    scene.assert_heals(|cure| scene.is_the_coin(cure));
}

#[test]
fn a_damaged_coin_is_told_right_before_it_is_healed() {
    let scene = scene();
    let mut sound = TestChain::new();
    for name in ["a1", "a2", "a3", "a4"] {
        sound.submit(name, scene.sound.block(name).clone());
    }
    tamper(scene.dir.path(), COINS, &key_of(&scene.coin), &flip_a_bit);
    let mut hurt = open(scene.dir.path());
    let coin = hurt.chain().coin(&scene.coin).unwrap();
    assert_eq!(coin, sound.chain().coin(&scene.coin).unwrap());
    assert!(coin.is_some());
    let stats = |net: &TestChain| net.chain().coin_set_stats(true).unwrap();
    assert_eq!(stats(&hurt), stats(&sound));
    assert!(hurt.chain().has_findings());
    assert!(hurt.chain_mut().heal_findings().unwrap());
    let cures = hurt.chain_mut().take_cures();
    assert_eq!(
        cures,
        [Cure::Coin {
            outpoint: scene.coin
        }],
        "once"
    );
    hurt.chain_mut().flush().unwrap();
    drop(hurt);
    let hurt = open(scene.dir.path());
    assert_eq!(stats(&hurt), stats(&sound));
    assert!(!hurt.chain().has_findings());
}

#[test]
fn a_block_that_spends_what_is_not_there_is_condemned_as_ever() {
    let scene = scene();
    let mut hurt = open(scene.dir.path());
    hurt.submit("b", scene.sound.block("b").clone());
    // The same payment once more.
    let bad = hurt.including(&scene.payment).build("bad").mine();
    let hash = bad.block_hash();
    hurt.submit("bad", bad);
    assert!(hurt.chain().tree().get(&hash).unwrap().status.failed);
    assert_eq!(hurt.chain_mut().take_cures(), []);
    scene.assert_same(&hurt);
}

#[test]
fn without_the_body_that_would_tell_a_block_is_neither_condemned_nor_connected() {
    let scene = scene();
    tamper(scene.dir.path(), COINS, &key_of(&scene.coin), &delete);
    let a1 = scene.sound.block("a1").clone();
    let blocks: Rows = TableDefinition::new("blocks");
    tamper(
        scene.dir.path(),
        blocks,
        &block_key(1, &a1.block_hash()),
        &|_, mut row| {
            *row.last_mut().unwrap() ^= 1;
            Some(row)
        },
    );
    let mut hurt = open(scene.dir.path());
    let b = scene.sound.hash("b");
    hurt.submit("b", scene.sound.block("b").clone());
    assert!(hurt.chain().tree().get(&b).unwrap().status.may_be_valid());
    assert_eq!(hurt.chain().tip().height, Height(4));
    assert_eq!(hurt.chain().damaged(), [a1.block_hash()], "asked for");
    hurt.chain_mut().restore_body(a1).unwrap();
    hurt.activate();
    scene.assert_same(&hurt);
}

/// A flipped bit in a key: the row stands in the place of another, and one is missing.
#[test]
fn a_row_under_a_damaged_key_does_not_stay() {
    let cases = |table: &'static str| {
        // A byte of the height, and one of the hash.
        [(0, 3), (0, 20), (3, 3), (3, 20)].map(|(height, byte)| (table, height, byte))
    };
    let cases = ["headers", "blocks", "undo"].into_iter().flat_map(cases);
    // Genesis spends nothing.
    for (table, height, byte) in cases.filter(|case| (case.0, case.1) != ("undo", 0)) {
        let scene = scene();
        let name = ["", "a1", "a2", "a3"][height];
        let hash = scene.sound.hash(if height == 0 { GENESIS } else { name });
        let rows: Rows = TableDefinition::new(table);
        let key = block_key(height as u32, &hash);
        let mut other = key;
        other[byte] ^= 2;
        let database = redb::Database::open(scene.dir.path().join(FILE_NAME)).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut rows = transaction.open_table(rows).unwrap();
            let row = rows
                .remove(&key)
                .unwrap()
                .expect("the row")
                .value()
                .to_vec();
            rows.insert(&other, row.as_slice()).unwrap();
        }
        transaction.commit().unwrap();
        drop(database);
        let case = format!("{table} at {height}, byte {byte}");
        let lock = chain::store::DirectoryLock::acquire(scene.dir.path()).unwrap();
        let now = chain::Timestamp(u32::MAX);
        let opened = chain::salvage::open(lock, TestChain::params(), SMALL, now, &mut |_| {});
        let mut hurt = TestChain::on(opened.unwrap_or_else(|error| panic!("{case}: {error}")));
        let mut scrub = chain::scrub::Scrub::default();
        let mut rounds = 0;
        loop {
            for name in ["a1", "a2", "a3", "a4", "b"] {
                let block = scene.sound.block(name).clone();
                hurt.chain_mut().accept_block(block, now).unwrap();
            }
            hurt.activate();
            let mut found = 0;
            loop {
                let step = scrub.step(hurt.chain(), 1 << 20, now).unwrap();
                found += step.findings.len();
                if step.ends_round {
                    break;
                }
            }
            hurt.chain_mut().heal_findings().unwrap();
            hurt.chain_mut().flush().unwrap();
            if found == 0 && !hurt.chain().has_findings() {
                break;
            }
            rounds += 1;
            assert!(rounds < 5, "{case}: {:?}", hurt.chain().findings());
        }
        scene.assert_same(&hurt);
        for info in hurt.chain().tree().iter() {
            let told = hurt.chain().block(&info.hash).unwrap();
            assert!(told.is_some(), "{case}: block {} is told", info.hash);
        }
    }
}

/// Nobody need be asked for it: it is part of the parameters. A node without peers would wait for it for ever.
#[test]
fn a_damaged_genesis_is_made_again_from_the_parameters() {
    let scene = scene();
    let genesis = scene.sound.hash(GENESIS);
    let blocks: Rows = TableDefinition::new("blocks");
    tamper(
        scene.dir.path(),
        blocks,
        &block_key(0, &genesis),
        &flip_a_bit,
    );
    let mut hurt = open(scene.dir.path());
    assert!(
        hurt.chain().block(&genesis).unwrap().is_none(),
        "never served"
    );
    assert!(hurt.chain().has_findings());
    hurt.chain_mut().heal_findings().unwrap();
    assert_eq!(hurt.chain().damaged(), []);
    assert_eq!(hurt.chain().cure_counts().bodies, 1);
    let is_there = |net: &TestChain| {
        let body = net.chain().block(&genesis).unwrap().expect("a body");
        body.block() == &TestChain::params().genesis
    };
    assert!(is_there(&hurt));
    hurt.chain_mut().flush().unwrap();
    drop(hurt);
    assert!(is_there(&open(scene.dir.path())), "on disk too");
}

#[test]
fn damaged_undo_data_do_not_stop_a_reorg() {
    let scene = scene();
    let a1 = scene.sound.hash("a1");
    tamper(scene.dir.path(), UNDO, &block_key(1, &a1), &|_, mut row| {
        *row.last_mut().unwrap() ^= 1;
        Some(row)
    });
    let mut hurt = open(scene.dir.path());
    let undo = hurt.chain().undo(&a1).unwrap().unwrap();
    assert_eq!(Some(undo), scene.sound.chain().undo(&a1).unwrap());
    let mut other = TestChain::new();
    other.mine_many("c", 6);
    for n in 1..=6 {
        let name = format!("c{n}");
        hurt.submit(&name, other.block(&name).clone());
    }
    assert_eq!(hurt.chain().tip(), other.chain().tip());
    assert_eq!(
        hurt.chain().coin_set_stats(true).unwrap(),
        other.chain().coin_set_stats(true).unwrap()
    );
    assert!(hurt.chain().has_findings());
}

/// Overwrites every page that holds `bytes`.
fn ruin_pages(dir: &Path, bytes: &[u8]) -> usize {
    let path = dir.join(FILE_NAME);
    let mut content = fs::read(&path).unwrap();
    let holds = |page: &&mut [u8]| page.windows(bytes.len()).any(|window| window == bytes);
    let pages: Vec<&mut [u8]> = content.chunks_mut(4096).skip(1).filter(holds).collect();
    let count = pages.len();
    assert!(count > 0, "the bytes are there");
    pages.into_iter().for_each(|page| page.fill(0xaa));
    fs::write(&path, content).unwrap();
    count
}

#[test]
fn a_ruined_page_of_coins_leads_to_a_new_database_beside_the_kept_one() {
    let scene = scene();
    ruin_pages(scene.dir.path(), &key_of(&scene.coin));
    let mut hurt = open(scene.dir.path());
    hurt.submit("b", scene.sound.block("b").clone());
    scene.assert_same(&hurt);
    let cures = hurt.chain_mut().take_cures();
    let is_renewed = |cure: &Cure| {
        matches!(
            cure,
            Cure::Database {
                lost: 0,
                kept: Some(_),
                before: Some(Height(4)),
                after: Height(5),
                // With the block that led to it, which was not connected yet.
                bodies: 5,
                ..
            }
        )
    };
    assert!(cures.iter().any(is_renewed), "{cures:?}");
    hurt.chain_mut().flush().unwrap();
    drop(hurt);
    scene.assert_same(&open(scene.dir.path()));
    let kept = scene.dir.path().join(format!("{FILE_NAME}.damaged-1"));
    assert!(kept.exists());
}

#[test]
fn a_page_that_is_ruined_under_a_running_chain_is_healed_when_it_writes() {
    let scene = scene();
    let mut hurt = open(scene.dir.path());
    hurt.submit("b", scene.sound.block("b").clone());
    ruin_pages(scene.dir.path(), &scene.sound.hash("a4")[..]);
    hurt.chain_mut().flush().unwrap();
    scene.assert_same(&hurt);
    let cures = hurt.chain_mut().take_cures();
    assert!(matches!(cures[..], [Cure::Database { .. }]), "{cures:?}");
    drop(hurt);
    scene.assert_same(&open(scene.dir.path()));
}

/// A block that is acknowledged is written with its body alone.
#[test]
fn a_page_that_is_ruined_under_a_running_chain_is_healed_when_it_writes_bodies() {
    let scene = scene();
    let mut hurt = open(scene.dir.path());
    hurt.submit("b", scene.sound.block("b").clone());
    ruin_pages(scene.dir.path(), &scene.sound.hash("a4")[..]);
    hurt.chain_mut().flush_bodies().unwrap();
    scene.assert_same(&hurt);
    let cures = hurt.chain_mut().take_cures();
    assert!(matches!(cures[..], [Cure::Database { .. }]), "{cures:?}");
    hurt.chain_mut().flush().unwrap();
    drop(hurt);
    scene.assert_same(&open(scene.dir.path()));
}

#[test]
fn a_rebuild_forgets_what_rules_said_and_keeps_what_the_operator_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = open(dir.path());
    net.mine("a1")
        .mine("a2")
        .fork_at(GENESIS)
        .mine("b1")
        .mine("b2")
        .mine("b3");
    let (a1, b1, b3) = (net.hash("a1"), net.hash("b1"), net.hash("b3"));
    net.chain_mut().invalidate(&b1).unwrap();
    net.activate();
    assert_eq!(net.chain().tip().hash, net.hash("a2"));
    // A block that breaks a rule, on a2.
    net.fork_at("a2");
    let spent = net.pay(&Key::p2tr("alice"), &Key::p2tr("carol"), Amount::ONE_BTC);
    net.including(&spent).mine("a3");
    let bad = net.including(&spent).build("bad").mine();
    let hash = bad.block_hash();
    net.submit("bad", bad);
    assert!(net.chain().tree().get(&hash).unwrap().status.failed);
    net.chain_mut().flush().unwrap();
    drop(net);

    let mut net = open(dir.path());
    let status = |net: &TestChain, hash| net.chain().tree().get(hash).unwrap().status;
    assert!(status(&net, &hash).failed && status(&net, &b1).invalidated);
    net.chain_mut().reset_to_genesis().unwrap();
    assert!(!status(&net, &hash).failed, "it is judged anew");
    assert!(status(&net, &b1).invalidated && !status(&net, &b3).may_be_valid());
    net.activate();
    assert!(status(&net, &hash).failed, "and breaks the rule again");
    assert!(net.chain().is_active(&a1));
    net.chain_mut().reconsider(&b1);
    net.activate();
    assert!(status(&net, &b3).may_be_valid());
}

/// Overwrites every branch page of trees whose keys are blocks, as far as it holds the key of one.
fn ruin_branches(dir: &Path, keys: &[[u8; 36]]) -> usize {
    let path = dir.join(FILE_NAME);
    let mut content = fs::read(&path).unwrap();
    let holds = |page: &[u8]| {
        page[0] == 2
            && keys
                .iter()
                .any(|key| page.windows(36).any(|window| window == key))
    };
    let pages: Vec<&mut [u8]> = content
        .chunks_mut(4096)
        .skip(1)
        .filter(|page| holds(page))
        .collect();
    let count = pages.len();
    pages.into_iter().for_each(|page| page.fill(0xaa));
    fs::write(&path, content).unwrap();
    count
}

/// Where the branch that leads to bodies is ruined, they are still there.
#[test]
fn bodies_behind_a_ruined_branch_are_found_by_their_pages() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = open(dir.path());
    net.mine_many("a", 60);
    net.chain_mut().flush().unwrap();
    let stats = net.chain().coin_set_stats(true).unwrap();
    let keys: Vec<[u8; 36]> = (1..=60)
        .map(|height| block_key(height, &net.hash(&format!("a{height}"))))
        .collect();
    drop(net);
    let mut chain = Chain::open(dir.path(), TestChain::params(), SMALL).unwrap();
    let tip = chain.tip();
    assert!(ruin_branches(dir.path(), &keys) > 0);
    let is_here = |chain: &Chain, height| {
        let hash = chain.at_height(Height(height)).unwrap().hash;
        chain.block(&hash).unwrap().is_some()
    };
    let here = (1..=60).filter(|&height| is_here(&chain, height)).count();
    assert!(here < 60, "some cannot be looked up");
    assert!(chain.heal_findings().unwrap());
    let cures = chain.take_cures();
    assert!(
        matches!(cures[..], [Cure::Database { lost: 0, .. }]),
        "{cures:?}"
    );
    assert_eq!(
        (chain.tip(), chain.coin_set_stats(true).unwrap()),
        (tip, stats)
    );
    assert_eq!(
        (1..=60).filter(|&height| is_here(&chain, height)).count(),
        60
    );
}
