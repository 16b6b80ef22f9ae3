//! Databases that cannot be opened: set aside, and replaced by what is sound in them.

use std::fs;
use std::path::{Path, PathBuf};

use bitcoin::Amount;
use chain::fixtures::{Key, TestChain, test_params};
use chain::salvage::{self, SalvageError};
use chain::store::{DirectoryLock, FILE_NAME};
use chain::{Chain, ChainOptions, Cure, Height, OpenError, Params, Timestamp};

const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 4 << 20,
};

const NOW: Timestamp = Timestamp(u32::MAX);

/// The chain, and whether its database was made anew for it.
fn open_as(dir: &Path, params: Params) -> Result<(Chain, Option<Cure>), SalvageError> {
    let lock = DirectoryLock::acquire(dir).unwrap();
    let mut chain = salvage::open(lock, params, SMALL, NOW, &mut |_| {})?;
    let cure = chain.take_cures().pop();
    Ok((chain, cure))
}

fn open(dir: &Path) -> (Chain, Option<Cure>) {
    open_as(dir, TestChain::params()).unwrap()
}

/// A directory with a chain of thirty blocks with payments.
fn directory() -> (tempfile::TempDir, TestChain) {
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::on(open(dir.path()).0);
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    for n in 1..=30 {
        if n % 4 == 0 {
            let pay = net.pay(&alice, &bob, Amount::ONE_BTC);
            net.including(&pay);
        }
        net.mine(&format!("a{n}"));
        net.chain_mut().flush().unwrap();
    }
    let sound = TestChain::new();
    drop(std::mem::replace(&mut net, sound));
    let mut sound = TestChain::new();
    let (chain, _) = open(dir.path());
    for height in 1..=30 {
        let hash = chain.at_height(Height(height)).unwrap().hash;
        let block = chain.block(&hash).unwrap().unwrap();
        sound.submit(&format!("a{height}"), block.block().clone());
    }
    (dir, sound)
}

fn change_file(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let path = dir.join(FILE_NAME);
    let mut content = fs::read(&path).unwrap();
    change(&mut content);
    fs::write(&path, content).unwrap();
    path
}

fn assert_same(chain: &Chain, sound: &TestChain) {
    assert_eq!(chain.tip(), sound.chain().tip());
    assert_eq!(
        chain.coin_set_stats(true).unwrap(),
        sound.chain().coin_set_stats(true).unwrap()
    );
}

#[test]
fn a_sound_database_is_opened_as_it_is() {
    let (dir, sound) = directory();
    let (chain, salvage) = open(dir.path());
    assert_eq!(salvage, None);
    assert_same(&chain, &sound);
}

#[test]
fn with_its_first_page_in_ruins_every_block_is_taken_over() {
    for ruin in [
        |page: &mut [u8]| page.fill(0x55),
        |page: &mut [u8]| page[2] ^= 1,
    ] {
        let (dir, sound) = directory();
        let path = change_file(dir.path(), |content| ruin(&mut content[..4096]));
        let ruined = fs::read(&path).unwrap();
        let refused = Chain::open(dir.path(), TestChain::params(), SMALL).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        let (chain, salvage) = open(dir.path());
        let Some(Cure::Database {
            kept,
            bodies,
            after,
            ..
        }) = salvage
        else {
            panic!("{salvage:?}");
        };
        assert_eq!((bodies, after), (31, Height(30)));
        assert_eq!(fs::read(kept.unwrap()).unwrap(), ruined, "kept as it was");
        assert_same(&chain, &sound);
        drop(chain);
        let (chain, salvage) = open(dir.path());
        assert_eq!(salvage, None, "once");
        assert_same(&chain, &sound);
    }
}

/// A flipped bit in every copy of one body, and a first page in ruins: the bodies above it are taken over all the same.
#[test]
fn a_lost_body_does_not_keep_out_those_above_it() {
    let (dir, sound) = directory();
    let lost = sound.block("a5").clone();
    let coinbase = bitcoin::consensus::serialize(&lost.txdata[0]);
    let mut copies = 0;
    change_file(dir.path(), |content| {
        content[..4096].fill(0x55);
        let starts: Vec<usize> = (0..=content.len() - coinbase.len())
            .filter(|&start| content[start..].starts_with(&coinbase))
            .collect();
        copies = starts.len();
        starts.iter().for_each(|&start| content[start] ^= 2);
    });
    assert!(copies > 0, "the body is there");
    let (mut chain, salvage) = open(dir.path());
    let salvage = salvage.expect("it was damaged");
    assert!(
        matches!(
            salvage,
            Cure::Database {
                bodies: 30,
                lost: 1,
                after: Height(4),
                ..
            }
        ),
        "{salvage:?}"
    );
    chain.accept_block(lost, NOW).unwrap();
    let mut chain = TestChain::on(chain);
    chain.activate();
    assert_same(chain.chain(), &sound);
}

#[test]
fn of_a_cut_file_what_is_left_is_taken_over_and_the_rest_wanted() {
    let (dir, sound) = directory();
    change_file(dir.path(), |content| {
        content.truncate(content.len() / 3 / 4096 * 4096 + 17)
    });
    let (mut chain, salvage) = open(dir.path());
    let salvage = salvage.expect("it was damaged");
    assert!(
        matches!(salvage, Cure::Database { bodies: 0..=30, .. }),
        "{salvage:?}"
    );
    for height in 1..=30 {
        let block = sound.block(&format!("a{height}")).clone();
        chain.accept_block(block, NOW).unwrap();
    }
    let mut chain = TestChain::on(chain);
    chain.activate();
    assert_same(chain.chain(), &sound);
}

#[test]
fn what_is_not_of_this_network_is_left_as_it_is() {
    let (dir, _) = directory();
    let other = open_as(dir.path(), test_params()).unwrap_err();
    assert!(
        matches!(other, SalvageError::Open(OpenError::OtherNetwork { .. })),
        "{other}"
    );
    let path = change_file(dir.path(), |content| content[..4096].fill(0));
    let ruined = fs::read(&path).unwrap();
    let other = open_as(dir.path(), test_params()).unwrap_err();
    assert!(
        matches!(other, SalvageError::Open(OpenError::Damaged { .. })),
        "{other}"
    );
    fs::write(&path, "a letter to a friend").unwrap();
    assert!(open_as(dir.path(), TestChain::params()).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"a letter to a friend");
    fs::write(&path, ruined).unwrap();
    assert!(open(dir.path()).1.is_some());
}

#[test]
fn what_an_operator_said_of_a_block_outlives_its_database() {
    let (dir, sound) = directory();
    let marked = sound.hash("a25");
    let mut net = TestChain::on(open(dir.path()).0);
    net.chain_mut().invalidate(&marked).unwrap();
    net.activate();
    net.chain_mut().flush().unwrap();
    let tip = net.chain().tip();
    drop(net);
    change_file(dir.path(), |content| content[..4096].fill(0x55));
    let (chain, cure) = open(dir.path());
    let cure = cure.expect("it was damaged");
    assert!(
        matches!(&cure, Cure::Database { marked: told, unknown_marks: 0, .. } if *told == [marked]),
        "{cure:?}"
    );
    assert!(
        cure.to_string()
            .contains(&format!("{marked} stays invalid"))
    );
    assert_eq!((chain.tip(), tip.height), (tip, Height(24)));
    drop(chain);
    let (mut chain, cure) = open(dir.path());
    assert_eq!((cure, chain.tip()), (None, tip), "on disk too");
    chain.reconsider(&marked);
    let mut net = TestChain::on(chain);
    net.activate();
    assert_same(net.chain(), &sound);
}

/// Changes every copy of the row of a header that is on the active chain, and none of its body.
fn change_header_row(dir: &Path, sound: &TestChain, name: &str, change: impl Fn(&mut [u8])) {
    let block = sound.block(name);
    let mut row = bitcoin::consensus::serialize(&block.header);
    row.push(3);
    row.extend_from_slice(&u32::try_from(block.txdata.len()).unwrap().to_le_bytes());
    let mut copies = 0;
    change_file(dir, |content| {
        let starts: Vec<usize> = (0..=content.len() - row.len())
            .filter(|&start| content[start..].starts_with(&row))
            .collect();
        copies = starts.len();
        starts
            .iter()
            .for_each(|&start| change(&mut content[start..][..row.len()]));
    });
    assert!(copies > 0, "the row is there");
}

#[test]
fn a_damaged_header_is_written_again_and_the_database_kept() {
    type Change = fn(&mut [u8]);
    let cases: [(Change, bool); 3] = [
        (|row| row[82] ^= 0x10, true),
        (|row| row[3] ^= 0x01, true),
        // No single flip leads back: its body tells the rest.
        (|row| row[2..60].fill(0x33), false),
    ];
    for (change, is_known) in cases {
        let (dir, sound) = directory();
        for name in ["a7", "a30"] {
            change_header_row(dir.path(), &sound, name, change);
        }
        let refused = Chain::open(dir.path(), TestChain::params(), SMALL).unwrap_err();
        assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
        let lock = DirectoryLock::acquire(dir.path()).unwrap();
        let mut chain = salvage::open(lock, TestChain::params(), SMALL, NOW, &mut |_| {}).unwrap();
        let cures = chain.take_cures();
        assert_eq!(cures.len(), 2, "{cures:?}");
        for (cure, name) in cures.iter().zip(["a7", "a30"]) {
            assert!(
                matches!(cure, Cure::Header { block, marks_known }
                    if block.hash == sound.hash(name) && *marks_known == is_known),
                "{cure:?}"
            );
        }
        assert_same(&chain, &sound);
        chain.flush().unwrap();
        drop(chain);
        let (chain, cure) = open(dir.path());
        assert_eq!(cure, None, "on disk too");
        assert_same(&chain, &sound);
        assert_eq!(kept_files(dir.path()), [0u64; 0]);
    }
}

/// The numbers of the damaged files that are kept.
fn kept_files(dir: &Path) -> Vec<u64> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut numbers: Vec<u64> = names
        .filter_map(|name| name.to_str()?.split_once(".damaged-")?.1.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn of_damaged_files_the_last_two_are_kept() {
    let (dir, sound) = directory();
    for round in 1..=4_u8 {
        let path = change_file(dir.path(), |content| content[..4096].fill(round));
        let ruined = fs::read(&path).unwrap();
        let (chain, cure) = open(dir.path());
        let Some(Cure::Database { kept, removed, .. }) = cure else {
            panic!("{cure:?}");
        };
        assert_eq!(removed, usize::from(round > 2));
        assert_eq!(
            fs::read(kept.unwrap()).unwrap(),
            ruined,
            "the newest is there"
        );
        assert_same(&chain, &sound);
    }
    assert_eq!(kept_files(dir.path()), [3, 4]);
}

#[test]
fn while_a_body_is_lost_no_damaged_file_is_removed() {
    let (dir, sound) = directory();
    let coinbase = bitcoin::consensus::serialize(&sound.block("a5").txdata[0]);
    for round in 1..=3_u8 {
        change_file(dir.path(), |content| {
            content[..4096].fill(round);
            for start in 0..=content.len() - coinbase.len() {
                if content[start..].starts_with(&coinbase) {
                    content[start] ^= 2;
                }
            }
        });
        let (_, cure) = open(dir.path());
        assert!(
            matches!(cure, Some(Cure::Database { removed: 0, .. })),
            "{cure:?}"
        );
    }
    assert_eq!(kept_files(dir.path()), [1, 2, 3]);
}
