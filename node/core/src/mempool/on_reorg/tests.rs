use bitcoin::{Amount, Txid};
use chain::fixtures::{GENESIS, TestChain};
use chain::rules::spend::SignatureCache;
use chain::{BlockPosition, Height};

use super::*;

/// What a lost block held was counted though the new branch confirms it as well; so the room was used up, and the rest was lost.
#[test]
fn only_what_comes_back_takes_room_and_the_rest_is_set_aside() {
    //   G - a1 (both, own, late)
    //     \ b1 (both) - b2
    let mut net = TestChain::new();
    let [alice, bob] = TestChain::rich_keys();
    let [both, own, late] = [1, 2, 3].map(|btc| net.pay(&alice, &bob, Amount::ONE_BTC * btc));
    for payment in [&both, &own, &late] {
        net.including(payment);
    }
    net.mine("a1");
    net.fork_at(GENESIS).including(&both).mine("b1").mine("b2");
    assert_eq!(net.tip(), "b2");
    let at = |name: &str, height| BlockPosition {
        hash: net.hash(name),
        height: Height(height),
    };
    let reorg = Reorg {
        fork: at(GENESIS, 0),
        disconnected: vec![at("a1", 1)],
        connected: vec![at("b1", 1), at("b2", 2)],
    };
    let signatures = SignatureCache::default();
    let world = Surroundings {
        chain: net.chain(),
        signatures: &signatures,
        now: Timestamp(1_800_000_000),
    };
    // Room for one.
    let mut returning = Returning {
        room: 1,
        ..Returning::default()
    };
    let (mut pool, mut changes) = (Mempool::new(0), Vec::new());
    pool.take_back_all(&reorg, &world, &mut returning, &mut changes)
        .expect("in memory");
    let waiting: Vec<Txid> = pool.entries().map(|entry| entry.txid).collect();
    assert_eq!(waiting, [own.compute_txid()]);
    assert!(pool.is_set_aside(&late.compute_txid()));
    assert!(!pool.is_set_aside(&both.compute_txid()));
    pool.settle_on(Height(0), returning, &world, &mut changes)
        .expect("in memory");
    assert!(pool.get(&late.compute_txid()).is_some(), "it finds room");
}
