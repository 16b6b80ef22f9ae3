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

    /// Takes the name of the directory's database, which is kept under another, as the one that was replaced before. Gives that name;
    /// `None` for a database in memory.
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
        // The new database has its name: that files are left is no reason to stop.
        let _ = remove_older(lock.dir());
        Ok(Some(kept))
    }
}

/// How many damaged files are kept: the one that was just replaced, and the one before.
const KEPT_FILES: usize = 2;

/// Gives the database in `dir` a second name under which it is kept, and gives that name. Where files have one name only, it
/// loses the first.
fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join(FILE_NAME);
    let number = kept_numbers(dir)?.last().map_or(1, |last| last + 1);
    let kept = kept_name(dir, number);
    match fs::hard_link(&path, &kept) {
        Ok(()) => Ok(kept),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => fs::rename(&path, &kept).map(|()| kept),
    }
}

/// Removes all damaged files but the newest: what was in the others is in what replaced them.
fn remove_older(dir: &Path) -> io::Result<()> {
    let numbers = kept_numbers(dir)?;
    let old = numbers.len().saturating_sub(KEPT_FILES);
    numbers[..old]
        .iter()
        .try_for_each(|number| fs::remove_file(kept_name(dir, *number)))
}

fn kept_name(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{FILE_NAME}.damaged-{number}"))
}

/// The numbers of the files that are kept, in order.
fn kept_numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let prefix = format!("{FILE_NAME}.damaged-");
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn failed(error: io::Error) -> StoreError {
    StoreError::write(redb::StorageError::Io(error))
}
