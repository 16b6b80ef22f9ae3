//! What a node says of a block, in words that two nodes share.

use std::fmt;

use bitcoin::BlockHash;
use chain::Standing;

/// What became of the bytes that were handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are no block.
    Undecodable,
    /// The block is stored. Whether it was connected is another matter.
    Stored,
    /// It was here before.
    Duplicate,
    /// It was refused before it was stored.
    Rejected {
        reason: String,
        /// What that says of the hash; `None` where nothing is said, as of a block without a parent.
        standing: Option<Standing>,
    },
}

/// All that can be seen of a node after it was handed a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// Blocks that could not be connected, and why, in order.
    pub(crate) failed: Vec<(BlockHash, String)>,
    pub(crate) tip: BlockHash,
}

impl Outcome {
    /// The first reason that was given.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Rejected { reason, .. } => Some(reason),
            Verdict::Undecodable => Some("(not decoded)"),
            Verdict::Stored | Verdict::Duplicate => {
                self.failed.first().map(|(_, reason)| reason.as_str())
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Rejected { reason, standing } => {
                write!(f, "rejected: {reason} ({standing:?})")?
            }
            verdict => write!(f, "{verdict:?}")?,
        }
        for (hash, reason) in &self.failed {
            write!(f, ", {hash} failed: {reason}")?;
        }
        write!(f, ", tip {}", self.tip)
    }
}

/// Whether a reason comes from checking signatures, which is the last thing that is checked.
pub(crate) fn is_script_failure(reason: &str) -> bool {
    reason.starts_with("block-script-verify-flag-failed")
}
