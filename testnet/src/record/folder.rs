//! The folder of a run: `runs/NAME-ENGINE-SEED-N/`, with a marker file. Nothing without the marker is ever deleted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Engine;

/// The marker's name.
pub const MARKER: &str = ".mend-run";
/// What stands in it.
const MARKER_TEXT: &str = "A run of the lab. `mend` deletes this folder only by order, and only because this file is in it.\n";

/// A folder that holds a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

/// Why there is no such folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made, read or deleted.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// It is no run.
    #[error("{path} is no run: it has no file {MARKER}; give a folder that the lab made, as runs/NAME-sim-1-1", path = path.display())]
    NoRun {
        /// The path.
        path: PathBuf,
    },
}

impl RunFolder {
    /// Makes the folder of a new run below `runs`, with the first number that is free.
    ///
    /// # Errors
    ///
    /// [`FolderError::Io`].
    pub fn create(
        runs: &Path,
        name: &str,
        engine: Engine,
        seed: u64,
    ) -> Result<RunFolder, FolderError> {
        make(fs::create_dir_all(runs), runs)?;
        let engine = match engine {
            Engine::Sim => "sim",
            Engine::Real => "real",
        };
        let name = plain(name);
        let mut number = 1u32;
        loop {
            let path = runs.join(format!("{name}-{engine}-{seed}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let marker = path.join(MARKER);
                    make(fs::write(&marker, MARKER_TEXT), &marker)?;
                    return Ok(RunFolder { path });
                }
                // Another process may make one at the same time: who makes it has it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(FolderError::Io { path, error }),
            }
        }
    }

    /// A folder that is there.
    ///
    /// # Errors
    ///
    /// [`FolderError::NoRun`] when it has no marker.
    pub fn open(path: impl Into<PathBuf>) -> Result<RunFolder, FolderError> {
        let path = path.into();
        match fs::symlink_metadata(path.join(MARKER)) {
            Ok(marker) if marker.is_file() => Ok(RunFolder { path }),
            _ => Err(FolderError::NoRun { path }),
        }
    }

    /// All runs below a folder, by name. None if it does not exist.
    pub fn list(runs: &Path) -> Vec<RunFolder> {
        let entries = fs::read_dir(runs).into_iter().flatten().flatten();
        let mut found: Vec<RunFolder> = entries
            .filter_map(|entry| RunFolder::open(entry.path()).ok())
            .collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The record.
    pub fn record(&self) -> PathBuf {
        self.path.join("record.jsonl")
    }

    /// What is told of it, for programs.
    pub fn report_json(&self) -> PathBuf {
        self.path.join("report.json")
    }

    /// What is told of it, for people.
    pub fn report_html(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Where data and logs of the nodes are.
    pub fn nodes(&self) -> PathBuf {
        self.path.join("nodes")
    }

    /// Deletes data and logs of the nodes; the record stays.
    ///
    /// # Errors
    ///
    /// [`FolderError::NoRun`] when the marker is not there any more.
    pub fn delete_nodes(&self) -> Result<(), FolderError> {
        let nodes = RunFolder::open(&self.path)?.nodes();
        make(fs::remove_dir_all(&nodes), &nodes)
    }

    /// Deletes it with all that is in it.
    ///
    /// # Errors
    ///
    /// [`FolderError::NoRun`] when the marker is not there any more.
    pub fn delete(self) -> Result<(), FolderError> {
        let folder = RunFolder::open(self.path)?;
        make(fs::remove_dir_all(&folder.path), &folder.path)
    }
}

fn make<T>(result: io::Result<T>, path: &Path) -> Result<T, FolderError> {
    result.map_err(|error| FolderError::Io {
        path: path.to_owned(),
        error,
    })
}

/// A name that is a plain name of a folder everywhere.
fn plain(name: &str) -> String {
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
        _ => '-',
    };
    let name: String = name.chars().take(80).map(plain).collect();
    match name.trim_matches('-') {
        "" => "run".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_name_are_numbered_and_only_runs_are_deleted() {
        let home = tempfile::tempdir().unwrap();
        let runs = home.path().join("runs");
        let make = || RunFolder::create(&runs, "a/../b c", Engine::Sim, 7).unwrap();
        let (first, second) = (make(), make());
        assert_eq!(first.path(), runs.join("a----b-c-sim-7-1"));
        assert_eq!(second.path(), runs.join("a----b-c-sim-7-2"));
        fs::create_dir(runs.join("mine")).unwrap();
        assert_eq!(RunFolder::list(&runs), [first.clone(), second.clone()]);
        let error = RunFolder::open(runs.join("mine")).unwrap_err();
        assert!(error.to_string().contains("is no run"), "{error}");

        fs::remove_file(first.path().join(MARKER)).unwrap();
        let path = first.path().to_owned();
        assert!(matches!(first.delete(), Err(FolderError::NoRun { .. })));
        assert!(path.exists());
        let path = second.path().to_owned();
        second.delete().unwrap();
        assert!(!path.exists());
    }
}
