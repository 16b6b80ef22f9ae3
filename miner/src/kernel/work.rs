//! One header made ready for a search: what every kernel computes once and not per nonce.

use bitcoin::block::{Header, Version};
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Target};
use sha2::block_api::compress256;

use super::sha256::{
    HEADER_BITS, INITIAL, K, PAD, State, digest_bytes, hash_digest, midstate, round, small_sigma0,
    small_sigma1,
};

/// How many versions one [`Work`] can hold: kernels that share a schedule gain little beyond four.
pub(crate) const MAX_VERSIONS: usize = 4;

/// A header's constant part, in one to [`MAX_VERSIONS`] versions, and the target its hash must meet.
///
/// The versions differ only in the first 64 bytes, so they share the message schedule of the second block.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    header: Header,
    versions: Vec<VersionState>,
    /// Words 0 to 2 of the second block: end of the merkle root, time, bits.
    tail: [u32; 3],
    target: Target,
    top_limit: u32,
}

/// What depends on the version alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionState {
    pub(crate) version: Version,
    /// Chaining value after the first 64 bytes.
    pub(crate) midstate: State,
    /// Working variables after rounds 0 to 3 of the second block, less the nonce: it still has to be added to
    /// words 0 (`a`) and 4 (`e`).
    pub(crate) after_round_3: State,
}

/// The schedule words 16 to 19 of the first hash's second block; the nonce word `n` is missing from two of
/// them: 18 lacks `σ0(n)`, 19 lacks `n`.
pub(crate) type EarlyWords = [u32; 4];

impl Work {
    /// Prepares `header` for a search for hashes that are at most `target`.
    ///
    /// `versions` replace the header's own; its nonce is ignored.
    ///
    /// # Panics
    ///
    /// When `versions` is empty or longer than [`MAX_VERSIONS`].
    #[must_use]
    pub(crate) fn new(header: &Header, target: Target, versions: &[Version]) -> Self {
        assert!(
            (1..=MAX_VERSIONS).contains(&versions.len()),
            "one to {MAX_VERSIONS} versions, got {}",
            versions.len()
        );
        let bytes = serialize(header);
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let tail = [word(64), word(68), word(72)];
        let versions = versions
            .iter()
            .map(|&v| VersionState::new(header, v, tail))
            .collect();
        let top = target.to_be_bytes();
        let top_limit = u32::from_be_bytes([top[0], top[1], top[2], top[3]]);
        Self {
            header: *header,
            versions,
            tail,
            target,
            top_limit,
        }
    }

    /// Number of versions, one to [`MAX_VERSIONS`].
    #[must_use]
    pub(crate) fn version_count(&self) -> usize {
        self.versions.len()
    }

    /// The header with this nonce and this entry of the versions.
    #[must_use]
    pub(crate) fn header(&self, hit: Hit) -> Header {
        Header {
            version: self.versions[hit.version].version,
            nonce: hit.nonce,
            ..self.header
        }
    }

    /// The double SHA-256 of one candidate, byte order as hashed, by the reference implementation.
    #[must_use]
    pub(crate) fn digest(&self, hit: Hit) -> [u8; 32] {
        let mut block = self.second_block();
        block[12..16].copy_from_slice(&hit.nonce.to_le_bytes());
        let mut state = self.versions[hit.version].midstate;
        compress256(&mut state, &[block]);
        hash_digest(&state)
    }

    /// Whether the reference implementation agrees that this candidate meets the target.
    #[must_use]
    pub(crate) fn meets_target(&self, hit: Hit) -> bool {
        self.target
            .is_met_by(BlockHash::from_byte_array(self.digest(hit)))
    }

    pub(crate) fn versions(&self) -> &[VersionState] {
        &self.versions
    }

    /// The largest value that the top 32 bits of a hash that meets the target can have. The top bits of a hash
    /// are its last word with its bytes swapped.
    pub(crate) fn top_limit(&self) -> u32 {
        self.top_limit
    }

    /// The second block of the first hash with nonce 0.
    pub(crate) fn second_block(&self) -> [u8; 64] {
        let mut block = [0; 64];
        for (chunk, word) in block.chunks_exact_mut(4).zip(self.second_block_words()) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        block
    }

    pub(crate) fn second_block_words(&self) -> [u32; 16] {
        let [w0, w1, w2] = self.tail;
        [
            w0,
            w1,
            w2,
            0,
            PAD,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            HEADER_BITS,
        ]
    }

    pub(crate) fn early_words(&self) -> EarlyWords {
        let [w0, w1, w2] = self.tail;
        let w16 = small_sigma0(w1).wrapping_add(w0);
        let w17 = small_sigma1(HEADER_BITS)
            .wrapping_add(small_sigma0(w2))
            .wrapping_add(w1);
        let w18 = small_sigma1(w16).wrapping_add(w2);
        let w19 = small_sigma1(w17).wrapping_add(small_sigma0(PAD));
        [w16, w17, w18, w19]
    }
}

impl VersionState {
    fn new(header: &Header, version: Version, tail: [u32; 3]) -> Self {
        let bytes = serialize(&Header { version, ..*header });
        let mut first = [0; 64];
        first.copy_from_slice(&bytes[..64]);
        let midstate = midstate(&first);
        let words = [tail[0], tail[1], tail[2], 0];
        let after_round_3 = (0..4).fold(midstate, |s, t| round(s, K[t].wrapping_add(words[t])));
        Self {
            version,
            midstate,
            after_round_3,
        }
    }
}

/// A nonce and the place of its version among the versions of the [`Work`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hit {
    /// The nonce as it stands in the header.
    pub(crate) nonce: u32,
    /// Index into the versions that the work was made with.
    pub(crate) version: usize,
}

/// Nonces `first..=last`. Never empty, and never past `u32::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NonceRange {
    first: u32,
    last: u32,
}

impl NonceRange {
    /// `count` nonces from `first` on, cut at the end of the 32-bit space. `None` when `count` is 0.
    #[must_use]
    pub(crate) fn starting_at(first: u32, count: u64) -> Option<Self> {
        let room = u64::from(u32::MAX - first);
        let more = count.checked_sub(1)?.min(room);
        Some(Self {
            first,
            last: first + more as u32,
        })
    }

    /// The lowest nonce.
    #[must_use]
    pub(crate) fn first(self) -> u32 {
        self.first
    }

    /// The highest nonce, itself included.
    #[must_use]
    pub(crate) fn last(self) -> u32 {
        self.last
    }

    /// How many nonces: 1 to 2^32.
    #[must_use]
    pub(crate) fn count(self) -> u64 {
        u64::from(self.last - self.first) + 1
    }

    /// First nonces of consecutive steps of `width` nonces. The last step may reach beyond the range.
    pub(crate) fn steps(self, width: u32) -> impl Iterator<Item = u32> {
        (u64::from(self.first)..=u64::from(self.last))
            .step_by(width as usize)
            .map(|n| n as u32)
    }
}

/// One lane of one kernel step in full, for tests: every kernel must give the digest that [`Work::digest`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneDigest {
    /// Which candidate the lane held.
    pub(crate) hit: Hit,
    /// Its double SHA-256, byte order as hashed.
    pub(crate) digest: [u8; 32],
}

impl LaneDigest {
    pub(crate) fn new(version: usize, nonce: u32, state: &State) -> Self {
        Self {
            hit: Hit { nonce, version },
            digest: digest_bytes(state),
        }
    }
}

/// Whether the top 32 bits of a hash can meet the target, given its last word.
pub(crate) fn top_word_passes(last_word: u32, top_limit: u32) -> bool {
    last_word.swap_bytes() <= top_limit
}

/// `e` after round 60 becomes the last word of the digest when this is added.
pub(crate) const LAST_WORD_OFFSET: u32 = INITIAL[7];
