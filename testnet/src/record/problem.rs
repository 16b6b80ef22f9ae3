//! What cannot stand in a record.

use bitcoin::{BlockHash, Txid};

/// Why a line cannot stand where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No line, or another than `start`, is the first.
    #[error("a record begins with a line \"start\"")]
    NoStart,
    /// A second `start`.
    #[error("a second \"start\"")]
    StartTwice,
    /// A line after `end`.
    #[error("a line after the \"end\"")]
    AfterEnd,
    /// The last line is missing.
    #[error("there is no \"end\": the run was broken off, or goes on")]
    NoEnd,
    /// Lines are missing.
    #[error("{got} lines stand before the \"end\", which counts {expected}: some are missing")]
    Lines {
        /// Those that stand there.
        got: u64,
        /// Those that were written.
        expected: u64,
    },
    /// No line has told the block.
    #[error("no line before tells block {0}")]
    UnknownBlock(BlockHash),
    /// A block for the second time.
    #[error("block {0} is told twice")]
    BlockTwice(BlockHash),
    /// A block on the wrong height.
    #[error("block {hash} has height {got}, expected {expected}: one more than its parent")]
    Height {
        /// The block.
        hash: BlockHash,
        /// As told.
        got: u32,
        /// As its parent has it.
        expected: u32,
    },
    /// More than four thousand million.
    #[error("too many blocks")]
    TooManyBlocks,
    /// No line has told the transaction.
    #[error("no line before tells transaction {0}")]
    UnknownTransaction(Txid),
    /// A transaction for the second time.
    #[error("transaction {0} is told twice")]
    TransactionTwice(Txid),
    /// The plan has fewer nodes.
    #[error("node {got}, but the plan has {nodes} nodes")]
    UnknownNode {
        /// The number.
        got: usize,
        /// How many there are.
        nodes: usize,
    },
    /// Neither planned nor told.
    #[error("fault {0} is neither in the plan nor told")]
    UnknownFault(usize),
    /// A fault that begins twice, or ends without having begun.
    #[error("fault {0} begins twice, or ends before it begins")]
    FaultOrder(usize),
    /// The plan has fewer payments.
    #[error("payment {0} is not in the plan")]
    UnknownPayment(usize),
    /// A block that does not fit on a node's tip.
    #[error("block {hash} cannot be connected or disconnected: node {node} is on {tip}")]
    NotOnTip {
        /// The block.
        hash: BlockHash,
        /// The node.
        node: usize,
        /// Its tip.
        tip: BlockHash,
    },
    /// A node that is down cannot do anything.
    #[error("node {0} is down")]
    NodeIsDown(usize),
    /// A node that is up cannot come up.
    #[error("node {0} is up already")]
    NodeIsUp(usize),
    /// A node's lines are in order of time.
    #[error("time {t} of node {node} is before its last, {last}")]
    BackInTime {
        /// The node.
        node: usize,
        /// As told.
        t: u64,
        /// Time of its line before.
        last: u64,
    },
}
