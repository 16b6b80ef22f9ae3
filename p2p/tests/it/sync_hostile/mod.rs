//! Peers without any work of their own that try to hold others up: each time the same network with and without them.

mod blocks;
mod headers;
mod slow;

use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Work};
use chain::fixtures::test_params;
use chain::{Height, Params};
use p2p::PeerGroup;
use p2p::wire::{Request, TipStatus};

use crate::net::{Answer, Net, Script};

const SECOND: Duration = Duration::from_secs(1);

fn params() -> Arc<Params> {
    Arc::new(test_params())
}

/// The claim of the most work there is, with a hash that nobody knows.
fn lie(tag: u8) -> TipStatus {
    TipStatus {
        hash: BlockHash::from_byte_array([tag; 32]),
        height: Height(u32::MAX),
        chain_work: Work::from_be_bytes([0xff; 32]),
    }
}

/// Answers nothing about headers.
fn silent_about_headers() -> Script {
    Box::new(|_, request| match request {
        Request::Headers { .. } => Answer::Silence,
        _ => Answer::Honest,
    })
}

/// A victim (0), an honest peer (1) that it dials and that has `blocks` blocks, and `attackers` (2..) from one network that lie
/// and say nothing. Nobody is connected.
fn besieged(blocks: usize, attackers: usize) -> Net {
    let mut net = Net::new(&params(), 2 + attackers);
    net.nodes[1].grow(blocks, 1);
    for n in 2..2 + attackers {
        net.claims.insert(n, lie(n as u8));
        net.scripts.insert(n, silent_about_headers());
        net.groups.insert(n, PeerGroup(77));
    }
    net
}
