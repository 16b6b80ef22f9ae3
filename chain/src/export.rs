//! Exporting the active chain in the framing of `blk*.dat` files.

use std::io::{self, Write};

use bitcoin::BlockHash;

use crate::chain::Chain;
use crate::framing;
use crate::store::StoreError;
use crate::units::Height;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Blocks, genesis included.
    pub blocks: u64,
    /// Bytes, frames included.
    pub bytes: u64,
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The blocks could not be written.
    #[error("writing blocks: {0}; check the path and the space on the disk")]
    Write(#[from] io::Error),
    /// A body is damaged or lost.
    #[error(
        "the body of block {hash} at height {height} is damaged; run the node, which fetches it again from a peer"
    )]
    MissingBody {
        /// The block.
        hash: BlockHash,
        /// Its height.
        height: Height,
    },
    /// The chain began with a snapshot of coins: blocks below are not here.
    #[error(
        "the blocks up to height {base} are not here, for the coins were loaded from a snapshot; export from a node that has them"
    )]
    BelowSnapshot {
        /// Height of the snapshot's block.
        base: Height,
    },
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes the blocks of the active chain, genesis first. `progress` is called after each.
///
/// # Errors
///
/// When reading or writing fails, or a body is damaged.
pub fn export(
    chain: &Chain,
    out: &mut impl Write,
    progress: &mut dyn FnMut(&ExportReport),
) -> Result<ExportReport, ExportError> {
    let magic = framing::magic(chain.params());
    if let Some(base) = chain.snapshot_base() {
        let base = base.height;
        return Err(ExportError::BelowSnapshot { base });
    }
    let mut report = ExportReport::default();
    for height in (0..=chain.tip().height.0).map(Height) {
        let info = chain.at_height(height).expect("not above the tip");
        let Some(body) = chain.block(&info.hash)? else {
            return Err(ExportError::MissingBody {
                hash: info.hash,
                height,
            });
        };
        report.blocks += 1;
        report.bytes += framing::write_frame(out, magic, body.block())?;
        progress(&report);
    }
    out.flush()?;
    Ok(report)
}
