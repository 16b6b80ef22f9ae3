//! [`Sweep`]: one pass of a kernel over nonces.
//!
//! No closures in what runs per step: the compiler would make them functions of their own, without the instruction
//! set.

#![expect(
    clippy::needless_range_loop,
    reason = "streams step together through several arrays"
)]

use super::Lanes;
use super::hashes::{FirstDigests, Message, Scratch};
use crate::kernel::{Hit, LaneDigest, MAX_VERSIONS, NonceRange, Work};

/// One pass of a kernel over nonces of one [`Work`].
///
/// A step runs `S` streams. They hold neighbouring vectors of nonces of the only version, each with its own schedule
/// (`VECTORS` is `S`), or one vector of nonces in several versions, which share its schedule (`VECTORS` is 1).
pub(in crate::kernel) struct Sweep<'a> {
    work: &'a Work,
}

impl<'a> Sweep<'a> {
    #[inline(always)]
    pub(in crate::kernel) fn new(work: &'a Work) -> Self {
        Self { work }
    }

    /// The lowest nonce of the range that meets the target, by the lowest version that does.
    #[inline(always)]
    pub(in crate::kernel) fn scan<V: Lanes, const S: usize>(
        &self,
        range: NonceRange,
    ) -> Option<Hit> {
        if self.work.version_count() == 1 {
            self.scan_steps::<V, S, S>(range)
        } else {
            self.scan_steps::<V, S, 1>(range)
        }
    }

    #[inline(always)]
    fn scan_steps<V: Lanes, const S: usize, const VECTORS: usize>(
        &self,
        range: NonceRange,
    ) -> Option<Hit> {
        let message = Message::new(self.work);
        let mut scratch = Scratch::<V, S>::new(&message);
        let limit = self.work.top_limit();
        let mut first = range.first();
        loop {
            let mut candidates = 0;
            let mut masks = [[0u32; S]; MAX_VERSIONS];
            let nonces = step_nonces::<V, S, VECTORS>(first);
            message.expand::<V, S, VECTORS>(&mut scratch, nonces);
            for group in 0..self.work.version_count().div_ceil(S) {
                let digests = self.first_digests::<V, S, VECTORS>(&mut scratch, nonces, group);
                let last_words = digests.second_hash_end(&mut scratch);
                for s in 0..S {
                    masks[group][s] = last_words[s].swapped_at_most(limit);
                    candidates |= masks[group][s];
                }
            }
            if candidates != 0
                && let Some(hit) = self.confirm::<S, VECTORS>(first, range, &masks, V::COUNT)
            {
                return Some(hit);
            }
            match first.checked_add((VECTORS * V::COUNT) as u32) {
                Some(next) if next <= range.last() => first = next,
                _ => return None,
            }
        }
    }

    /// The first digests of a group of versions; the first group completes the schedules that the others use too.
    #[inline(always)]
    fn first_digests<V: Lanes, const S: usize, const VECTORS: usize>(
        &self,
        scratch: &mut Scratch<V, S>,
        nonces: [V; S],
        group: usize,
    ) -> FirstDigests<V, S> {
        let mut chosen = [0; S];
        for s in 0..S {
            // A last group that is not full hashes its last version twice; nobody reads the second.
            chosen[s] = (group * S + s).min(self.work.version_count() - 1);
        }
        if group == 0 {
            FirstDigests::compute::<VECTORS, true>(self.work, scratch, nonces, chosen)
        } else {
            FirstDigests::compute::<VECTORS, false>(self.work, scratch, nonces, chosen)
        }
    }

    /// Looks at marked lanes in order of nonce, then version.
    #[inline(never)]
    fn confirm<const S: usize, const VECTORS: usize>(
        &self,
        first: u32,
        range: NonceRange,
        masks: &[[u32; S]; MAX_VERSIONS],
        lanes: usize,
    ) -> Option<Hit> {
        let one_version = self.work.version_count() == 1;
        let count = (VECTORS * lanes) as u32;
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
    pub(in crate::kernel) fn digests<V: Lanes, const S: usize>(
        &self,
        first: u32,
    ) -> Vec<LaneDigest> {
        if self.work.version_count() == 1 {
            self.digest_step::<V, S, S>(first)
        } else {
            self.digest_step::<V, S, 1>(first)
        }
    }

    #[inline(always)]
    fn digest_step<V: Lanes, const S: usize, const VECTORS: usize>(
        &self,
        first: u32,
    ) -> Vec<LaneDigest> {
        let message = Message::new(self.work);
        let mut scratch = Scratch::<V, S>::new(&message);
        let mut out = Vec::new();
        let count = self.work.version_count();
        let nonces = step_nonces::<V, S, VECTORS>(first);
        message.expand::<V, S, VECTORS>(&mut scratch, nonces);
        for group in 0..count.div_ceil(S) {
            let digests = self.first_digests::<V, S, VECTORS>(&mut scratch, nonces, group);
            let full = digests.second_hash_full(&mut scratch);
            for s in 0..S {
                let (version, vector) = if count == 1 {
                    (0, s)
                } else {
                    (group * S + s, 0)
                };
                if version < count {
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
}

/// The nonces of each stream.
#[inline(always)]
fn step_nonces<V: Lanes, const S: usize, const VECTORS: usize>(first: u32) -> [V; S] {
    let mut nonces = [V::nonce_words(first); S];
    for s in 1..VECTORS {
        nonces[s] = V::nonce_words(first.wrapping_add((s * V::COUNT) as u32));
    }
    nonces
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
