//! Proving that a backup can be restored, by restoring it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BackupError, Manifest, Watch, io_error, restore};
use crate::chain::ChainOptions;
use crate::params::Params;
use crate::store::DirectoryLock;
use crate::verify::{VerifyLevel, verify};

/// What a drill proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drill {
    /// What was restored.
    pub manifest: Manifest,
    /// Blocks that were read, taken back and connected again, with all checks.
    pub blocks: u32,
}

/// Restores a backup to a scratch directory inside `scratch`, disconnects all its blocks, connects them again with all checks and
/// hashes the coins from scratch. The scratch directory is removed, whatever comes of it. `progress` is called with blocks done and
/// blocks in all.
///
/// # Errors
///
/// When the backup cannot be restored, or what was restored has a problem.
pub fn drill(
    backup_dir: &Path,
    scratch: &Path,
    params: impl Into<Arc<Params>>,
    options: ChainOptions,
    watch: Watch<'_>,
    progress: &mut dyn FnMut(u32, u32),
) -> Result<Drill, BackupError> {
    let scratch = ScratchDir::create(scratch).map_err(io_error(scratch))?;
    let lock = DirectoryLock::acquire(&scratch.0)?;
    let (chain, manifest) = restore(backup_dir, lock, params, options, watch)?;
    let report = verify(&chain, VerifyLevel::Reconnect, 0, progress)?;
    match report.problems.first() {
        None => Ok(Drill {
            manifest,
            blocks: report.blocks,
        }),
        Some(first) => Err(BackupError::Problems {
            count: report.problems.len(),
            first: first.to_string(),
        }),
    }
}

/// A directory that goes with its owner.
struct ScratchDir(PathBuf);

impl ScratchDir {
    fn create(parent: &Path) -> io::Result<ScratchDir> {
        let process = std::process::id();
        let mut number = 0_u32;
        loop {
            let path = parent.join(format!("mend-drill.{process}.{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(ScratchDir(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What cannot be removed is in the system's folder for such things, and named after us.
        let _ = fs::remove_dir_all(&self.0);
    }
}
