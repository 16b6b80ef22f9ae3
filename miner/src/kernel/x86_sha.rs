//! The SHA instructions of x86-64: one nonce per stream, several streams interleaved.
//!
//! `sha256rnds2` does two rounds and takes four cycles; one starts each cycle on Zen 3, every second on Zen 5. So
//! several streams are needed to keep it busy and to hide the schedule. A nonce needs 61 of them: rounds 4 to 63 of
//! the first hash, 0 to 61 of the second.

#![expect(
    unsafe_code,
    reason = "entry into functions that enable the SHA instructions"
)]

use std::arch::x86_64::*;

use super::sha256::{DIGEST_BITS, HEADER_BITS, INITIAL, K, PAD, State, small_sigma0};
use super::work::{LAST_WORD_OFFSET, VersionState, top_word_passes};
use super::{Hit, Kernel, LaneDigest, NonceRange, Work};

/// Streams that are interleaved. Measured on a Zen 3 core in cycles per nonce: 123 with 3, 117 with 4, 118 with 5, 151
/// with 6, whose twelve registers of state leave too few for the schedules.
const STREAMS: usize = 4;

/// Proof that this CPU has the SHA instructions: only [`X86Sha::new`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct X86Sha(());

impl X86Sha {
    /// `None` where the CPU lacks the SHA instructions, SSSE3 or SSE4.1.
    pub(super) fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        found.then_some(Self(()))
    }
}

impl Kernel for X86Sha {
    fn name(&self) -> &'static str {
        "x86-sha"
    }

    fn versions_shared(&self) -> usize {
        1
    }

    fn scan(&self, work: &Work, range: NonceRange) -> Option<Hit> {
        // SAFETY: `self` exists, so `new` found all enabled features.
        unsafe { scan::<STREAMS>(work, range) }
    }

    fn digests(&self, work: &Work, first: u32) -> Vec<LaneDigest> {
        // SAFETY: `self` exists, so `new` found all enabled features.
        unsafe { digests::<STREAMS>(work, first) }
    }
}

/// The state as the instructions want it: `a, b, e, f` and `c, d, g, h`, the first letter in the highest word.
#[derive(Clone, Copy)]
struct Halves {
    abef: __m128i,
    cdgh: __m128i,
}

/// What stays the same for all nonces.
struct Plan {
    /// `K` plus schedule words 4 to 15 of the first hash's second block.
    first_kw: [__m128i; 3],
    /// Words 16 to 19 without their nonce parts.
    first_16: __m128i,
    /// What goes into words 20 to 23 besides words 18 to 21.
    first_20: __m128i,
    /// What goes into words 28 to 31 besides words 21 to 24 and 26 to 29.
    first_28: __m128i,
    /// `K` plus words 8 to 15 of the second hash's block.
    second_kw: [__m128i; 2],
    top_limit: u32,
}

/// What depends on the version.
struct VersionPlan {
    start: Halves,
    midstate: Halves,
}

#[inline]
#[target_feature(enable = "sse2")]
fn vector(words: [u32; 4]) -> __m128i {
    let [w0, w1, w2, w3] = words.map(|w| w as i32);
    _mm_set_epi32(w3, w2, w1, w0)
}

#[inline]
#[target_feature(enable = "sse2")]
fn constants(row: usize) -> __m128i {
    vector([K[4 * row], K[4 * row + 1], K[4 * row + 2], K[4 * row + 3]])
}

#[inline]
#[target_feature(enable = "sse2")]
fn halves(state: &State) -> Halves {
    let [a, b, c, d, e, f, g, h] = *state;
    Halves {
        abef: vector([f, e, b, a]),
        cdgh: vector([h, g, d, c]),
    }
}

impl Plan {
    #[inline]
    #[target_feature(enable = "sse2")]
    fn new(work: &Work) -> Self {
        let w = work.second_block_words();
        let [w16, w17, w18, w19] = work.early_words();
        let with_k = |row: usize, words: [u32; 4]| _mm_add_epi32(constants(row), vector(words));
        Self {
            first_kw: [
                with_k(1, [w[4], w[5], w[6], w[7]]),
                with_k(2, [w[8], w[9], w[10], w[11]]),
                with_k(3, [w[12], w[13], w[14], w[15]]),
            ],
            first_16: vector([w16, w17, w18, w19]),
            first_20: vector([PAD, 0, HEADER_BITS, w16]),
            first_28: vector([
                0,
                0,
                small_sigma0(HEADER_BITS),
                small_sigma0(w16).wrapping_add(HEADER_BITS),
            ]),
            second_kw: [with_k(2, [PAD, 0, 0, 0]), with_k(3, [0, 0, 0, DIGEST_BITS])],
            top_limit: work.top_limit(),
        }
    }
}

impl VersionPlan {
    #[inline]
    #[target_feature(enable = "sse2")]
    fn new(version: &VersionState) -> Self {
        Self {
            start: halves(&version.after_round_3),
            midstate: halves(&version.midstate),
        }
    }
}

/// Four rounds on every stream; `kw` gives each its round constants plus schedule words.
macro_rules! four_rounds {
    ($state:ident, |$s:ident| $kw:expr) => {
        for $s in 0..N {
            let kw = $kw;
            let state = &mut $state[$s];
            state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, kw);
            let high = _mm_shuffle_epi32::<0x0E>(kw);
            state.abef = _mm_sha256rnds2_epu32(state.abef, state.cdgh, high);
        }
    };
}

/// Computes the next four schedule words of each stream into `$w0`, then does their four rounds.
macro_rules! expand_and_round {
    ($state:ident, $row:literal, $w0:ident, $w1:ident, $w2:ident, $w3:ident) => {
        for s in 0..N {
            let early = _mm_sha256msg1_epu32($w0[s], $w1[s]);
            let sum = _mm_add_epi32(early, _mm_alignr_epi8::<4>($w3[s], $w2[s]));
            $w0[s] = _mm_sha256msg2_epu32(sum, $w3[s]);
        }
        four_rounds!($state, |s| _mm_add_epi32($w0[s], constants($row)));
    };
}

/// The first digests of `N` nonces, as words 0 to 3 and 4 to 7.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn first_hash<const N: usize>(
    plan: &Plan,
    version: &VersionPlan,
    nonces: [u32; N],
) -> ([__m128i; N], [__m128i; N]) {
    let zero = _mm_setzero_si128();
    let mut state = [version.start; N];
    let (mut w0, mut w1, mut w2, mut w3) = ([zero; N], [zero; N], [zero; N], [zero; N]);
    for s in 0..N {
        let nonce = nonces[s].swap_bytes();
        let in_a_and_e = vector([0, nonce, 0, nonce]);
        state[s].abef = _mm_add_epi32(state[s].abef, in_a_and_e);
        // Words 0 to 3 with all but the nonce left out: msg1 makes of it just the nonce's parts of words 18 and 19.
        w0[s] = _mm_sha256msg1_epu32(vector([0, 0, 0, nonce]), zero);
        w0[s] = _mm_add_epi32(w0[s], plan.first_16);
    }
    four_rounds!(state, |_s| plan.first_kw[0]);
    four_rounds!(state, |_s| plan.first_kw[1]);
    four_rounds!(state, |_s| plan.first_kw[2]);
    four_rounds!(state, |s| _mm_add_epi32(w0[s], constants(4)));
    for s in 0..N {
        w1[s] = _mm_sha256msg2_epu32(plan.first_20, w0[s]);
    }
    four_rounds!(state, |s| _mm_add_epi32(w1[s], constants(5)));
    for s in 0..N {
        w2[s] = _mm_sha256msg2_epu32(_mm_alignr_epi8::<4>(w1[s], w0[s]), w1[s]);
    }
    four_rounds!(state, |s| _mm_add_epi32(w2[s], constants(6)));
    for s in 0..N {
        let sum = _mm_add_epi32(plan.first_28, _mm_alignr_epi8::<4>(w2[s], w1[s]));
        w3[s] = _mm_sha256msg2_epu32(sum, w2[s]);
    }
    four_rounds!(state, |s| _mm_add_epi32(w3[s], constants(7)));
    expand_and_round!(state, 8, w0, w1, w2, w3);
    expand_and_round!(state, 9, w1, w2, w3, w0);
    expand_and_round!(state, 10, w2, w3, w0, w1);
    expand_and_round!(state, 11, w3, w0, w1, w2);
    expand_and_round!(state, 12, w0, w1, w2, w3);
    expand_and_round!(state, 13, w1, w2, w3, w0);
    expand_and_round!(state, 14, w2, w3, w0, w1);
    expand_and_round!(state, 15, w3, w0, w1, w2);
    for s in 0..N {
        let abef = _mm_add_epi32(state[s].abef, version.midstate.abef);
        let cdgh = _mm_add_epi32(state[s].cdgh, version.midstate.cdgh);
        (w0[s], w1[s]) = in_order(abef, cdgh);
    }
    (w0, w1)
}

/// `a, b, c, d` and `e, f, g, h`, the first letter in the lowest word.
#[inline]
#[target_feature(enable = "ssse3,sse4.1")]
fn in_order(abef: __m128i, cdgh: __m128i) -> (__m128i, __m128i) {
    let feba = _mm_shuffle_epi32::<0x1B>(abef);
    let dchg = _mm_shuffle_epi32::<0xB1>(cdgh);
    (
        _mm_blend_epi16::<0xF0>(feba, dchg),
        _mm_alignr_epi8::<8>(dchg, feba),
    )
}

/// The second hash on first digests: to round 61, or with `FULL` to the end.
#[inline]
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn second_hash<const N: usize, const FULL: bool>(
    plan: &Plan,
    mut w0: [__m128i; N],
    mut w1: [__m128i; N],
) -> [Halves; N] {
    let zero = _mm_setzero_si128();
    let (pad, bits) = (vector([PAD, 0, 0, 0]), vector([0, 0, 0, DIGEST_BITS]));
    let (mut w2, mut w3) = ([zero; N], [zero; N]);
    let mut state = [halves(&INITIAL); N];
    four_rounds!(state, |s| _mm_add_epi32(w0[s], constants(0)));
    four_rounds!(state, |s| _mm_add_epi32(w1[s], constants(1)));
    four_rounds!(state, |_s| plan.second_kw[0]);
    four_rounds!(state, |_s| plan.second_kw[1]);
    for s in 0..N {
        w0[s] = _mm_sha256msg2_epu32(_mm_sha256msg1_epu32(w0[s], w1[s]), bits);
    }
    four_rounds!(state, |s| _mm_add_epi32(w0[s], constants(4)));
    for s in 0..N {
        let early = _mm_sha256msg1_epu32(w1[s], pad);
        let sum = _mm_add_epi32(early, _mm_alignr_epi8::<4>(w0[s], bits));
        w1[s] = _mm_sha256msg2_epu32(sum, w0[s]);
    }
    four_rounds!(state, |s| _mm_add_epi32(w1[s], constants(5)));
    for s in 0..N {
        let sum = _mm_add_epi32(pad, _mm_alignr_epi8::<4>(w1[s], w0[s]));
        w2[s] = _mm_sha256msg2_epu32(sum, w1[s]);
    }
    four_rounds!(state, |s| _mm_add_epi32(w2[s], constants(6)));
    for s in 0..N {
        let early = _mm_sha256msg1_epu32(bits, w0[s]);
        let sum = _mm_add_epi32(early, _mm_alignr_epi8::<4>(w2[s], w1[s]));
        w3[s] = _mm_sha256msg2_epu32(sum, w2[s]);
    }
    four_rounds!(state, |s| _mm_add_epi32(w3[s], constants(7)));
    expand_and_round!(state, 8, w0, w1, w2, w3);
    expand_and_round!(state, 9, w1, w2, w3, w0);
    expand_and_round!(state, 10, w2, w3, w0, w1);
    expand_and_round!(state, 11, w3, w0, w1, w2);
    expand_and_round!(state, 12, w0, w1, w2, w3);
    expand_and_round!(state, 13, w1, w2, w3, w0);
    expand_and_round!(state, 14, w2, w3, w0, w1);
    if FULL {
        expand_and_round!(state, 15, w3, w0, w1, w2);
        let initial = halves(&INITIAL);
        for half in &mut state {
            half.abef = _mm_add_epi32(half.abef, initial.abef);
            half.cdgh = _mm_add_epi32(half.cdgh, initial.cdgh);
        }
    } else {
        for s in 0..N {
            let early = _mm_sha256msg1_epu32(w3[s], w0[s]);
            let sum = _mm_add_epi32(early, _mm_alignr_epi8::<4>(w2[s], w1[s]));
            let kw = _mm_add_epi32(_mm_sha256msg2_epu32(sum, w2[s]), constants(15));
            // Two rounds more, 60 and 61: what was `e` after round 60 is `f` now, and the last word of the digest.
            state[s].abef = _mm_sha256rnds2_epu32(state[s].cdgh, state[s].abef, kw);
        }
    }
    state
}

#[inline]
fn lane_nonces<const N: usize>(first: u32) -> [u32; N] {
    let mut nonces = [0; N];
    for (lane, nonce) in nonces.iter_mut().enumerate() {
        *nonce = first.wrapping_add(lane as u32);
    }
    nonces
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn scan<const N: usize>(work: &Work, range: NonceRange) -> Option<Hit> {
    let plan = Plan::new(work);
    let mut best = None;
    let mut last = range.last();
    for (version, state) in work.versions().iter().enumerate() {
        let hit = scan_version::<N>(
            work,
            &plan,
            version,
            &VersionPlan::new(state),
            range.first(),
            last,
        );
        // A later version wins only with a lower nonce, so there is no need to look at or beyond this one.
        if let Some(hit) = hit {
            best = Some(hit);
            match hit.nonce.checked_sub(1) {
                Some(below) if below >= range.first() => last = below,
                _ => break,
            }
        }
    }
    best
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn scan_version<const N: usize>(
    work: &Work,
    plan: &Plan,
    version: usize,
    version_plan: &VersionPlan,
    first: u32,
    last: u32,
) -> Option<Hit> {
    let range = NonceRange::starting_at(first, u64::from(last - first) + 1)?;
    for first in range.steps(N as u32) {
        let (w0, w1) = first_hash::<N>(plan, version_plan, lane_nonces(first));
        let state = second_hash::<N, false>(plan, w0, w1);
        for (s, half) in state.iter().enumerate() {
            let f = _mm_cvtsi128_si32(half.abef) as u32;
            if top_word_passes(f.wrapping_add(LAST_WORD_OFFSET), plan.top_limit) {
                let Some(nonce) = first.checked_add(s as u32).filter(|&n| n <= last) else {
                    break;
                };
                let hit = Hit { nonce, version };
                if work.meets_target(hit) {
                    return Some(hit);
                }
            }
        }
    }
    None
}

#[target_feature(enable = "sha,ssse3,sse4.1")]
fn digests<const N: usize>(work: &Work, first: u32) -> Vec<LaneDigest> {
    let plan = Plan::new(work);
    let mut lanes = Vec::new();
    for (version, state) in work.versions().iter().enumerate() {
        let nonces = lane_nonces::<N>(first);
        let (w0, w1) = first_hash::<N>(&plan, &VersionPlan::new(state), nonces);
        let full = second_hash::<N, true>(&plan, w0, w1);
        for (s, half) in full.iter().enumerate() {
            let (abcd, efgh) = in_order(half.abef, half.cdgh);
            let state = words(abcd, efgh);
            lanes.push(LaneDigest::new(version, nonces[s], &state));
        }
    }
    lanes
}

#[target_feature(enable = "sse4.1")]
fn words(abcd: __m128i, efgh: __m128i) -> State {
    [
        _mm_extract_epi32::<0>(abcd) as u32,
        _mm_extract_epi32::<1>(abcd) as u32,
        _mm_extract_epi32::<2>(abcd) as u32,
        _mm_extract_epi32::<3>(abcd) as u32,
        _mm_extract_epi32::<0>(efgh) as u32,
        _mm_extract_epi32::<1>(efgh) as u32,
        _mm_extract_epi32::<2>(efgh) as u32,
        _mm_extract_epi32::<3>(efgh) as u32,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::check::check_or_skip;

    #[test]
    fn agrees_with_the_reference() {
        check_or_skip(X86Sha::new(), "x86-sha");
    }
}
