//! What `getblocktemplate` replies.

use bitcoin::{BlockHash, Txid};
use serde::Deserialize;
use thiserror::Error;

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
    /// The node's own coinbase, if it insists on it or was asked for it.
    #[serde(default)]
    pub coinbasetxn: Option<GivenCoinbase>,
    /// What of the template may be changed (BIP 23).
    #[serde(default)]
    pub mutable: Vec<String>,
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

/// A coinbase that the node made.
#[derive(Clone, Debug, Deserialize)]
pub struct GivenCoinbase {
    /// Consensus encoding, with or without witness, hex.
    pub data: String,
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
    /// Neither a value for a coinbase of ours nor a coinbase.
    #[error("block template has neither coinbasevalue nor coinbasetxn")]
    NoCoinbase,
}

/// Reads the text of a field.
///
/// # Errors
///
/// [`TemplateError::Field`] names it.
pub(super) fn parse<T>(
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
