//! [`MempoolError`]: why a transaction is not taken, in Bitcoin Core's words.

use std::borrow::Cow;

use bitcoin::{Amount, Txid, Weight};
use chain::{RuleError, Standing, StoreError};

use super::rate::SatPerKvb;

/// Why a transaction is not taken into the mempool. One variant per reason; `reject_reason` gives Core's string.
#[derive(Debug, thiserror::Error)]
pub enum MempoolError {
    /// It breaks a consensus rule on the current tip.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// `mempool-script-verify-flag-failed (...)`: valid in a block, but a form that is not relayed.
    #[error("input {input}: {}; sign it again in the standard form", .reason)]
    NonStandardSignature {
        /// Which input.
        input: usize,
        /// Core's name of the script error.
        reason: &'static str,
    },
    /// `coinbase`: a coinbase belongs into a block.
    #[error("a coinbase transaction can only be part of a block")]
    Coinbase,
    /// `version`: one that is not relayed.
    #[error("transaction version {got} is not relayed, only 1 to {max} are")]
    Version {
        /// Its version.
        got: i32,
        /// The largest that is relayed.
        max: i32,
    },
    /// `tx-size`: too heavy.
    #[error("the transaction weighs {got}, up to {limit} is relayed; split it")]
    TooHeavy {
        /// Its weight.
        got: Weight,
        /// The limit.
        limit: Weight,
    },
    /// `tx-size-small`: could be taken for an inner node of a merkle tree (CVE-2017-12842).
    #[error("the transaction without witnesses has {got} bytes, from {min} on it is relayed")]
    TooSmall {
        /// Its size without witnesses, in bytes.
        got: usize,
        /// The limit.
        min: usize,
    },
    /// `scriptsig-not-pushonly`, `scriptsig-size`: our two kinds of spends have no scriptSig.
    #[error("input {input} has a scriptSig; spends of P2TR and P2WPKH have none")]
    ScriptSig {
        /// Which input.
        input: usize,
    },
    /// `scriptpubkey`: an output that could never be spent again on this network.
    #[error("output {output} is neither P2TR, P2WPKH nor OP_RETURN: it could never be spent here")]
    OutputKind {
        /// Which output.
        output: usize,
    },
    /// `datacarrier`: too much data in OP_RETURN outputs.
    #[error("the OP_RETURN outputs carry {got} bytes, up to {limit} are relayed")]
    DataCarrier {
        /// Bytes of their scripts.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// `dust`: an output that costs more to spend than it is worth.
    #[error("output {output} pays {got}, below the dust limit {min} of its kind")]
    Dust {
        /// Which output.
        output: usize,
        /// What it pays.
        got: Amount,
        /// The least for its kind.
        min: Amount,
    },
    /// `non-final`: its lock time lies ahead.
    #[error("the transaction is locked until {lock_time}")]
    NotFinal {
        /// nLockTime: a height below 500,000,000, else Unix seconds.
        lock_time: u32,
    },
    /// `non-BIP68-final`: a relative lock of an input is closed.
    #[error("{0}")]
    SequenceLocked(RuleError),
    /// `txn-already-in-mempool`.
    #[error("transaction {0} is in the mempool already")]
    AlreadyHere(Txid),
    /// `txn-same-nonwitness-data-in-mempool`: the same but for its witnesses.
    #[error("transaction {0} is in the mempool already, with other witnesses")]
    OtherWitnessHere(Txid),
    /// `txn-already-known`: it is in the chain, and its outputs are unspent.
    #[error("transaction {0} is in a block already")]
    AlreadyConfirmed(Txid),
    /// `bad-txns-inputs-missingorspent`: what it spends is neither in the chain nor in the mempool.
    #[error("transaction {txid} spends {outpoint}, which does not exist or is spent")]
    MissingInput {
        /// The transaction.
        txid: Txid,
        /// What is missing.
        outpoint: bitcoin::OutPoint,
    },
    /// `bad-witness-nonstandard`: an annex.
    #[error("input {input} has a taproot annex, which is not relayed")]
    Annex {
        /// Which input.
        input: usize,
    },
    /// `bad-txns-too-many-sigops`.
    #[error("signature operations cost {got}, up to {limit} is relayed")]
    TooManySigops {
        /// Its cost.
        got: u64,
        /// The limit.
        limit: u64,
    },
    /// `min relay fee not met`.
    #[error("the fee {got} is below {need}, the least that is relayed for this size; pay more")]
    BelowRelayFee {
        /// What it pays.
        got: Amount,
        /// What it must pay.
        need: Amount,
    },
    /// `mempool min fee not met`: the mempool was full lately.
    #[error(
        "the fee {got} is below {need} ({} sat/kvB), the least while the mempool is full; pay more or wait",
        .rate.0
    )]
    BelowMempoolFee {
        /// What it pays.
        got: Amount,
        /// What it must pay.
        need: Amount,
        /// The rate behind it.
        rate: SatPerKvb,
    },
    /// `too-long-mempool-chain`.
    #[error(
        "too many unconfirmed transactions hang together: {got} {what}, the limit is {limit}; wait for a block"
    )]
    ChainTooLong {
        /// Ancestors or descendants, by number or size.
        what: ChainLimit,
        /// With this one.
        got: u64,
        /// The limit.
        limit: u64,
    },
    /// `insufficient fee`: not enough to replace what it conflicts with (BIP 125, rules 3, 4, 6).
    #[error(
        "the fee {got} does not replace {conflicts} conflicting transactions; pay at least {need}"
    )]
    ReplacementFee {
        /// What it pays.
        got: Amount,
        /// What would be enough.
        need: Amount,
        /// Transactions that would have to go.
        conflicts: usize,
    },
    /// `too many potential replacements` (BIP 125, rule 5).
    #[error("{got} transactions would be replaced, the limit is {limit}")]
    TooManyReplacements {
        /// How many.
        got: usize,
        /// The limit.
        limit: usize,
    },
    /// `bad-txns-spends-conflicting-tx`: it depends on what it would replace.
    #[error("the transaction spends an output of {0}, which it would replace")]
    SpendsReplaced(Txid),
    /// `bip125-replacement-disallowed`: what is judged with others replaces nothing.
    #[error("a transaction that is judged with others replaces nothing; send it alone")]
    ReplacementInPackage,
    /// `max feerate exceeded`: more than its sender wants to pay.
    #[error("the fee rate {} sat/kvB is above {} sat/kvB; raise maxfeerate if it is meant", .got.0, .limit.0)]
    AboveMaxRate {
        /// What it pays.
        got: SatPerKvb,
        /// What it may pay.
        limit: SatPerKvb,
    },
    /// `mempool full`: it is the cheapest of all.
    #[error("the mempool is full and the fee rate is too low; pay more or wait")]
    Full,
    /// The disk is nearly full, so nothing is taken until there is room.
    #[error("the disk is nearly full, so no transactions are taken; free disk space")]
    DiskLow,
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which limit on unconfirmed chains was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainLimit {
    /// Number of ancestors.
    Ancestors,
    /// Virtual bytes of ancestors.
    AncestorSize,
    /// Number of descendants of an ancestor.
    Descendants,
    /// Virtual bytes of descendants of an ancestor.
    DescendantSize,
}

impl std::fmt::Display for ChainLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ChainLimit::Ancestors => "ancestors",
            ChainLimit::AncestorSize => "virtual bytes of ancestors",
            ChainLimit::Descendants => "descendants",
            ChainLimit::DescendantSize => "virtual bytes of descendants",
        })
    }
}

impl MempoolError {
    /// The string that Bitcoin Core uses for the same verdict.
    #[must_use]
    pub fn reject_reason(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            MempoolError::Rule(RuleError::Spend { failure, .. }) => {
                return script_verify_failed(failure.script_error());
            }
            MempoolError::Rule(rule) => return rule.reject_reason(),
            MempoolError::NonStandardSignature { reason, .. } => {
                return script_verify_failed(reason);
            }
            MempoolError::Coinbase => "coinbase",
            MempoolError::Version { .. } => "version",
            MempoolError::TooHeavy { .. } => "tx-size",
            MempoolError::TooSmall { .. } => "tx-size-small",
            MempoolError::ScriptSig { .. } => "bad-txns-nonstandard-inputs",
            MempoolError::OutputKind { .. } => "scriptpubkey",
            MempoolError::DataCarrier { .. } => "datacarrier",
            MempoolError::Dust { .. } => "dust",
            MempoolError::NotFinal { .. } => "non-final",
            MempoolError::SequenceLocked(_) => "non-BIP68-final",
            MempoolError::AlreadyHere(_) => "txn-already-in-mempool",
            MempoolError::OtherWitnessHere(_) => "txn-same-nonwitness-data-in-mempool",
            MempoolError::AlreadyConfirmed(_) => "txn-already-known",
            MempoolError::MissingInput { .. } => "bad-txns-inputs-missingorspent",
            MempoolError::Annex { .. } => "bad-witness-nonstandard",
            MempoolError::TooManySigops { .. } => "bad-txns-too-many-sigops",
            MempoolError::BelowRelayFee { .. } => "min relay fee not met",
            MempoolError::BelowMempoolFee { .. } => "mempool min fee not met",
            MempoolError::ChainTooLong { .. } => "too-long-mempool-chain",
            MempoolError::ReplacementFee { .. } => "insufficient fee",
            MempoolError::TooManyReplacements { .. } => "too many potential replacements",
            MempoolError::SpendsReplaced(_) => "bad-txns-spends-conflicting-tx",
            MempoolError::ReplacementInPackage => "bip125-replacement-disallowed",
            MempoolError::AboveMaxRate { .. } => "max feerate exceeded",
            MempoolError::Full => "mempool full",
            MempoolError::DiskLow => "disk-low",
            MempoolError::Store(_) => "storage-failed",
        })
    }

    /// The JSON-RPC error code that `sendrawtransaction` gives for it (Core's `protocol.h`).
    #[must_use]
    pub fn rpc_code(&self) -> i32 {
        match self {
            MempoolError::MissingInput { .. } => -25,
            MempoolError::AlreadyConfirmed(_) => -27,
            MempoolError::Store(_) => -20,
            _ => -26,
        }
    }

    /// Whether the same transaction with other witnesses could fare better.
    #[must_use]
    pub fn depends_on_witness(&self) -> bool {
        matches!(
            self,
            MempoolError::Rule(RuleError::Spend { .. })
                | MempoolError::NonStandardSignature { .. }
                | MempoolError::Annex { .. }
                | MempoolError::OtherWitnessHere(_)
                | MempoolError::TooHeavy { .. }
                | MempoolError::BelowRelayFee { .. }
                | MempoolError::BelowMempoolFee { .. }
                | MempoolError::ReplacementFee { .. }
                | MempoolError::ChainTooLong { .. }
                | MempoolError::Full
        )
    }

    /// Whether the refusal says something about the transaction, until the tip moves: then it need not be checked again.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        !matches!(
            self,
            MempoolError::MissingInput { .. }
                | MempoolError::AlreadyHere(_)
                | MempoolError::DiskLow
                | MempoolError::Store(_)
        )
    }

    /// Whether it is the active chain (or what the mempool holds on it) that speaks against a transaction which was good before:
    /// on another branch it may be good again.
    #[must_use]
    pub(super) fn may_pass_on_another_branch(&self) -> bool {
        matches!(
            self,
            MempoolError::MissingInput { .. }
                | MempoolError::SpendsReplaced(_)
                | MempoolError::NotFinal { .. }
                | MempoolError::SequenceLocked(_)
                | MempoolError::Rule(RuleError::ImmatureCoinbase { .. })
        )
    }

    /// Whether other transactions of a package may help: parents that come with it, or a child that pays for it.
    #[must_use]
    pub(super) fn may_pass_in_package(&self) -> bool {
        matches!(
            self,
            MempoolError::BelowRelayFee { .. }
                | MempoolError::BelowMempoolFee { .. }
                | MempoolError::MissingInput { .. }
        )
    }

    /// Whether it can never be valid on any chain, so that who passed it on is to blame. What depends on the tip, on other
    /// transactions or on policy is not held against anyone.
    #[must_use]
    pub fn is_invalid_anywhere(&self) -> bool {
        match self {
            MempoolError::Rule(
                RuleError::MissingInput { .. }
                | RuleError::ImmatureCoinbase { .. }
                | RuleError::NotFinal { .. }
                | RuleError::SequenceLocked { .. },
            ) => false,
            // Other witnesses may be good: who forwards bad ones has not checked them all the same.
            MempoolError::Rule(rule) => rule.standing() != Standing::NotYet,
            MempoolError::Coinbase => true,
            _ => false,
        }
    }
}

fn script_verify_failed(script_error: &str) -> Cow<'static, str> {
    Cow::Owned(format!(
        "mempool-script-verify-flag-failed ({script_error})"
    ))
}
