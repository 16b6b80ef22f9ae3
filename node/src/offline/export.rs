//! `mend export`: the active chain to a file.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use chain::new_file::NewFile;
use clap::Args;
use serde_json::json;

use super::{ChainArgs, progress, snapshot};

const EXAMPLES: &str = "\
Examples:
  mend export chain.blk --data-dir node
  mend export coins.dat --snapshot --data-dir node";

/// Export the active chain to a file in the framing of blk*.dat, or its coins as a snapshot.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    /// The file to write; it must not be there.
    file: PathBuf,
    /// Write the coins and headers alone, for `mend import --snapshot` and `loadtxoutset`.
    #[arg(long)]
    snapshot: bool,
    #[command(flatten)]
    chain: ChainArgs,
}

/// Runs `mend export`. The file is there when it is complete, and not before.
///
/// # Errors
///
/// When the chain cannot be read or the file not be written.
pub fn run(args: ExportArgs) -> anyhow::Result<()> {
    let shown = args.file.display();
    if args.file.exists() {
        bail!("{shown} is there already; choose another name, or remove it");
    }
    let chain = args.chain.look()?;
    if args.snapshot {
        return snapshot::dump(&args.chain, &chain, &args.file);
    }
    let cannot_write = || format!("cannot write {shown}; check the path and the space on the disk");
    let total = u64::from(chain.tip().height.0) + 1;
    let bar = progress::bar(total, "{bar:30} {percent:>3}%  {pos} blocks  ETA {eta}");
    let new = NewFile::create(&args.file).with_context(cannot_write)?;
    let mut out = BufWriter::new(new.file());
    let report = chain::export::export(&chain, &mut out, &mut |done| bar.set_position(done.blocks))
        .with_context(|| format!("exporting to {shown}"))?;
    out.flush().with_context(cannot_write)?;
    drop(out);
    new.finish().with_context(cannot_write)?;
    bar.finish_and_clear();
    let (blocks, bytes) = (report.blocks, report.bytes);
    let text = format!("{blocks} blocks, {bytes} bytes in {shown}");
    let json = json!({"blocks": blocks, "bytes": bytes, "file": args.file});
    args.chain.tell(&text, &json)?;
    Ok(())
}
