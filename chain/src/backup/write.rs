//! Making backups.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::{FileDigest, copy_hashing, digest};
use super::{BackupError, MANIFEST_NAME, Manifest, Step, Watch, io_error};
use crate::chain::{Chain, ChainOptions, FrozenChain};
use crate::new_file::{DirGuard, NewFile, create_directory, remove_parts, sync_directory};
use crate::store::FILE_NAME;

/// Memory for reading a copy again, in bytes.
const CHECK_CACHE: ChainOptions = ChainOptions {
    cache_bytes: 16 << 20,
};

/// Copies a chain, which may be in use, to a new directory. Everything is committed first; the chain takes nothing new until the
/// copy is done.
///
/// # Errors
///
/// As [`copy`].
pub fn backup(chain: &mut Chain, dir: &Path) -> Result<Manifest, BackupError> {
    let frozen = chain.frozen()?;
    copy(&frozen, dir, &mut |_| {})
}

/// As [`backup`], of one committed state, so that the chain itself goes on meanwhile.
///
/// # Errors
///
/// When the directory holds a chain already or another process works there, or reading or writing fails.
pub fn copy(chain: &FrozenChain, dir: &Path, watch: Watch<'_>) -> Result<Manifest, BackupError> {
    make(dir, watch, |new| {
        chain.copy_to(new.part())?;
        let file = digest(new.part())?;
        // What the manifest says is true of what was written, not of what was meant to be.
        let written = FrozenChain::open_file(new.part(), Arc::clone(chain.params()), CHECK_CACHE)?;
        Manifest::of(&written, file)
    })
}

/// Copies one state of a chain to several directories, one after the other. Each stands for itself: what fails at one does not concern
/// the others. All whole copies are the same, byte for byte.
pub fn copy_to_all(
    chain: &FrozenChain,
    dirs: &[PathBuf],
    watch: Watch<'_>,
) -> Vec<Result<Manifest, BackupError>> {
    let mut whole: Option<(&Path, Manifest)> = None;
    let mut results = Vec::with_capacity(dirs.len());
    for dir in dirs {
        let result = match &whole {
            None => copy(chain, dir, watch),
            Some((source, manifest)) => copy_again(source, manifest, dir, watch),
        };
        if let (Ok(manifest), None) = (&result, &whole) {
            whole = Some((dir, manifest.clone()));
        }
        results.push(result);
    }
    results
}

/// Copies a backup that was just made.
fn copy_again(
    source: &Path,
    manifest: &Manifest,
    dir: &Path,
    watch: Watch<'_>,
) -> Result<Manifest, BackupError> {
    make(dir, watch, |new| {
        let path = source.join(FILE_NAME);
        let mut from = File::open(&path).map_err(io_error(&path))?;
        copy_hashing(&mut from, &mut new.file()).map_err(io_error(new.part()))?;
        let found: FileDigest = digest(new.part())?;
        manifest.check_file(&found)?;
        Ok(manifest.clone())
    })
}

/// Makes a backup in `dir` of what `fill` writes and describes.
fn make(
    dir: &Path,
    watch: Watch<'_>,
    fill: impl FnOnce(&NewFile) -> Result<Manifest, BackupError>,
) -> Result<Manifest, BackupError> {
    create_directory(dir).map_err(io_error(dir))?;
    let Some(_guard) = DirGuard::take(dir).map_err(io_error(dir))? else {
        return Err(BackupError::Busy {
            path: dir.display().to_string(),
        });
    };
    let path = dir.join(FILE_NAME);
    if path.symlink_metadata().is_ok() {
        return Err(BackupError::Exists {
            path: path.display().to_string(),
        });
    }
    remove_left_over(dir)?;
    let new = NewFile::create(&path).map_err(io_error(&path))?;
    watch(Step::Begun);
    let manifest = fill(&new)?;
    watch(Step::Copied);
    new.sync().map_err(io_error(&path))?;
    watch(Step::Verified);
    manifest.write(dir)?;
    watch(Step::Described);
    if let Err(error) = new.finish() {
        // A manifest alone says nothing.
        let _ = fs::remove_file(dir.join(MANIFEST_NAME));
        return Err(io_error(&path)(error));
    }
    watch(Step::Named);
    Ok(manifest)
}

/// Removes what a process that was killed left of a backup: there is no database, so its manifest describes nothing. Another file of
/// that name is not touched.
fn remove_left_over(dir: &Path) -> Result<(), BackupError> {
    let path = dir.join(MANIFEST_NAME);
    if path.symlink_metadata().is_ok() {
        if Manifest::read(dir).is_err() {
            return Err(BackupError::Exists {
                path: path.display().to_string(),
            });
        }
        fs::remove_file(&path).map_err(io_error(&path))?;
    }
    let clean = || {
        remove_parts(&path)?;
        remove_parts(&dir.join(FILE_NAME))?;
        sync_directory(dir)
    };
    clean().map_err(io_error(dir))
}
