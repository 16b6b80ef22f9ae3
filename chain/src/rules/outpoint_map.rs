//! Hash tables for point look-ups by transaction id. Their order is never read.

use std::hash::{BuildHasherDefault, Hasher};

use bitcoin::{OutPoint, Txid};

/// Ids to anything.
pub(crate) type TxidMap<V> = hashbrown::HashMap<Txid, V, BuildHasherDefault<FoldHasher>>;

/// A set of coins' names.
pub(crate) type OutPointSet = hashbrown::HashSet<OutPoint, BuildHasherDefault<FoldHasher>>;

/// Mixes what is already a hash: all 32 bytes take part, through widening multiplications, so that ids which agree in a few
/// chosen bits do not fall into one bucket. Fixed: the same on every machine and in every run.
#[derive(Default)]
pub(crate) struct FoldHasher(u64);

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    // Lengths of arrays: the same for all keys of a table.
    fn write_usize(&mut self, _: usize) {}

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(word.rotate_left(32) ^ 0xa076_1d64_78bd_642f);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
