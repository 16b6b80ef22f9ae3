//! Snapshots of coins: a fresh chain starts from one, and whatever is wrong with one changes nothing.

use std::sync::Arc;

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{Amount, BlockHash};
use chain::backup::{backup, restore};
use chain::coins::{CoinSetStats, SetHash};
use chain::export::{ExportError, export};
use chain::fixtures::{GENESIS, Key, TEST_GENESIS_TIME, TestChain, params_of, test_params};
use chain::genesis::GenesisSpec;
use chain::repair::{RebuildError, rebuild_coins};
use chain::rules::spend::SignatureCache;
use chain::snapshot::{
    Snapshot, SnapshotError, SnapshotInfo, Trusted, dump, dump_to_file, load, read,
};
use chain::store::DirectoryLock;
use chain::store::MemoryDisk;
use chain::verify::{VerifyLevel, verify};
use chain::{AcceptError, Chain, Height, InvalidateError, Params, Timestamp};

use crate::faulty_disk::{FaultyDisk, Plan, Remains};
use crate::story::{NOW, SMALL, activate};

/// Where the parts of a file begin, in bytes: magic, version, digest and height come first.
const HEADERS_AT: usize = 8 + 4 + 32 + 4;
const BLOCKS: usize = 8;

/// A chain with payments, and a snapshot of it.
struct Scene {
    net: TestChain,
    file: Vec<u8>,
    info: SnapshotInfo,
}

fn scene() -> Scene {
    let mut net = TestChain::new();
    let (alice, bob) = (Key::p2tr("alice"), Key::p2wpkh("bob"));
    for n in 1..=BLOCKS {
        let pay = net.pay(&alice, &bob, Amount::ONE_BTC);
        net.including(&pay).mine(&format!("a{n}"));
    }
    let mut file = Vec::new();
    let info = dump(net.chain(), &mut file).unwrap();
    Scene { net, file, info }
}

impl Scene {
    fn trusted(&self) -> Trusted {
        Trusted {
            coins: self.info.stats.serialized.unwrap(),
            base: Some(self.info.base.hash),
        }
    }

    fn read(&self) -> Snapshot {
        self.read_bytes(&self.file).unwrap()
    }

    fn read_bytes(&self, mut bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
        let params = Arc::new(TestChain::params());
        read(&mut bytes, &params, &self.trusted(), NOW)
    }

    /// A fresh chain that took the snapshot.
    fn loaded(&self) -> Chain {
        let mut chain = Chain::in_memory(TestChain::params());
        load(&mut chain, self.read()).unwrap();
        chain
    }

    /// Hands blocks to a chain by their names.
    fn give(&self, chain: &mut Chain, names: &[&str]) {
        for name in names {
            let block = self.net.block(name).clone();
            chain.accept_block(block, NOW).unwrap();
            activate(chain).unwrap();
        }
    }
}

fn coins(chain: &Chain) -> CoinSetStats {
    chain.coin_set_stats(true).unwrap()
}

#[test]
fn a_fresh_chain_starts_from_a_snapshot_and_goes_on() {
    let mut scene = scene();
    let mut chain = Chain::in_memory(TestChain::params());
    let snapshot = scene.read();
    assert_eq!(snapshot.info(), &scene.info);
    let reorg = load(&mut chain, snapshot).unwrap();
    assert_eq!(reorg.fork.hash, scene.net.hash(GENESIS));
    assert_eq!(
        (reorg.disconnected.len(), reorg.connected.len()),
        (0, BLOCKS)
    );
    assert_eq!(chain.tip(), scene.net.chain().tip());
    assert_eq!(coins(&chain), coins(scene.net.chain()));
    assert_eq!(chain.snapshot_base(), Some(scene.info.base));
    assert!(chain.missing_bodies(10).is_empty(), "nothing is fetched");
    assert!(chain.damaged().is_empty(), "nothing is lost");
    assert_eq!(chain.unflushed_bytes(), 0, "it is on disk");

    // Reorganisations above it included.
    let net = &mut scene.net;
    net.mine("b9").mine("b10");
    net.fork_at("a8").mine("c9").mine("c10").mine("c11");
    scene.give(&mut chain, &["b9", "b10", "c9", "c10", "c11"]);
    assert_eq!(chain.tip(), scene.net.chain().tip());
    assert_eq!(coins(&chain), coins(scene.net.chain()));
    let report = verify(&chain, VerifyLevel::Reconnect, 0, &mut |_, _| {}).unwrap();
    assert_eq!((report.blocks, report.problems), (3, vec![]));
}

#[test]
fn nothing_below_a_snapshot_is_here_and_a_body_may_be_fetched() {
    let scene = scene();
    let mut chain = scene.loaded();
    let a5 = scene.net.block("a5").clone();
    assert!(chain.is_below_snapshot(&a5.block_hash()));
    assert!(chain.is_below_snapshot(&scene.info.base.hash));
    assert!(!chain.is_below_snapshot(&scene.net.hash(GENESIS)));
    assert!(chain.block(&a5.block_hash()).unwrap().is_none());
    assert!(chain.undo(&a5.block_hash()).unwrap().is_none());
    let exported = export(&chain, &mut Vec::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(exported, ExportError::BelowSnapshot { base } if base == Height(8)));
    // As getblockfrompeer does.
    chain.restore_body(a5.clone()).unwrap();
    let found = chain.block(&a5.block_hash()).unwrap().unwrap();
    assert_eq!(*found.block(), a5);
}

#[test]
fn a_chain_is_not_taken_back_below_its_snapshot() {
    let mut scene = scene();
    let mut chain = scene.loaded();
    scene.net.fork_at("a3").mine_many("d", 7);
    for n in 1..=7 {
        scene.give(&mut chain, &[&format!("d{n}")]);
    }
    assert_eq!(scene.net.tip(), "d7", "it has more work");
    assert_eq!(chain.tip().hash, scene.info.base.hash);
    for name in ["a8", "a2"] {
        let refusal = chain.invalidate(&scene.net.hash(name)).unwrap_err();
        assert!(
            matches!(refusal, InvalidateError::BelowSnapshot { base } if base == Height(8)),
            "{refusal}"
        );
    }
    assert_eq!(chain.tip().hash, scene.info.base.hash);
    assert_eq!(coins(&chain), scene.info.stats);
}

#[test]
fn a_chain_remembers_its_snapshot_and_is_copied_with_it() {
    let mut scene = scene();
    let dir = tempfile::tempdir().unwrap();
    let open = || Chain::open(&dir.path().join("data"), TestChain::params(), SMALL).unwrap();
    let mut chain = open();
    load(&mut chain, scene.read()).unwrap();
    drop(chain);
    scene.net.mine("a9");
    let mut chain = open();
    assert_eq!(chain.snapshot_base(), Some(scene.info.base));
    assert!(chain.damaged().is_empty());
    scene.give(&mut chain, &["a9"]);
    backup(&mut chain, &dir.path().join("copy")).unwrap();
    drop(chain);
    let chain = open();
    assert_eq!(chain.tip().hash, scene.net.hash("a9"));
    assert_eq!(chain.snapshot_base(), Some(scene.info.base));
    let copied = dir.path().join("copied");
    let (copy, _) = restore(
        &dir.path().join("copy"),
        DirectoryLock::acquire(&copied).unwrap(),
        TestChain::params(),
        SMALL,
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(copy.snapshot_base(), Some(scene.info.base));
    // And a snapshot of it is one of the whole chain.
    let (mut one, mut other) = (Vec::new(), Vec::new());
    dump(&copy, &mut one).unwrap();
    dump(scene.net.chain(), &mut other).unwrap();
    assert!(one == other);
}

#[test]
fn coins_made_anew_from_blocks_free_a_chain_from_its_snapshot() {
    let scene = scene();
    let mut chain = scene.loaded();
    let refused = rebuild_coins(&mut chain, &mut |_| {}).unwrap_err();
    assert!(matches!(
        refused,
        RebuildError::BelowSnapshot { base: Height(8) }
    ));
    assert_eq!(chain.tip().height, Height(8), "as it was");
    for n in 1..=BLOCKS {
        let block = scene.net.block(&format!("a{n}")).clone();
        chain.restore_body(block).unwrap();
    }
    let report = rebuild_coins(&mut chain, &mut |_| {}).unwrap();
    assert_eq!((report.before, report.after), (Height(8), Height(8)));
    assert_eq!(chain.snapshot_base(), None);
    assert_eq!(chain.tip(), scene.net.chain().tip());
    assert_eq!(coins(&chain), scene.info.stats);
    assert!(chain.can_go_back_to(Height(0)));
}

#[test]
fn a_snapshot_overtakes_a_sync_that_has_begun() {
    let mut scene = scene();
    // On the same chain.
    let mut chain = Chain::in_memory(TestChain::params());
    scene.give(&mut chain, &["a1", "a2", "a3"]);
    let reorg = load(&mut chain, scene.read()).unwrap();
    assert_eq!((reorg.disconnected.len(), reorg.connected.len()), (0, 5));
    assert_eq!(coins(&chain), scene.info.stats);
    assert!(chain.block(&scene.net.hash("a2")).unwrap().is_some());
    assert!(
        !chain.is_below_snapshot(&scene.net.hash("a2")),
        "it is here"
    );
    // On a fork with less work, with blocks above that wait for those that are left out.
    scene.net.mine("a9");
    scene.net.fork_at(GENESIS).mine("f1").mine("f2");
    let mut chain = Chain::in_memory(TestChain::params());
    scene.give(&mut chain, &["f1", "f2"]);
    for n in 1..=9 {
        let header = scene.net.block(&format!("a{n}")).header;
        chain.accept_header(&header, NOW).unwrap();
    }
    scene.give(&mut chain, &["a9"]);
    let reorg = load(&mut chain, scene.read()).unwrap();
    assert_eq!((reorg.disconnected.len(), reorg.connected.len()), (2, 8));
    activate(&mut chain).unwrap();
    assert_eq!(chain.tip().hash, scene.net.hash("a9"));
    assert!(chain.block(&scene.net.hash("f2")).unwrap().is_some());
}

#[test]
fn a_damaged_file_is_refused_whatever_is_wrong_with_it() {
    let scene = scene();
    for place in (0..scene.file.len()).step_by(3) {
        let mut wrong = scene.file.clone();
        wrong[place] ^= 1;
        assert!(scene.read_bytes(&wrong).is_err(), "flipped at {place}");
    }
    for length in (0..scene.file.len()).step_by(7) {
        let cut = scene.read_bytes(&scene.file[..length]);
        assert!(matches!(cut, Err(SnapshotError::Io(_))), "cut at {length}");
    }
    let longer = [&scene.file[..], &[0]].concat();
    let refused = scene.read_bytes(&longer).unwrap_err();
    assert!(matches!(refused, SnapshotError::Malformed(_)), "{refused}");
}

#[test]
fn a_snapshot_of_another_network_version_or_kind_is_refused_by_name() {
    let scene = scene();
    let other = Arc::new(test_params());
    let foreign = read(&mut scene.file.as_slice(), &other, &scene.trusted(), NOW);
    assert!(matches!(foreign, Err(SnapshotError::OtherNetwork)));
    let mut newer = scene.file.clone();
    newer[8] = 2;
    let newer = scene.read_bytes(&newer);
    assert!(matches!(
        newer,
        Err(SnapshotError::OtherVersion { found: 2, known: 1 })
    ));
    let blocks = scene.read_bytes(&serialize(scene.net.block("a1")));
    assert!(matches!(blocks, Err(SnapshotError::Malformed(_))));
}

#[test]
fn only_the_trusted_coins_of_the_trusted_block_are_taken() {
    let scene = scene();
    let params = Arc::new(TestChain::params());
    let with = |trusted: Trusted| read(&mut scene.file.as_slice(), &params, &trusted, NOW);
    let coins = SetHash([1; 32]);
    let refused = with(Trusted {
        coins,
        ..scene.trusted()
    });
    assert!(matches!(refused, Err(SnapshotError::WrongHash { expected, .. }) if expected == coins));
    let base = Some(BlockHash::from_byte_array([1; 32]));
    let refused = with(Trusted {
        base,
        ..scene.trusted()
    });
    assert!(matches!(refused, Err(SnapshotError::WrongBase { .. })));
    with(Trusted {
        base: None,
        ..scene.trusted()
    })
    .unwrap();
    // The hash is what people are shown.
    let shown = scene.trusted().coins.to_string();
    assert_eq!(shown.parse(), Ok(scene.trusted().coins));
    assert!("12".parse::<SetHash>().is_err());
}

#[test]
fn headers_that_break_a_rule_are_refused() {
    let scene = scene();
    // The third header is not linked to the second.
    let mut unlinked = scene.file.clone();
    unlinked[HEADERS_AT + 2 * 80 + 5] ^= 1;
    let refused = scene.read_bytes(&unlinked).unwrap_err();
    assert!(
        matches!(refused, SnapshotError::BadHeader { height, .. } if height == Height(3)),
        "{refused}"
    );
    // The last one lies ahead of the clock.
    let time = scene.net.chain().tip().time.0;
    let early = Timestamp(time - scene.net.chain().params().max_future_s - 1);
    let params = Arc::new(TestChain::params());
    let refused = read(&mut scene.file.as_slice(), &params, &scene.trusted(), early);
    assert!(matches!(
        refused,
        Err(SnapshotError::BadHeader {
            height: Height(8),
            error: AcceptError::Rule(_)
        })
    ));
    // A header twice, and none of the last.
    let mut twice = scene.file.clone();
    twice.copy_within(HEADERS_AT..HEADERS_AT + 80, HEADERS_AT + 80);
    assert!(scene.read_bytes(&twice).is_err());
}

/// The scene's file with other coins. Their hash is wrong then, which is looked at last.
fn forged(scene: &Scene, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let coins_at = HEADERS_AT + BLOCKS * 80 + 8;
    let mut coin_section = scene.file[coins_at..scene.file.len() - 32].to_vec();
    change(&mut coin_section);
    let mut file = scene.file[..coins_at].to_vec();
    file.extend(coin_section);
    file.extend([0; 32]);
    file
}

#[test]
fn coins_that_no_chain_can_have_made_are_refused() {
    let scene = scene();
    let reason = |file: &[u8]| match scene.read_bytes(file) {
        Err(SnapshotError::Malformed(reason)) => reason,
        other => panic!("{other:?}"),
    };
    // A coin: key in 36 bytes, length in two, then 2 * height + coinbase in one byte, then the amount.
    let young = forged(&scene, |coins| coins[38] = 9 << 1);
    assert_eq!(reason(&young), "a coin is younger than its block");
    let rich = forged(&scene, |coins| {
        let amount_bytes = coins[39..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let much = [0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
        coins[36] += (much.len() - amount_bytes) as u8;
        coins.splice(39..39 + amount_bytes, much);
    });
    assert_eq!(
        reason(&rich),
        "its coins are more than its blocks can have made"
    );
    let unordered = forged(&scene, |coins| coins[0] = 0xff);
    assert_eq!(reason(&unordered), "its coins are out of order");
}

#[test]
fn a_snapshot_that_does_not_fit_the_chain_changes_nothing() {
    let mut scene = scene();
    let refuse = |chain: &mut Chain, snapshot: Snapshot| {
        let before = (chain.tip(), coins(chain), chain.tree().len());
        let refusal = load(chain, snapshot).unwrap_err();
        assert_eq!((chain.tip(), coins(chain), chain.tree().len()), before);
        refusal
    };
    // Loaded twice.
    let mut chain = scene.loaded();
    let twice = refuse(&mut chain, scene.read());
    assert!(matches!(
        twice,
        SnapshotError::LoadedBefore { base: Height(8) }
    ));

    // No gain: the chain is there already, or at as much work elsewhere.
    let snapshot = scene.read();
    let refusal = refuse(scene.net.chain_mut(), snapshot);
    assert!(
        matches!(refusal, SnapshotError::NotAhead { .. }),
        "{refusal}"
    );
    scene.net.fork_at(GENESIS).mine_many("e", 8);
    let mut level = Chain::in_memory(TestChain::params());
    for n in 1..=8 {
        scene.give(&mut level, &[&format!("e{n}")]);
    }
    let refusal = refuse(&mut level, scene.read());
    assert!(
        matches!(refusal, SnapshotError::NotAhead { .. }),
        "{refusal}"
    );

    // Headers with more work lead elsewhere; with as much work they do not matter, nor when they lead on.
    let mut led = Chain::in_memory(TestChain::params());
    for n in 1..=8 {
        let header = scene.net.block(&format!("e{n}")).header;
        led.accept_header(&header, NOW).unwrap();
    }
    scene.net.fork_at("e8").mine("e9");
    led.accept_header(&scene.net.block("e9").header, NOW)
        .unwrap();
    let refusal = refuse(&mut led, scene.read());
    assert!(
        matches!(refusal, SnapshotError::NotOnBestChain),
        "{refusal}"
    );

    // A block below is known to be invalid.
    let mut judged = Chain::in_memory(TestChain::params());
    for n in 1..=4 {
        let header = scene.net.block(&format!("a{n}")).header;
        judged.accept_header(&header, NOW).unwrap();
    }
    let a3 = scene.net.hash("a3");
    judged.invalidate(&a3).unwrap();
    let refusal = refuse(&mut judged, scene.read());
    assert!(
        matches!(refusal, SnapshotError::InvalidBase { hash } if hash == a3),
        "{refusal}"
    );
}

#[test]
fn a_crash_while_a_snapshot_is_loaded_leaves_the_old_coins_or_the_new() {
    let scene = scene();
    let start = MemoryDisk::new();
    let old = {
        let mut chain = Chain::open_backend(start.clone(), TestChain::params(), SMALL).unwrap();
        scene.give(&mut chain, &["a1"]);
        chain.flush().unwrap();
        (chain.tip().hash, coins(&chain))
    };
    let new = (scene.info.base.hash, scene.info.stats.clone());
    let (mut crashes, mut stayed, mut moved) = (0, 0, 0);
    for k in 1.. {
        let disk = FaultyDisk::new(start.copy(), Plan::crash(k));
        if let Ok(mut chain) = Chain::open_backend(disk.clone(), TestChain::params(), SMALL) {
            let loaded = load(&mut chain, scene.read());
            crashes += u32::from(loaded.is_err());
        }
        if !disk.has_fired() {
            break;
        }
        for remains in [Remains::All, Remains::Synced, Remains::Torn(k)] {
            let what = format!("{remains:?} at {k}");
            let mut chain = Chain::open_backend(disk.remains(remains), TestChain::params(), SMALL)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            let found = (chain.tip().hash, coins(&chain));
            if found == old {
                stayed += 1;
                load(&mut chain, scene.read()).unwrap_or_else(|error| panic!("{what}: {error}"));
            } else {
                assert!(found == new, "{what}: {found:?}");
                moved += 1;
            }
            activate(&mut chain).unwrap();
            assert_eq!((chain.tip().hash, coins(&chain)), new, "{what}");
            assert_eq!(chain.snapshot_base(), Some(scene.info.base), "{what}");
        }
    }
    assert!(crashes > 3, "loading itself was hit: {crashes}");
    assert!(stayed > 0 && moved > 0, "{stayed} stayed, {moved} moved");
}

#[test]
fn blocks_that_spend_the_coins_of_a_snapshot_are_checked_in_full() {
    let mut scene = scene();
    let mut chain = scene.loaded();
    let mut pay = scene
        .net
        .pay(&Key::p2tr("alice"), &Key::p2tr("carol"), Amount::ONE_BTC);
    let good = pay.clone();
    let mut signature = pay.input[0].witness[0].to_vec();
    signature[7] ^= 1;
    pay.input[0].witness = bitcoin::Witness::from_slice(&[signature]);
    let bad = scene.net.including(&pay).build("bad").mine();
    chain.accept_block(bad, NOW).unwrap();
    let mut failed = Vec::new();
    chain
        .activate_best(&SignatureCache::default(), &mut failed)
        .unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(chain.tip().hash, scene.info.base.hash);
    scene.net.including(&good).mine("good");
    scene.give(&mut chain, &["good"]);
    assert_eq!(chain.tip().hash, scene.net.hash("good"));
    assert_eq!(coins(&chain), coins(scene.net.chain()));
}

#[test]
fn a_snapshot_of_genesis_is_no_gain() {
    let params: Arc<Params> = Arc::new(TestChain::params());
    let mut chain = Chain::in_memory(Arc::clone(&params));
    let mut file = Vec::new();
    let info = dump(&chain, &mut file).unwrap();
    let coins = info.stats.serialized.unwrap();
    let trusted = Trusted { coins, base: None };
    let snapshot = read(&mut file.as_slice(), &params, &trusted, NOW).unwrap();
    let refusal = load(&mut chain, snapshot).unwrap_err();
    assert!(
        matches!(refusal, SnapshotError::NotAhead { .. }),
        "{refusal}"
    );
}

#[test]
fn two_dumps_at_once_both_load_and_others_files_are_left_alone() {
    let mut scene = scene();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let others = ["snap.incomplete", "snap.part", "snap.a.part"];
    for name in others {
        std::fs::write(path(name), name).unwrap();
    }
    let frozen = scene.net.chain_mut().frozen().unwrap();
    let names = ["snap.a", "snap.b", "snap.a"];
    let together = std::sync::Barrier::new(names.len());
    let results: Vec<_> = std::thread::scope(|scope| {
        let dumps = names.map(|name| {
            let (frozen, together, path) = (&frozen, &together, path(name));
            scope.spawn(move || {
                together.wait();
                dump_to_file(frozen, &path)
            })
        });
        dumps.map(|dump| dump.join().unwrap()).into()
    });
    assert!(results[1].is_ok());
    // Two of one name: at least one is told as written, and what is there is whole.
    assert!(results[0].is_ok() || results[2].is_ok());
    assert!(results[0].is_err() || results[2].is_err());
    for name in ["snap.a", "snap.b"] {
        let bytes = std::fs::read(path(name)).unwrap();
        assert_eq!(bytes, scene.file);
        assert_eq!(scene.read_bytes(&bytes).unwrap().info(), &scene.info);
    }
    for name in others {
        assert_eq!(std::fs::read_to_string(path(name)).unwrap(), name);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 5);
}

#[test]
fn a_network_that_never_halves_makes_more_than_bitcoin_and_its_snapshots_load() {
    let mut spec = GenesisSpec::trivial("endless", TEST_GENESIS_TIME);
    spec.subsidy.halving_interval = 0;
    let owner = Key::p2wpkh("owner").address();
    let params = Arc::new(params_of(&spec.allocate(&owner, Amount::MAX_MONEY)));
    let mut net = TestChain::on(Chain::in_memory(Arc::clone(&params)));
    net.mine_many("a", 3);
    let supply = params.supply_at(Height(3));
    assert!(supply > Amount::MAX_MONEY);
    let mut file = Vec::new();
    let info = dump(net.chain(), &mut file).unwrap();
    assert_eq!(info.stats.total, supply);
    let trusted = Trusted {
        coins: info.stats.serialized.unwrap(),
        base: None,
    };
    let snapshot = read(&mut file.as_slice(), &params, &trusted, Timestamp(u32::MAX)).unwrap();
    let mut fresh = Chain::in_memory(params);
    load(&mut fresh, snapshot).unwrap();
    assert_eq!(fresh.coin_set_stats(true).unwrap(), info.stats);
}
