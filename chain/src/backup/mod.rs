//! Backups: a consistent copy of a chain with a manifest, and restoring only what verifies.
//!
//! A backup is a directory with `manifest.json` and `chain.redb`. The database gets its name last: a directory without it is no backup.
//! Whatever is killed in between, a directory holds a whole backup or none, and a data directory a verified chain or none.
//!
//! [`backup`], [`copy`] and [`copy_to_all`] write, [`check`] looks, [`restore`] restores, [`drill`] restores to a scratch directory and verifies
//! everything. All tell a [`Step`] when it is done.

mod drill;
mod manifest;
mod restore;
mod write;

use std::io;
use std::path::Path;

use crate::store::{OpenError, StoreError};

pub use drill::{Drill, drill};
pub use manifest::{MANIFEST_NAME, Manifest};
pub use restore::{check, restore};
pub use write::{backup, copy, copy_to_all};

/// What has just been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The directory is there and taken.
    Begun,
    /// The database is copied, under a name of its own.
    Copied,
    /// The copy is durable, and its hashes are right.
    Verified,
    /// The manifest is in its place (backup only).
    Described,
    /// The database is in its place.
    Named,
}

/// Who is told of steps.
pub type Watch<'a> = &'a mut dyn FnMut(Step);

/// Why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is a chain, or another file of that name, already.
    #[error("{path} exists; choose another directory, or move it away first")]
    Exists {
        /// The file.
        path: String,
    },
    /// Another process works there.
    #[error(
        "{path} is being written to by another process; wait for it or choose another directory"
    )]
    Busy {
        /// The directory.
        path: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {error}; check that the directory is there, readable and not full")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// The manifest cannot be understood.
    #[error("{path}: {problem}; the backup is damaged or made by a newer program, use another")]
    Manifest {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The copy is not what the manifest says.
    #[error(
        "the backup's {what} is {found}, its manifest says {expected}; it is damaged, use another"
    )]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// What is there.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// A drill found something wrong in a chain whose hashes are right.
    #[error("the restored chain has {count} problems, first: {first}; use another backup")]
    Problems {
        /// How many.
        count: usize,
        /// The first.
        first: String,
    },
    /// The copy cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    |error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists {
            path: path.display().to_string(),
        },
        _ => BackupError::Io {
            path: path.display().to_string(),
            error,
        },
    }
}
