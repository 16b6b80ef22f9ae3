//! `mend export`: the active chain to a file.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::{ChainArgs, progress};

const EXAMPLES: &str = "\
Example:
  mend export chain.blk --data-dir node";

/// Export the active chain to a file in the framing of blk*.dat.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    /// The file to write; it must not be there.
    file: PathBuf,
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
    let chain = args.chain.open(false)?;
    let total = u64::from(chain.tip().height.0) + 1;
    let bar = progress::bar(total, "{bar:30} {percent:>3}%  {pos} blocks  ETA {eta}");
    let mut unfinished = args.file.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let cannot_write = || format!("cannot write {shown}; check the path and the space on the disk");
    let mut out = BufWriter::new(fs::File::create(&unfinished).with_context(cannot_write)?);
    let report = chain::export::export(&chain, &mut out, &mut |done| bar.set_position(done.blocks));
    bar.finish_and_clear();
    let written = report.map_err(anyhow::Error::from).and_then(|report| {
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&unfinished, &args.file)?;
        Ok(report)
    });
    let report = match written {
        Ok(report) => report,
        Err(error) => {
            // What is left of it is of no use.
            let _ = fs::remove_file(&unfinished);
            return Err(error.context(cannot_write()));
        }
    };
    let text = format!(
        "{} blocks, {} bytes in {shown}",
        report.blocks, report.bytes
    );
    let json = json!({"blocks": report.blocks, "bytes": report.bytes, "file": args.file});
    args.chain.tell(&text, &json);
    Ok(())
}
