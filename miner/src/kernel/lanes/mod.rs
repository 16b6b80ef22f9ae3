//! The search on vectors: one algorithm for every instruction set that has 32-bit lanes.
//!
//! A lane holds one nonce. [`Lanes`] is what an instruction set must offer; [`Sweep`] is the double hash on top
//! of it, folded where the header makes it possible:
//!
//! - the first 64 bytes and rounds 0 to 3 of the second block are computed once per version, not per nonce;
//! - schedule words that are constant or partly constant are added as constants, zero words not at all;
//! - the second hash stops at round 60, whose `e` is the last word of the digest; rounds 57 to 60 need no `a`.
//!
//! Schedules live in memory, since loads are free beside the arithmetic. A loop over rows of eight rounds keeps the
//! code small enough for the CPU's cache of decoded instructions. `S` streams go through the rounds together, so that
//! one's latency hides behind the other's work. With several versions the streams hold versions and share one
//! schedule (BIP 320); with one version they hold neighbouring nonces, each with its own.

mod hashes;
#[cfg(target_arch = "x86_64")]
mod kernel;
mod rounds;
mod sweep;

#[cfg(target_arch = "x86_64")]
pub(super) use kernel::lane_kernel;
pub(super) use sweep::Sweep;

/// A vector of 32-bit words and the steps of SHA-256 on it.
///
/// Every method is to be inlined into a function that enables the instruction set.
pub(super) trait Lanes: Copy {
    /// Number of words.
    const COUNT: usize;
    /// Whether schedule words are computed beside the rounds of two rows before, so that each fills the other's
    /// gaps; this wants many registers. Otherwise they are computed ahead of the rounds.
    const WORDS_BESIDE_ROUNDS: bool;
    /// The same word in every lane.
    fn splat(word: u32) -> Self;
    /// `first`, `first + 1`, ... wrapping, each with its bytes swapped as the header's nonce is.
    fn nonce_words(first: u32) -> Self;
    /// Wrapping sum.
    fn add(self, other: Self) -> Self;
    /// Exclusive or.
    fn xor(self, other: Self) -> Self;
    /// `Σ0`.
    fn big_sigma0(self) -> Self;
    /// `Σ1`.
    fn big_sigma1(self) -> Self;
    /// `σ0`.
    fn small_sigma0(self) -> Self;
    /// `σ1`.
    fn small_sigma1(self) -> Self;
    /// `f` where a bit of `e` is set, else `g`.
    fn choose(e: Self, f: Self, g: Self) -> Self;
    /// The majority of `a`, `b`, `c`. `ab` is `a ^ b` and `bc` is `b ^ c`, for those that use them.
    fn majority(a: Self, b: Self, c: Self, ab: Self, bc: Self) -> Self;
    /// Bit `i` is set when lane `i`, with its bytes swapped, is at most `limit`.
    fn swapped_at_most(self, limit: u32) -> u32;
    /// Copies the lanes to the front of `out`.
    fn store(self, out: &mut [u32; 16]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::check::{assert_kernel_agrees, assert_lanes_agree};
    use crate::kernel::{Hit, LaneDigest, MAX_VERSIONS, NonceRange, Work, sha256};

    /// Sixteen plain words: lets the algorithm be tested on any CPU, apart from the instructions.
    #[derive(Clone, Copy)]
    struct Plain<const BESIDE: bool>([u32; 16]);

    impl<const BESIDE: bool> Plain<BESIDE> {
        fn map2(self, other: Self, f: impl Fn(u32, u32) -> u32) -> Self {
            Self(core::array::from_fn(|i| f(self.0[i], other.0[i])))
        }
    }

    impl<const BESIDE: bool> Lanes for Plain<BESIDE> {
        const COUNT: usize = 16;
        const WORDS_BESIDE_ROUNDS: bool = BESIDE;
        fn splat(word: u32) -> Self {
            Self([word; 16])
        }
        fn nonce_words(first: u32) -> Self {
            Self(core::array::from_fn(|i| {
                first.wrapping_add(i as u32).swap_bytes()
            }))
        }
        fn add(self, other: Self) -> Self {
            self.map2(other, u32::wrapping_add)
        }
        fn xor(self, other: Self) -> Self {
            self.map2(other, |a, b| a ^ b)
        }
        fn big_sigma0(self) -> Self {
            Self(self.0.map(sha256::big_sigma0))
        }
        fn big_sigma1(self) -> Self {
            Self(self.0.map(sha256::big_sigma1))
        }
        fn small_sigma0(self) -> Self {
            Self(self.0.map(sha256::small_sigma0))
        }
        fn small_sigma1(self) -> Self {
            Self(self.0.map(sha256::small_sigma1))
        }
        fn choose(e: Self, f: Self, g: Self) -> Self {
            Self(core::array::from_fn(|i| {
                (e.0[i] & f.0[i]) | (!e.0[i] & g.0[i])
            }))
        }
        fn majority(_: Self, b: Self, _: Self, ab: Self, bc: Self) -> Self {
            Self(core::array::from_fn(|i| (ab.0[i] & bc.0[i]) ^ b.0[i]))
        }
        fn swapped_at_most(self, limit: u32) -> u32 {
            (0..16)
                .filter(|&i| self.0[i].swap_bytes() <= limit)
                .map(|i| 1 << i)
                .sum()
        }
        fn store(self, out: &mut [u32; 16]) {
            *out = self.0;
        }
    }

    #[derive(Debug)]
    struct PlainKernel<const S: usize, const BESIDE: bool>;

    impl<const S: usize, const BESIDE: bool> crate::kernel::Kernel for PlainKernel<S, BESIDE> {
        fn name(&self) -> &'static str {
            "plain"
        }
        fn versions_shared(&self) -> usize {
            MAX_VERSIONS
        }
        fn scan(&self, work: &Work, range: NonceRange) -> Option<Hit> {
            Sweep::new(work).scan::<Plain<BESIDE>, S>(range)
        }
        fn digests(&self, work: &Work, first: u32) -> Vec<LaneDigest> {
            Sweep::new(work).digests::<Plain<BESIDE>, S>(first)
        }
    }

    #[test]
    fn the_algorithm_agrees_with_the_reference_in_one_and_two_streams() {
        assert_lanes_agree(&PlainKernel::<1, false>);
        assert_lanes_agree(&PlainKernel::<2, false>);
        assert_lanes_agree(&PlainKernel::<1, true>);
        assert_lanes_agree(&PlainKernel::<2, true>);
        assert_kernel_agrees(&PlainKernel::<2, true>);
    }
}
