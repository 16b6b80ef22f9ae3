//! Looking at backups, and restoring them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::manifest::{copy_hashing, digest};
use super::{BackupError, Manifest, Step, Watch, io_error};
use crate::chain::{Chain, ChainOptions, FrozenChain};
use crate::new_file::{NewFile, remove_parts};
use crate::params::Params;
use crate::store::{DirectoryLock, FILE_NAME};

/// Checks a backup as [`restore`] does, and writes nothing anywhere: the file's hash, the tip and the hash of the coins.
///
/// # Errors
///
/// When the backup does not verify or is of another network, or reading fails.
pub fn check(
    backup_dir: &Path,
    params: impl Into<Arc<Params>>,
    options: ChainOptions,
) -> Result<Manifest, BackupError> {
    let manifest = Manifest::read(backup_dir)?;
    manifest.check_file(&digest(&backup_dir.join(FILE_NAME))?)?;
    let chain = FrozenChain::open(backup_dir, params, options)?;
    manifest.check_chain(&chain)?;
    Ok(manifest)
}

/// Copies a backup to a data directory, which `lock` owns and which holds no chain, and opens it. The copy gets its name when the file's hash, the tip and the
/// hash of the coins are those of the manifest: what does not verify is never there.
///
/// # Errors
///
/// When the data directory holds a chain already, the backup does not verify or is of another network, or reading or writing fails.
pub fn restore(
    backup_dir: &Path,
    lock: DirectoryLock,
    params: impl Into<Arc<Params>>,
    options: ChainOptions,
    watch: Watch<'_>,
) -> Result<(Chain, Manifest), BackupError> {
    let params = params.into();
    let manifest = Manifest::read(backup_dir)?;
    let source = backup_dir.join(FILE_NAME);
    let mut from = File::open(&source).map_err(io_error(&source))?;
    let target = lock.dir().join(FILE_NAME);
    if target.symlink_metadata().is_ok() {
        return Err(BackupError::Exists {
            path: target.display().to_string(),
        });
    }
    remove_parts(&target).map_err(io_error(lock.dir()))?;
    let new = NewFile::create(&target).map_err(io_error(&target))?;
    watch(Step::Begun);
    let found = copy_hashing(&mut from, &mut new.file()).map_err(io_error(new.part()))?;
    manifest.check_file(&found)?;
    watch(Step::Copied);
    new.sync().map_err(io_error(new.part()))?;
    let copied = FrozenChain::open_file(new.part(), Arc::clone(&params), options)?;
    manifest.check_chain(&copied)?;
    drop(copied);
    watch(Step::Verified);
    new.finish().map_err(io_error(&target))?;
    watch(Step::Named);
    let chain = Chain::open_owned(lock, params, options)?;
    Ok((chain, manifest))
}
