//! [`NewFile`]: a file that is under its name when it is whole, and not before. [`DirGuard`]: one writer of such files at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Ends the names of files that are not whole.
const UNFINISHED: &str = ".part";

/// A file in the making, beside its place and under a name that nobody else uses. Dropping it removes it.
#[derive(Debug)]
pub struct NewFile {
    target: PathBuf,
    part: PathBuf,
    file: File,
}

impl NewFile {
    /// Begins the file `target`, which must not be there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if it is there, or what the system says.
    pub fn create(target: &Path) -> io::Result<NewFile> {
        if target.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let process = std::process::id();
        for number in 0_u32.. {
            let mut name = target.as_os_str().to_owned();
            name.push(format!(".{process}.{number}{UNFINISHED}"));
            let part = PathBuf::from(name);
            let options = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&part);
            match options {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    return Ok(NewFile {
                        target: target.to_owned(),
                        part,
                        file,
                    });
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Where it is until it is whole.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// To write to it, and to read it again.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    ///
    /// As the system says.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives it its name, durably. A file that came there meanwhile is not replaced.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if there is such a file, or what the system says. What is left is removed.
    pub fn finish(self) -> io::Result<()> {
        self.sync()?;
        name_anew(&self.part, &self.target)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After `finish` there is nothing.
        let _ = fs::remove_file(&self.part);
    }
}

/// Removes what a process that died left of the file `target`. Call it with the directory's [`DirGuard`] in hand.
///
/// # Errors
///
/// As the system says.
pub fn remove_parts(target: &Path) -> io::Result<()> {
    let name = target.file_name().unwrap_or_default().as_encoded_bytes();
    for entry in fs::read_dir(parent(target))? {
        let entry = entry?;
        let found = entry.file_name();
        let rest = found.as_encoded_bytes().strip_prefix(name);
        if rest.is_some_and(is_unfinished) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether this is what [`NewFile::create`] adds to a name: process, number and ending.
fn is_unfinished(ending: &[u8]) -> bool {
    let numbers = ending
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_suffix(UNFINISHED.as_bytes()));
    numbers.is_some_and(|numbers| {
        let mut parts = numbers.split(|&byte| byte == b'.');
        let number = |part: Option<&[u8]>| {
            part.is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
        };
        number(parts.next()) && number(parts.next()) && parts.next().is_none()
    })
}

/// A directory that only one process writes to. It lasts until it is dropped, and nothing of it stays in the directory.
#[derive(Debug)]
pub struct DirGuard {
    _directory: Option<File>,
}

impl DirGuard {
    /// Takes the directory. `None`: another process has it.
    ///
    /// # Errors
    ///
    /// As the system says.
    pub fn take(dir: &Path) -> io::Result<Option<DirGuard>> {
        if !cfg!(unix) {
            return Ok(Some(DirGuard { _directory: None }));
        }
        let directory = File::open(dir)?;
        match directory.try_lock() {
            Ok(()) => Ok(Some(DirGuard {
                _directory: Some(directory),
            })),
            Err(TryLockError::WouldBlock) => Ok(None),
            // Not every file system can: names are unique anyway.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Some(DirGuard { _directory: None }))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Gives a file of the same directory a name that no file has, durably: what has it meanwhile is left alone. Where the file system has
/// no second names for a file, only whoever owns the directory keeps others from taking the name.
///
/// # Errors
///
/// As the system says.
pub fn name_anew(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => fs::rename(from, to)?,
    }
    sync_directory(parent(to))
}

/// Makes a directory and those above it that are missing, durably.
///
/// # Errors
///
/// As the system says.
pub fn create_directory(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        .collect();
    fs::create_dir_all(dir)?;
    for made in missing {
        sync_directory(parent(made))?;
    }
    Ok(())
}

/// Makes the names in a directory durable.
///
/// # Errors
///
/// As the system says.
pub fn sync_directory(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()
    } else {
        Ok(())
    }
}

/// The directory that a file is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_when_it_is_whole_and_never_takes_anothers_place() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.dat");
        let first = NewFile::create(&target).unwrap();
        let second = NewFile::create(&target).unwrap();
        assert_ne!(first.part(), second.part());
        first.file().write_all(b"first").unwrap();
        second.file().write_all(b"second").unwrap();
        assert!(!target.exists());
        first.finish().unwrap();
        let error = second.finish().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"first");
        assert!(NewFile::create(&target).is_err());
        drop(NewFile::create(&dir.path().join("b.dat")).unwrap());
        assert_eq!(names(dir.path()), ["a.dat"]);
    }

    #[test]
    fn only_parts_of_the_same_file_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let keep = [
            "a.dat.1.part",
            "a.dat.part",
            "a.dat.x.0.part",
            "b.dat.1.0.part",
            "a.dat",
        ];
        for name in keep.iter().chain(&["a.dat.17.0.part"]) {
            fs::write(dir.path().join(name), name).unwrap();
        }
        remove_parts(&dir.path().join("a.dat")).unwrap();
        let mut expected = keep.map(str::to_owned);
        expected.sort();
        assert_eq!(names(dir.path()), expected);
    }

    #[test]
    fn a_directory_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        create_directory(&deep).unwrap();
        let guard = DirGuard::take(&deep).unwrap().unwrap();
        assert!(DirGuard::take(&deep).unwrap().is_none());
        drop(guard);
        assert!(DirGuard::take(&deep).unwrap().is_some());
        assert!(names(&deep).is_empty());
    }
}
