//! A new database in the place of another, which is kept.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use super::disk::Disk;
use super::open::{UNFINISHED_NAME, remove_unfinished};
use super::{DirectoryLock, FILE_NAME, Store, StoreError, build};
use crate::new_file::sync_directory;

/// Damaged files that are kept; older ones are removed when all that was in them is here again.
pub const KEPT_FILES: usize = 2;

/// What became of a damaged file.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Where it is; `None` for a database in memory.
    pub(crate) path: Option<PathBuf>,
    /// Older ones that were removed.
    pub(crate) removed: usize,
}

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

    /// Takes the name of the directory's database, which is kept under another. If `all_is_here`, only the last [`KEPT_FILES`] of those
    /// are left; what is still missing may be found in one of them.
    pub(crate) fn take_name(&mut self, all_is_here: bool) -> Result<Kept, StoreError> {
        let Some(lock) = &self.lock else {
            return Ok(Kept::default());
        };
        let kept = set_aside(lock.dir()).map_err(failed)?;
        let path = lock.dir().join(FILE_NAME);
        fs::rename(lock.dir().join(UNFINISHED_NAME), &path)
            .and_then(|()| sync_directory(lock.dir()))
            .map_err(failed)?;
        self.path = path.display().to_string();
        let removed = match all_is_here {
            true => remove_old(lock.dir()).map_err(failed)?,
            false => 0,
        };
        Ok(Kept {
            path: Some(kept),
            removed,
        })
    }
}

/// Gives the database in `dir` a second name under which it is kept, and gives that name. Where files have one name only, it
/// loses the first.
fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join(FILE_NAME);
    let last = numbers_of_kept(dir)?.last().copied().unwrap_or(0);
    for number in last + 1.. {
        let kept = kept_name(dir, number);
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

fn kept_name(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{FILE_NAME}.damaged-{number}"))
}

/// The numbers of the kept files, oldest first.
fn numbers_of_kept(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(FILE_NAME));
        let number = rest.and_then(|rest| rest.strip_prefix(".damaged-"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes all kept files but the newest, and gives how many.
fn remove_old(dir: &Path) -> io::Result<usize> {
    let numbers = numbers_of_kept(dir)?;
    let old = &numbers[..numbers.len().saturating_sub(KEPT_FILES)];
    for number in old {
        fs::remove_file(kept_name(dir, *number))?;
    }
    Ok(old.len())
}

fn failed(error: io::Error) -> StoreError {
    StoreError::write(redb::StorageError::Io(error))
}
