//! A core whose disk forgets: damaged blocks are not served, fetched again from a peer, and replaced.

use std::time::Duration;

use bitcoin::consensus::serialize;
use bitcoin::{Block, BlockHash};
use chain::fixtures::{TestChain, damage_disk};
use chain::rules::spend::SignatureCache;
use chain::store::{Extent, MemoryDisk, Place, Table};
use chain::{Chain, ChainOptions, Damage, Height, StoreFault, Timestamp};
use node_core::events::NodeEvent;
use node_core::{CoreOptions, Input, NodeCore, Now, Output, SubmitError};
use p2p::Mono;

use crate::support::{Net, START};

const BLOCKS: usize = 8;
const A_WHILE: Duration = Duration::from_secs(5);

fn open(disk: &MemoryDisk) -> Chain {
    let options = ChainOptions {
        cache_bytes: 1 << 20,
    };
    Chain::open_backend(disk.clone(), TestChain::params(), options).expect("it opens")
}

fn core_on(disk: &MemoryDisk) -> NodeCore {
    let options = CoreOptions {
        seed: 2,
        ..CoreOptions::default()
    };
    NodeCore::new(open(disk), options)
}

/// Three cores that nobody has connected yet. The first has mined some blocks, the second has the same ones on a disk that
/// forgot the block at `forgotten`, the third has nothing.
struct Scene {
    net: Net,
    disk: MemoryDisk,
    lost: Block,
}

fn scene(forgotten: u32) -> Scene {
    let mut net = Net::new(3);
    for _ in 0..BLOCKS {
        net.mine(0);
    }
    let disk = MemoryDisk::new();
    let mut copy = open(&disk);
    let source = net.cores[0].chain();
    let block_at = |height: u32| {
        let hash = source.at_height(Height(height)).expect("mined").hash;
        let body = source.block(&hash).expect("in memory").expect("mined");
        body.block().clone()
    };
    for height in 1..=BLOCKS as u32 {
        let now = START.saturating_add_secs(7_000);
        copy.accept_block(block_at(height), now).expect("good");
    }
    copy.activate_best(&SignatureCache::default(), &mut Vec::new())
        .expect("in memory");
    copy.flush().expect("in memory");
    drop(copy);
    let lost = block_at(forgotten);
    damage_disk(&disk, &serialize(&lost));
    net.cores[1] = core_on(&disk);
    Scene { net, disk, lost }
}

/// Reads a block as a call from outside does: a tick follows when that found damage.
fn is_served(net: &mut Net, hash: &BlockHash) -> bool {
    let chain = net.cores[1].chain();
    let served = chain.block(hash).expect("in memory").is_some();
    if chain.has_new_damage() {
        net.act(1, |core, now, out| core.handle(now, Input::Tick, out));
    }
    served
}

/// What the second core told of damage.
fn told(net: &Net) -> Vec<(&'static str, BlockHash)> {
    let told = |event: &NodeEvent| match event {
        NodeEvent::BlockDamaged { hash, .. } => Some(("damaged", *hash)),
        NodeEvent::BlockRestored { hash, .. } => Some(("restored", *hash)),
        _ => None,
    };
    net.events[1].iter().filter_map(told).collect()
}

#[test]
fn a_block_that_is_found_damaged_when_it_is_read_comes_back_from_a_peer() {
    let Scene {
        mut net,
        disk,
        lost,
    } = scene(3);
    let hash = lost.block_hash();
    net.connect(1, 0);
    net.run(A_WHILE);
    assert_eq!(told(&net), [], "nobody has looked yet");
    assert!(!is_served(&mut net, &hash));
    net.run_until(A_WHILE, |net| told(net).len() == 2);
    assert_eq!(told(&net), [("damaged", hash), ("restored", hash)]);
    let body = net.cores[1].chain().block(&hash).expect("in memory");
    assert_eq!(*body.expect("it came back").block(), lost);

    // Also on disk.
    net.run(A_WHILE);
    net.cores[1].shutdown().expect("in memory");
    net.cores.truncate(1);
    let body = open(&disk).block(&hash).expect("in memory");
    assert_eq!(*body.expect("it was stored").block(), lost);
}

#[test]
fn a_block_that_is_found_damaged_when_a_peer_asks_for_it_is_not_given_and_comes_back() {
    let Scene { mut net, lost, .. } = scene(5);
    let hash = lost.block_hash();
    // The third core knows the second one only.
    net.connect(2, 1);
    net.run(A_WHILE);
    assert_eq!(told(&net), [("damaged", hash)]);
    assert_eq!(net.height(2), Height(4), "up to the damage");
    net.connect(1, 0);
    net.run_until(Duration::from_secs(60), |net| {
        net.height(2) == Height(BLOCKS as u32)
    });
    assert_eq!(told(&net), [("damaged", hash), ("restored", hash)]);
    assert!(net.agree());
    assert!(net.banned.is_empty(), "nobody is to blame");
}

#[test]
fn a_quarantine_outlives_a_restart() {
    let Scene {
        mut net,
        disk,
        lost,
    } = scene(2);
    let hash = lost.block_hash();
    assert!(!is_served(&mut net, &hash));
    net.run(A_WHILE);
    assert_eq!(told(&net), [("damaged", hash)], "and nobody to ask");
    net.cores[1].shutdown().expect("in memory");
    // The old one lets go of the disk.
    let nothing = Chain::in_memory(TestChain::params());
    net.cores[1] = NodeCore::new(nothing, CoreOptions::default());
    net.cores[1] = core_on(&disk);
    net.events[1].clear();
    net.connect(1, 0);
    // Without anyone reading it.
    net.run_until(A_WHILE, |net| told(net).len() == 2);
    assert_eq!(told(&net), [("damaged", hash), ("restored", hash)]);
    assert!(is_served(&mut net, &hash));
}

/// A page of the database is damaged: a new one is made while the core answers, step by step.
#[test]
fn while_a_new_database_is_made_reads_are_answered_and_blocks_are_kept() {
    let mut source = TestChain::new();
    source.mine_many("a", 80);
    let next = source.build("b").mine();
    let mut chain = open(&MemoryDisk::new());
    for n in 1..=80 {
        let block = source.block(&format!("a{n}")).clone();
        chain
            .accept_block(block, Timestamp(u32::MAX))
            .expect("good");
    }
    chain
        .activate_best(&SignatureCache::default(), &mut Vec::new())
        .expect("in memory");
    chain.flush().expect("in memory");
    let mut core = NodeCore::new(chain, CoreOptions::default());
    let now = Now {
        mono: Mono::ZERO,
        wall: Timestamp(2_000_000_000),
    };
    let mut out = Vec::new();
    core.handle(now, Input::Tick, &mut out);
    out.clear();
    core.chain().note(Damage {
        table: Some(Table::Coins),
        place: Place::Pages,
        extent: Extent::Pages,
        problem: "as a test says".to_owned(),
    });
    core.handle(now, Input::Tick, &mut out);
    assert!(core.chain().is_healing());
    let refused = core.submit_block(now, next.clone(), &mut out);
    assert!(
        matches!(&refused, Err(SubmitError::Store(error)) if error.cause == StoreFault::Healing),
        "{refused:?}"
    );
    assert!(
        core.chain()
            .block(&source.hash("a1"))
            .expect("in memory")
            .is_some()
    );
    let mut steps = 0;
    while core.chain().is_healing() {
        core.handle(now, Input::Tick, &mut out);
        steps += 1;
        assert!(steps < 1_000, "it never ends");
    }
    assert!(steps > 2, "{steps}");
    core.handle(now, Input::Tick, &mut out);
    assert_eq!(core.chain().tip().hash, next.block_hash(), "it was kept");
    let events = |out: &[Output], is_meant: fn(&NodeEvent) -> bool| {
        let told = out
            .iter()
            .filter(|output| matches!(output, Output::Event(event) if is_meant(event)));
        told.count()
    };
    assert_eq!(
        events(&out, |event| matches!(event, NodeEvent::Healing { .. })),
        1
    );
    assert_eq!(
        events(&out, |event| matches!(event, NodeEvent::Healed { .. })),
        1
    );
    assert!(
        !out.iter().any(|output| matches!(output, Output::Fatal(_))),
        "{out:?}"
    );
}
