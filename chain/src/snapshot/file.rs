//! Snapshots in files.

use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use bitcoin::block::Header;
use bitcoin::consensus;

use super::read::{bytes, check_at_end, check_kind, for_each_coin};
use super::{SnapshotError, SnapshotInfo, dump};
use crate::chain::FrozenChain;
use crate::coins::{SetHash, StatsBuilder};
use crate::new_file::NewFile;
use crate::params::Params;

/// Writes a snapshot of the active tip to the file `path`, which must not be there. What was written is read again and compared; only
/// then it gets its name. Others that write at the same time, and files with similar names, are not disturbed.
///
/// # Errors
///
/// When there is such a file, or reading or writing fails; nothing is left then.
pub fn dump_to_file(chain: &FrozenChain, path: &Path) -> Result<SnapshotInfo, SnapshotError> {
    let new = NewFile::create(path)?;
    let mut out = BufWriter::new(new.file());
    let info = dump(chain, &mut out)?;
    out.flush()?;
    drop(out);
    new.sync()?;
    let mut written = new.file();
    written.rewind()?;
    check_written(&mut BufReader::new(written), chain.params(), &info)?;
    new.finish()?;
    Ok(info)
}

/// Checks that a snapshot is the one that was meant to be written.
fn check_written(
    reader: &mut impl Read,
    params: &Params,
    meant: &SnapshotInfo,
) -> Result<(), SnapshotError> {
    check_kind(reader, params)?;
    let height = u32::from_le_bytes(bytes(reader)?);
    let mut last = params.genesis_hash;
    for _ in 0..height {
        let header: Header =
            consensus::deserialize(&bytes::<80>(reader)?).expect("any 80 bytes are a header");
        if header.prev_blockhash != last {
            return Err(differs());
        }
        last = header.block_hash();
    }
    if (height, last) != (meant.base.height.0, meant.base.hash) {
        return Err(differs());
    }
    let mut stats = StatsBuilder::new(true);
    for_each_coin(reader, meant.base.height, params, |outpoint, coin| {
        stats.add(outpoint, coin);
    })?;
    let stats = stats.finish();
    let told = SetHash(bytes(reader)?);
    check_at_end(reader)?;
    if stats != meant.stats || meant.stats.serialized != Some(told) {
        return Err(differs());
    }
    Ok(())
}

fn differs() -> SnapshotError {
    let problem = "what was read back is not what was written; check the disk, and use another";
    io::Error::new(io::ErrorKind::InvalidData, problem).into()
}
