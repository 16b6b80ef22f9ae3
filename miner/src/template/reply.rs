//! What `getblocktemplate` replies.

use std::collections::BTreeMap;

use bitcoin::{BlockHash, Txid};
use serde::Deserialize;
use thiserror::Error;

use crate::search::ROLLING_MASK;

/// The fields of a `getblocktemplate` reply (BIP 22, 23, 145) that a solo miner needs. Others are ignored.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TemplateReply {
    /// Height of the block to make.
    pub(crate) height: u64,
    /// Block version.
    pub(crate) version: i32,
    /// Version bits that blocks must have set (BIP 9).
    #[serde(default)]
    pub(crate) vbrequired: u32,
    /// Version bits that mean something, by the names of what they signal for (BIP 9).
    #[serde(default)]
    pub(crate) vbavailable: BTreeMap<String, u32>,
    /// Hash of its parent.
    pub(crate) previousblockhash: BlockHash,
    /// Time for the header, Unix seconds.
    pub(crate) curtime: u32,
    /// Compact target, 8 hex digits.
    pub(crate) bits: String,
    /// The target in full, 64 hex digits, most significant first; follows from `bits` when it is missing.
    #[serde(default)]
    pub(crate) target: Option<String>,
    /// Subsidy plus fees in satoshi.
    #[serde(default)]
    pub(crate) coinbasevalue: Option<u64>,
    /// The node's own coinbase, if it insists on it or was asked for it.
    #[serde(default)]
    pub(crate) coinbasetxn: Option<GivenCoinbase>,
    /// What of the template may be changed (BIP 23).
    #[serde(default)]
    pub(crate) mutable: Vec<String>,
    /// The other transactions, in order.
    pub(crate) transactions: Vec<TemplateTransaction>,
    /// Output script of the witness commitment, hex; there is none before segwit.
    #[serde(default)]
    pub(crate) default_witness_commitment: Option<String>,
    /// To be sent with the next request, which then waits for a change.
    #[serde(default)]
    pub(crate) longpollid: Option<String>,
    /// To be sent with the block.
    #[serde(default)]
    pub(crate) workid: Option<String>,
}

impl TemplateReply {
    /// The bits of the version that a miner may roll: those that BIP 320 sets aside in versions of BIP 9, as far as this
    /// template gives them no meaning of their own.
    pub(super) fn version_mask(&self) -> u32 {
        let is_bip_9 = self.version >> 29 == 1;
        let signals = self.vbavailable.values();
        let signals = signals.filter_map(|&bit| 1u32.checked_shl(bit));
        let taken = signals.fold(self.vbrequired, |mask, bit| mask | bit);
        if is_bip_9 { ROLLING_MASK & !taken } else { 0 }
    }
}

/// One transaction of a template.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct TemplateTransaction {
    /// Consensus encoding with witness, hex.
    pub(crate) data: String,
    /// Its id without witness.
    pub(crate) txid: Txid,
}

/// A coinbase that the node made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct GivenCoinbase {
    /// Consensus encoding, with or without witness, hex.
    pub(crate) data: String,
}

/// Why a reply cannot be mined on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum TemplateError {
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
