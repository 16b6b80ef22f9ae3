//! The constants and scalar steps of SHA-256 (FIPS 180-4) that kernels fold ahead of time.
//!
//! Whole compressions are [`sha2`]'s business; what is here is needed to start or stop in the middle of one.

use sha2::block_api::compress256;

/// The eight working variables `a..h`, or a chaining value.
pub(crate) type State = [u32; 8];

/// The initial hash value (FIPS 180-4, 5.3.3).
pub(crate) const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The round constants (FIPS 180-4, 4.2.2).
#[rustfmt::skip]
pub(crate) const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The first padding word: a one bit after the message.
pub(crate) const PAD: u32 = 0x8000_0000;
/// Length in bits of a block header, the last word of the first hash's second block.
pub(crate) const HEADER_BITS: u32 = 80 * 8;
/// Length in bits of a digest, the last word of the second hash's only block.
pub(crate) const DIGEST_BITS: u32 = 32 * 8;

/// `Σ0`, of the working variable `a`.
pub(crate) const fn big_sigma0(x: u32) -> u32 {
    x.rotate_right(2) ^ x.rotate_right(13) ^ x.rotate_right(22)
}

/// `Σ1`, of the working variable `e`.
pub(crate) const fn big_sigma1(x: u32) -> u32 {
    x.rotate_right(6) ^ x.rotate_right(11) ^ x.rotate_right(25)
}

/// `σ0`, of the schedule word 15 places back.
pub(crate) const fn small_sigma0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

/// `σ1`, of the schedule word 2 places back.
pub(crate) const fn small_sigma1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}

/// One round on `state`; `kw` is the round constant plus the schedule word.
pub(crate) const fn round(state: State, kw: u32) -> State {
    let [a, b, c, d, e, f, g, h] = state;
    let choose = (e & f) ^ (!e & g);
    let majority = (a & b) ^ (a & c) ^ (b & c);
    let t1 = h
        .wrapping_add(big_sigma1(e))
        .wrapping_add(choose)
        .wrapping_add(kw);
    let t2 = big_sigma0(a).wrapping_add(majority);
    [t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g]
}

/// The chaining value after the first 64 bytes of a header.
pub(crate) fn midstate(block: &[u8; 64]) -> State {
    let mut state = INITIAL;
    compress256(&mut state, &[*block]);
    state
}

/// A chaining value as the 32 bytes of a digest.
pub(crate) fn digest_bytes(state: &State) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(state) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// The second hash: of the 32 bytes of a first digest.
pub(crate) fn hash_digest(first: &State) -> [u8; 32] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(&digest_bytes(first));
    block[32] = 0x80;
    block[60..].copy_from_slice(&DIGEST_BITS.to_be_bytes());
    digest_bytes(&midstate(&block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_and_schedule_make_the_compression_function() {
        let block: [u8; 64] = core::array::from_fn(|i| (i * 7 + 3) as u8);
        let mut w = [0u32; 64];
        for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        }
        for t in 16..64 {
            w[t] = small_sigma1(w[t - 2])
                .wrapping_add(w[t - 7])
                .wrapping_add(small_sigma0(w[t - 15]))
                .wrapping_add(w[t - 16]);
        }
        let mut state = INITIAL;
        for t in 0..64 {
            state = round(state, K[t].wrapping_add(w[t]));
        }
        for (word, initial) in state.iter_mut().zip(INITIAL) {
            *word = word.wrapping_add(initial);
        }
        assert_eq!(state, midstate(&block));
    }
}
