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
