//! Why a database was not opened, and why it stopped.

/// Why a database was not opened. Each message ends with a remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is in use by another process; stop that one or choose another --data-dir")]
    InUse {
        /// The file.
        path: String,
    },
    /// It belongs to another network.
    #[error(
        "{path} holds the network {found}, not {expected}; choose another --data-dir or the right --genesis"
    )]
    OtherNetwork {
        /// The file.
        path: String,
        /// Name (or digest) of its network.
        found: String,
        /// Name of ours.
        expected: String,
    },
    /// It was written by a newer program.
    #[error("{path} has format {found}, this program knows up to {known}; use a newer mend")]
    NewerFormat {
        /// The file.
        path: String,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It is not ours, or damaged.
    #[error(
        "{path} cannot be read: {problem}; move it away and start again to fetch the chain from peers, or restore a backup"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What was found.
        problem: String,
    },
    /// Reading or writing failed.
    #[error("{path}: {problem}; check that the directory is there, writable and not full")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        problem: String,
    },
}

/// Storage failed. Fatal: the node stops and never goes on after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("storage failed: {problem}; free disk space or check the disk, then start again")]
pub struct StoreError {
    /// What redb or the system said.
    pub problem: String,
}

impl StoreError {
    pub(crate) fn new(problem: impl Into<String>) -> StoreError {
        StoreError {
            problem: problem.into(),
        }
    }

    pub(crate) fn read(error: impl Into<redb::Error>) -> StoreError {
        StoreError::new(format!("reading: {}", error.into()))
    }

    pub(crate) fn write(error: impl Into<redb::Error>) -> StoreError {
        StoreError::new(format!("writing: {}", error.into()))
    }

    /// Bytes came back that this program never wrote.
    pub(crate) fn damaged(what: impl std::fmt::Display) -> StoreError {
        StoreError::new(format!(
            "{what} is damaged on disk, run `mend verify --repair` on this data directory"
        ))
    }
}
