//! `mend export`: the active chain to a file.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use chain::Chain;
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};

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
    let total = u64::from(chain.tip().height.0) + 1;
    let bar = progress::bar(total, "{bar:30} {percent:>3}%  {pos} blocks  ETA {eta}");
    let mut unfinished = args.file.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let cannot_write = || format!("cannot write {shown}; check the path and the space on the disk");
    let mut out = BufWriter::new(fs::File::create(&unfinished).with_context(cannot_write)?);
    let written = write(&args, &chain, &mut out, &bar);
    bar.finish_and_clear();
    let mut finish = || {
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&unfinished, &args.file)
    };
    let finished = written.and_then(|told| finish().with_context(cannot_write).map(|()| told));
    match finished {
        Ok((text, json)) => {
            args.chain.tell(&text, &json);
            Ok(())
        }
        Err(error) => {
            // What is left of it is of no use.
            let _ = fs::remove_file(&unfinished);
            Err(error.context(format!("exporting to {shown}")))
        }
    }
}

/// Writes the blocks or the coins, and gives what there is to tell.
fn write(
    args: &ExportArgs,
    chain: &Chain,
    out: &mut impl Write,
    bar: &ProgressBar,
) -> anyhow::Result<(String, Value)> {
    if args.snapshot {
        return snapshot::dump(chain, out, &args.file);
    }
    let report = chain::export::export(chain, out, &mut |done| bar.set_position(done.blocks))?;
    let (blocks, bytes) = (report.blocks, report.bytes);
    let text = format!("{blocks} blocks, {bytes} bytes in {}", args.file.display());
    let json = json!({"blocks": blocks, "bytes": bytes, "file": args.file});
    Ok((text, json))
}
