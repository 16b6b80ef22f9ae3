//! The SHA-2 instructions of 64-bit Arm: one nonce per stream, several streams interleaved.
//!
//! Run in an emulated CPU only, and never timed. On other CPUs its arithmetic is tested against a model of the six instructions and
//! operations that it uses (`aarch64_model.rs`, made from Arm's published pseudocode); at run time the self-test decides whether it
//! takes part.

#![expect(
    unsafe_code,
    reason = "entry into functions that enable the SHA-2 instructions"
)]

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;

#[cfg(not(target_arch = "aarch64"))]
use super::aarch64_model::*;
use super::sha256::{DIGEST_BITS, INITIAL, K, PAD, State};
use super::work::{VersionState, top_word_passes};
use super::{Hit, Kernel, LaneDigest, NonceRange, Work};

/// Streams that are interleaved: the instructions take four cycles on most cores and start each cycle or two.
const STREAMS: usize = 4;

/// Proof that this CPU has the SHA-2 instructions: only [`Aarch64Sha2::new`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aarch64Sha2(());

impl Aarch64Sha2 {
    /// `None` where the CPU lacks the SHA-2 instructions.
    pub(super) fn new() -> Option<Self> {
        #[cfg(target_arch = "aarch64")]
        let found = std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("sha2");
        #[cfg(not(target_arch = "aarch64"))]
        let found = true;
        found.then_some(Self(()))
    }
}

impl Kernel for Aarch64Sha2 {
    fn name(&self) -> &'static str {
        "aarch64-sha2"
    }

    fn versions_shared(&self) -> usize {
        1
    }

    #[cfg_attr(
        not(target_arch = "aarch64"),
        expect(unused_unsafe, reason = "the model is safe")
    )]
    fn scan(&self, work: &Work, range: NonceRange) -> Option<Hit> {
        // SAFETY: `self` exists, so `new` found NEON and the SHA-2 instructions.
        unsafe { scan(work, range) }
    }

    #[cfg_attr(
        not(target_arch = "aarch64"),
        expect(unused_unsafe, reason = "the model is safe")
    )]
    fn digests(&self, work: &Work, first: u32) -> Vec<LaneDigest> {
        // SAFETY: `self` exists, so `new` found NEON and the SHA-2 instructions.
        unsafe { digests(work, first) }
    }
}

/// The working variables or a chaining value, the first letter in the lowest word.
#[derive(Clone, Copy)]
struct Halves {
    abcd: uint32x4_t,
    efgh: uint32x4_t,
}

#[inline]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon"))]
fn vector(words: [u32; 4]) -> uint32x4_t {
    let [w0, w1, w2, w3] = words;
    let low = vcreate_u32(u64::from(w0) | u64::from(w1) << 32);
    let high = vcreate_u32(u64::from(w2) | u64::from(w3) << 32);
    vcombine_u32(low, high)
}

#[inline]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon"))]
fn halves(state: &State) -> Halves {
    let [a, b, c, d, e, f, g, h] = *state;
    Halves {
        abcd: vector([a, b, c, d]),
        efgh: vector([e, f, g, h]),
    }
}

#[inline]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon"))]
fn sum(x: Halves, y: Halves) -> Halves {
    Halves {
        abcd: vaddq_u32(x.abcd, y.abcd),
        efgh: vaddq_u32(x.efgh, y.efgh),
    }
}

/// Rounds `4 * row` to `4 * row + 3`.
#[inline]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon,sha2"))]
fn four_rounds(state: Halves, words: uint32x4_t, row: usize) -> Halves {
    let k = vector([K[4 * row], K[4 * row + 1], K[4 * row + 2], K[4 * row + 3]]);
    let kw = vaddq_u32(words, k);
    Halves {
        abcd: vsha256hq_u32(state.abcd, state.efgh, kw),
        efgh: vsha256h2q_u32(state.efgh, state.abcd, kw),
    }
}

/// Rounds `4 * from` to 63 on every stream; `w` holds the sixteen words of each message.
#[inline]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon,sha2"))]
fn rounds<const N: usize, const FROM: usize>(
    state: &mut [Halves; N],
    w: &mut [[uint32x4_t; N]; 4],
) {
    for (row, words) in w.iter().enumerate().skip(FROM) {
        for s in 0..N {
            state[s] = four_rounds(state[s], words[s], row);
        }
    }
    for block in 1..4 {
        for i in 0..4 {
            for s in 0..N {
                let early = vsha256su0q_u32(w[i][s], w[(i + 1) % 4][s]);
                w[i][s] = vsha256su1q_u32(early, w[(i + 2) % 4][s], w[(i + 3) % 4][s]);
                state[s] = four_rounds(state[s], w[i][s], 4 * block + i);
            }
        }
    }
}

/// The double hash of `N` nonces, as the chaining values of the second.
#[inline]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon,sha2"))]
fn hash<const N: usize>(work: &Work, version: &VersionState, nonces: [u32; N]) -> [Halves; N] {
    let block = work.second_block_words();
    let row = |i: usize| vector([block[i], block[i + 1], block[i + 2], block[i + 3]]);
    let mut w = [[row(0); N], [row(4); N], [row(8); N], [row(12); N]];
    let midstate = halves(&version.midstate);
    let mut state = [halves(&version.after_round_3); N];
    for s in 0..N {
        let nonce = nonces[s].swap_bytes();
        w[0][s] = vector([block[0], block[1], block[2], nonce]);
        let in_a_and_e = vector([nonce, 0, 0, 0]);
        state[s] = sum(
            state[s],
            Halves {
                abcd: in_a_and_e,
                efgh: in_a_and_e,
            },
        );
    }
    rounds::<N, 1>(&mut state, &mut w);

    let initial = halves(&INITIAL);
    w = [
        w[0],
        w[1],
        [vector([PAD, 0, 0, 0]); N],
        [vector([0, 0, 0, DIGEST_BITS]); N],
    ];
    for s in 0..N {
        let digest = sum(state[s], midstate);
        w[0][s] = digest.abcd;
        w[1][s] = digest.efgh;
        state[s] = initial;
    }
    rounds::<N, 0>(&mut state, &mut w);
    for half in &mut state {
        *half = sum(*half, initial);
    }
    state
}

fn lane_nonces<const N: usize>(first: u32) -> [u32; N] {
    core::array::from_fn(|lane| first.wrapping_add(lane as u32))
}

#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon,sha2"))]
fn scan(work: &Work, range: NonceRange) -> Option<Hit> {
    for first in range.steps(STREAMS as u32) {
        let mut best: Option<Hit> = None;
        for (version, state) in work.versions().iter().enumerate() {
            let hashes = hash::<STREAMS>(work, state, lane_nonces(first));
            for (s, hash) in hashes.iter().enumerate() {
                let Some(nonce) = first.checked_add(s as u32).filter(|&n| n <= range.last()) else {
                    break;
                };
                let hit = Hit { nonce, version };
                if top_word_passes(vgetq_lane_u32::<3>(hash.efgh), work.top_limit())
                    && best.is_none_or(|best| hit < best)
                    && work.meets_target(hit)
                {
                    best = Some(hit);
                }
            }
        }
        if best.is_some() {
            return best;
        }
    }
    None
}

#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon,sha2"))]
fn digests(work: &Work, first: u32) -> Vec<LaneDigest> {
    let mut lanes = Vec::new();
    for (version, state) in work.versions().iter().enumerate() {
        let nonces = lane_nonces(first);
        for (s, half) in hash::<STREAMS>(work, state, nonces).iter().enumerate() {
            let words = [
                vgetq_lane_u32::<0>(half.abcd),
                vgetq_lane_u32::<1>(half.abcd),
                vgetq_lane_u32::<2>(half.abcd),
                vgetq_lane_u32::<3>(half.abcd),
                vgetq_lane_u32::<0>(half.efgh),
                vgetq_lane_u32::<1>(half.efgh),
                vgetq_lane_u32::<2>(half.efgh),
                vgetq_lane_u32::<3>(half.efgh),
            ];
            lanes.push(LaneDigest::new(version, nonces[s], &words));
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::check::check_or_skip;

    #[test]
    fn agrees_with_the_reference() {
        check_or_skip(Aarch64Sha2::new(), "aarch64-sha2");
    }
}
