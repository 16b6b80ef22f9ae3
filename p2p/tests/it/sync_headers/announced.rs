//! Headers that come too early, and those whose parent is not known.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use chain::Height;
use chain::fixtures::grind;
use p2p::sync::{GossipId, Input};
use p2p::wire::{Gossip, Verdict};

use super::{claim, header_requests, headers_on, huge_work, meet, params, respond};
use crate::host::{ALICE, Node, at, dismissed, up, verdicts};

#[test]
fn case_76_a_header_ahead_of_our_clock_is_tried_again_and_nobody_is_blamed() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 3, 1);
    let mut node = Node::new(&params, 0);
    node.clock = chain::Timestamp(chain[0].time - params.max_future_s - 1);
    let sent = meet(&mut node, ALICE, claim(&chain, huge_work()));
    let (_, id, ..) = header_requests(&sent)[0];
    let sent = respond(&mut node, at(0.1), ALICE, id, chain.clone());
    assert!(dismissed(&sent).is_empty());
    assert!(
        header_requests(&node.input(at(5.0), Input::Tick)).is_empty(),
        "not at once"
    );

    node.clock = chain::Timestamp(chain[2].time);
    let sent = node.input(at(10.2), Input::Tick);
    let (_, id, ..) = header_requests(&sent)[0];
    let _ = respond(&mut node, at(10.3), ALICE, id, chain.clone());
    assert_eq!(node.chain.tree().best_header().height, Height(3));
}

#[test]
fn case_31_an_announcement_without_parent_asks_for_the_ancestors_and_blames_nobody() {
    let params = params();
    let chain = headers_on(&params, &params.genesis.header, 5, 1);
    let mut node = Node::new(&params, 0);
    let _ = node.input(at(0.0), up(ALICE));
    let gossip = Gossip::Header(chain[4]);
    let id = GossipId(1);
    let sent = node.input(
        at(0.1),
        Input::Announcement {
            peer: ALICE,
            id,
            gossip,
        },
    );
    assert_eq!(verdicts(&sent), [(id, Verdict::Ignore)]);
    let (_, request, ..) = header_requests(&sent)[0];
    // The announcer itself has not connected the block yet: its headers end at the parent.
    let sent = respond(&mut node, at(0.2), ALICE, request, chain[..4].to_vec());
    assert!(dismissed(&sent).is_empty());
    assert_eq!(
        node.chain.tree().best_header().hash,
        chain[4].block_hash(),
        "the orphan was kept"
    );
}

#[test]
fn case_49_a_flood_of_orphans_costs_little() {
    let params = params();
    let mut node = Node::new(&params, 0);
    let _ = node.input(at(0.0), up(ALICE));
    let mut asked = 0;
    for n in 0..10_000u64 {
        let mut orphan = params.genesis.header;
        let mut parent = [9; 32];
        parent[..8].copy_from_slice(&n.to_le_bytes());
        orphan.prev_blockhash = BlockHash::from_byte_array(parent);
        grind(&mut orphan);
        let gossip = Gossip::Header(orphan);
        let input = Input::Announcement {
            peer: ALICE,
            id: GossipId(n),
            gossip,
        };
        let sent = node.input(at(0.001 * n as f64), input);
        assert!(dismissed(&sent).is_empty());
        for (_, id, ..) in header_requests(&sent) {
            asked += 1;
            let _ = respond(&mut node, at(0.001 * n as f64), ALICE, id, Vec::new());
        }
    }
    assert!(asked <= 6, "asked {asked} times in ten seconds");
    assert_eq!(node.accepted_headers, 0);
}
