//! How well a core says it works, and when it asks to be woken.

use std::time::Duration;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, TxMerkleNode, Work};
use chain::fixtures::{TestChain, grind};
use chain::{Chain, Height};
use node_core::events::NodeEvent;
use node_core::{CoreOptions, Input, Mode, NodeCore, Output};
use p2p::AnswerToken;
use p2p::wire::{Request, Response, TipStatus};

use crate::support::{FEE, Lone, PEER, alice, bob, pay, peer_up};

#[test]
fn the_mode_follows_what_is_known() {
    let chain = Chain::in_memory(TestChain::params());
    let core = NodeCore::new(chain, CoreOptions::default());
    assert_eq!(core.mode(), Mode::Starting);
    let mut lone = Lone::with(core);
    assert_eq!(lone.core.mode(), Mode::Isolated);
    peer_up(&mut lone);
    assert_eq!(lone.core.mode(), Mode::Healthy);
    let spacing = u64::from(lone.core.chain().params().pow.spacing_s);
    lone.pass(Duration::from_secs(15 * spacing));
    assert_eq!(lone.core.mode(), Mode::Stale);
    lone.mine();
    assert_eq!(lone.core.mode(), Mode::Healthy);
    let now = lone.now;
    lone.core.set_disk_low(now, true, &mut lone.out);
    assert_eq!(lone.core.mode(), Mode::DiskLow);
    assert_eq!(
        lone.send(&pay(&alice(), 0, &bob(), FEE)),
        Err("disk-low".to_owned())
    );
    lone.core.set_disk_low(now, false, &mut lone.out);
    lone.handle(Input::PeerDown {
        peer: PEER,
        reason: "gone".to_owned(),
    });
    assert_eq!(lone.core.mode(), Mode::Isolated);
    let modes = lone
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            NodeEvent::ModeChanged { mode } => Some(mode),
            _ => None,
        });
    let expected = [
        Mode::Isolated,
        Mode::Healthy,
        Mode::Stale,
        Mode::Healthy,
        Mode::DiskLow,
        Mode::Healthy,
    ];
    assert_eq!(
        modes.collect::<Vec<_>>(),
        [&expected[..], &[Mode::Isolated]].concat()
    );
}

/// Headers with trivial work on genesis, as an honest or a lying peer may send.
fn headers_on_genesis(core: &NodeCore, count: u32) -> Vec<Header> {
    let mut last = core.chain().params().genesis.header;
    let mut headers = Vec::new();
    for number in 0..count {
        let mut root = [9; 32];
        root[..4].copy_from_slice(&number.to_le_bytes());
        let mut header = Header {
            prev_blockhash: last.block_hash(),
            merkle_root: TxMerkleNode::from_byte_array(root),
            time: last.time + 1,
            nonce: 0,
            ..last
        };
        header.version = bitcoin::block::Version::from_consensus(0x2000_0000);
        grind(&mut header);
        headers.push(header);
        last = header;
    }
    headers
}

fn tell_status(lone: &mut Lone, hash: BlockHash, height: u32) {
    let status = TipStatus {
        hash,
        height: Height(height),
        chain_work: Work::from_be_bytes([0xff; 32]),
    };
    lone.handle(Input::Request {
        peer: PEER,
        token: AnswerToken(1),
        request: Request::Status(status),
    });
}

#[test]
fn a_claim_without_work_changes_no_mode() {
    let mut lone = Lone::new();
    peer_up(&mut lone);
    lone.mine();
    assert_eq!(lone.core.mode(), Mode::Healthy);
    lone.take_events();
    tell_status(&mut lone, BlockHash::from_byte_array([7; 32]), u32::MAX);
    let asked = |output: &Output| {
        matches!(
            output,
            Output::Request {
                request: Request::Headers { .. },
                ..
            }
        )
    };
    assert!(lone.out.iter().any(asked), "the claim is looked into");
    for _ in 0..40 {
        lone.pass(Duration::from_millis(250));
        assert_eq!(lone.core.mode(), Mode::Healthy);
    }
}

#[test]
fn headers_without_bodies_are_told_and_stop_nobody() {
    let mut lone = Lone::new();
    peer_up(&mut lone);
    lone.mine();
    lone.out.clear();
    let headers = headers_on_genesis(&lone.core, 100);
    tell_status(&mut lone, headers[99].block_hash(), 100);
    let id = lone.out.iter().find_map(|output| match output {
        Output::Request {
            id,
            request: Request::Headers { .. },
            ..
        } => Some(*id),
        _ => None,
    });
    lone.handle(Input::Response {
        peer: PEER,
        id: id.expect("asked for headers"),
        response: Response::Headers(headers),
    });
    assert_eq!(lone.core.chain().tree().best_header().height, Height(100));
    lone.pass(Duration::from_secs(1));
    assert_eq!(lone.core.mode(), Mode::Behind, "never healthy");
    assert!(!lone.core.is_syncing(), "commits and the own miner go on");
    // And so it stays, also while blocks of the own chain come.
    for _ in 0..20 {
        lone.pass(Duration::from_secs(1));
        lone.mine();
        assert_eq!(lone.core.mode(), Mode::Behind);
    }
    // Until there is as much work in blocks.
    lone.mine_many(90);
    assert_eq!(lone.core.mode(), Mode::Healthy);
}

#[test]
fn a_wake_up_is_asked_for_whenever_something_is_due() {
    let mut lone = Lone::new();
    let wake = |out: &[Output]| {
        out.iter().rev().find_map(|output| match output {
            Output::WakeAt(at) => Some(*at),
            _ => None,
        })
    };
    lone.mine();
    let due = wake(&lone.out).expect("a flush is due");
    assert_eq!(due.since(lone.now.mono), Duration::from_secs(1));
    assert!(
        lone.core.chain().unflushed_bytes() > 0,
        "coins wait for the flush"
    );
    lone.pass(Duration::from_secs(1));
    assert_eq!(lone.core.chain().unflushed_bytes(), 0);
}
