//! Checksums of rows. A checksum covers the key as well, so that a row proves to be the one that was asked for.
//!
//! Bodies need none, they have their hash.

use bitcoin::hashes::{Hash, HashEngine, sha256};
use twox_hash::XxHash3_64;

use super::tables::BlockKey;

/// Bytes of checksum at the end of a row.
pub(super) const SEAL_BYTES: usize = 4;

/// Bytes of checksum in front of undo data.
const UNDO_SEAL_BYTES: usize = 8;

/// Adds the checksum of a row whose value `value` holds so far.
pub(super) fn seal(key: &[u8], value: &mut Vec<u8>) {
    let sum = checksum(key, value);
    value.extend_from_slice(&sum);
}

/// The value of a row without its checksum; `None` if it is not what was written under this key.
pub(super) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (value, found) = sealed.split_last_chunk::<SEAL_BYTES>()?;
    (*found == checksum(key, value)).then_some(value)
}

/// The row that was written, if `sealed` differs from it in one bit.
pub(super) fn with_one_bit_back(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut row = sealed.to_vec();
    for bit in 0..sealed.len() * 8 {
        row[bit / 8] ^= 1 << (bit % 8);
        if unseal(key, &row).is_some() {
            row.truncate(row.len() - SEAL_BYTES);
            return Some(row);
        }
        row[bit / 8] ^= 1 << (bit % 8);
    }
    None
}

/// The checksum of a row.
pub(super) fn checksum(key: &[u8], value: &[u8]) -> [u8; SEAL_BYTES] {
    let sum = XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key), value);
    (sum as u32).to_le_bytes()
}

/// Length of undo data with their checksum.
pub(super) fn sealed_undo_bytes(data: &[u8]) -> usize {
    UNDO_SEAL_BYTES + data.len()
}

/// Writes undo data to `sealed`, behind their checksum.
pub(super) fn seal_undo(key: &BlockKey, data: &[u8], sealed: &mut [u8]) {
    let (head, tail) = sealed.split_at_mut(UNDO_SEAL_BYTES);
    head.copy_from_slice(&undo_checksum(key, data));
    tail.copy_from_slice(data);
}

/// Undo data without their checksum; `None` if they are not what was written for this block.
pub(super) fn unseal_undo<'a>(key: &BlockKey, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (found, data) = sealed.split_at_checked(UNDO_SEAL_BYTES)?;
    (found == undo_checksum(key, data)).then_some(data)
}

fn undo_checksum(key: &BlockKey, data: &[u8]) -> [u8; UNDO_SEAL_BYTES] {
    let mut engine = sha256::Hash::engine();
    engine.input(key);
    engine.input(data);
    let hash = sha256::Hash::from_engine(engine).to_byte_array();
    hash[..UNDO_SEAL_BYTES].try_into().expect("8 of 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_breaks_the_seal_of_a_row() {
        let key = [7; 36];
        let mut sealed = b"a coin".to_vec();
        seal(&key, &mut sealed);
        assert_eq!(unseal(&key, &sealed), Some(&b"a coin"[..]));
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&key, &flipped), None);
            assert_eq!(
                with_one_bit_back(&key, &flipped).as_deref(),
                Some(&b"a coin"[..])
            );
            flipped[(bit / 8 + 1) % sealed.len()] ^= 0x11;
            assert_eq!(with_one_bit_back(&key, &flipped), None);
        }
        for bit in 0..key.len() * 8 {
            let mut flipped = key;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&flipped, &sealed), None);
        }
        assert_eq!(unseal(&key, &[1, 2, 3]), None);
    }

    #[test]
    fn a_flipped_bit_breaks_the_seal_of_undo_data() {
        let key = [7; 36];
        let mut sealed = vec![0; sealed_undo_bytes(b"spent coins")];
        seal_undo(&key, b"spent coins", &mut sealed);
        assert_eq!(unseal_undo(&key, &sealed), Some(&b"spent coins"[..]));
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal_undo(&key, &flipped), None);
        }
        assert_eq!(unseal_undo(&[8; 36], &sealed), None);
        assert_eq!(unseal_undo(&key, &[]), None);
    }
}
