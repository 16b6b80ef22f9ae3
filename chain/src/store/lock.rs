//! [`DirectoryLock`]: one owner for a data directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::OpenError;

/// The name of the lock file inside a data directory. It is empty, and stays when its owner ends.
pub const LOCK_NAME: &str = ".lock";

/// The right to look at, make and change the files of a data directory. One process at a time has it, for as long as a copy
/// of this lives; the system takes it back from a process that dies.
///
/// Take it before anything else in the directory is touched, on the first start too: two processes that both find no database
/// there would else make one each, and one of them would lose it.
#[derive(Clone, Debug)]
pub struct DirectoryLock(Arc<Held>);

#[derive(Debug)]
struct Held {
    dir: PathBuf,
    file: File,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing it is not enough: a process that another thread is just starting has a copy of the descriptor until it runs its own
        // program, and would hold the lock until then. If this fails, closing has to do.
        let _ = self.file.unlock();
    }
}

impl DirectoryLock {
    /// Makes `dir` if it is absent, and takes its lock. Does not wait.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] if another owner has it, in this process or another; [`OpenError::Io`] if the directory cannot be
    /// made or its file system knows no locks.
    pub fn acquire(dir: &Path) -> Result<DirectoryLock, OpenError> {
        let shown = dir.display().to_string();
        let io_error = |error: io::Error| OpenError::Io {
            path: shown.clone(),
            problem: error.to_string(),
        };
        fs::create_dir_all(dir).map_err(io_error)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(LOCK_NAME))
            .map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => Ok(DirectoryLock(Arc::new(Held {
                dir: dir.to_owned(),
                file,
            }))),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: shown }),
            Err(TryLockError::Error(error)) => Err(io_error(error)),
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_until_the_last_copy_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let first = DirectoryLock::acquire(&dir).unwrap();
        let copy = first.clone();
        let refused = || DirectoryLock::acquire(&dir).unwrap_err();
        assert!(matches!(refused(), OpenError::InUse { .. }));
        drop(first);
        assert!(matches!(refused(), OpenError::InUse { .. }));
        drop(copy);
        assert_eq!(DirectoryLock::acquire(&dir).unwrap().dir(), dir);
    }

    #[test]
    fn a_descriptor_that_was_copied_does_not_hold_it() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::acquire(dir.path()).unwrap();
        let copy = lock.0.file.try_clone().unwrap();
        drop(lock);
        assert!(DirectoryLock::acquire(dir.path()).is_ok());
        drop(copy);
    }
}
