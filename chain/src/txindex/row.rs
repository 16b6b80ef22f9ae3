//! What is stored, with the checksums that prove it.

use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::{BlockHash, Txid};

const CHECKSUM_BYTES: usize = 8;
const PLACE_BYTES: usize = 36;
pub(super) const ROW_BYTES: usize = PLACE_BYTES + CHECKSUM_BYTES;

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxPlace {
    /// Its block.
    pub block: BlockHash,
    /// Its position there.
    pub index: u32,
}

impl TxPlace {
    pub(super) fn seal(&self, txid: &Txid) -> [u8; ROW_BYTES] {
        let mut row = [0; ROW_BYTES];
        row[..32].copy_from_slice(self.block.as_byte_array());
        row[32..PLACE_BYTES].copy_from_slice(&self.index.to_le_bytes());
        let checksum = checksum(txid.as_byte_array(), &row[..PLACE_BYTES]);
        row[PLACE_BYTES..].copy_from_slice(&checksum);
        row
    }

    /// `None`: these bytes were never written for this transaction.
    pub(super) fn open(txid: &Txid, row: &[u8; ROW_BYTES]) -> Option<TxPlace> {
        let (place, found) = row.split_at(PLACE_BYTES);
        if found != checksum(txid.as_byte_array(), place) {
            return None;
        }
        let (block, index) = place.split_at(32);
        Some(TxPlace {
            block: BlockHash::from_byte_array(block.try_into().expect("32 bytes")),
            index: u32::from_le_bytes(index.try_into().expect("4 bytes")),
        })
    }
}

pub(super) fn seal_blocks(blocks: &[BlockHash]) -> Vec<u8> {
    let hashes: Vec<u8> = blocks
        .iter()
        .flat_map(|hash| hash.to_byte_array())
        .collect();
    let mut sealed = checksum(b"blocks", &hashes).to_vec();
    sealed.extend(hashes);
    sealed
}

pub(super) fn open_blocks(sealed: &[u8]) -> Option<Vec<BlockHash>> {
    let (found, hashes) = sealed.split_at_checked(CHECKSUM_BYTES)?;
    let (hashes, rest) = hashes.as_chunks::<32>();
    let is_whole = rest.is_empty() && found == checksum(b"blocks", hashes.as_flattened());
    is_whole.then(|| {
        hashes
            .iter()
            .copied()
            .map(BlockHash::from_byte_array)
            .collect()
    })
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut engine = sha256::Hash::engine();
    engine.input(key);
    engine.input(value);
    let hash = sha256::Hash::from_engine(engine).to_byte_array();
    hash[..CHECKSUM_BYTES].try_into().expect("8 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_noticed() {
        let (txid, other) = (
            Txid::from_byte_array([1; 32]),
            Txid::from_byte_array([2; 32]),
        );
        let place = TxPlace {
            block: BlockHash::from_byte_array([7; 32]),
            index: 5,
        };
        let row = place.seal(&txid);
        assert_eq!(TxPlace::open(&txid, &row), Some(place));
        assert_eq!(TxPlace::open(&other, &row), None);
        for bit in 0..row.len() * 8 {
            let mut flipped = row;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(TxPlace::open(&txid, &flipped), None);
        }
        let blocks = vec![place.block, BlockHash::from_byte_array([8; 32])];
        let sealed = seal_blocks(&blocks);
        assert_eq!(open_blocks(&sealed), Some(blocks));
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_blocks(&flipped), None);
        }
        assert_eq!(open_blocks(&sealed[..sealed.len() - 1]), None);
        assert_eq!(open_blocks(&[]), None);
    }
}
