//! A chain in a `blk*.dat` file, given to both nodes block by block.

use std::path::Path;

use crate::pair::{Pair, Tally};

const FRAME_BYTES: usize = 8;

/// The bytes of a file: magic, length, block, and so on.
pub(crate) struct Recorded(Vec<u8>);

/// Reads a file. It has to be whole.
pub(crate) fn read_frames(path: &Path) -> Recorded {
    Recorded(std::fs::read(path).expect("the file can be read"))
}

impl Recorded {
    /// The blocks, not decoded.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let length = rest.get(4..FRAME_BYTES)?;
            let length = u32::from_le_bytes(length.try_into().expect("4 bytes"));
            let (block, others) = rest[FRAME_BYTES..].split_at(length as usize);
            rest = others;
            Some(block)
        })
    }
}

/// Gives all blocks to both, and says what our chain ends with.
pub(crate) fn compare(path: &Path) -> (Tally, String) {
    let mut pair = Pair::new();
    for (index, block) in read_frames(path).frames().enumerate() {
        pair.submit_bytes(&format!("block {index} of the file"), block);
    }
    let chain = pair.ours().chain();
    let stats = chain.coin_set_stats(false).expect("storage works");
    let end = format!(
        "height {}, tip {}, {} coins, MuHash {}",
        chain.tip().height,
        chain.tip().hash,
        stats.coins,
        stats.muhash
    );
    (pair.finish("the file"), end)
}
