//! The two hashes of a step: their schedules as far as they fold, and their rows of rounds.

#![expect(
    clippy::needless_range_loop,
    reason = "streams step together through several arrays"
)]

use super::Lanes;
use super::rounds::{Rows, Streams, expand_words, places, word};
use crate::kernel::Work;
use crate::kernel::sha256::{self, DIGEST_BITS, HEADER_BITS, INITIAL, K, PAD};

/// The memory a sweep works in.
pub(super) struct Scratch<V, const S: usize> {
    words: [[V; 64]; S],
    first: [Rows<V>; S],
    second: [Rows<V>; S],
}

impl<V: Lanes, const S: usize> Scratch<V, S> {
    /// Fills in the rows that no nonce changes.
    #[inline(always)]
    pub(super) fn new(message: &Message) -> Self {
        let zero = V::splat(0);
        let mut scratch = Self {
            words: [[zero; 64]; S],
            first: [[[zero; 8]; 8]; S],
            second: [[[zero; 8]; 8]; S],
        };
        let second_hash = [PAD, 0, 0, 0, 0, 0, 0, DIGEST_BITS];
        for s in 0..S {
            for t in 4..16 {
                set_constant(&mut scratch.first[s], t, message.words[t]);
            }
            set_constant(&mut scratch.first[s], 16, message.early[0]);
            set_constant(&mut scratch.first[s], 17, message.early[1]);
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

/// The second block of the header, without its nonce.
pub(super) struct Message {
    words: [u32; 16],
    early: [u32; 4],
}

impl Message {
    #[inline(always)]
    pub(super) fn new(work: &Work) -> Self {
        Self {
            words: work.second_block_words(),
            early: work.early_words(),
        }
    }

    /// Schedule words 16 to 31 of the first hash for each vector of nonces.
    #[inline(always)]
    pub(super) fn expand<V: Lanes, const S: usize, const VECTORS: usize>(
        &self,
        scratch: &mut Scratch<V, S>,
        nonces: [V; S],
    ) {
        for s in 0..VECTORS {
            self.expand_vector(&mut scratch.words[s], &mut scratch.first[s], nonces[s]);
        }
    }

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
    }
}

/// The first digests of a step: the message of the second hash.
pub(super) struct FirstDigests<V, const S: usize>([[V; 8]; S]);

impl<V: Lanes, const S: usize> FirstDigests<V, S> {
    /// Rounds 4 to 63 of the first hash, each stream with the version that `chosen` says. `EXPAND`: the schedules
    /// are complete only up to word 31 yet.
    #[inline(always)]
    pub(super) fn compute<const VECTORS: usize, const EXPAND: bool>(
        work: &Work,
        scratch: &mut Scratch<V, S>,
        nonces: [V; S],
        chosen: [usize; S],
    ) -> Self {
        let mut state = [[V::splat(0); 8]; S];
        let places = places(4);
        for s in 0..S {
            let start = &work.versions()[chosen[s]].after_round_3;
            for i in 0..8 {
                state[s][places[i]] = V::splat(start[i]);
            }
            state[s][places[0]] = state[s][places[0]].add(nonces[s]);
            state[s][places[4]] = state[s][places[4]].add(nonces[s]);
        }
        let mut streams = Streams::new(state, 4);
        let Scratch { words, first, .. } = scratch;
        if EXPAND && !V::WORDS_BESIDE_ROUNDS {
            for s in 0..VECTORS {
                expand_words::<V, 32, 64>(&mut words[s], &mut first[s]);
            }
        }
        streams.row::<4, VECTORS>(first, 0);
        streams.row::<0, VECTORS>(first, 1);
        let beside = EXPAND && V::WORDS_BESIDE_ROUNDS;
        if beside {
            for row in 2..6 {
                streams.row_and_words::<VECTORS, 8>(words, first, row);
            }
        }
        for row in if beside { 6 } else { 2 }..8 {
            streams.row::<0, VECTORS>(first, row);
        }
        let mut digests = streams.state;
        for s in 0..S {
            let midstate = &work.versions()[chosen[s]].midstate;
            for i in 0..8 {
                digests[s][i] = digests[s][i].add(V::splat(midstate[i]));
            }
        }
        Self(digests)
    }

    /// Schedule words 0 to 31 of the second hash.
    #[inline(always)]
    fn expand(&self, scratch: &mut Scratch<V, S>) {
        let splat = V::splat;
        for s in 0..S {
            let w = &mut scratch.words[s];
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
        }
    }

    /// Rounds 0 to 55 of the second hash, and its schedule words up to `END - 1`, `END` being `56 + COUNT`.
    #[inline(always)]
    fn start_second<const COUNT: usize, const END: usize>(
        &self,
        scratch: &mut Scratch<V, S>,
    ) -> Streams<V, S> {
        self.expand(scratch);
        // Round 0 starts from constants: only its schedule word differs from lane to lane.
        let after_round_0 = sha256::round(INITIAL, K[0]);
        let mut state = [[V::splat(0); 8]; S];
        let places = places(1);
        for s in 0..S {
            for i in 0..8 {
                state[s][places[i]] = V::splat(after_round_0[i]);
            }
            state[s][places[0]] = state[s][places[0]].add(self.0[s][0]);
            state[s][places[4]] = state[s][places[4]].add(self.0[s][0]);
        }
        let mut streams = Streams::new(state, 1);
        let Scratch { words, second, .. } = scratch;
        if !V::WORDS_BESIDE_ROUNDS {
            for s in 0..S {
                expand_words::<V, 32, END>(&mut words[s], &mut second[s]);
            }
        }
        streams.row::<1, S>(second, 0);
        streams.row::<0, S>(second, 1);
        if V::WORDS_BESIDE_ROUNDS {
            for row in 2..5 {
                streams.row_and_words::<S, 8>(words, second, row);
            }
            streams.row_and_words::<S, COUNT>(words, second, 5);
        }
        for row in if V::WORDS_BESIDE_ROUNDS { 6 } else { 2 }..7 {
            streams.row::<0, S>(second, row);
        }
        streams
    }

    /// The last word of each second digest.
    #[inline(always)]
    pub(super) fn second_hash_end(&self, scratch: &mut Scratch<V, S>) -> [V; S] {
        let mut streams = self.start_second::<5, 61>(scratch);
        streams.last_row(&scratch.second)
    }

    /// The whole second digests.
    #[inline(always)]
    pub(super) fn second_hash_full(&self, scratch: &mut Scratch<V, S>) -> [[V; 8]; S] {
        let mut streams = self.start_second::<8, 64>(scratch);
        streams.row::<0, S>(&scratch.second, 7);
        let mut digests = streams.state;
        for s in 0..S {
            for i in 0..8 {
                digests[s][i] = digests[s][i].add(V::splat(INITIAL[i]));
            }
        }
        digests
    }
}
