//! The engine driven by hand: headers, claims and the fork point (group B of the fault checklist).

mod announced;
mod blame;
mod floods;
mod rounds;

use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, TxMerkleNode, Work};
use chain::fixtures::{grind, test_params};
use chain::{Height, Params};
use p2p::sync::{Input, RequestId};
use p2p::wire::limits::MAX_HEADERS;
use p2p::wire::{Request, Response, TipStatus};
use p2p::{Mono, PeerNum};

use crate::host::{Node, Sent, at, dismissed, requests, up};

pub(super) fn params() -> Arc<Params> {
    Arc::new(test_params())
}

/// `count` headers on `parent`, with real if trivial work; `tag` makes them differ.
pub(crate) fn headers_on(params: &Params, parent: &Header, count: usize, tag: u8) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::with_capacity(count);
    let mut last = *parent;
    for n in 0..count {
        let mut root = [tag; 32];
        root[..8].copy_from_slice(&(n as u64).to_le_bytes());
        let mut header = Header {
            prev_blockhash: last.block_hash(),
            merkle_root: TxMerkleNode::from_byte_array(root),
            time: last.time + 1,
            bits: params.genesis.header.bits,
            nonce: 0,
            version: last.version,
        };
        header.version = bitcoin::block::Version::from_consensus(0x2000_0000);
        grind(&mut header);
        headers.push(header);
        last = header;
    }
    headers
}

/// What an honest peer with this header chain answers.
pub(crate) fn serve(chain: &[Header], locator: &[BlockHash], stop: BlockHash) -> Vec<Header> {
    let place = |hash: &BlockHash| chain.iter().position(|header| header.block_hash() == *hash);
    let start = locator.iter().find_map(place).map_or(0, |place| place + 1);
    let end = place(&stop).map_or(chain.len(), |place| place + 1);
    chain[start..end.max(start)]
        .iter()
        .take(MAX_HEADERS)
        .copied()
        .collect()
}

pub(crate) fn claim(chain: &[Header], work: Work) -> TipStatus {
    let hash = chain.last().expect("not empty").block_hash();
    TipStatus {
        hash,
        height: Height(chain.len() as u32),
        chain_work: work,
    }
}

pub(crate) fn huge_work() -> Work {
    Work::from_be_bytes([1; 32])
}

/// Connects a peer that claims a tip; gives what the node wants of it.
pub(super) fn meet(node: &mut Node, peer: PeerNum, status: TipStatus) -> Vec<Sent> {
    let mut sent = node.input(at(0.0), up(peer));
    sent.extend(node.input(at(0.0), Input::PeerStatus { peer, status }));
    sent
}

pub(super) fn header_requests(
    sent: &[Sent],
) -> Vec<(PeerNum, RequestId, Vec<BlockHash>, BlockHash)> {
    let mut found = Vec::new();
    for (peer, id, request) in requests(sent) {
        if let Request::Headers { locator, stop } = request {
            found.push((peer, id, locator, stop));
        }
    }
    found
}

pub(super) fn respond(
    node: &mut Node,
    now: Mono,
    peer: PeerNum,
    id: RequestId,
    headers: Vec<Header>,
) -> Vec<Sent> {
    node.input(
        now,
        Input::Response {
            peer,
            id,
            response: Response::Headers(headers),
        },
    )
}

/// Plays the honest peer until no more headers are asked for; gives the number of rounds.
pub(super) fn play(node: &mut Node, peer: PeerNum, chain: &[Header], mut sent: Vec<Sent>) -> usize {
    let mut rounds = 0;
    while let Some((_, id, locator, stop)) = header_requests(&sent).pop() {
        rounds += 1;
        assert!(rounds < 40, "no end");
        sent = respond(node, at(1.0), peer, id, serve(chain, &locator, stop));
        assert!(dismissed(&sent).is_empty(), "{sent:?}");
    }
    rounds
}
