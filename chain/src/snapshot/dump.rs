//! Writing a snapshot.

use std::io::Write;

use bitcoin::consensus::serialize;

use super::{MAGIC, SnapshotError, SnapshotInfo, VERSION};
use crate::chain::{BlockPosition, Chain};
use crate::coins::encoding::encode_outpoint;
use crate::units::Height;

/// Writes the coins of the active tip, and the headers up to it.
///
/// # Errors
///
/// When reading or writing fails.
pub fn dump(chain: &Chain, out: &mut impl Write) -> Result<SnapshotInfo, SnapshotError> {
    let stats = chain.coin_set_stats(true)?;
    let tip = chain.tip();
    out.write_all(&MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(&chain.params().digest.0)?;
    out.write_all(&tip.height.0.to_le_bytes())?;
    for height in (1..=tip.height.0).map(Height) {
        let info = chain.at_height(height).expect("not above the tip");
        out.write_all(&serialize(&info.header))?;
    }
    out.write_all(&stats.coins.to_le_bytes())?;
    write_coins(chain, out)?;
    out.write_all(&stats.serialized.expect("it was asked for").0)?;
    out.flush()?;
    let base = BlockPosition {
        hash: tip.hash,
        height: tip.height,
    };
    Ok(SnapshotInfo { base, stats })
}

fn write_coins(chain: &Chain, out: &mut impl Write) -> Result<(), SnapshotError> {
    let mut bytes = Vec::new();
    let mut failure = None;
    chain.for_each_packed_coin(&mut |outpoint, coin| {
        bytes.clear();
        coin.encode(&mut bytes);
        let length =
            u16::try_from(bytes.len()).expect("scripts that are kept have 10,000 bytes at most");
        let mut write = || {
            out.write_all(&encode_outpoint(&outpoint))?;
            out.write_all(&length.to_le_bytes())?;
            out.write_all(&bytes)
        };
        if failure.is_none() {
            failure = write().err();
        }
        Ok(())
    })?;
    failure.map_or(Ok(()), |error| Err(error.into()))
}
