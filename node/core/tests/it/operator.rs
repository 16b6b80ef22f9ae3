//! What an operator orders and a core cannot do: it says why, and goes on.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Amount;
use bitcoin::consensus::serialize;
use chain::fixtures::{TestChain, damage_disk};
use chain::rules::spend::SignatureCache;
use chain::snapshot::{self, Snapshot, Trusted};
use chain::store::MemoryDisk;
use chain::{Chain, ChainOptions, Height, InvalidateError};
use node_core::events::NodeEvent;
use node_core::{CoreOptions, LoadSnapshotError, NodeCore, OperatorError, Output};

use crate::support::{FEE, Lone, Net, START, alice, bob, pay};

const A_WHILE: Duration = Duration::from_secs(5);

/// A second core with the blocks of the first, on a disk that forgot the one at `forgotten`.
fn net_with_damage(forgotten: u32) -> Net {
    let mut net = Net::new(2);
    for _ in 0..6 {
        net.mine(0);
    }
    let disk = MemoryDisk::new();
    let open = || {
        let options = ChainOptions {
            cache_bytes: 1 << 20,
        };
        Chain::open_backend(disk.clone(), TestChain::params(), options).expect("it opens")
    };
    let mut copy = open();
    let source = net.cores[0].chain();
    for height in 1..=6 {
        let hash = source.at_height(Height(height)).expect("mined").hash;
        let body = source.block(&hash).expect("in memory").expect("mined");
        let now = START.saturating_add_secs(7_000);
        copy.accept_block(body.block().clone(), now).expect("good");
    }
    copy.activate_best(&SignatureCache::default(), &mut Vec::new())
        .expect("in memory");
    copy.flush().expect("in memory");
    drop(copy);
    let hash = source.at_height(Height(forgotten)).expect("mined").hash;
    let lost = source.block(&hash).expect("in memory").expect("mined");
    damage_disk(&disk, &serialize(lost.block()));
    net.cores[1] = NodeCore::new(open(), CoreOptions::default());
    net
}

#[test]
fn a_block_below_a_damaged_body_is_not_invalidated_until_the_body_is_back() {
    let mut net = net_with_damage(4);
    let chain = net.cores[1].chain();
    let (second, fourth) = (
        chain.at_height(Height(2)).expect("active"),
        chain.at_height(Height(4)).expect("active"),
    );
    let before = (chain.tip(), chain.coin_set_stats(true).expect("in memory"));
    let refused = net.act(1, |core, now, out| {
        core.invalidate_block(now, &second.hash, out)
    });
    match refused {
        Err(OperatorError::NoWayBack(InvalidateError::LostBody { block })) => {
            assert_eq!((block.hash, block.height), (fourth.hash, Height(4)));
        }
        other => panic!("{other:?}"),
    }
    let chain = net.cores[1].chain();
    let after = (chain.tip(), chain.coin_set_stats(true).expect("in memory"));
    assert_eq!(after, before, "nothing was taken back");
    assert!(chain.tree().info(second.id).status.may_be_valid());

    // The node goes on: it mines, and the body comes from a peer. Then the order is carried out.
    net.mine(1);
    net.connect(1, 0);
    net.run_until(A_WHILE, |net| {
        let restored = |event: &NodeEvent| matches!(event, NodeEvent::BlockRestored { .. });
        net.events[1].iter().any(restored)
    });
    let done = net.act(1, |core, now, out| {
        core.invalidate_block(now, &second.hash, out)
    });
    assert!(done.is_ok(), "{done:?}");
    assert_eq!(net.height(1), Height(1));
}

/// A snapshot of a core's chain.
fn snapshot_of(core: &NodeCore) -> Snapshot {
    let mut file = Vec::new();
    let info = snapshot::dump(core.chain(), &mut file).expect("in memory");
    let trusted = Trusted {
        coins: info.stats.serialized.expect("a dump has it"),
        base: Some(info.base.hash),
    };
    let params = Arc::new(TestChain::params());
    let now = START.saturating_add_secs(7_000);
    snapshot::read(&mut file.as_slice(), &params, &trusted, now).expect("it was just written")
}

#[test]
fn a_core_starts_from_a_snapshot_syncs_what_is_later_and_mines() {
    let mut net = Net::new(2);
    for _ in 0..30 {
        net.mine(0);
    }
    let snapshot = snapshot_of(&net.cores[0]);
    for _ in 0..5 {
        net.mine(0);
    }
    net.act(1, |core, now, out| {
        core.load_snapshot(now, snapshot, out)
            .expect("a fresh core takes it");
    });
    assert_eq!(net.height(1), Height(30));
    let loaded = |event: &NodeEvent| matches!(event, NodeEvent::SnapshotLoaded { height, .. } if *height == Height(30));
    assert_eq!(
        net.events[1].iter().filter(|event| loaded(event)).count(),
        1
    );
    net.connect(1, 0);
    net.run_until(A_WHILE, Net::agree);
    assert_eq!(net.height(1), Height(35));
    let coins = |net: &Net, node: usize| {
        let chain = net.cores[node].chain();
        chain.coin_set_stats(true).expect("in memory")
    };
    assert_eq!(coins(&net, 0), coins(&net, 1));
    net.mine(1);
    net.run_until(A_WHILE, Net::agree);
    assert_eq!(net.height(0), Height(36));
    assert!(net.banned.is_empty());
}

#[test]
fn a_snapshot_is_not_loaded_beside_transactions_that_wait() {
    let mut source = Lone::new();
    source.mine_many(3);
    let snapshot = snapshot_of(&source.core);
    let mut lone = Lone::new();
    lone.send(&pay(&alice(), 0, &bob(), FEE)).expect("good");
    let before = lone.core.chain().tip();
    let now = lone.now;
    let refused = lone.core.load_snapshot(now, snapshot, &mut lone.out);
    assert!(
        matches!(
            refused,
            Err(LoadSnapshotError::MempoolNotEmpty { count: 1 })
        ),
        "{refused:?}"
    );
    assert_eq!(lone.core.chain().tip(), before);
    assert!(
        !lone
            .out
            .iter()
            .any(|output| matches!(output, Output::Fatal(_)))
    );
    assert!(lone.core.chain().snapshot_base().is_none());
    lone.mine();
    let total = lone
        .core
        .chain()
        .coin_set_stats(false)
        .expect("in memory")
        .total;
    assert!(total > Amount::ONE_BTC);
}
