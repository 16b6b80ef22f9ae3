//! The tables, their keys and rows.

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, consensus};
use redb::TableDefinition;

use crate::tree::Status;
use crate::units::Height;

/// Height (big endian) and hash: key order is height order, so blocks append at the end of the file.
pub(crate) type BlockKey = [u8; 36];

const HEADER_ROW_BYTES: usize = 85;

pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub(super) const HEADERS: TableDefinition<&BlockKey, &[u8; HEADER_ROW_BYTES]> =
    TableDefinition::new("headers");
pub(super) const BLOCKS: TableDefinition<&BlockKey, &[u8]> = TableDefinition::new("blocks");
pub(super) const UNDO: TableDefinition<&BlockKey, &[u8]> = TableDefinition::new("undo");
pub(super) const COINS: TableDefinition<&[u8; 36], &[u8]> = TableDefinition::new("coins");

/// Keys of the `meta` table.
pub(super) mod meta {
    pub(in crate::store) const FORMAT: &str = "format";
    pub(in crate::store) const NETWORK_DIGEST: &str = "network digest";
    pub(in crate::store) const NETWORK_NAME: &str = "network name";
    pub(in crate::store) const TIP: &str = "tip";
}

/// The key of a block's rows.
pub(crate) fn block_key(height: Height, hash: &BlockHash) -> BlockKey {
    let mut key = [0; 36];
    key[..4].copy_from_slice(&height.0.to_be_bytes());
    key[4..].copy_from_slice(hash.as_byte_array());
    key
}

/// The height and hash of a key.
pub(super) fn parse_block_key(key: &BlockKey) -> (Height, BlockHash) {
    let (height, hash) = key.split_at(4);
    (
        Height(u32::from_be_bytes(height.try_into().expect("4 bytes"))),
        BlockHash::from_byte_array(hash.try_into().expect("32 bytes")),
    )
}

/// What is stored of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderRow {
    pub(crate) hash: BlockHash,
    pub(crate) height: Height,
    pub(crate) header: Header,
    pub(crate) status: Status,
    pub(crate) tx_count: u32,
}

const HAS_BODY: u8 = 1;
const CONNECTED: u8 = 2;
const FAILED: u8 = 4;

impl HeaderRow {
    pub(super) fn key(&self) -> BlockKey {
        block_key(self.height, &self.hash)
    }

    pub(super) fn encode(&self) -> [u8; HEADER_ROW_BYTES] {
        let mut row = [0; HEADER_ROW_BYTES];
        row[..80].copy_from_slice(&consensus::serialize(&self.header));
        row[80] = u8::from(self.status.has_body) * HAS_BODY
            + u8::from(self.status.connected) * CONNECTED
            + u8::from(self.status.failed) * FAILED;
        row[81..].copy_from_slice(&self.tx_count.to_le_bytes());
        row
    }

    pub(super) fn decode(key: &BlockKey, row: &[u8; HEADER_ROW_BYTES]) -> HeaderRow {
        let (height, hash) = parse_block_key(key);
        let has = |flag| row[80] & flag != 0;
        HeaderRow {
            hash,
            height,
            header: consensus::deserialize(&row[..80]).expect("any 80 bytes are a header"),
            status: Status {
                has_body: has(HAS_BODY),
                connected: has(CONNECTED),
                failed: has(FAILED),
                failed_ancestor: false,
            },
            tx_count: u32::from_le_bytes(row[81..].try_into().expect("4 bytes")) & 0x00ff_ffff,
        }
    }
}
