//! The search on vectors: one algorithm for every instruction set that has 32-bit lanes.
//!
//! A lane holds one nonce. [`Lanes`] is what an instruction set must offer; [`Sweep`] is the double hash on top
//! of it, folded where the header makes it possible:
//!
//! - the first 64 bytes and rounds 0 to 3 of the second block are computed once per version, not per nonce;
//! - schedule words that are constant or partly constant are added as constants, zero words not at all;
//! - the second hash stops at round 60, whose `e` is the last word of the digest; rounds 57 to 60 need no `a`.
//!
//! Schedules are expanded into memory first (loads are free beside the arithmetic) and the rounds run in a loop
//! of eight, which keeps the code small enough for the CPU's cache of decoded instructions. `S` streams go
//! through the rounds together, so that one's latency hides behind the other's work. With several versions the
//! streams hold versions and share one schedule (BIP 320); with one version they hold neighbouring nonces.

#![expect(
    clippy::needless_range_loop,
    reason = "streams step together through several arrays"
)]

use super::sha256::{self, DIGEST_BITS, HEADER_BITS, INITIAL, K, PAD};
use super::work::LAST_WORD_OFFSET;
use super::{Hit, LaneDigest, MAX_VERSIONS, NonceRange, Work};

/// A vector of 32-bit words and the steps of SHA-256 on it.
///
/// Every method is to be inlined into a function that enables the instruction set.
pub(super) trait Lanes: Copy {
    /// Number of words.
    const COUNT: usize;
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

/// Round constants plus schedule words, eight rounds a row.
type Rows<V> = [[V; 8]; 8];

/// The working variables of the streams, and for each the `b ^ c` of the coming round.
struct Streams<V, const S: usize> {
    state: [[V; 8]; S],
    bc: [V; S],
}

impl<V: Lanes, const S: usize> Streams<V, S> {
    #[inline(always)]
    fn new(state: [[V; 8]; S], next_round: usize) -> Self {
        let mut bc = [V::splat(0); S];
        for s in 0..S {
            bc[s] = state[s][(9 - next_round) % 8].xor(state[s][(10 - next_round) % 8]);
        }
        Self { state, bc }
    }

    /// Round `I` (modulo 8) on all streams. Instead of moving the variables along, round `I` finds `a` in place
    /// `-I`, and the new `a` and `e` take the places of the old `h` and `d`.
    #[inline(always)]
    fn round<const I: usize>(&mut self, kw: [V; S]) {
        for s in 0..S {
            let v = &mut self.state[s];
            let [a, b, c, d, e, f, g, h] = places(I);
            let t1 = v[h]
                .add(kw[s])
                .add(V::choose(v[e], v[f], v[g]))
                .add(v[e].big_sigma1());
            let ab = v[a].xor(v[b]);
            let majority = V::majority(v[a], v[b], v[c], ab, self.bc[s]);
            v[d] = v[d].add(t1);
            v[h] = t1.add(majority).add(v[a].big_sigma0());
            self.bc[s] = ab;
        }
    }

    /// Round `I` without its new `a`, for the last rounds, where nothing reads it any more.
    #[inline(always)]
    fn round_e<const I: usize>(&mut self, kw: [V; S]) {
        for s in 0..S {
            let v = &mut self.state[s];
            let [_, _, _, d, e, f, g, h] = places(I);
            let t1 = v[h]
                .add(kw[s])
                .add(V::choose(v[e], v[f], v[g]))
                .add(v[e].big_sigma1());
            v[d] = v[d].add(t1);
        }
    }

    /// Rounds `from` (0 or 4) to 7 of a row.
    #[inline(always)]
    fn row<const FROM: usize>(&mut self, rows: [&Rows<V>; S], row: usize) {
        if FROM == 0 {
            self.round::<0>(column(rows, row, 0));
            self.round::<1>(column(rows, row, 1));
            self.round::<2>(column(rows, row, 2));
            self.round::<3>(column(rows, row, 3));
        } else if FROM == 1 {
            self.round::<1>(column(rows, row, 1));
            self.round::<2>(column(rows, row, 2));
            self.round::<3>(column(rows, row, 3));
        }
        self.round::<4>(column(rows, row, 4));
        self.round::<5>(column(rows, row, 5));
        self.round::<6>(column(rows, row, 6));
        self.round::<7>(column(rows, row, 7));
    }

    /// Rounds 56 to 60 of the second hash, as far as the digest's last word needs them.
    #[inline(always)]
    fn last_row(&mut self, rows: [&Rows<V>; S]) -> [V; S] {
        self.round::<0>(column(rows, 7, 0));
        self.round_e::<1>(column(rows, 7, 1));
        self.round_e::<2>(column(rows, 7, 2));
        self.round_e::<3>(column(rows, 7, 3));
        self.round_e::<4>(column(rows, 7, 4));
        let mut last_words = [V::splat(LAST_WORD_OFFSET); S];
        for s in 0..S {
            last_words[s] = last_words[s].add(self.state[s][places(4)[3]]);
        }
        last_words
    }
}

/// Where `a..h` are in round `i` (modulo 8).
#[inline(always)]
const fn places(i: usize) -> [usize; 8] {
    let a = 8 - i;
    [
        a % 8,
        (a + 1) % 8,
        (a + 2) % 8,
        (a + 3) % 8,
        (a + 4) % 8,
        (a + 5) % 8,
        (a + 6) % 8,
        (a + 7) % 8,
    ]
}

#[inline(always)]
fn column<V: Lanes, const S: usize>(rows: [&Rows<V>; S], row: usize, i: usize) -> [V; S] {
    let mut kw = [V::splat(0); S];
    for s in 0..S {
        kw[s] = rows[s][row][i];
    }
    kw
}

/// The memory a sweep works in.
struct Scratch<V, const S: usize> {
    words: [V; 64],
    first: [Rows<V>; S],
    second: [Rows<V>; S],
}

impl<V: Lanes, const S: usize> Scratch<V, S> {
    /// Fills in the rows that no nonce changes.
    #[inline(always)]
    fn new(sweep: &Sweep<'_>) -> Self {
        let zero = V::splat(0);
        let mut scratch = Self {
            words: [zero; 64],
            first: [[[zero; 8]; 8]; S],
            second: [[[zero; 8]; 8]; S],
        };
        let second_hash = [PAD, 0, 0, 0, 0, 0, 0, DIGEST_BITS];
        for s in 0..S {
            for t in 4..16 {
                set_constant(&mut scratch.first[s], t, sweep.second_block[t]);
            }
            set_constant(&mut scratch.first[s], 16, sweep.early[0]);
            set_constant(&mut scratch.first[s], 17, sweep.early[1]);
            for t in 8..16 {
                set_constant(&mut scratch.second[s], t, second_hash[t - 8]);
            }
        }
        scratch
    }
}

#[inline(always)]
fn set_constant<V: Lanes>(rows: &mut Rows<V>, t: usize, word: u32) {
    rows[t / 8][t % 8] = V::splat(word.wrapping_add(K[t]));
}

/// One pass of a kernel over nonces of one [`Work`].
pub(super) struct Sweep<'a> {
    work: &'a Work,
    second_block: [u32; 16],
    early: [u32; 4],
}

/// Stores word `t` for the schedule and, with its round constant, for the rounds.
macro_rules! word {
    ($words:ident, $rows:ident, $t:expr, $value:expr) => {{
        let value = $value;
        $words[$t] = value;
        $rows[$t / 8][$t % 8] = value.add(V::splat(K[$t]));
    }};
}

impl<'a> Sweep<'a> {
    #[inline(always)]
    pub(super) fn new(work: &'a Work) -> Self {
        Self {
            work,
            second_block: work.second_block_words(),
            early: work.early_words(),
        }
    }

    /// Vectors of nonces that one step covers: one per stream, or one for all when the streams hold versions.
    #[inline(always)]
    fn vectors_per_step<const S: usize>(&self) -> usize {
        if self.work.version_count() == 1 { S } else { 1 }
    }

    /// How often a step runs the streams: until all versions had their turn.
    #[inline(always)]
    fn groups_per_step<const S: usize>(&self) -> usize {
        self.work.version_count().div_ceil(S)
    }

    // From here on no closures: the compiler would make them functions of their own, without the instruction set.

    /// The lowest nonce of the range that meets the target, by the lowest version that does.
    #[inline(always)]
    pub(super) fn scan<V: Lanes, const S: usize>(&self, range: NonceRange) -> Option<Hit> {
        let mut scratch = Scratch::<V, S>::new(self);
        let limit = self.work.top_limit();
        let nonces_per_step = (self.vectors_per_step::<S>() * V::COUNT) as u32;
        let mut first = range.first();
        loop {
            let mut candidates = 0;
            let mut masks = [[0u32; S]; MAX_VERSIONS];
            let nonces = self.expand_first(&mut scratch, first);
            for group in 0..self.groups_per_step::<S>() {
                let digests = self.first_hash(&scratch, nonces, group);
                let last_words = digests.second_hash_end(&mut scratch);
                for s in 0..S {
                    masks[group][s] = last_words[s].swapped_at_most(limit);
                    candidates |= masks[group][s];
                }
            }
            if candidates != 0
                && let Some(hit) = self.confirm::<S>(first, range, &masks, V::COUNT)
            {
                return Some(hit);
            }
            match first.checked_add(nonces_per_step) {
                Some(next) if next <= range.last() => first = next,
                _ => return None,
            }
        }
    }

    /// Looks at marked lanes in order of nonce, then version.
    #[inline(never)]
    fn confirm<const S: usize>(
        &self,
        first: u32,
        range: NonceRange,
        masks: &[[u32; S]; MAX_VERSIONS],
        lanes: usize,
    ) -> Option<Hit> {
        let one_version = self.work.version_count() == 1;
        let count = (self.vectors_per_step::<S>() * lanes) as u32;
        let inside = count.min((range.last() - first).saturating_add(1));
        for offset in 0..inside {
            let (vector, lane) = (offset as usize / lanes, offset as usize % lanes);
            for version in 0..self.work.version_count() {
                let mask = if one_version {
                    masks[0][vector]
                } else {
                    masks[version / S][version % S]
                };
                let hit = Hit {
                    nonce: first + offset,
                    version,
                };
                if mask >> lane & 1 == 1 && self.work.meets_target(hit) {
                    return Some(hit);
                }
            }
        }
        None
    }

    /// All lanes of one step in full.
    #[inline(always)]
    pub(super) fn digests<V: Lanes, const S: usize>(&self, first: u32) -> Vec<LaneDigest> {
        let mut scratch = Scratch::<V, S>::new(self);
        let mut out = Vec::new();
        let one_version = self.work.version_count() == 1;
        let nonces = self.expand_first(&mut scratch, first);
        for group in 0..self.groups_per_step::<S>() {
            let digests = self.first_hash(&scratch, nonces, group);
            let full = digests.second_hash_full(&mut scratch);
            for s in 0..S {
                let (version, vector) = if one_version {
                    (0, s)
                } else {
                    (group * S + s, 0)
                };
                if version < self.work.version_count() {
                    let mut words = [[0; 16]; 8];
                    for i in 0..8 {
                        full[s][i].store(&mut words[i]);
                    }
                    let nonce = first.wrapping_add((vector * V::COUNT) as u32);
                    push_lanes(&mut out, version, nonce, &words, V::COUNT);
                }
            }
        }
        out
    }

    /// The schedules of the first hash's second block for one step, and the nonces in them.
    #[inline(always)]
    fn expand_first<V: Lanes, const S: usize>(
        &self,
        scratch: &mut Scratch<V, S>,
        first: u32,
    ) -> [V; S] {
        let vectors = self.vectors_per_step::<S>();
        let mut nonces = [V::nonce_words(first); S];
        for vector in 0..vectors {
            let nonce = V::nonce_words(first.wrapping_add((vector * V::COUNT) as u32));
            nonces[vector] = nonce;
            self.expand_vector(&mut scratch.words, &mut scratch.first[vector], nonce);
        }
        nonces
    }

    /// The schedule of the first hash's second block for one vector of nonces.
    #[inline(always)]
    fn expand_vector<V: Lanes>(&self, w: &mut [V; 64], rows: &mut Rows<V>, nonce: V) {
        let splat = V::splat;
        let [w16, w17, w18, w19] = self.early;
        w[16] = splat(w16);
        w[17] = splat(w17);
        word!(w, rows, 18, splat(w18).add(nonce.small_sigma0()));
        word!(w, rows, 19, splat(w19).add(nonce));
        word!(w, rows, 20, w[18].small_sigma1().add(splat(PAD)));
        word!(w, rows, 21, w[19].small_sigma1());
        word!(w, rows, 22, w[20].small_sigma1().add(splat(HEADER_BITS)));
        word!(w, rows, 23, w[21].small_sigma1().add(w[16]));
        word!(w, rows, 24, w[22].small_sigma1().add(w[17]));
        word!(w, rows, 25, w[23].small_sigma1().add(w[18]));
        word!(w, rows, 26, w[24].small_sigma1().add(w[19]));
        word!(w, rows, 27, w[25].small_sigma1().add(w[20]));
        word!(w, rows, 28, w[26].small_sigma1().add(w[21]));
        word!(w, rows, 29, w[27].small_sigma1().add(w[22]));
        let c30 = sha256::small_sigma0(HEADER_BITS);
        word!(w, rows, 30, w[28].small_sigma1().add(w[23]).add(splat(c30)));
        let c31 = sha256::small_sigma0(w16).wrapping_add(HEADER_BITS);
        word!(w, rows, 31, w[29].small_sigma1().add(w[24]).add(splat(c31)));
        let c32 = sha256::small_sigma0(w17).wrapping_add(w16);
        word!(w, rows, 32, w[30].small_sigma1().add(w[25]).add(splat(c32)));
        word!(w, rows, 33, expand(w, 33));
        expand_rows::<V, 34, 64>(w, rows);
    }

    /// Rounds 4 to 63 of the first hash; gives the first digests. The streams hold the versions of `group`, or
    /// the vectors of nonces of the only version.
    #[inline(always)]
    fn first_hash<V: Lanes, const S: usize>(
        &self,
        scratch: &Scratch<V, S>,
        nonces: [V; S],
        group: usize,
    ) -> FirstDigests<V, S> {
        let versions = self.work.versions();
        let mut chosen = [0; S];
        let mut rows = [&scratch.first[0]; S];
        let mut state = [[V::splat(0); 8]; S];
        for s in 0..S {
            // A last group that is not full hashes its last version twice; nobody reads the second.
            chosen[s] = (group * S + s).min(versions.len() - 1);
            rows[s] = &scratch.first[s.min(self.vectors_per_step::<S>() - 1)];
            let start = &versions[chosen[s]].after_round_3;
            let places = places(4);
            for i in 0..8 {
                state[s][places[i]] = V::splat(start[i]);
            }
            state[s][places[0]] = state[s][places[0]].add(nonces[s]);
            state[s][places[4]] = state[s][places[4]].add(nonces[s]);
        }
        let mut streams = Streams::new(state, 4);
        streams.row::<4>(rows, 0);
        for row in 1..8 {
            streams.row::<0>(rows, row);
        }
        let mut digests = streams.state;
        for s in 0..S {
            let midstate = &versions[chosen[s]].midstate;
            for i in 0..8 {
                digests[s][i] = digests[s][i].add(V::splat(midstate[i]));
            }
        }
        FirstDigests(digests)
    }
}

/// Appends what the lanes of one stream computed; `words[i][lane]` is word `i` of a lane's digest.
fn push_lanes(
    out: &mut Vec<LaneDigest>,
    version: usize,
    first: u32,
    words: &[[u32; 16]; 8],
    lanes: usize,
) {
    for lane in 0..lanes {
        let digest = core::array::from_fn(|i| words[i][lane]);
        out.push(LaneDigest::new(
            version,
            first.wrapping_add(lane as u32),
            &digest,
        ));
    }
}

/// A schedule word that has no constant part.
#[inline(always)]
fn expand<V: Lanes>(w: &[V; 64], t: usize) -> V {
    let late = w[t - 2].small_sigma1().add(w[t - 7]);
    late.add(w[t - 15].small_sigma0().add(w[t - 16]))
}

/// Words `FROM` to `END - 1`. The last two stay in registers: through memory they would be too late.
#[inline(always)]
fn expand_rows<V: Lanes, const FROM: usize, const END: usize>(w: &mut [V; 64], rows: &mut Rows<V>) {
    let (mut even, mut odd) = (w[FROM - 2], w[FROM - 1]);
    let mut t = FROM;
    while t + 1 < END {
        even = even
            .small_sigma1()
            .add(w[t - 7].add(w[t - 15].small_sigma0()).add(w[t - 16]));
        word!(w, rows, t, even);
        odd = odd
            .small_sigma1()
            .add(w[t - 6].add(w[t - 14].small_sigma0()).add(w[t - 15]));
        word!(w, rows, t + 1, odd);
        t += 2;
    }
    if t < END {
        word!(w, rows, t, expand(w, t));
    }
}

/// The first digests of a step: the message of the second hash.
struct FirstDigests<V, const S: usize>([[V; 8]; S]);

impl<V: Lanes, const S: usize> FirstDigests<V, S> {
    /// The schedule of the second hash up to word `END - 1`.
    #[inline(always)]
    fn expand_second<const END: usize>(&self, scratch: &mut Scratch<V, S>) {
        let splat = V::splat;
        for s in 0..S {
            let w = &mut scratch.words;
            let rows = &mut scratch.second[s];
            for t in 0..8 {
                word!(w, rows, t, self.0[s][t]);
            }
            word!(w, rows, 16, w[1].small_sigma0().add(w[0]));
            let c17 = sha256::small_sigma1(DIGEST_BITS);
            word!(w, rows, 17, w[2].small_sigma0().add(w[1]).add(splat(c17)));
            word!(
                w,
                rows,
                18,
                w[16].small_sigma1().add(w[3].small_sigma0().add(w[2]))
            );
            word!(
                w,
                rows,
                19,
                w[17].small_sigma1().add(w[4].small_sigma0().add(w[3]))
            );
            word!(
                w,
                rows,
                20,
                w[18].small_sigma1().add(w[5].small_sigma0().add(w[4]))
            );
            word!(
                w,
                rows,
                21,
                w[19].small_sigma1().add(w[6].small_sigma0().add(w[5]))
            );
            let c22 = splat(DIGEST_BITS);
            word!(
                w,
                rows,
                22,
                w[20]
                    .small_sigma1()
                    .add(w[7].small_sigma0().add(w[6]).add(c22))
            );
            let c23 = splat(sha256::small_sigma0(PAD));
            word!(
                w,
                rows,
                23,
                w[21].small_sigma1().add(w[16]).add(w[7].add(c23))
            );
            word!(w, rows, 24, w[22].small_sigma1().add(w[17]).add(splat(PAD)));
            word!(w, rows, 25, w[23].small_sigma1().add(w[18]));
            word!(w, rows, 26, w[24].small_sigma1().add(w[19]));
            word!(w, rows, 27, w[25].small_sigma1().add(w[20]));
            word!(w, rows, 28, w[26].small_sigma1().add(w[21]));
            word!(w, rows, 29, w[27].small_sigma1().add(w[22]));
            let c30 = splat(sha256::small_sigma0(DIGEST_BITS));
            word!(w, rows, 30, w[28].small_sigma1().add(w[23]).add(c30));
            let c31 = splat(DIGEST_BITS);
            word!(
                w,
                rows,
                31,
                w[29]
                    .small_sigma1()
                    .add(w[24])
                    .add(w[16].small_sigma0().add(c31))
            );
            expand_rows::<V, 32, END>(w, rows);
        }
    }

    /// Rounds 0 to 55 of the second hash.
    #[inline(always)]
    fn start_second(&self, scratch: &Scratch<V, S>) -> Streams<V, S> {
        let mut rows = [&scratch.second[0]; S];
        let mut state = [[V::splat(0); 8]; S];
        // Round 0 starts from constants: only its schedule word differs from lane to lane.
        let after_round_0 = sha256::round(INITIAL, K[0]);
        for s in 0..S {
            rows[s] = &scratch.second[s];
            let places = places(1);
            for i in 0..8 {
                state[s][places[i]] = V::splat(after_round_0[i]);
            }
            state[s][places[0]] = state[s][places[0]].add(self.0[s][0]);
            state[s][places[4]] = state[s][places[4]].add(self.0[s][0]);
        }
        let mut streams = Streams::new(state, 1);
        streams.row::<1>(rows, 0);
        for row in 1..7 {
            streams.row::<0>(rows, row);
        }
        streams
    }

    /// The last word of each second digest.
    #[inline(always)]
    fn second_hash_end(&self, scratch: &mut Scratch<V, S>) -> [V; S] {
        self.expand_second::<61>(scratch);
        let mut rows = [&scratch.second[0]; S];
        for s in 0..S {
            rows[s] = &scratch.second[s];
        }
        self.start_second(scratch).last_row(rows)
    }

    /// The whole second digests.
    #[inline(always)]
    fn second_hash_full(&self, scratch: &mut Scratch<V, S>) -> [[V; 8]; S] {
        self.expand_second::<64>(scratch);
        let mut rows = [&scratch.second[0]; S];
        for s in 0..S {
            rows[s] = &scratch.second[s];
        }
        let mut streams = self.start_second(scratch);
        streams.row::<0>(rows, 7);
        let mut digests = streams.state;
        for s in 0..S {
            for i in 0..8 {
                digests[s][i] = digests[s][i].add(V::splat(INITIAL[i]));
            }
        }
        digests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::check::{assert_kernel_agrees, assert_lanes_agree};

    /// Sixteen plain words: lets the algorithm be tested on any CPU, apart from the instructions.
    #[derive(Clone, Copy)]
    struct Plain([u32; 16]);

    impl Plain {
        fn map2(self, other: Self, f: impl Fn(u32, u32) -> u32) -> Self {
            Self(core::array::from_fn(|i| f(self.0[i], other.0[i])))
        }
    }

    impl Lanes for Plain {
        const COUNT: usize = 16;
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
    struct PlainKernel<const S: usize>;

    impl<const S: usize> crate::kernel::Kernel for PlainKernel<S> {
        fn name(&self) -> &'static str {
            "plain"
        }
        fn versions_shared(&self) -> usize {
            super::super::MAX_VERSIONS
        }
        fn scan(&self, work: &Work, range: NonceRange) -> Option<Hit> {
            Sweep::new(work).scan::<Plain, S>(range)
        }
        fn digests(&self, work: &Work, first: u32) -> Vec<LaneDigest> {
            Sweep::new(work).digests::<Plain, S>(first)
        }
    }

    #[test]
    fn the_algorithm_agrees_with_the_reference_in_one_and_two_streams() {
        assert_lanes_agree(&PlainKernel::<1>);
        assert_lanes_agree(&PlainKernel::<2>);
        assert_kernel_agrees(&PlainKernel::<2>);
    }
}
