//! Why a database was not opened, and why it stopped.

use std::io;

use super::damage::{Damage, Extent, Place, Table};
use super::guard::Panicked;

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
        "{path} cannot be read: {problem}; run `mend verify --repair` on its directory, restore a backup, or move it away and start again to fetch the chain from peers"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What was found.
        problem: String,
    },
    /// Reading or writing failed.
    #[error(
        "{path}: {problem}; check that the directory is there, writable and not full, and that the disk works, or choose another --data-dir"
    )]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        problem: String,
    },
}

/// Storage failed. Unless it is damage that can be healed, that is fatal: the node stops and never goes on after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}; {}", .cause.event(), .cause.remedy())]
pub struct StoreError {
    /// What kind of failure it is.
    pub cause: StoreFault,
    /// What redb or the system said.
    pub problem: String,
    /// What is damaged, if that is the cause.
    pub damage: Option<Box<Damage>>,
}

/// What makes storage fail, as far as the remedy depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// There is no room: the disk, a quota or the largest file that is allowed.
    NoSpace,
    /// The disk does not do what it is asked for.
    Device,
    /// Bytes came back that this program never wrote.
    Damage,
    /// None any more: what was damaged is being healed, and the chain stands still meanwhile.
    Healing,
}

impl StoreFault {
    fn event(self) -> &'static str {
        match self {
            StoreFault::Healing => "damage is being healed",
            StoreFault::NoSpace | StoreFault::Device | StoreFault::Damage => "storage failed",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            StoreFault::NoSpace => "free some space, then start again",
            StoreFault::Device => {
                "check the disk and its cable or volume, then start again, or restore a backup"
            }
            StoreFault::Damage => {
                "a node with --on-damage mend heals it, ask again; else run `mend verify --repair` on this data directory"
            }
            StoreFault::Healing => "ask again when it is done; getscrubinfo tells how far it is",
        }
    }

    fn of(error: &redb::Error) -> StoreFault {
        match error {
            redb::Error::Io(error) => StoreFault::of_io(error),
            redb::Error::Corrupted(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableIsNotMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            // It panicked on a damaged page while it held the lock: see [`super::guard`].
            | redb::Error::LockPoisoned(_) => StoreFault::Damage,
            _ => StoreFault::Device,
        }
    }

    fn of_io(error: &io::Error) -> StoreFault {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => StoreFault::NoSpace,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => StoreFault::Damage,
            _ => StoreFault::Device,
        }
    }
}

impl StoreError {
    pub(crate) fn read(error: impl Into<redb::Error>) -> StoreError {
        StoreError::doing("reading", &error.into())
    }

    pub(crate) fn write(error: impl Into<redb::Error>) -> StoreError {
        StoreError::doing("writing", &error.into())
    }

    fn doing(what: &str, error: &redb::Error) -> StoreError {
        let problem = format!("{what}: {error}");
        match StoreFault::of(error) {
            StoreFault::Damage => StoreError::damaged(Damage {
                table: None,
                place: Place::Pages,
                extent: Extent::Pages,
                problem,
            }),
            cause => StoreError {
                cause,
                problem,
                damage: None,
            },
        }
    }

    /// redb gave up on what it read.
    pub(crate) fn panicked(Panicked(problem): Panicked) -> StoreError {
        StoreError::damaged(Damage {
            table: None,
            place: Place::Pages,
            extent: Extent::Pages,
            problem,
        })
    }

    /// The same, with what is known of where it happened.
    #[must_use]
    pub(crate) fn located(self, table: Table, place: Place) -> StoreError {
        match self.damage {
            Some(damage) if damage.table.is_none() => StoreError::damaged(Damage {
                table: Some(table),
                place,
                ..*damage
            }),
            damage => StoreError { damage, ..self },
        }
    }

    /// Bytes came back that this program never wrote.
    pub(crate) fn damaged(damage: Damage) -> StoreError {
        StoreError {
            cause: StoreFault::Damage,
            problem: damage.to_string(),
            damage: Some(Box::new(damage)),
        }
    }

    /// What is asked for has to wait for this.
    pub(crate) fn healing(problem: String) -> StoreError {
        StoreError {
            cause: StoreFault::Healing,
            problem,
            damage: None,
        }
    }

    /// Nothing is written after this failure: what reached the disk is then unknown.
    #[must_use]
    pub fn stopped(&self) -> StoreError {
        StoreError {
            problem: format!("writing stopped after: {}", self.problem),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use super::*;

    #[test]
    fn a_lock_that_a_panic_left_behind_is_damage_and_not_the_device() {
        let error = StoreError::read(redb::Error::LockPoisoned(Location::caller()));
        assert_eq!(error.cause, StoreFault::Damage);
        assert!(
            error
                .damage
                .is_some_and(|damage| damage.extent == Extent::Pages)
        );
    }
}
