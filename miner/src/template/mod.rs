//! From a `getblocktemplate` reply to candidate blocks.
//!
//! The coinbase is ours, so each extra nonce gives another merkle root; the other transactions enter it only by the
//! coinbase's merkle path, which is computed once.

mod coinbase;
mod reply;

use bitcoin::block::{Header, Version};
use bitcoin::consensus::serialize;
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::{BlockHash, CompactTarget, ScriptBuf, Target, Transaction, VarInt};

use crate::merkle::CoinbasePath;
use coinbase::Coinbase;
use reply::parse;
pub(crate) use reply::{TemplateError, TemplateReply};

/// A template made ready: candidates differ by their extra nonce.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// Height of the block.
    pub(crate) height: u64,
    /// Hash of its parent.
    pub(crate) parent: BlockHash,
    /// What its hash must be at most.
    pub(crate) target: Target,
    /// The same, as it stands in the header.
    pub(crate) bits: CompactTarget,
    /// The bits of the version that may be changed.
    pub(crate) version_mask: u32,
    version: Version,
    time: u32,
    coinbase: Coinbase,
    /// Encodings of the other transactions.
    bodies: Vec<Vec<u8>>,
    path: CoinbasePath,
}

/// A block without its proof of work.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Its header, nonce 0.
    pub(crate) header: Header,
    /// Its first transaction.
    pub(crate) coinbase: Transaction,
}

impl Template {
    /// Reads a reply.
    ///
    /// # Errors
    ///
    /// See [`TemplateError`].
    pub(crate) fn new(reply: &TemplateReply) -> Result<Self, TemplateError> {
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
        let bodies = reply.transactions.iter().map(|transaction| {
            parse(&transaction.data, "transactions.data", "hex", |text| {
                Vec::from_hex(text).ok()
            })
        });
        Ok(Self {
            height: reply.height,
            parent: reply.previousblockhash,
            target,
            version_mask: reply.version_mask(),
            version: Version::from_consensus(reply.version),
            time: reply.curtime,
            bits,
            coinbase: Coinbase::new(reply)?,
            bodies: bodies.collect::<Result<_, _>>()?,
            path: CoinbasePath::new(reply.transactions.iter().map(|t| t.txid)),
        })
    }

    /// Number of transactions besides the coinbase.
    #[must_use]
    pub(crate) fn transaction_count(&self) -> usize {
        self.bodies.len()
    }

    /// Whether blocks pay whom the node likes: it gave its own coinbase and no value for another.
    #[must_use]
    pub(crate) fn pays_the_node(&self) -> bool {
        self.coinbase.is_given()
    }

    /// Whether different extra nonces give different candidates. Only the version is left to vary where they do not.
    #[must_use]
    pub(crate) fn varies(&self) -> bool {
        self.coinbase.varies()
    }

    /// The candidate that pays `script_pubkey`, unless [`Template::pays_the_node`]. Different extra nonces give different merkle
    /// roots, if the template [varies](Template::varies).
    #[must_use]
    pub(crate) fn candidate(&self, script_pubkey: &ScriptBuf, extra_nonce: u64) -> Candidate {
        let coinbase = self.coinbase.build(script_pubkey, extra_nonce);
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
    pub(crate) fn block_hex(&self, header: &Header, coinbase: &Transaction) -> String {
        let mut block = serialize(header);
        block.extend(serialize(&VarInt(self.bodies.len() as u64 + 1)));
        block.extend(serialize(coinbase));
        for body in &self.bodies {
            block.extend(body);
        }
        block.to_lower_hex_string()
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::absolute::LockTime;
    use bitcoin::consensus::deserialize;
    use bitcoin::hashes::{Hash, sha256d};
    use bitcoin::transaction::Version as TransactionVersion;
    use bitcoin::{Amount, Block, OutPoint, TxIn, TxOut, Txid, Witness};
    use serde_json::json;

    use super::reply::GivenCoinbase;
    use super::*;

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
    fn version_bits_are_rolled_where_the_template_leaves_them_free() {
        let mask = |version: i32, vbrequired: u32, available: &[(&str, u32)]| {
            let available = available.iter().map(|(name, bit)| (name.to_string(), *bit));
            let reply = TemplateReply {
                version,
                vbrequired,
                vbavailable: available.collect(),
                ..reply(&[])
            };
            Template::new(&reply).expect("good reply").version_mask
        };
        assert_eq!(mask(0x2000_0000, 0, &[]), 0x1fff_e000);
        assert_eq!(mask(0x2000_0004, 0, &[("taproot", 2)]), 0x1fff_e000);
        assert_eq!(mask(0x2000_0000, 0x0000_2001, &[]), 0x1fff_c000);
        assert_eq!(
            mask(0x2000_0000, 0, &[("new", 28), ("odd", 99)]),
            0x0fff_e000
        );
        for version in [4, 0x7fff_ffff, -1, 0x4000_0000] {
            assert_eq!(mask(version, 0, &[]), 0, "{version:x} is not of BIP 9");
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
            TemplateError::NoCoinbase
        );
        for data in ["", "zz", "0100"] {
            bad.coinbasetxn = Some(GivenCoinbase {
                data: data.to_owned(),
            });
            let error = Template::new(&bad).expect_err("no coinbase").to_string();
            assert!(error.contains("coinbasetxn.data"), "{error}");
        }
    }

    /// A reply that has the node's own coinbase, without witness, and no value for another.
    fn reply_with_coinbase(mutable: &[&str]) -> TemplateReply {
        let own = Template::new(&reply(&[])).expect("good reply");
        let payout = ScriptBuf::from_bytes(vec![0x51]);
        let mut coinbase = own.candidate(&payout, 5).coinbase;
        coinbase.input[0].witness.clear();
        let mut given = reply(&[]);
        given.coinbasevalue = None;
        given.mutable = mutable.iter().map(|word| (*word).to_owned()).collect();
        given.coinbasetxn = Some(GivenCoinbase {
            data: serialize(&coinbase).to_lower_hex_string(),
        });
        given
    }

    #[test]
    fn a_given_coinbase_is_mined_on_as_it_is_where_it_may_not_be_changed() {
        let template = Template::new(&reply_with_coinbase(&["time"])).expect("good reply");
        assert!(template.pays_the_node() && !template.varies());
        let [one, two] = [1, 2].map(|n| template.candidate(&ScriptBuf::new(), n));
        assert_eq!(one.header, two.header);
        assert_eq!(one.coinbase.output[0].script_pubkey.as_bytes(), [0x51]);
        let hex = template.block_hex(&one.header, &one.coinbase);
        let block: Block = deserialize(&Vec::from_hex(&hex).expect("hex")).expect("block");
        assert!(block.check_merkle_root() && block.check_witness_commitment());
    }

    #[test]
    fn an_extra_nonce_is_appended_to_a_given_coinbase_where_that_is_allowed() {
        let reply = reply_with_coinbase(&["time", "coinbase/append"]);
        let template = Template::new(&reply).expect("good reply");
        assert!(template.pays_the_node() && template.varies());
        let [one, two] = [1, 2].map(|n| template.candidate(&ScriptBuf::new(), n));
        assert_ne!(one.header.merkle_root, two.header.merkle_root);
        let hex = template.block_hex(&two.header, &two.coinbase);
        let block: Block = deserialize(&Vec::from_hex(&hex).expect("hex")).expect("block");
        assert!(block.check_merkle_root() && block.check_witness_commitment());
    }
}
