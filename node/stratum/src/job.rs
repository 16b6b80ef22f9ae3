//! What miners are given, and how a share becomes a header and a block.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::block::{Header, Version};
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::hex::DisplayHex;
use bitcoin::{Block, BlockHash, ScriptBuf, Transaction, Txid};
use chain::assemble::{WITNESS_RESERVED_VALUE, extra_nonce_offset};
use miner::{CoinbasePath, ROLLING_MASK};
use serde_json::{Value, json};

use super::difficulty;
use node_core::{BlockTemplate, Now};

/// The version of blocks, before miners roll the bits of BIP 320.
const VERSION: u32 = 0x2000_0000;
/// Bytes of the extra nonce: four are the connection's, four the miner's.
pub(super) const EXTRA_NONCE_2_BYTES: usize = 4;

/// A template made ready for miners: what is the same for all connections.
#[derive(Debug)]
pub struct Work {
    template: BlockTemplate,
    path: CoinbasePath,
    commitment: ScriptBuf,
    network_difficulty: f64,
}

impl Work {
    /// Prepares a template.
    #[must_use]
    pub fn new(template: BlockTemplate) -> Work {
        Work {
            path: CoinbasePath::new(template.transactions.iter().map(|tx| tx.txid)),
            commitment: template.commitment(),
            network_difficulty: difficulty::of_bits(template.bits),
            template,
        }
    }

    /// The parent of the block to be found.
    #[must_use]
    pub fn parent(&self) -> BlockHash {
        self.template.parent
    }

    /// The mempool's sequence number when its payments were selected.
    #[must_use]
    pub fn pool_sequence(&self) -> u64 {
        self.template.pool_sequence
    }

    /// The difficulty of a block, a trillionth less.
    pub(super) fn network_difficulty(&self) -> f64 {
        self.network_difficulty
    }

    /// The times that a block on it may have: those for which its bits are right, as far as the clock allows.
    pub(super) fn times(&self, now: Now) -> (u32, u32) {
        let ahead = now.wall.saturating_add_secs(self.template.max_ahead_s);
        let most = self.template.max_time.min(ahead);
        (self.template.min_time.0, most.0)
    }
}

/// What the miner chose in a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Attempt {
    pub(super) extra_nonce_2: [u8; EXTRA_NONCE_2_BYTES],
    pub(super) time: u32,
    pub(super) nonce: u32,
    /// The rolled bits, within the agreed mask.
    pub(super) version_bits: u32,
}

/// Work as one connection was given it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) work: Arc<Work>,
    /// That its shares must have.
    pub(super) difficulty: f64,
    extra_nonce_1: [u8; 4],
    /// The coinbase without witness, before and after the extra nonce.
    before: Vec<u8>,
    after: Vec<u8>,
    accepted: BTreeSet<Attempt>,
}

impl Job {
    pub(super) fn new(
        id: String,
        work: Arc<Work>,
        payout: &ScriptBuf,
        extra_nonce_1: [u8; 4],
        difficulty: f64,
    ) -> Job {
        let mut coinbase = work.template.coinbase(payout, 0, work.commitment.clone());
        // Miners hash what the transaction's id covers: the form without witness.
        for input in &mut coinbase.input {
            input.witness.clear();
        }
        let bytes = serialize(&coinbase);
        let at = extra_nonce_offset(work.template.height);
        let end = at + extra_nonce_1.len() + EXTRA_NONCE_2_BYTES;
        Job {
            id,
            difficulty,
            extra_nonce_1,
            before: bytes[..at].to_vec(),
            after: bytes[end..].to_vec(),
            accepted: BTreeSet::new(),
            work,
        }
    }

    /// The parameters of `mining.notify`. `clean`: what was given before is worth nothing now.
    pub(super) fn notification(&self, clean: bool) -> Value {
        let template = &self.work.template;
        let branch: Vec<String> = self
            .work
            .path
            .siblings()
            .iter()
            .map(|node| node.as_byte_array().to_lower_hex_string())
            .collect();
        json!([
            self.id,
            previous_hash(&template.parent),
            self.before.to_lower_hex_string(),
            self.after.to_lower_hex_string(),
            branch,
            format!("{VERSION:08x}"),
            format!("{:08x}", template.bits.to_consensus()),
            format!("{:08x}", template.time.0),
            clean,
        ])
    }

    /// The header that a share stands for.
    pub(super) fn header(&self, attempt: &Attempt) -> Header {
        let version = (VERSION & !ROLLING_MASK) | attempt.version_bits;
        let txid = Txid::from_raw_hash(sha256d::Hash::hash(&self.coinbase(attempt)));
        Header {
            version: Version::from_consensus(version.cast_signed()),
            prev_blockhash: self.work.template.parent,
            merkle_root: self.work.path.root(txid),
            time: attempt.time,
            bits: self.work.template.bits,
            nonce: attempt.nonce,
        }
    }

    fn coinbase(&self, attempt: &Attempt) -> Vec<u8> {
        [
            &self.before[..],
            &self.extra_nonce_1,
            &attempt.extra_nonce_2,
            &self.after,
        ]
        .concat()
    }

    /// What is needed to make the block of a share that meets the block's target.
    pub(super) fn found(&self, attempt: &Attempt, header: Header) -> Found {
        Found {
            header,
            coinbase: self.coinbase(attempt),
            work: Arc::clone(&self.work),
        }
    }

    pub(super) fn was_accepted(&self, attempt: &Attempt) -> bool {
        self.accepted.contains(attempt)
    }

    /// Remembers an accepted share. Gives how many there are.
    pub(super) fn accept(&mut self, attempt: Attempt) -> usize {
        self.accepted.insert(attempt);
        self.accepted.len()
    }
}

/// A share that meets the block's target.
#[derive(Clone, Debug)]
pub struct Found {
    /// The block's header.
    pub header: Header,
    coinbase: Vec<u8>,
    work: Arc<Work>,
}

impl Found {
    /// The block, with the coinbase's witness, which miners do not know of.
    ///
    /// # Panics
    ///
    /// Never: the coinbase was made by [`Work`], and miners only fill in a number of fixed size.
    #[must_use]
    pub fn block(&self) -> Block {
        let mut coinbase: Transaction =
            deserialize(&self.coinbase).expect("our own coinbase with another extra nonce");
        for input in &mut coinbase.input {
            input.witness.push(WITNESS_RESERVED_VALUE);
        }
        let others = self.work.template.transactions.iter();
        let txdata = std::iter::once(coinbase)
            .chain(others.map(|tx| Transaction::clone(&tx.transaction)))
            .collect();
        Block {
            header: self.header,
            txdata,
        }
    }
}

/// The parent's hash as Stratum has it: in the order of hashing, but with the bytes of each word of four reversed.
fn previous_hash(hash: &BlockHash) -> String {
    let mut bytes = hash.to_byte_array();
    for word in bytes.chunks_exact_mut(4) {
        word.reverse();
    }
    bytes.to_lower_hex_string()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn the_parents_hash_is_written_as_miners_read_it() {
        // The block after Bitcoin's genesis was mined on this notification.
        let genesis = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
        let genesis = BlockHash::from_str(genesis).expect("a hash");
        let expected = "0a8ce26f72b3f1b646a2a6c14ff763ae65831e939c085ae10019d66800000000";
        assert_eq!(previous_hash(&genesis), expected);
    }
}
