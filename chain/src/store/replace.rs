//! A new database in the place of another, which is kept.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use super::disk::Disk;
use super::open::{UNFINISHED_NAME, remove_unfinished};
use super::{DirectoryLock, FILE_NAME, Store, StoreError, build};
use crate::new_file::sync_directory;

impl Store {
    /// An empty database beside this one: a file under another name in the same directory, or in memory if this one is no file.
    pub(crate) fn beside(&self) -> Result<Store, StoreError> {
        match &self.lock {
            Some(lock) => Store::unnamed(lock, self.cache_bytes),
            None => Ok(Store::in_memory(self.cache_bytes)),
        }
    }

    /// An empty database in the directory of `lock` that has not its name yet: see [`Store::take_name`]. A crash leaves nothing of
    /// it.
    pub(crate) fn unnamed(lock: &DirectoryLock, cache_bytes: usize) -> Result<Store, StoreError> {
        let path = lock.dir().join(UNFINISHED_NAME);
        let make = || -> io::Result<_> {
            remove_unfinished(&path)?;
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).open(&path)
        };
        let file = make().map_err(failed)?;
        let opened = Disk::file(file)
            .and_then(|disk| build(disk, cache_bytes))
            .map_err(StoreError::write)?;
        Ok(Store {
            database: OnceLock::from(opened),
            cache_bytes,
            failed: Mutex::new(None),
            pinned: None,
            path: path.display().to_string(),
            lock: Some(lock.clone()),
        })
    }

    /// Takes the name of the directory's database, which is kept under another. Gives that; `None` for a database in memory.
    pub(crate) fn take_name(&mut self) -> Result<Option<PathBuf>, StoreError> {
        let Some(lock) = &self.lock else {
            return Ok(None);
        };
        let kept = set_aside(lock.dir()).map_err(failed)?;
        let path = lock.dir().join(FILE_NAME);
        fs::rename(lock.dir().join(UNFINISHED_NAME), &path)
            .and_then(|()| sync_directory(lock.dir()))
            .map_err(failed)?;
        self.path = path.display().to_string();
        Ok(Some(kept))
    }
}

/// Gives the database in `dir` a second name under which it is kept, and gives that name. Where files have one name only, it
/// loses the first.
fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join(FILE_NAME);
    for number in 1.. {
        let kept = dir.join(format!("{FILE_NAME}.damaged-{number}"));
        match fs::hard_link(&path, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(_) if kept.try_exists()? => {}
            Err(_) => return fs::rename(&path, &kept).map(|()| kept),
        }
    }
    unreachable!("there are more numbers than files")
}

fn failed(error: io::Error) -> StoreError {
    StoreError::write(redb::StorageError::Io(error))
}
