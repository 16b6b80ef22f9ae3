//! Two streams of sixteen nonces in 512-bit vectors, with rotation and three-input logic in one instruction each.

#![expect(unsafe_code, reason = "AVX-512 intrinsics; see the SAFETY notes")]

use std::arch::x86_64::*;

use super::lanes::{Lanes, Sweep, lane_kernel};
use super::{Hit, Kernel, LaneDigest, NonceRange, Work};

/// Streams that go through the rounds together: one alone waits for its own results, two fill the 32 registers.
const STREAMS: usize = 2;

/// Truth tables for `vpternlogd`, its operands read as bits 0xF0, 0xCC and 0xAA.
const XOR3: i32 = 0xF0 ^ 0xCC ^ 0xAA;
const CHOOSE: i32 = (0xF0 & 0xCC) | (0x0F & 0xAA);
const MAJORITY: i32 = (0xF0 & 0xCC) | (0xF0 & 0xAA) | (0xCC & 0xAA);

lane_kernel! {
    /// Proof that this CPU has AVX-512 F (vectors) and BW (byte shuffles): only [`Avx512::new`] makes one.
    Avx512, "avx512", STREAMS, needs "avx512f,avx512bw": "avx512f", "avx512bw"
}

/// Sixteen words. Private, and used only by the `scan` and `digests` of the macro above, which enable AVX-512.
#[derive(Clone, Copy)]
struct Words(__m512i);

impl Words {
    #[inline(always)]
    fn rotate_right<const BY: i32>(self) -> Self {
        // SAFETY: `Words` is used only where AVX-512 F is enabled.
        Self(unsafe { _mm512_ror_epi32::<BY>(self.0) })
    }

    #[inline(always)]
    fn shift_right<const BY: u32>(self) -> Self {
        // SAFETY: `Words` is used only where AVX-512 F is enabled.
        Self(unsafe { _mm512_srli_epi32::<BY>(self.0) })
    }

    #[inline(always)]
    fn logic<const TABLE: i32>(a: Self, b: Self, c: Self) -> Self {
        // SAFETY: `Words` is used only where AVX-512 F is enabled.
        Self(unsafe { _mm512_ternarylogic_epi32::<TABLE>(a.0, b.0, c.0) })
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        // SAFETY: `Words` is used only where AVX-512 F and BW are enabled.
        Self(unsafe {
            let order = _mm512_broadcast_i32x4(_mm_set_epi8(
                12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
            ));
            _mm512_shuffle_epi8(self.0, order)
        })
    }
}

impl Lanes for Words {
    const COUNT: usize = 16;
    // There are 32 registers, and two units have to be kept busy.
    const WORDS_BESIDE_ROUNDS: bool = true;

    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: `Words` is used only where AVX-512 F is enabled.
        Self(unsafe { _mm512_set1_epi32(word as i32) })
    }

    #[inline(always)]
    fn nonce_words(first: u32) -> Self {
        // SAFETY: `Words` is used only where AVX-512 F is enabled.
        let lane =
            Self(unsafe { _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0) });
        Self::splat(first).add(lane).swap_bytes()
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: `Words` is used only where AVX-512 F is enabled.
        Self(unsafe { _mm512_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: `Words` is used only where AVX-512 F is enabled.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn big_sigma0(self) -> Self {
        Self::logic::<XOR3>(
            self.rotate_right::<2>(),
            self.rotate_right::<13>(),
            self.rotate_right::<22>(),
        )
    }

    #[inline(always)]
    fn big_sigma1(self) -> Self {
        Self::logic::<XOR3>(
            self.rotate_right::<6>(),
            self.rotate_right::<11>(),
            self.rotate_right::<25>(),
        )
    }

    #[inline(always)]
    fn small_sigma0(self) -> Self {
        Self::logic::<XOR3>(
            self.rotate_right::<7>(),
            self.rotate_right::<18>(),
            self.shift_right::<3>(),
        )
    }

    #[inline(always)]
    fn small_sigma1(self) -> Self {
        Self::logic::<XOR3>(
            self.rotate_right::<17>(),
            self.rotate_right::<19>(),
            self.shift_right::<10>(),
        )
    }

    #[inline(always)]
    fn choose(e: Self, f: Self, g: Self) -> Self {
        Self::logic::<CHOOSE>(e, f, g)
    }

    #[inline(always)]
    fn majority(a: Self, b: Self, c: Self, _: Self, _: Self) -> Self {
        Self::logic::<MAJORITY>(a, b, c)
    }

    #[inline(always)]
    fn swapped_at_most(self, limit: u32) -> u32 {
        // SAFETY: `Words` is used only where AVX-512 F is enabled.
        let mask = unsafe { _mm512_cmple_epu32_mask(self.swap_bytes().0, Self::splat(limit).0) };
        u32::from(mask)
    }

    #[inline(always)]
    fn store(self, out: &mut [u32; 16]) {
        // SAFETY: `Words` is used only where AVX-512 F is enabled; `out` holds sixteen words, and the store needs
        // no alignment.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::check::check_or_skip;

    #[test]
    fn agrees_with_the_reference() {
        check_or_skip(Avx512::new(), "avx512");
    }
}
