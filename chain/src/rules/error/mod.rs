//! [`RuleError`]: one variant per rule. This list is the rulebook.

mod spend;

use std::borrow::Cow;

use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, TxMerkleNode, Txid, Weight, WitnessCommitment,
};

use crate::units::{Height, Timestamp};

pub use spend::{SpendError, Unsupported};

/// Why a block or transaction breaks a rule. One variant per rule.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RuleError {
    // Header
    /// `high-hash`: the bits are negative, zero, overflow, or are easier than the network's limit.
    #[error("the target bits {bits:#010x} are not within 1 and the limit {limit:#010x}")]
    BitsOutOfRange {
        /// The header's bits.
        bits: CompactTarget,
        /// The easiest that is allowed.
        limit: CompactTarget,
    },
    /// `high-hash`: too little work.
    #[error("the hash {hash} does not meet the target of bits {bits:#010x}")]
    HashAboveTarget {
        /// The header's hash.
        hash: BlockHash,
        /// The header's bits.
        bits: CompactTarget,
    },
    /// `bad-diffbits`: not the bits that the difficulty rule demands.
    #[error("the target bits are {got:#010x}, the difficulty rule demands {expected:#010x}")]
    WrongBits {
        /// The header's bits.
        got: CompactTarget,
        /// What the rule computes from the ancestors.
        expected: CompactTarget,
    },
    /// `time-too-old`: BIP 113's median is not passed.
    #[error("block time {time} is not after the median {median} of its ancestors")]
    TimeNotAfterMedian {
        /// The header's time.
        time: Timestamp,
        /// Median time of up to eleven ancestors.
        median: Timestamp,
    },
    /// `time-too-new`: valid later, perhaps.
    #[error("block time {time} is more than {limit_secs} s ahead of our clock {now}")]
    TimeAhead {
        /// The header's time.
        time: Timestamp,
        /// Our clock.
        now: Timestamp,
        /// What is allowed.
        limit_secs: u32,
    },
    /// `bad-version(0x...)`: a version that BIP 34, 65 or 66 retired.
    #[error("block version {got} is below {min}")]
    VersionTooOld {
        /// The header's version.
        got: i32,
        /// The oldest that is accepted.
        min: i32,
    },

    // Body alone
    /// `bad-txnmrklroot`: these are not the transactions that the header commits to.
    #[error("the transactions have merkle root {got}, the header says {expected}")]
    MerkleRootMismatch {
        /// Root of the body.
        got: DisplayRoot,
        /// Root in the header.
        expected: TxMerkleNode,
    },
    /// `bad-txns-duplicate`: repeated transactions that leave the root unchanged (CVE-2012-2459).
    #[error("transactions are repeated in a way that leaves the merkle root unchanged")]
    RepeatedMerkleBranch,
    /// `bad-blk-length`: no transactions.
    #[error("the block has no transactions")]
    NoTransactions,
    /// `bad-blk-length`: too long even without its witnesses.
    #[error("the block without witnesses weighs {got}, the limit is {limit}")]
    BlockTooLong {
        /// Four times the stripped size.
        got: Weight,
        /// The network's limit.
        limit: Weight,
    },
    /// `bad-cb-missing`: the first transaction is not a coinbase.
    #[error("the first transaction is not a coinbase")]
    CoinbaseMissing {
        /// Whether a 64-byte transaction is present: then these transactions may be inner nodes of another body's
        /// merkle tree.
        ambiguous: bool,
    },
    /// `bad-cb-multiple`: a coinbase that is not the first transaction.
    #[error("transaction {index} is a second coinbase")]
    SecondCoinbase {
        /// Its place in the block.
        index: usize,
    },

    // Transaction alone
    /// `bad-txns-vin-empty`.
    #[error("the transaction has no inputs")]
    NoInputs,
    /// `bad-txns-vout-empty`.
    #[error("the transaction has no outputs")]
    NoOutputs,
    /// `bad-txns-oversize`.
    #[error("the transaction without witnesses weighs {got}, the limit is {limit}")]
    TransactionTooLong {
        /// Four times the stripped size.
        got: Weight,
        /// The network's limit for a block.
        limit: Weight,
    },
    /// `bad-txns-vout-negative`.
    #[error("output {index} pays {amount_sat} sat, below zero")]
    NegativeOutput {
        /// Its place.
        index: usize,
        /// The amount read as a signed number, in satoshis.
        amount_sat: i64,
    },
    /// `bad-txns-vout-toolarge`.
    #[error(
        "output {index} pays {amount}, more than can exist ({})",
        Amount::MAX_MONEY
    )]
    OutputTooLarge {
        /// Its place.
        index: usize,
        /// The amount.
        amount: Amount,
    },
    /// `bad-txns-txouttotal-toolarge`.
    #[error("the outputs sum to more than can exist ({})", Amount::MAX_MONEY)]
    OutputSumTooLarge,
    /// `bad-txns-inputs-duplicate` (CVE-2018-17144).
    #[error("the transaction spends {outpoint} twice")]
    DuplicateInput {
        /// The coin.
        outpoint: OutPoint,
    },
    /// `bad-cb-length`.
    #[error("the coinbase script has {got} bytes, 2 to 100 are allowed")]
    CoinbaseScriptLength {
        /// Bytes.
        got: usize,
    },
    /// `bad-txns-prevout-null`.
    #[error("input {index} spends nothing, which only a coinbase may do")]
    NullInput {
        /// Its place.
        index: usize,
    },
    /// `bad-txns-size-64` (ours, BIP 54): its bytes could be taken for two merkle nodes.
    #[error("the transaction {txid} without witnesses has 64 bytes, the size of two merkle nodes")]
    SixtyFourBytes {
        /// The transaction.
        txid: Txid,
    },

    // Body in its place
    /// `bad-txns-nonfinal`: nLockTime (BIP 113).
    #[error(
        "transaction {txid} is locked until {lock_time}, here is height {height}, median time past {median_time_past}"
    )]
    NotFinal {
        /// The transaction.
        txid: Txid,
        /// Its nLockTime: a height below 500,000,000, else Unix seconds.
        lock_time: u32,
        /// The block's height.
        height: Height,
        /// The parent's median time past.
        median_time_past: Timestamp,
    },
    /// `bad-cb-height` (BIP 34).
    #[error("the coinbase script does not begin with the height {height}")]
    CoinbaseHeight {
        /// The block's height.
        height: Height,
    },
    /// `bad-witness-nonce-size` (BIP 141).
    #[error(
        "the coinbase has {items} witness items, one of 32 bytes is needed beside a witness commitment"
    )]
    WitnessReservedValue {
        /// Items of the coinbase's witness.
        items: usize,
    },
    /// `bad-witness-merkle-match` (BIP 141).
    #[error("the witnesses have commitment {got}, the coinbase says {expected}")]
    WitnessCommitmentMismatch {
        /// Commitment of the body.
        got: WitnessCommitment,
        /// Commitment in the coinbase.
        expected: WitnessCommitment,
    },
    /// `unexpected-witness` (BIP 141).
    #[error("transaction {txid} has a witness, but the coinbase has no witness commitment")]
    UnexpectedWitness {
        /// The first such transaction.
        txid: Txid,
    },
    /// `bad-blk-weight` (BIP 141).
    #[error("the block weighs {got}, the limit is {limit}")]
    WeightAboveLimit {
        /// The block's weight.
        got: Weight,
        /// The network's limit.
        limit: Weight,
    },
    /// `bad-blk-sigops` (BIP 141).
    #[error("signature operations cost {got} up to transaction {index}, the limit is {limit}")]
    TooManySigops {
        /// Cost so far.
        got: u64,
        /// The limit.
        limit: u64,
        /// Where it was passed.
        index: usize,
    },

    // On the parent's coins
    /// `bad-txns-BIP30`: would overwrite an unspent coin.
    #[error("output {outpoint} exists already and is unspent")]
    OverwritesCoin {
        /// The coin.
        outpoint: OutPoint,
    },
    /// `bad-txns-inputs-missingorspent`.
    #[error("transaction {txid} spends {outpoint}, which does not exist or is spent")]
    MissingInput {
        /// The spender.
        txid: Txid,
        /// What is missing.
        outpoint: OutPoint,
    },
    /// `bad-txns-premature-spend-of-coinbase`.
    #[error(
        "a coinbase of height {created} is spent at height {spent}, {maturity} blocks must pass"
    )]
    ImmatureCoinbase {
        /// Where it was made.
        created: Height,
        /// Where it is spent.
        spent: Height,
        /// Blocks between.
        maturity: u32,
    },
    /// `bad-txns-inputvalues-outofrange`.
    #[error("the inputs sum to more than can exist ({})", Amount::MAX_MONEY)]
    InputSumTooLarge,
    /// `bad-txns-in-belowout`.
    #[error("the inputs sum to {inputs}, the outputs to {outputs}")]
    OutputsExceedInputs {
        /// Sum of what is spent.
        inputs: Amount,
        /// Sum of what is paid.
        outputs: Amount,
    },
    /// `bad-txns-accumulated-fee-outofrange`.
    #[error("the fees sum to more than can exist ({})", Amount::MAX_MONEY)]
    FeeSumTooLarge,
    /// `bad-txns-nonfinal`: relative locks (BIP 68).
    #[error(
        "transaction {txid} is locked by input {input}: valid after height {min_height} and median time past {min_time}"
    )]
    SequenceLocked {
        /// The transaction.
        txid: Txid,
        /// The input whose lock is the last to open.
        input: usize,
        /// The last height that is too low, -1 if no lock counts blocks.
        min_height: i64,
        /// The last median time past that is too early, in Unix seconds; -1 if no lock counts time.
        min_time: i64,
    },
    /// `bad-cb-amount`.
    #[error("the coinbase pays {got}, subsidy and fees allow {limit}")]
    CoinbaseAmount {
        /// What it pays.
        got: Amount,
        /// What it may pay.
        limit: Amount,
    },
    /// `block-script-verify-flag-failed (...)`: an input's witness does not unlock what it spends.
    #[error("input {input} of transaction {txid}: {failure}")]
    Spend {
        /// The transaction.
        txid: Txid,
        /// Which input.
        input: usize,
        /// What is wrong with it.
        failure: SpendError,
    },
}

impl RuleError {
    /// What the broken rule says about the block's hash. The match lists every variant, so a new rule has to choose.
    pub fn standing(&self) -> Standing {
        use RuleError as E;
        match self {
            E::TimeAhead { .. } => Standing::NotYet,
            // The header does not vouch for these bytes.
            E::MerkleRootMismatch { .. }
            | E::RepeatedMerkleBranch
            | E::WitnessReservedValue { .. }
            | E::WitnessCommitmentMismatch { .. }
            | E::UnexpectedWitness { .. }
            | E::CoinbaseMissing { ambiguous: true } => Standing::OtherBytes,
            E::BitsOutOfRange { .. }
            | E::HashAboveTarget { .. }
            | E::WrongBits { .. }
            | E::TimeNotAfterMedian { .. }
            | E::VersionTooOld { .. }
            | E::NoTransactions
            | E::BlockTooLong { .. }
            | E::CoinbaseMissing { ambiguous: false }
            | E::SecondCoinbase { .. }
            | E::NoInputs
            | E::NoOutputs
            | E::TransactionTooLong { .. }
            | E::NegativeOutput { .. }
            | E::OutputTooLarge { .. }
            | E::OutputSumTooLarge
            | E::DuplicateInput { .. }
            | E::CoinbaseScriptLength { .. }
            | E::NullInput { .. }
            // It follows a coinbase, whose bytes no inner node of a merkle tree can have.
            | E::SixtyFourBytes { .. }
            | E::NotFinal { .. }
            | E::CoinbaseHeight { .. }
            | E::WeightAboveLimit { .. }
            | E::TooManySigops { .. }
            | E::OverwritesCoin { .. }
            | E::MissingInput { .. }
            | E::ImmatureCoinbase { .. }
            | E::InputSumTooLarge
            | E::OutputsExceedInputs { .. }
            | E::FeeSumTooLarge
            | E::SequenceLocked { .. }
            | E::CoinbaseAmount { .. }
            | E::Spend { .. } => Standing::Never,
        }
    }

    /// The BIP 22 string that Bitcoin Core uses for the same verdict. Owned only where it carries a number.
    pub fn reject_reason(&self) -> Cow<'static, str> {
        use RuleError as E;
        Cow::Borrowed(match self {
            E::BitsOutOfRange { .. } | E::HashAboveTarget { .. } => "high-hash",
            E::WrongBits { .. } => "bad-diffbits",
            E::TimeNotAfterMedian { .. } => "time-too-old",
            E::TimeAhead { .. } => "time-too-new",
            E::VersionTooOld { got, .. } => {
                return Cow::Owned(format!("bad-version(0x{got:08x})"));
            }
            E::MerkleRootMismatch { .. } => "bad-txnmrklroot",
            E::RepeatedMerkleBranch => "bad-txns-duplicate",
            E::NoTransactions | E::BlockTooLong { .. } => "bad-blk-length",
            E::CoinbaseMissing { .. } => "bad-cb-missing",
            E::SecondCoinbase { .. } => "bad-cb-multiple",
            E::NoInputs => "bad-txns-vin-empty",
            E::NoOutputs => "bad-txns-vout-empty",
            E::TransactionTooLong { .. } => "bad-txns-oversize",
            E::NegativeOutput { .. } => "bad-txns-vout-negative",
            E::OutputTooLarge { .. } => "bad-txns-vout-toolarge",
            E::OutputSumTooLarge => "bad-txns-txouttotal-toolarge",
            E::DuplicateInput { .. } => "bad-txns-inputs-duplicate",
            E::CoinbaseScriptLength { .. } => "bad-cb-length",
            E::NullInput { .. } => "bad-txns-prevout-null",
            E::SixtyFourBytes { .. } => "bad-txns-size-64",
            E::NotFinal { .. } | E::SequenceLocked { .. } => "bad-txns-nonfinal",
            E::CoinbaseHeight { .. } => "bad-cb-height",
            E::WitnessReservedValue { .. } => "bad-witness-nonce-size",
            E::WitnessCommitmentMismatch { .. } => "bad-witness-merkle-match",
            E::UnexpectedWitness { .. } => "unexpected-witness",
            E::WeightAboveLimit { .. } => "bad-blk-weight",
            E::TooManySigops { .. } => "bad-blk-sigops",
            E::OverwritesCoin { .. } => "bad-txns-BIP30",
            E::MissingInput { .. } => "bad-txns-inputs-missingorspent",
            E::ImmatureCoinbase { .. } => "bad-txns-premature-spend-of-coinbase",
            E::InputSumTooLarge => "bad-txns-inputvalues-outofrange",
            E::OutputsExceedInputs { .. } => "bad-txns-in-belowout",
            E::FeeSumTooLarge => "bad-txns-accumulated-fee-outofrange",
            E::CoinbaseAmount { .. } => "bad-cb-amount",
            E::Spend { failure, .. } => failure.block_reject_reason(),
        })
    }
}

/// A merkle root that may be absent, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplayRoot(pub Option<TxMerkleNode>);

impl std::fmt::Display for DisplayRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(root) => root.fmt(f),
            None => f.write_str("(no transactions)"),
        }
    }
}

/// What a broken rule says about a block's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No block with this hash can be valid: store that, for its descendants too.
    Never,
    /// These bytes are bad, others with this hash may be good: ask another peer.
    OtherBytes,
    /// Not valid yet: try again later.
    NotYet,
}
