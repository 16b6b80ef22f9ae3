//! Eight nonces in a 256-bit vector. AVX2 has no rotation, so each takes two shifts and an or.

#![expect(unsafe_code, reason = "AVX2 intrinsics; see the SAFETY notes")]

use std::arch::x86_64::*;

use super::lanes::{Lanes, Sweep, lane_kernel};
use super::{Hit, Kernel, LaneDigest, NonceRange, Work};

/// Streams that go through the rounds together: the registers hold just one.
const STREAMS: usize = 1;

lane_kernel! {
    /// Proof that this CPU has AVX2: only [`Avx2::new`] makes one.
    Avx2, "avx2", STREAMS, needs "avx2": "avx2"
}

/// Eight words. Private, and used only by the `scan` and `digests` of the macro above, which enable AVX2.
#[derive(Clone, Copy)]
struct Words(__m256i);

impl Words {
    #[inline(always)]
    fn rotate_right<const RIGHT: i32, const LEFT: i32>(self) -> Self {
        // SAFETY: `Words` is used only where AVX2 is enabled.
        Self(unsafe {
            _mm256_or_si256(
                _mm256_srli_epi32::<RIGHT>(self.0),
                _mm256_slli_epi32::<LEFT>(self.0),
            )
        })
    }

    #[inline(always)]
    fn shift_right<const BY: i32>(self) -> Self {
        // SAFETY: `Words` is used only where AVX2 is enabled.
        Self(unsafe { _mm256_srli_epi32::<BY>(self.0) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: `Words` is used only where AVX2 is enabled.
        Self(unsafe { _mm256_and_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        // SAFETY: `Words` is used only where AVX2 is enabled.
        Self(unsafe {
            let order = _mm256_broadcastsi128_si256(_mm_set_epi8(
                12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
            ));
            _mm256_shuffle_epi8(self.0, order)
        })
    }
}

impl Lanes for Words {
    const COUNT: usize = 8;
    // Measured on a Zen 3 core: 3 to 5 % faster than beside the rounds, which spills registers.
    const WORDS_BESIDE_ROUNDS: bool = false;

    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: `Words` is used only where AVX2 is enabled.
        Self(unsafe { _mm256_set1_epi32(word as i32) })
    }

    #[inline(always)]
    fn nonce_words(first: u32) -> Self {
        // SAFETY: `Words` is used only where AVX2 is enabled.
        let lane = Self(unsafe { _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0) });
        Self::splat(first).add(lane).swap_bytes()
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: `Words` is used only where AVX2 is enabled.
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: `Words` is used only where AVX2 is enabled.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn big_sigma0(self) -> Self {
        let two = self
            .rotate_right::<2, 30>()
            .xor(self.rotate_right::<13, 19>());
        two.xor(self.rotate_right::<22, 10>())
    }

    #[inline(always)]
    fn big_sigma1(self) -> Self {
        let two = self
            .rotate_right::<6, 26>()
            .xor(self.rotate_right::<11, 21>());
        two.xor(self.rotate_right::<25, 7>())
    }

    #[inline(always)]
    fn small_sigma0(self) -> Self {
        let two = self
            .rotate_right::<7, 25>()
            .xor(self.rotate_right::<18, 14>());
        two.xor(self.shift_right::<3>())
    }

    #[inline(always)]
    fn small_sigma1(self) -> Self {
        let two = self
            .rotate_right::<17, 15>()
            .xor(self.rotate_right::<19, 13>());
        two.xor(self.shift_right::<10>())
    }

    #[inline(always)]
    fn choose(e: Self, f: Self, g: Self) -> Self {
        e.and(f.xor(g)).xor(g)
    }

    #[inline(always)]
    fn majority(_: Self, b: Self, _: Self, ab: Self, bc: Self) -> Self {
        ab.and(bc).xor(b)
    }

    #[inline(always)]
    fn swapped_at_most(self, limit: u32) -> u32 {
        let value = self.swap_bytes().0;
        // SAFETY: `Words` is used only where AVX2 is enabled.
        unsafe {
            let smaller = _mm256_min_epu32(value, Self::splat(limit).0);
            let equal = _mm256_cmpeq_epi32(smaller, value);
            _mm256_movemask_ps(_mm256_castsi256_ps(equal)) as u32
        }
    }

    #[inline(always)]
    fn store(self, out: &mut [u32; 16]) {
        // SAFETY: `Words` is used only where AVX2 is enabled; `out` has room for eight words, and the store needs
        // no alignment.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::check::check_or_skip;

    #[test]
    fn agrees_with_the_reference() {
        check_or_skip(Avx2::new(), "avx2");
    }
}
