use bitcoin::Amount;
use bitcoin::hashes::Hash;

use super::*;
use crate::chain::{Chain, ChainOptions};
use crate::fixtures::{GENESIS, TestChain};

fn open(dir: &std::path::Path, params: &Params) -> TxIndex {
    TxIndex::open(&DirectoryLock::acquire(dir).unwrap(), params).unwrap()
}

/// Follows the chain to its committed tip, and tells how many blocks were connected.
fn follow(index: &TxIndex, chain: &Chain) -> usize {
    let mut connected = 0;
    loop {
        match next_step(chain, &index.blocks().unwrap(), 2) {
            IndexStep::Connect(infos) => {
                let bodies: Vec<_> = infos
                    .iter()
                    .map(|info| chain.block(&info.hash).unwrap().unwrap())
                    .collect();
                let last = infos.last().unwrap().id;
                index.connect(&bodies, &chain.tree().locator(last)).unwrap();
                connected += infos.len();
            }
            IndexStep::Rewind(to) => index.connect(&[], &chain.tree().locator(to.id)).unwrap(),
            IndexStep::Done => return connected,
            IndexStep::Wait => panic!("every body is here"),
        }
    }
}

fn best(index: &TxIndex) -> Option<BlockHash> {
    index.blocks().unwrap().first().copied()
}

#[test]
fn an_index_follows_a_reorg_and_survives_being_closed() {
    //   G - a1 - a2        <- alice pays in a2
    //     \ b1 - b2 - b3   <- the same payment is in b1
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::new();
    let index = open(dir.path(), net.chain().params());
    let [alice, bob] = TestChain::rich_keys();
    let both = net.pay(&alice, &bob, Amount::ONE_BTC);
    let lost = net.pay(&bob, &alice, Amount::ONE_BTC);
    net.mine("a1").including(&both).including(&lost).mine("a2");
    net.chain_mut().flush().unwrap();
    follow(&index, net.chain());
    let place = |index: &TxIndex, tx: &bitcoin::Transaction| {
        let found = index.find(&tx.compute_txid()).unwrap();
        found.map(|place| (place.block, place.index))
    };
    assert_eq!(place(&index, &both), Some((net.hash("a2"), 1)));
    assert_eq!(place(&index, &lost), Some((net.hash("a2"), 2)));
    let rich = &net.chain().params().genesis.txdata[1];
    assert_eq!(place(&index, rich), Some((net.hash(GENESIS), 1)));

    drop(index);
    net.fork_at(GENESIS).including(&both).mine("b1");
    net.mine("b2").mine("b3");
    net.chain_mut().flush().unwrap();
    assert_eq!(net.tip(), "b3");
    let index = open(dir.path(), net.chain().params());
    assert_eq!(best(&index), Some(net.hash("a2")));
    assert_eq!(follow(&index, net.chain()), 3);
    assert_eq!(best(&index), Some(net.hash("b3")));
    assert_eq!(place(&index, &both), Some((net.hash("b1"), 1)));
    // It was in that block, and is nowhere now.
    assert_eq!(place(&index, &lost), Some((net.hash("a2"), 2)));
}

#[test]
fn an_index_is_never_ahead_of_what_is_committed_and_goes_on_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (data, crashed) = (dir.path().join("data"), dir.path().join("crashed"));
    let options = ChainOptions {
        cache_bytes: 4 << 20,
    };
    let chain = Chain::open(&data, TestChain::params(), options).unwrap();
    let mut net = TestChain::on(chain);
    let index_dir = dir.path().join("index");
    let index = open(&index_dir, net.chain().params());
    net.mine_many("a", 10);
    net.chain_mut().flush().unwrap();
    assert_eq!(follow(&index, net.chain()), 11);
    let committed = net.chain().tip().hash;
    net.mine_many("later", 5);
    assert_eq!(follow(&index, net.chain()), 0);
    assert_eq!(best(&index), Some(committed));
    // Nor while the chain in memory is on another branch.
    net.fork_at("a5").mine_many("b", 12);
    assert_ne!(net.chain().tip().hash, committed);
    assert_eq!(follow(&index, net.chain()), 0);

    // The crash: what was not committed is gone, and the index fits what is left.
    std::fs::create_dir(&crashed).unwrap();
    let name = crate::store::FILE_NAME;
    std::fs::copy(data.join(name), crashed.join(name)).unwrap();
    let chain = Chain::open(&crashed, TestChain::params(), options).unwrap();
    assert_eq!(chain.tip().hash, committed);
    assert_eq!(follow(&index, &chain), 0);

    net.chain_mut().flush().unwrap();
    assert_eq!(follow(&index, net.chain()), 12);
    assert_eq!(best(&index), Some(net.chain().tip().hash));
    // The chain is replaced by an older one, of before the fork: it goes back, and does not start over.
    let connected = follow(&index, &chain);
    assert!((5..10).contains(&connected), "{connected}");
    assert_eq!(best(&index), Some(committed));
}

#[test]
fn what_is_no_index_of_this_network_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::new();
    net.mine("a1");
    net.chain_mut().flush().unwrap();
    std::fs::write(dir.path().join(FILE_NAME), b"not a database").unwrap();
    let index = open(dir.path(), net.chain().params());
    assert_eq!(follow(&index, net.chain()), 2);
    drop(index);
    let other = crate::fixtures::test_params();
    let index = open(dir.path(), &other);
    assert_eq!(best(&index), None);
    // Of this network, but of blocks that are not here any more.
    index
        .connect(&[], &[BlockHash::from_byte_array([7; 32])])
        .unwrap();
    let mut chain = Chain::in_memory(other);
    chain.flush().unwrap();
    assert_eq!(follow(&index, &chain), 1);
    assert_eq!(best(&index), Some(chain.tip().hash));
}

/// Flips bits and cuts the file at offsets all over it: opening, looking up and following never panic, never give a wrong place, and
/// after the cure all is there again.
#[test]
fn damage_anywhere_is_noticed_and_cured_by_making_the_index_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = TestChain::new();
    let [alice, bob] = TestChain::rich_keys();
    let mut places = Vec::new();
    for n in 0..12 {
        let pay = net.pay(&alice, &bob, Amount::from_sat(10_000));
        let name = format!("a{n}");
        net.including(&pay).mine(&name);
        places.push((pay.compute_txid(), net.hash(&name)));
    }
    net.chain_mut().flush().unwrap();
    let whole = dir.path().join("whole");
    let index = open(&whole, net.chain().params());
    follow(&index, net.chain());
    drop(index);
    let bytes = std::fs::read(whole.join(FILE_NAME)).unwrap();
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    // Where ids lie: keys and rows.
    let spots: Vec<usize> = (0..used)
        .filter(|&at| {
            let here = &bytes[at..bytes.len().min(at + 32)];
            places.iter().any(|(txid, _)| here == txid.as_byte_array())
        })
        .collect();
    let (mut at_open, mut later, mut checked) = (0, 0, 0);
    for round in 0..160 {
        let mut hurt = bytes.clone();
        // SplitMix64, so that each run does the same.
        let mut dice = (round as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        dice = (dice ^ (dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        dice ^= dice >> 27;
        let offset = (dice % used as u64) as usize;
        match round % 4 {
            0 => hurt.truncate(offset),
            1 => {
                let page = offset / 4096 * 4096;
                hurt[page..page + 4096].fill(0xa5);
            }
            2 => hurt[offset] ^= 1 << (dice >> 61),
            _ => {
                let spot = spots[offset % spots.len()];
                let near = (spot + (dice >> 32) as usize % 2048).min(used);
                hurt[near] ^= 1 << (dice >> 61);
            }
        }
        let sick = dir.path().join(format!("sick{round}"));
        std::fs::create_dir(&sick).unwrap();
        std::fs::write(sick.join(FILE_NAME), hurt).unwrap();
        let index = open(&sick, net.chain().params());
        if !index.blocks().is_ok_and(|blocks| !blocks.is_empty()) {
            at_open += 1;
        }
        for (txid, block) in &places {
            match index.find(txid) {
                Ok(None) => {}
                Ok(Some(place)) => assert_eq!((place.block, place.index), (*block, 1)),
                Err(error) => {
                    assert_eq!(error.cause, StoreFault::Damage, "{error}");
                    later += 1;
                    index.renew(&error).unwrap();
                }
            }
        }
        let failures = [index.blocks().err(), index.check().err()];
        for error in failures.iter().flatten() {
            checked += 1;
            index.renew(error).unwrap();
        }
        follow(&index, net.chain());
        for (txid, block) in &places {
            assert_eq!(index.find(txid).unwrap().unwrap().block, *block);
        }
    }
    assert!(
        at_open > 0 && later > 0 && checked > 0,
        "{at_open} at opening, {later} by looking up, {checked} by reading all"
    );
}
