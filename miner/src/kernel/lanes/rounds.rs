//! The rounds: what happens to the working variables, eight rounds a row, on all streams together.

#![expect(
    clippy::needless_range_loop,
    reason = "streams step together through several arrays"
)]

use super::Lanes;
use crate::kernel::work::LAST_WORD_OFFSET;

/// Round constants plus schedule words, eight rounds a row.
pub(super) type Rows<V> = [[V; 8]; 8];

/// Stores word `t` for the schedule and, with its round constant, for the rounds.
macro_rules! word {
    ($words:ident, $rows:ident, $t:expr, $value:expr) => {{
        let value = $value;
        $words[$t] = value;
        $rows[$t / 8][$t % 8] = value.add(V::splat($crate::kernel::sha256::K[$t]));
    }};
}

pub(super) use word;

/// A schedule word that has no constant part.
#[inline(always)]
pub(super) fn expand<V: Lanes>(w: &[V; 64], t: usize) -> V {
    let late = w[t - 2].small_sigma1().add(w[t - 7]);
    late.add(w[t - 15].small_sigma0().add(w[t - 16]))
}

/// Words `FROM` to `END - 1`. The last two stay in registers: through memory they would be too late.
#[inline(always)]
pub(super) fn expand_words<V: Lanes, const FROM: usize, const END: usize>(
    w: &mut [V; 64],
    rows: &mut Rows<V>,
) {
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

/// The working variables of the streams, and for each the `b ^ c` of the coming round.
pub(super) struct Streams<V, const S: usize> {
    pub(super) state: [[V; 8]; S],
    bc: [V; S],
}

impl<V: Lanes, const S: usize> Streams<V, S> {
    #[inline(always)]
    pub(super) fn new(state: [[V; 8]; S], next_round: usize) -> Self {
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

    /// Rounds `FROM` (0, 1 or 4) to 7 of a row; `VECTORS` is 1 when all streams share a schedule, else `S`.
    #[inline(always)]
    pub(super) fn row<const FROM: usize, const VECTORS: usize>(
        &mut self,
        rows: &[Rows<V>; S],
        row: usize,
    ) {
        if FROM == 0 {
            self.round::<0>(column::<V, S, VECTORS>(rows, row, 0));
            self.round::<1>(column::<V, S, VECTORS>(rows, row, 1));
            self.round::<2>(column::<V, S, VECTORS>(rows, row, 2));
            self.round::<3>(column::<V, S, VECTORS>(rows, row, 3));
        } else if FROM == 1 {
            self.round::<1>(column::<V, S, VECTORS>(rows, row, 1));
            self.round::<2>(column::<V, S, VECTORS>(rows, row, 2));
            self.round::<3>(column::<V, S, VECTORS>(rows, row, 3));
        }
        self.round::<4>(column::<V, S, VECTORS>(rows, row, 4));
        self.round::<5>(column::<V, S, VECTORS>(rows, row, 5));
        self.round::<6>(column::<V, S, VECTORS>(rows, row, 6));
        self.round::<7>(column::<V, S, VECTORS>(rows, row, 7));
    }

    /// A row of rounds, and beside each round the schedule word of two rows later, as far as the first `COUNT`:
    /// neither waits for the other, so each fills the other's gaps.
    #[inline(always)]
    pub(super) fn row_and_words<const VECTORS: usize, const COUNT: usize>(
        &mut self,
        words: &mut [[V; 64]; S],
        rows: &mut [Rows<V>; S],
        row: usize,
    ) {
        macro_rules! round_and_word {
            ($i:literal) => {
                self.round::<$i>(column::<V, S, VECTORS>(rows, row, $i));
                if $i < COUNT {
                    for s in 0..VECTORS {
                        let (w, rows) = (&mut words[s], &mut rows[s]);
                        let t = 8 * row + 16 + $i;
                        word!(w, rows, t, expand(w, t));
                    }
                }
            };
        }
        round_and_word!(0);
        round_and_word!(1);
        round_and_word!(2);
        round_and_word!(3);
        round_and_word!(4);
        round_and_word!(5);
        round_and_word!(6);
        round_and_word!(7);
    }

    /// Rounds 56 to 60 of the second hash, as far as the digest's last word needs them.
    #[inline(always)]
    pub(super) fn last_row(&mut self, rows: &[Rows<V>; S]) -> [V; S] {
        self.round::<0>(column::<V, S, S>(rows, 7, 0));
        self.round_e::<1>(column::<V, S, S>(rows, 7, 1));
        self.round_e::<2>(column::<V, S, S>(rows, 7, 2));
        self.round_e::<3>(column::<V, S, S>(rows, 7, 3));
        self.round_e::<4>(column::<V, S, S>(rows, 7, 4));
        let mut last_words = [V::splat(LAST_WORD_OFFSET); S];
        for s in 0..S {
            last_words[s] = last_words[s].add(self.state[s][places(4)[3]]);
        }
        last_words
    }
}

/// Where `a..h` are in round `i` (modulo 8).
#[inline(always)]
pub(super) const fn places(i: usize) -> [usize; 8] {
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
fn column<V: Lanes, const S: usize, const VECTORS: usize>(
    rows: &[Rows<V>; S],
    row: usize,
    i: usize,
) -> [V; S] {
    let mut kw = [V::splat(0); S];
    for s in 0..S {
        kw[s] = rows[if VECTORS == 1 { 0 } else { s }][row][i];
    }
    kw
}
