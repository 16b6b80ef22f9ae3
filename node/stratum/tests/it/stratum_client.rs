//! A miner's side of Stratum V1, written from the protocol and apart from the node's: what comes in a notification, how a
//! header is put together from it, how a nonce is looked for.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use serde_json::Value;

/// Hashes of difficulty 1 lie below this times 2^208.
const DIFFICULTY_1: f64 = 65_535.0;

/// A notification's job.
#[derive(Clone, Debug)]
pub(crate) struct ClientJob {
    pub(crate) id: String,
    pub(crate) previous: String,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
    pub(crate) branch: Vec<[u8; 32]>,
    pub(crate) version: u32,
    pub(crate) bits: u32,
    pub(crate) time: u32,
    #[allow(
        dead_code,
        reason = "not every test that includes this file looks at it"
    )]
    pub(crate) clean: bool,
}

/// What is tried: the miner's part of a header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try {
    pub(crate) extra_nonce_2: u32,
    pub(crate) time: u32,
    pub(crate) nonce: u32,
    pub(crate) version_bits: u32,
}

impl ClientJob {
    /// Reads the parameters of `mining.notify`.
    pub(crate) fn read(params: &Value) -> ClientJob {
        let text = |i: usize| params[i].as_str().expect("text").to_owned();
        let word = |i: usize| u32::from_str_radix(&text(i), 16).expect("eight hex digits");
        let branch = params[4].as_array().expect("a list").iter();
        ClientJob {
            id: text(0),
            previous: text(1),
            before: Vec::from_hex(&text(2)).expect("hex"),
            after: Vec::from_hex(&text(3)).expect("hex"),
            branch: branch
                .map(|node| <[u8; 32]>::from_hex(node.as_str().expect("text")).expect("a hash"))
                .collect(),
            version: word(5),
            bits: word(6),
            time: word(7),
            clean: params[8].as_bool().expect("a flag"),
        }
    }

    /// The coinbase with the connection's and the miner's extra nonce.
    pub(crate) fn coinbase(&self, extra_nonce_1: &str, extra_nonce_2: u32) -> Vec<u8> {
        let one = Vec::from_hex(extra_nonce_1).expect("hex");
        let two = extra_nonce_2.to_be_bytes();
        [&self.before[..], &one, &two, &self.after].concat()
    }

    /// The header of a try.
    pub(crate) fn header(&self, extra_nonce_1: &str, attempt: &Try) -> Header {
        let coinbase = self.coinbase(extra_nonce_1, attempt.extra_nonce_2);
        let mut root = sha256d::Hash::hash(&coinbase).to_byte_array();
        for sibling in &self.branch {
            let pair = [root, *sibling].concat();
            root = sha256d::Hash::hash(&pair).to_byte_array();
        }
        // As cpuminer reads it: words of four bytes, each turned round.
        let mut previous = <[u8; 32]>::from_hex(&self.previous).expect("a hash");
        previous.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        let version = self.version | attempt.version_bits;
        Header {
            version: Version::from_consensus(version.cast_signed()),
            prev_blockhash: BlockHash::from_byte_array(previous),
            merkle_root: TxMerkleNode::from_byte_array(root),
            time: attempt.time,
            bits: CompactTarget::from_consensus(self.bits),
            nonce: attempt.nonce,
        }
    }

    /// A share: the first nonce from `from` on whose hash has this difficulty (or, if `hard` is false, has not).
    pub(crate) fn share(
        &self,
        extra_nonce_1: &str,
        from: Try,
        difficulty: f64,
        hard: bool,
    ) -> (Try, Header) {
        let mut attempt = from;
        let mut header = self.header(extra_nonce_1, &attempt);
        for nonce in from.nonce.. {
            header.nonce = nonce;
            if (difficulty_of(&header.block_hash()) >= difficulty) == hard {
                attempt.nonce = nonce;
                return (attempt, header);
            }
        }
        panic!("no nonce of 2^32");
    }

    /// A try at the job's own time and version.
    pub(crate) fn first_try(&self, extra_nonce_2: u32) -> Try {
        Try {
            extra_nonce_2,
            time: self.time,
            nonce: 0,
            version_bits: 0,
        }
    }
}

impl Try {
    /// The parameters of `mining.submit` as cpuminer sends them.
    pub(crate) fn params(&self, worker: &str, job: &str) -> Vec<String> {
        let extra = self.extra_nonce_2.to_be_bytes().to_lower_hex_string();
        let (time, nonce) = (format!("{:08x}", self.time), format!("{:08x}", self.nonce));
        vec![worker.to_owned(), job.to_owned(), extra, time, nonce]
    }

    /// As Bitaxe sends them: with the rolled bits.
    pub(crate) fn params_with_version(&self, worker: &str, job: &str) -> Vec<String> {
        let mut params = self.params(worker, job);
        params.push(format!("{:08x}", self.version_bits));
        params
    }
}

/// The difficulty of a hash: how many times smaller than the target of difficulty 1 it is.
pub(crate) fn difficulty_of(hash: &BlockHash) -> f64 {
    // 64 bits from the first byte that is not zero on are as exact as an f64 can be.
    let mut bytes = hash.to_byte_array();
    bytes.reverse();
    let Some(first) = bytes.iter().position(|byte| *byte != 0) else {
        return f64::INFINITY;
    };
    let first = first.min(24);
    let top: [u8; 8] = bytes[first..first + 8].try_into().expect("eight bytes");
    let exponent = i32::try_from(8 * (24 - first)).expect("small");
    DIFFICULTY_1 * 2f64.powi(208 - exponent) / u64::from_be_bytes(top) as f64
}
