//! Stored bodies that no longer match their hash are found, not served, and replaced.

use std::fs;
use std::path::Path;

use bitcoin::Amount;
use bitcoin::consensus::serialize;
use chain::fixtures::{GENESIS, Key, TestChain, damage_copies};
use chain::store::FILE_NAME;
use chain::{Acceptance, Chain, ChainOptions, Height};

const SMALL: ChainOptions = ChainOptions {
    cache_bytes: 4 << 20,
};

fn open(dir: &Path) -> Chain {
    Chain::open(dir, TestChain::params(), SMALL).unwrap()
}

/// Flips a bit of every copy of `bytes` in the database file.
fn damage(dir: &Path, bytes: &[u8]) {
    let path = dir.join(FILE_NAME);
    let mut file = fs::read(&path).unwrap();
    damage_copies(&mut file, bytes);
    fs::write(&path, file).unwrap();
}

#[test]
fn a_damaged_body_is_found_quarantined_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::on(open(dir.path()));
    let pay = net.pay(&Key::p2tr("alice"), &Key::p2tr("carol"), Amount::ONE_BTC);
    net.mine("a1").including(&pay).mine("a2").mine("a3");
    net.chain_mut().flush().unwrap();
    let a2 = net.block("a2").clone();
    let hash = a2.block_hash();
    let stats = net.chain().coin_set_stats(true).unwrap();
    drop(net);
    damage(dir.path(), &serialize(&a2));

    let mut chain = open(dir.path());
    assert!(chain.damaged().is_empty());
    assert!(chain.block(&hash).unwrap().is_none(), "never served");
    assert_eq!(chain.damaged(), [hash]);
    chain.flush().unwrap();
    assert!(!chain.tree().get(&hash).unwrap().status.has_body);
    assert_eq!(chain.tip().height, Height(3), "its coins are in place");
    drop(chain);

    // Remembered, and the chain goes on meanwhile.
    let mut net = TestChain::on(open(dir.path()));
    assert_eq!(net.chain().damaged(), [hash], "still to be fetched");
    assert!(net.chain().block(&hash).unwrap().is_none());
    net.mine("a4");
    // A longer fork below the damage cannot be taken until the body is back.
    let mut other = TestChain::new();
    other.mine_many("b", 6);
    for n in 1..=6 {
        let name = format!("b{n}");
        net.submit(&name, other.block(&name).clone());
    }
    assert_eq!(net.tip(), "a4");
    let mut wrong = a2.clone();
    wrong.txdata.pop();
    assert!(net.chain_mut().restore_body(wrong).is_err());
    assert_eq!(
        net.chain_mut().restore_body(a2.clone()).unwrap(),
        Acceptance::Stored
    );
    net.activate();
    assert_eq!(net.tip(), "b6");
    net.chain_mut().flush().unwrap();
    assert!(net.chain().damaged().is_empty());
    assert_eq!(*net.chain().block(&hash).unwrap().unwrap().block(), a2);
    net.invalidate("b1");
    net.invalidate("a4");
    assert_eq!(net.chain().coin_set_stats(true).unwrap(), stats);
}

#[test]
fn a_damaged_body_off_the_active_chain_waits_for_its_replacement() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::on(open(dir.path()));
    net.mine("a1")
        .mine("a2")
        .fork_at(GENESIS)
        .mine("b1")
        .mine("b2");
    net.chain_mut().flush().unwrap();
    let (b1, b2) = (net.block("b1").clone(), net.hash("b2"));
    let (header, b3) = {
        let b3 = net.build("b3").mine();
        (b3.header, b3)
    };
    drop(net);
    damage(dir.path(), &serialize(&b1));

    let mut net = TestChain::on(open(dir.path()));
    assert_eq!(header.prev_blockhash, b2);
    net.submit("b3", b3);
    assert_eq!(
        net.chain().tip().height,
        Height(2),
        "b1 cannot be connected"
    );
    assert_eq!(net.chain().damaged(), [b1.block_hash()]);
    let missing: Vec<_> = net
        .chain()
        .missing_bodies(10)
        .iter()
        .map(|info| info.hash)
        .collect();
    assert_eq!(missing, [b1.block_hash()]);
    net.chain_mut().restore_body(b1).unwrap();
    net.activate();
    assert_eq!(net.tip(), "b3");
}
