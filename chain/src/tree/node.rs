//! How one header is kept: everything in 132 bytes, in chunks that never move.

use bitcoin::block::{Header, Version};
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode, Work};

use super::{ActiveTip, NodeId, Status};
use crate::units::{Height, Timestamp};

/// Nodes per chunk: small enough for a thousand simulated chains in one process.
const CHUNK: usize = 128;

/// Marks "no parent" (genesis).
pub(super) const NO_NODE: u32 = u32::MAX;

/// Bits of [`Node::flags`].
pub(super) mod flag {
    /// The body is stored or pending.
    pub(in crate::tree) const HAS_BODY: u8 = 1;
    /// All rules hold: it was connected once.
    pub(in crate::tree) const CONNECTED: u8 = 2;
    /// A rule failed in this very block.
    pub(in crate::tree) const FAILED: u8 = 4;
    /// An ancestor failed. Derived, not stored on disk.
    pub(in crate::tree) const FAILED_ANCESTOR: u8 = 8;
    /// It and all its ancestors can be connected: their bodies are here. Derived, not stored on disk.
    pub(in crate::tree) const COMPLETE: u8 = 16;
    /// An operator invalidated this very block.
    pub(in crate::tree) const INVALIDATED: u8 = 32;
}

/// A header and what is known of its block. The parent's hash is not kept: the parent is.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) hash: BlockHash,
    merkle_root: TxMerkleNode,
    /// Big endian, so that comparing bytes compares work.
    pub(super) chain_work: [u8; 32],
    version: i32,
    pub(super) time: u32,
    pub(super) bits: u32,
    nonce: u32,
    pub(super) parent: u32,
    pub(super) skip: u32,
    pub(super) height: u32,
    /// Lower was complete earlier, and wins a tie; negative by an operator's word.
    pub(super) sequence: i32,
    /// Transactions in the upper 24 bits (a block cannot hold 2^24), flags in the lower 8.
    tx_count_and_flags: u32,
}

impl Node {
    pub(super) fn new(
        header: &Header,
        hash: BlockHash,
        links: Links,
        chain_work: [u8; 32],
    ) -> Node {
        Node {
            hash,
            merkle_root: header.merkle_root,
            chain_work,
            version: header.version.to_consensus(),
            time: header.time,
            bits: header.bits.to_consensus(),
            nonce: header.nonce,
            parent: links.parent,
            skip: links.skip,
            height: links.height,
            sequence: 0,
            tx_count_and_flags: 0,
        }
    }

    pub(super) fn header(&self, prev_blockhash: BlockHash) -> Header {
        Header {
            version: Version::from_consensus(self.version),
            prev_blockhash,
            merkle_root: self.merkle_root,
            time: self.time,
            bits: CompactTarget::from_consensus(self.bits),
            nonce: self.nonce,
        }
    }

    pub(super) fn flags(&self) -> u8 {
        self.tx_count_and_flags as u8
    }

    pub(super) fn has(&self, flags: u8) -> bool {
        self.flags() & flags == flags
    }

    pub(super) fn set(&mut self, flags: u8) {
        self.tx_count_and_flags |= u32::from(flags);
    }

    pub(super) fn clear(&mut self, flags: u8) {
        self.tx_count_and_flags &= !u32::from(flags);
    }

    pub(super) fn may_be_valid(&self) -> bool {
        self.flags() & (flag::FAILED | flag::INVALIDATED | flag::FAILED_ANCESTOR) == 0
    }

    pub(super) fn tx_count(&self) -> u32 {
        self.tx_count_and_flags >> 8
    }

    pub(super) fn set_tx_count(&mut self, count: u32) {
        debug_assert!(count < 1 << 24, "no block holds so many transactions");
        self.tx_count_and_flags = count << 8 | u32::from(self.flags());
    }

    pub(super) fn status(&self) -> Status {
        Status {
            has_body: self.has(flag::HAS_BODY),
            connected: self.has(flag::CONNECTED),
            failed: self.has(flag::FAILED),
            invalidated: self.has(flag::INVALIDATED),
            failed_ancestor: self.has(flag::FAILED_ANCESTOR),
        }
    }

    pub(super) fn height(&self) -> Height {
        Height(self.height)
    }

    pub(super) fn time(&self) -> Timestamp {
        Timestamp(self.time)
    }
}

/// Where a node hangs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub(super) parent: u32,
    pub(super) skip: u32,
    pub(super) height: u32,
}

/// All nodes, in order of insertion, parents before children. Grows without moving what is there, so that memory per
/// header has no factor of two in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes {
    chunks: Vec<Vec<Node>>,
}

impl Nodes {
    pub(super) fn len(&self) -> usize {
        match self.chunks.last() {
            Some(last) => (self.chunks.len() - 1) * CHUNK + last.len(),
            None => 0,
        }
    }

    pub(super) fn push(&mut self, node: Node) -> NodeId {
        let id = u32::try_from(self.len()).expect("fewer than 2^32 headers fit in memory");
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(node),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(node);
                self.chunks.push(chunk);
            }
        }
        NodeId(id)
    }

    pub(super) fn get(&self, id: NodeId) -> &Node {
        &self.chunks[id.0 as usize / CHUNK][id.0 as usize % CHUNK]
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.chunks[id.0 as usize / CHUNK][id.0 as usize % CHUNK]
    }

    /// What is told of a node when it is the active tip.
    pub(super) fn tip_at(&self, id: NodeId) -> ActiveTip {
        let node = self.get(id);
        ActiveTip {
            id,
            hash: node.hash,
            height: node.height(),
            chain_work: Work::from_be_bytes(node.chain_work),
        }
    }

    /// All ids from `first` on, in order of insertion.
    pub(super) fn ids_from(&self, first: u32) -> impl Iterator<Item = NodeId> + use<> {
        (first..self.len() as u32).map(NodeId)
    }

    /// Bytes in use.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.len() * (CHUNK * size_of::<Node>() + size_of::<Vec<Node>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_takes_132_bytes() {
        assert_eq!(size_of::<Node>(), 132);
    }
}
