//! From a `getblocktemplate` reply to candidate blocks.
//!
//! The coinbase is ours, so each extra nonce gives another merkle root; the other transactions enter it only by the
//! coinbase's merkle path, which is computed once.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::serialize;
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::opcodes::all::OP_PUSHBYTES_0;
use bitcoin::script::{Builder, PushBytesBuf, ScriptBuf};
use bitcoin::transaction::Version as TransactionVersion;
use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, Sequence, Target, Transaction, TxIn, TxOut, Txid,
    VarInt, Witness,
};
use serde::Deserialize;
use thiserror::Error;

use crate::merkle::CoinbasePath;

/// Names the software in the coinbase.
const TAG: &[u8] = b"/mend/";
/// Consensus limits of a coinbase's input script.
const SCRIPT_SIG_BYTES: std::ops::RangeInclusive<usize> = 2..=100;

/// The fields of a `getblocktemplate` reply (BIP 22, 23, 145) that a solo miner needs. Others are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct TemplateReply {
    /// Height of the block to make.
    pub height: u64,
    /// Block version.
    pub version: i32,
    /// Hash of its parent.
    pub previousblockhash: BlockHash,
    /// Time for the header, Unix seconds.
    pub curtime: u32,
    /// Compact target, 8 hex digits.
    pub bits: String,
    /// The target in full, 64 hex digits, most significant first; follows from `bits` when it is missing.
    #[serde(default)]
    pub target: Option<String>,
    /// Subsidy plus fees in satoshi.
    #[serde(default)]
    pub coinbasevalue: Option<u64>,
    /// The other transactions, in order.
    pub transactions: Vec<TemplateTransaction>,
    /// Output script of the witness commitment, hex; there is none before segwit.
    #[serde(default)]
    pub default_witness_commitment: Option<String>,
    /// To be sent with the next request, which then waits for a change.
    #[serde(default)]
    pub longpollid: Option<String>,
    /// To be sent with the block.
    #[serde(default)]
    pub workid: Option<String>,
}

/// One transaction of a template.
#[derive(Clone, Debug, Deserialize)]
pub struct TemplateTransaction {
    /// Consensus encoding with witness, hex.
    pub data: String,
    /// Its id without witness.
    pub txid: Txid,
}

/// Why a reply cannot be mined on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// A field is not what it should be.
    #[error("block template: {field} is not {expected}, got {got:?}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
        /// As sent, shortened.
        got: String,
    },
    /// A node that insists on its own coinbase.
    #[error(
        "block template has no coinbasevalue; a node that gives only coinbasetxn is not supported"
    )]
    NoCoinbaseValue,
}

/// A template made ready: candidates differ by their extra nonce.
#[derive(Clone, Debug)]
pub struct Template {
    /// Height of the block.
    pub height: u64,
    /// Hash of its parent.
    pub parent: BlockHash,
    /// What its hash must be at most.
    pub target: Target,
    version: Version,
    time: u32,
    bits: CompactTarget,
    value: Amount,
    commitment: Option<ScriptBuf>,
    /// Encodings of the other transactions.
    bodies: Vec<Vec<u8>>,
    path: CoinbasePath,
}

/// A block without its proof of work.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its header, nonce 0.
    pub header: Header,
    /// Its first transaction.
    pub coinbase: Transaction,
}

impl Template {
    /// Reads a reply.
    ///
    /// # Errors
    ///
    /// See [`TemplateError`].
    pub fn new(reply: &TemplateReply) -> Result<Self, TemplateError> {
        let bits = parse(&reply.bits, "bits", "8 hex digits", |text| {
            CompactTarget::from_unprefixed_hex(text)
                .ok()
                .filter(|_| text.len() == 8)
        })?;
        let target = match &reply.target {
            None => Target::from_compact(bits),
            Some(target) => parse(target, "target", "64 hex digits", |text| {
                <[u8; 32]>::from_hex(text).ok().map(Target::from_be_bytes)
            })?,
        };
        let commitment = reply.default_witness_commitment.as_deref().map(|script| {
            parse(
                script,
                "default_witness_commitment",
                "a script in hex",
                |text| ScriptBuf::from_hex(text).ok(),
            )
        });
        let bodies = reply.transactions.iter().map(|transaction| {
            parse(&transaction.data, "transactions.data", "hex", |text| {
                Vec::from_hex(text).ok()
            })
        });
        let value = reply.coinbasevalue.ok_or(TemplateError::NoCoinbaseValue)?;
        Ok(Self {
            height: reply.height,
            parent: reply.previousblockhash,
            target,
            version: Version::from_consensus(reply.version),
            time: reply.curtime,
            bits,
            value: Amount::from_sat(value),
            commitment: commitment.transpose()?,
            bodies: bodies.collect::<Result<_, _>>()?,
            path: CoinbasePath::new(reply.transactions.iter().map(|t| t.txid)),
        })
    }

    /// Number of transactions besides the coinbase.
    #[must_use]
    pub fn transaction_count(&self) -> usize {
        self.bodies.len()
    }

    /// The candidate that pays `script_pubkey`. Different extra nonces give different merkle roots.
    #[must_use]
    pub fn candidate(&self, script_pubkey: &ScriptBuf, extra_nonce: u64) -> Candidate {
        let coinbase = self.coinbase(script_pubkey, extra_nonce);
        let header = Header {
            version: self.version,
            prev_blockhash: self.parent,
            merkle_root: self.path.root(coinbase.compute_txid()),
            time: self.time,
            bits: self.bits,
            nonce: 0,
        };
        Candidate { header, coinbase }
    }

    /// The block in consensus encoding and hex, as `submitblock` takes it.
    #[must_use]
    pub fn block_hex(&self, header: &Header, coinbase: &Transaction) -> String {
        let mut block = serialize(header);
        block.extend(serialize(&VarInt(self.bodies.len() as u64 + 1)));
        block.extend(serialize(coinbase));
        for body in &self.bodies {
            block.extend(body);
        }
        block.to_lower_hex_string()
    }

    fn coinbase(&self, script_pubkey: &ScriptBuf, extra_nonce: u64) -> Transaction {
        let mut output = vec![TxOut {
            value: self.value,
            script_pubkey: script_pubkey.clone(),
        }];
        let mut witness = Witness::new();
        if let Some(commitment) = &self.commitment {
            output.push(TxOut {
                value: Amount::ZERO,
                script_pubkey: commitment.clone(),
            });
            // The witness reserved value of BIP 141, all zero: the commitment was computed with it.
            witness.push([0; 32]);
        }
        Transaction {
            version: TransactionVersion::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: coinbase_script(self.height, extra_nonce),
                sequence: Sequence::MAX,
                witness,
            }],
            output,
        }
    }
}

fn parse<T>(
    text: &str,
    field: &'static str,
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, TemplateError> {
    read(text).ok_or_else(|| TemplateError::Field {
        field,
        expected,
        got: text.chars().take(80).collect(),
    })
}

/// The height as BIP 34 and Bitcoin Core want it (`OP_1` to `OP_16` for the first blocks), the extra nonce, our tag.
fn coinbase_script(height: u64, extra_nonce: u64) -> ScriptBuf {
    let extra = PushBytesBuf::from(extra_nonce.to_le_bytes());
    let tag = PushBytesBuf::try_from(TAG.to_vec()).expect("a few bytes fit a push");
    let height = Builder::new().push_int(i64::try_from(height).unwrap_or(i64::MAX));
    let mut script = height.push_slice(extra).push_slice(tag).into_script();
    if script.len() < *SCRIPT_SIG_BYTES.start() {
        script = Builder::from(script.into_bytes())
            .push_opcode(OP_PUSHBYTES_0)
            .into_script();
    }
    debug_assert!(SCRIPT_SIG_BYTES.contains(&script.len()));
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::Block;
    use bitcoin::consensus::deserialize;
    use bitcoin::hashes::{Hash, sha256d};
    use serde_json::json;

    fn txid(i: u32) -> Txid {
        Txid::from_byte_array(sha256d::Hash::hash(&i.to_le_bytes()).to_byte_array())
    }

    fn reply(transactions: &[Transaction]) -> TemplateReply {
        let transactions: Vec<_> = transactions
            .iter()
            .map(|t| json!({
                "data": serialize(t).to_lower_hex_string(), "txid": t.compute_txid(),
                "hash": t.compute_wtxid(), "depends": [], "fee": 1, "sigops": 4, "weight": t.weight(),
            }))
            .collect();
        serde_json::from_value(json!({
            "capabilities": ["proposal"], "version": 0x2000_0000, "rules": ["csv", "!segwit"],
            "vbavailable": {}, "vbrequired": 0,
            "previousblockhash": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
            "transactions": transactions, "coinbaseaux": {}, "coinbasevalue": 5_000_000_123_u64,
            "longpollid": "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e22061",
            "target": "7fffff0000000000000000000000000000000000000000000000000000000000",
            "mintime": 1, "mutable": ["time", "transactions", "prevblock"],
            "noncerange": "00000000ffffffff", "sigoplimit": 80_000, "sizelimit": 4_000_000,
            "weightlimit": 4_000_000, "curtime": 1_700_000_000, "bits": "207fffff", "height": 7,
            "default_witness_commitment":
                "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9",
        }))
        .expect("a reply as Core's")
    }

    fn payment(i: u32) -> Transaction {
        Transaction {
            version: TransactionVersion::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::new(txid(i), 0),
                witness: Witness::from_slice(&[[7u8; 64]]),
                ..TxIn::default()
            }],
            output: vec![TxOut {
                value: Amount::from_sat(1),
                script_pubkey: ScriptBuf::new(),
            }],
        }
    }

    #[test]
    fn the_block_decodes_with_the_right_merkle_root_for_any_number_of_payments() {
        for count in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33] {
            let payments: Vec<_> = (0..count).map(payment).collect();
            let template = Template::new(&reply(&payments)).expect("good reply");
            let candidate = template.candidate(&ScriptBuf::from_bytes(vec![0x51]), 99);
            let hex = template.block_hex(&candidate.header, &candidate.coinbase);
            let block: Block = deserialize(&Vec::from_hex(&hex).expect("hex")).expect("block");
            assert!(block.check_merkle_root(), "{count} payments");
            assert_eq!(block.txdata[1..], payments);
            assert_eq!(block.txdata[0].output[0].value.to_sat(), 5_000_000_123);
            assert_eq!(block.txdata[0].input[0].witness[0], [0; 32]);
            assert_eq!(
                block.txdata[0].input[0].script_sig.as_bytes()[0],
                0x57,
                "OP_7"
            );
        }
    }

    #[test]
    fn the_empty_block_keeps_the_nodes_commitment() {
        let template = Template::new(&reply(&[])).expect("good reply");
        let candidate = template.candidate(&ScriptBuf::new(), 0);
        let hex = template.block_hex(&candidate.header, &candidate.coinbase);
        let block: Block = deserialize(&Vec::from_hex(&hex).expect("hex")).expect("block");
        assert!(block.check_witness_commitment());
    }

    #[test]
    fn extra_nonces_change_the_root_and_nothing_else_of_the_header() {
        let template = Template::new(&reply(&[payment(1)])).expect("good reply");
        let [one, two] = [1, 2].map(|n| template.candidate(&ScriptBuf::new(), n).header);
        assert_ne!(one.merkle_root, two.merkle_root);
        assert_eq!(
            Header {
                merkle_root: two.merkle_root,
                ..one
            },
            two
        );
    }

    #[test]
    fn heights_are_pushed_as_core_does() {
        for (height, start) in [
            (1, vec![0x51]),
            (16, vec![0x60]),
            (17, vec![1, 17]),
            (128, vec![2, 128, 0]),
            (300, vec![2, 44, 1]),
        ] {
            let script = coinbase_script(height, u64::MAX);
            assert!(
                script.as_bytes().starts_with(&start),
                "{height}: {script:?}"
            );
            assert!(SCRIPT_SIG_BYTES.contains(&script.len()));
        }
    }

    #[test]
    fn a_bad_field_is_named() {
        let mut bad = reply(&[]);
        bad.bits = "207ffff".to_owned();
        let error = Template::new(&bad).expect_err("seven digits").to_string();
        assert_eq!(
            error,
            "block template: bits is not 8 hex digits, got \"207ffff\""
        );
        bad = reply(&[]);
        bad.coinbasevalue = None;
        assert_eq!(
            Template::new(&bad).expect_err("no value"),
            TemplateError::NoCoinbaseValue
        );
    }
}
