//! `-daemon`: a node that goes on when the command has ended.

use std::fs::{File, create_dir_all};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The log of a node in the background, as Bitcoin Core calls it.
const LOG: &str = "debug.log";

/// Starts `mend node` with `args` in the background, and returns when it serves RPC, or has failed.
///
/// # Errors
///
/// What it said when it failed.
pub(super) fn start(args: &[String], folder: &Path) -> anyhow::Result<()> {
    create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(LOG);
    // Another node may be running here, and write to it.
    let log = File::options().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["node", "--json"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    // A signal to the terminal's programs is not for it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().context("cannot start mend node")?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let _ = BufReader::new(stdout).read_line(&mut line);
    }
    if line.is_empty() {
        child.wait().context("the node ended")?;
        let said = std::fs::read_to_string(&path).unwrap_or_default();
        let last = said.lines().last().unwrap_or("it said nothing");
        bail!("{}", last.trim_start_matches("error: "));
    }
    Ok(terminal::line("Bitcoin Core starting")?)
}
