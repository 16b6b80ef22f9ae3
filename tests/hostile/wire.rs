//! What a hostile peer writes: the protocol's messages, by hand. See `p2p/src/wire/` for the other side.

use bitcoin::bip152::HeaderAndShortIds;
use bitcoin::block::Header;
use bitcoin::consensus::encode::VarInt;
use bitcoin::consensus::serialize;
use bitcoin::{Block, BlockHash, Transaction};

/// The first byte of a request, and of its answer.
pub(crate) const STATUS: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const BLOCKS: u8 = 2;
pub(crate) const BLOCK_TRANSACTIONS: u8 = 3;
pub(crate) const PEERS: u8 = 6;

/// The first byte of gossip.
const GOSSIPED_BLOCK: u8 = 0;
const GOSSIPED_TRANSACTION: u8 = 2;

/// A message with its length in front.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("short");
    [&length.to_le_bytes(), message].concat()
}

/// A request for the tip, or the answer: a claim.
pub(crate) fn status(hash: BlockHash, height: u32, work: [u8; 32]) -> Vec<u8> {
    let mut message = vec![STATUS];
    message.extend(serialize(&hash));
    message.extend(height.to_le_bytes());
    message.extend(work);
    framed(&message)
}

/// The largest claim there is.
pub(crate) fn boast() -> Vec<u8> {
    use bitcoin::hashes::Hash as _;
    status(BlockHash::from_byte_array([0x5a; 32]), u32::MAX, [0xff; 32])
}

/// An answer of headers.
pub(crate) fn headers(headers: &[Header]) -> Vec<u8> {
    listed(HEADERS, headers.iter().map(serialize))
}

/// A request for blocks.
pub(crate) fn ask_blocks(hashes: &[BlockHash]) -> Vec<u8> {
    listed(BLOCKS, hashes.iter().map(serialize))
}

/// A request for one transaction of a block.
pub(crate) fn ask_block_transaction(block: BlockHash, index: u32) -> Vec<u8> {
    let mut message = vec![BLOCK_TRANSACTIONS];
    message.extend(serialize(&block));
    message.extend(serialize(&VarInt(1)));
    message.extend(serialize(&VarInt::from(index)));
    framed(&message)
}

/// An answer that names other nodes.
pub(crate) fn peers(addresses: &[String]) -> Vec<u8> {
    listed(PEERS, addresses.iter().map(serialize))
}

/// An answer without anything in it, to a request of this kind.
pub(crate) fn empty(kind: u8) -> Vec<u8> {
    framed(&[kind, 0])
}

/// A block's announcement, by short ids of everything but the coinbase.
pub(crate) fn announcement(block: &Block) -> Vec<u8> {
    let ids = HeaderAndShortIds::from_block(block, 7, 2, &[]).expect("a block has a coinbase");
    [&[GOSSIPED_BLOCK][..], &serialize(&ids)].concat()
}

/// A transaction as it is gossiped.
pub(crate) fn gossiped(tx: &Transaction) -> Vec<u8> {
    [&[GOSSIPED_TRANSACTION][..], &serialize(tx)].concat()
}

fn listed(kind: u8, items: impl ExactSizeIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(serialize(&VarInt::from(items.len())));
    items.for_each(|item| message.extend(item));
    framed(&message)
}
