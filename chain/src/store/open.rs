//! Opening: refusing what is not ours, and reading what is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageBackend, StorageError,
};

use super::disk::Disk;
use super::guard::{Panicked, guard};
use super::overlay::Overlay;
use super::seal::unseal;
use super::tables::{META, meta};
use super::{DirectoryLock, FILE_NAME, FORMAT, OpenError, Opened, Store, build, upgrade};
use crate::new_file::name_anew;
use crate::params::Params;

/// The first bytes of a redb file.
pub(super) const MAGIC: &[u8; 4] = b"redb";

/// The name of a database until redb has made it whole: a crash before that leaves nothing under the real name.
pub(super) const UNFINISHED_NAME: &str = "chain.redb.new";

/// What a database said of itself when it was opened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loaded {
    /// Nothing was committed yet.
    New,
    /// It holds a chain whose coins belong to this tip.
    AtTip(BlockHash),
}

impl Store {
    /// Opens or creates the database in the directory that `lock` owns.
    pub(crate) fn open(
        lock: DirectoryLock,
        params: &Params,
        cache_bytes: usize,
    ) -> Result<(Store, Loaded), OpenError> {
        let dir = lock.dir().to_owned();
        let path = dir.join(FILE_NAME);
        let unfinished = dir.join(UNFINISHED_NAME);
        let shown = path.display().to_string();
        let io_error = |error: io::Error| OpenError::Io {
            path: shown.clone(),
            problem: error.to_string(),
        };
        check_magic(&path, &shown)?;
        remove_unfinished(&unfinished).map_err(io_error)?;
        let is_new = !path.try_exists().map_err(io_error)?;
        let open_path = if is_new { &unfinished } else { &path };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(is_new)
            .open(open_path)
            .map_err(io_error)?;
        let open = || build(Disk::file(file)?, cache_bytes);
        let (mut store, loaded) = Store::finish_open(open, shown.clone(), params, cache_bytes)?;
        store.lock = Some(lock);
        if is_new {
            name_anew(&unfinished, &path).map_err(io_error)?;
        }
        Ok((store, loaded))
    }

    /// Opens the database at `path`, which must be there, without ever changing the file: see [`Overlay`].
    pub(crate) fn open_read_only(
        path: &Path,
        params: &Params,
        cache_bytes: usize,
    ) -> Result<(Store, BlockHash), OpenError> {
        let shown = path.display().to_string();
        check_magic(path, &shown)?;
        let open = || build(Disk::new(Overlay::open(path)?), cache_bytes);
        match Store::finish_open(open, shown.clone(), params, cache_bytes)? {
            (store, Loaded::AtTip(tip)) => Ok((store, tip)),
            (_, Loaded::New) => Err(OpenError::Damaged {
                path: shown,
                problem: "it holds no chain".to_owned(),
            }),
        }
    }

    /// Opens or creates the database on any backend.
    pub(crate) fn open_backend(
        backend: impl StorageBackend,
        params: &Params,
        cache_bytes: usize,
    ) -> Result<(Store, Loaded), OpenError> {
        let open = || build(Disk::new(backend), cache_bytes);
        Store::finish_open(open, "the database".to_owned(), params, cache_bytes)
    }

    fn finish_open(
        open: impl FnOnce() -> Result<Opened, DatabaseError>,
        path: String,
        params: &Params,
        cache_bytes: usize,
    ) -> Result<(Store, Loaded), OpenError> {
        let opened = guarded(&path, || open().map_err(|error| classify(error, &path)));
        let mut opened = opened?;
        let database = &mut opened.database;
        let loaded = guarded(&path, || {
            if let Some(loaded) = check_meta(database, params, &path)? {
                return Ok(loaded);
            }
            // Rows get their checksums now: they must be what was written.
            let is_whole = database.check_integrity();
            if !is_whole.map_err(|error| classify(error, &path))? {
                return Err(OpenError::Damaged {
                    path: path.clone(),
                    problem: "its pages do not match their checksums".to_owned(),
                });
            }
            upgrade::from_1(database).map_err(|error| unreadable(error, &path))?;
            check_meta(database, params, &path)?.ok_or_else(|| OpenError::Damaged {
                path: path.clone(),
                problem: "its upgrade was lost".to_owned(),
            })
        });
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                let _ = guard(|| drop(opened));
                return Err(error);
            }
        };
        let store = Store {
            database: OnceLock::from(opened),
            cache_bytes,
            failed: Mutex::new(None),
            pinned: None,
            path,
            lock: None,
        };
        Ok((store, loaded))
    }
}

/// Runs a part of opening. redb may give up on a damaged file.
fn guarded<T>(path: &str, part: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    guard(part).unwrap_or_else(|Panicked(problem)| {
        Err(OpenError::Damaged {
            path: path.to_owned(),
            problem,
        })
    })
}

pub(super) fn remove_unfinished(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Refuses a file of another kind before redb touches it. An absent or empty file is fine: it will be made.
fn check_magic(path: &Path, shown: &str) -> Result<(), OpenError> {
    let io_error = |error: io::Error| OpenError::Io {
        path: shown.to_owned(),
        problem: error.to_string(),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(error)),
    };
    let mut start = Vec::new();
    file.take(MAGIC.len() as u64)
        .read_to_end(&mut start)
        .map_err(io_error)?;
    if start.is_empty() || start == *MAGIC {
        Ok(())
    } else {
        Err(OpenError::Damaged {
            path: shown.to_owned(),
            problem: "it is not a database of this program".to_owned(),
        })
    }
}

fn classify(error: DatabaseError, path: &str) -> OpenError {
    let path = path.to_owned();
    let problem = error.to_string();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path },
        DatabaseError::Storage(StorageError::PreviousIo) => OpenError::Io { path, problem },
        DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                OpenError::Damaged { path, problem }
            }
            _ => OpenError::Io { path, problem },
        },
        _ => OpenError::Damaged { path, problem },
    }
}

fn unreadable(error: redb::Error, path: &str) -> OpenError {
    let path = path.to_owned();
    let problem = error.to_string();
    match error {
        // The disk's fault, not the data's.
        redb::Error::Io(_) | redb::Error::PreviousIo => OpenError::Io { path, problem },
        _ => OpenError::Damaged { path, problem },
    }
}

/// Refuses what is not ours. `None`: it is, but of format 1, whose rows have no checksums.
fn check_meta(
    database: &Database,
    params: &Params,
    path: &str,
) -> Result<Option<Loaded>, OpenError> {
    let damaged = |problem: String| OpenError::Damaged {
        path: path.to_owned(),
        problem,
    };
    let unreadable = |error: redb::Error| unreadable(error, path);
    let transaction = database
        .begin_read()
        .map_err(|error| unreadable(error.into()))?;
    let mut tables = transaction
        .list_tables()
        .map_err(|error| unreadable(error.into()))?;
    if tables.next().is_none() {
        return Ok(Some(Loaded::New));
    }
    let row = |key: &str| -> Result<Vec<u8>, OpenError> {
        read_meta(&transaction, key)
            .map_err(unreadable)?
            .ok_or_else(|| damaged(format!("it is not a database of this program: no {key}")))
    };
    let is_sealed = row(meta::FORMAT)?.len() > size_of::<u32>();
    let get = |key: &str| -> Result<Vec<u8>, OpenError> {
        let row = row(key)?;
        match unseal(key.as_bytes(), &row) {
            _ if !is_sealed => Ok(row),
            Some(value) => Ok(value.to_vec()),
            None => Err(damaged(format!(
                "the row \"{key}\" does not match its checksum"
            ))),
        }
    };
    let found = get(meta::FORMAT)?
        .try_into()
        .map(u32::from_le_bytes)
        .map_err(|_| damaged("its format version is not a number".to_owned()))?;
    if found > FORMAT {
        return Err(OpenError::NewerFormat {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    if get(meta::NETWORK_DIGEST)? != params.digest.0 {
        return Err(OpenError::OtherNetwork {
            path: path.to_owned(),
            found: network_name(&get(meta::NETWORK_NAME)?, &get(meta::NETWORK_DIGEST)?),
            expected: network_name(params.name.as_bytes(), &params.digest.0),
        });
    }
    if !is_sealed {
        return Ok(None);
    }
    let tip = get(meta::TIP)?;
    let tip = BlockHash::from_slice(&tip).map_err(|error| damaged(format!("its tip: {error}")))?;
    Ok(Some(Loaded::AtTip(tip)))
}

/// Networks of one name may differ by rules: the start of the digest tells them apart.
fn network_name(name: &[u8], digest: &[u8]) -> String {
    let mut shown = format!("{} (", String::from_utf8_lossy(name));
    for byte in digest.iter().take(4) {
        shown.push_str(&format!("{byte:02x}"));
    }
    shown + ")"
}

fn read_meta(transaction: &ReadTransaction, key: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    match transaction.open_table(META) {
        Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
