//! Links that are slow, which is no fault.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Amount, ScriptBuf};
use chain::Params;
use chain::fixtures::{Key, Payment};

use super::SECOND;
use super::blocks::rich_params;
use crate::net::Net;

/// Half of 1 Mbit/s, the slowest that is served: a block of 1 MB takes 16 s.
const NARROW: u64 = 62_500;

/// Gives `node` so many blocks of about 1 MB.
fn grow_large(net: &mut Net, params: &Arc<Params>, node: usize, count: u32) {
    for vout in 0..count {
        let payment = Payment::new()
            .spend_output_of(&params.genesis.txdata[1], vout, &Key::p2wpkh("alice"))
            .pay_script(
                ScriptBuf::from_bytes(vec![0x6a; 990_000]),
                Amount::from_sat(1_000_000),
            )
            .sign();
        let block = net.nodes[node].grow_with(&[payment], u64::from(vout));
        assert!(block.total_size() > 990_000);
    }
}

#[test]
fn large_blocks_over_a_slow_link_arrive_and_the_peer_stays() {
    let params = rich_params();
    let mut net = Net::new(&params, 2);
    grow_large(&mut net, &params, 1, 6);
    net.narrow(1, NARROW);
    net.connect(0, 1);
    let took = net.run_until_agreed(&[0, 1], 200 * SECOND);
    assert!(
        took > 94 * SECOND,
        "the link is what takes the time: {took:?}"
    );
    assert!(took < 100 * SECOND, "nothing was sent twice: {took:?}");
    assert_eq!(net.bodies_served[1], 6);
    assert!(net.dismissals.is_empty(), "{:?}", net.dismissals);
}

#[test]
fn two_slow_peers_are_kept_though_each_could_be_relieved_by_the_other() {
    let params = rich_params();
    let mut net = Net::new(&params, 3);
    grow_large(&mut net, &params, 1, 6);
    for height in 1..=6 {
        let hash = net.nodes[1]
            .chain
            .at_height(chain::Height(height))
            .expect("grown")
            .hash;
        let block = net.nodes[1].block(&hash);
        net.nodes[2].take(block);
    }
    for peer in [1, 2] {
        net.narrow(peer, NARROW);
        net.connect(0, peer);
    }
    let took = net.run_until_agreed(&[0, 1], 200 * SECOND);
    println!("two slow peers: {took:?}, served {:?}", net.bodies_served);
    // Nobody is asked twice before all were asked once; and again once at most, since every stall of one that has delivered
    // doubles the time-out: after the first blocks it is longer than the link takes for one.
    let (blocks, peers) = (6, 2);
    let served: usize = net.bodies_served.iter().sum();
    assert!(served <= blocks * (peers + 1), "{served}");
    // Both links were used: one alone takes twice as long (see above).
    assert!(took < 60 * SECOND, "{took:?}");
    assert!(net.dismissals.is_empty(), "{:?}", net.dismissals);
}

#[test]
fn a_quick_peer_takes_over_from_a_slow_one() {
    let params = rich_params();
    let mut net = Net::new(&params, 3);
    grow_large(&mut net, &params, 1, 6);
    for height in 1..=6 {
        let hash = net.nodes[1]
            .chain
            .at_height(chain::Height(height))
            .expect("grown")
            .hash;
        let block = net.nodes[1].block(&hash);
        net.nodes[2].take(block);
    }
    net.narrow(1, NARROW);
    net.connect(0, 1);
    net.run(Duration::from_millis(500));
    net.connect(0, 2);
    let took = net.run_until_agreed(&[0, 2], 60 * SECOND);
    assert!(took < 5 * SECOND, "{took:?}");
}
