//! The tables, their keys and rows.

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, consensus};
use redb::TableDefinition;

use super::damage::Table;
use crate::tree::Status;
use crate::units::{BlockPosition, Height};

/// Height (big endian) and hash: key order is height order, so blocks append at the end of the file.
pub(crate) type BlockKey = [u8; 36];

/// The key of a row: a block, or an outpoint.
pub(crate) type RowKey = [u8; 36];

const HEADER_ROW_BYTES: usize = 85;

pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// A table of all but `meta`.
pub(super) fn rows(table: Table) -> TableDefinition<'static, &'static RowKey, &'static [u8]> {
    TableDefinition::new(table.name())
}

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

/// The block of a key.
pub(crate) fn position(key: &BlockKey) -> BlockPosition {
    let (height, hash) = key.split_at(4);
    BlockPosition {
        height: Height(u32::from_be_bytes(height.try_into().expect("4 bytes"))),
        hash: BlockHash::from_byte_array(hash.try_into().expect("32 bytes")),
    }
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
const INVALIDATED: u8 = 8;

impl HeaderRow {
    pub(super) fn key(&self) -> BlockKey {
        block_key(self.height, &self.hash)
    }

    /// The row, but for its checksum.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = consensus::serialize(&self.header);
        row.push(
            u8::from(self.status.has_body) * HAS_BODY
                + u8::from(self.status.connected) * CONNECTED
                + u8::from(self.status.failed) * FAILED
                + u8::from(self.status.invalidated) * INVALIDATED,
        );
        row.extend_from_slice(&self.tx_count.to_le_bytes());
        row
    }

    pub(super) fn decode(key: &BlockKey, row: &[u8]) -> Option<HeaderRow> {
        let row: &[u8; HEADER_ROW_BYTES] = row.try_into().ok()?;
        let BlockPosition { hash, height } = position(key);
        let has = |flag| row[80] & flag != 0;
        Some(HeaderRow {
            hash,
            height,
            header: consensus::deserialize(&row[..80]).expect("any 80 bytes are a header"),
            status: Status {
                has_body: has(HAS_BODY),
                connected: has(CONNECTED),
                failed: has(FAILED),
                invalidated: has(INVALIDATED),
                failed_ancestor: false,
            },
            tx_count: u32::from_le_bytes(row[81..].try_into().expect("4 bytes")) & 0x00ff_ffff,
        })
    }
}
