//! The reference kernel: `sha2`'s compression function on a midstate, one nonce at a time.
//!
//! All other kernels are compared with this one. `sha2` itself uses the CPU's SHA instructions where it finds them.

use sha2::block_api::compress256;

use super::sha256::{DIGEST_BITS, INITIAL, State};
use super::work::{VersionState, top_word_passes};
use super::{Hit, Kernel, LaneDigest, NonceRange, Work};

/// Runs on every CPU.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Portable;

impl Portable {
    /// Always there.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self
    }
}

/// The two blocks of the remaining hash work, reused from nonce to nonce.
struct Blocks {
    second: [u8; 64],
    digest: [u8; 64],
}

impl Blocks {
    fn new(work: &Work) -> Self {
        let mut digest = [0; 64];
        digest[32] = 0x80;
        digest[60..].copy_from_slice(&DIGEST_BITS.to_be_bytes());
        Self {
            second: work.second_block(),
            digest,
        }
    }

    fn hash(&mut self, version: &VersionState, nonce: u32) -> State {
        self.second[12..16].copy_from_slice(&nonce.to_le_bytes());
        let mut first = version.midstate;
        compress256(&mut first, &[self.second]);
        for (chunk, word) in self.digest.chunks_exact_mut(4).zip(first) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        let mut second = INITIAL;
        compress256(&mut second, &[self.digest]);
        second
    }
}

impl Kernel for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn versions_shared(&self) -> usize {
        1
    }

    fn scan(&self, work: &Work, range: NonceRange) -> Option<Hit> {
        let mut blocks = Blocks::new(work);
        for nonce in range.first()..=range.last() {
            for (version, state) in work.versions().iter().enumerate() {
                let hash = blocks.hash(state, nonce);
                let hit = Hit { nonce, version };
                if top_word_passes(hash[7], work.top_limit()) && work.meets_target(hit) {
                    return Some(hit);
                }
            }
        }
        None
    }

    fn digests(&self, work: &Work, first: u32) -> Vec<LaneDigest> {
        let mut blocks = Blocks::new(work);
        work.versions()
            .iter()
            .enumerate()
            .map(|(version, state)| LaneDigest::new(version, first, &blocks.hash(state, first)))
            .collect()
    }
}
