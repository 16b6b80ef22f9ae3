//! Backups: a consistent copy of a chain with a manifest, and restoring only what verifies.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use serde::{Deserialize, Serialize};

use crate::chain::{Chain, ChainOptions};
use crate::params::Params;
use crate::store::{DirectoryLock, FILE_NAME, OpenError, StoreError};

/// The manifest's name inside a backup.
pub const MANIFEST_NAME: &str = "manifest.json";

/// Version of the manifest.
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this description.
    pub format: u32,
    /// Name of the network.
    pub network: String,
    /// Digest of the network's parameters, in hexadecimal.
    pub network_digest: String,
    /// Hash of the tip.
    pub tip: String,
    /// Height of the tip.
    pub height: u32,
    /// Number of unspent coins.
    pub coins: u64,
    /// MuHash of the coins.
    pub muhash: String,
    /// Length of the database file in bytes.
    pub file_bytes: u64,
    /// SHA-256 of the database file.
    pub file_sha256: String,
}

/// Why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is a chain already.
    #[error("{path} exists; choose another directory, or move it away first")]
    Exists {
        /// The file.
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
    /// The copy cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Storage failed: fatal.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies a chain, which may be in use, to a new directory. Everything is committed first; the chain takes nothing new until the
/// copy is done.
///
/// # Errors
///
/// When the directory holds a chain already, or reading or writing fails. A directory without manifest is no backup.
pub fn backup(chain: &mut Chain, dir: &Path) -> Result<Manifest, BackupError> {
    copy(&chain.frozen()?, dir)
}

/// As [`backup`], of a chain as [`Chain::frozen`] gives it, so that the chain itself goes on meanwhile. What is not committed
/// is not copied.
///
/// # Errors
///
/// As [`backup`].
pub fn copy(chain: &Chain, dir: &Path) -> Result<Manifest, BackupError> {
    fs::create_dir_all(dir).map_err(io_error(dir))?;
    let path = refuse_existing(dir)?;
    chain.copy_to(&path)?;
    let (file_bytes, file_sha256) = digest(&path)?;
    let stats = chain.coin_set_stats(false)?;
    let tip = chain.tip();
    let manifest = Manifest {
        format: FORMAT,
        network: chain.params().name.clone(),
        network_digest: hex(&chain.params().digest.0),
        tip: tip.hash.to_string(),
        height: tip.height.0,
        coins: stats.coins,
        muhash: stats.muhash.to_string(),
        file_bytes,
        file_sha256,
    };
    write_manifest(dir, &manifest)?;
    Ok(manifest)
}

/// Copies a backup to an empty data directory, which `lock` owns, and opens it. The file's hash is compared before anything is written, the tip and
/// the hash of the coins after: what does not verify is removed again.
///
/// # Errors
///
/// When the data directory holds a chain already, the backup does not verify or is of another network, or reading or writing
/// fails.
pub fn restore(
    backup_dir: &Path,
    lock: DirectoryLock,
    params: impl Into<Arc<Params>>,
    options: ChainOptions,
) -> Result<(Chain, Manifest), BackupError> {
    let manifest = read_manifest(backup_dir)?;
    let source = backup_dir.join(FILE_NAME);
    let (_, found) = digest(&source)?;
    check("SHA-256", &found, &manifest.file_sha256)?;
    let target = refuse_existing(lock.dir())?;
    let copied = copy_durably(&source, &target).map_err(io_error(&target));
    let opened = copied.and_then(|()| {
        let chain = Chain::open_owned(lock.clone(), params, options)?;
        check("tip", &chain.tip().hash.to_string(), &manifest.tip)?;
        let stats = chain.coin_set_stats(false)?;
        check("MuHash", &stats.muhash.to_string(), &manifest.muhash)?;
        Ok(chain)
    });
    match opened {
        Ok(chain) => Ok((chain, manifest)),
        Err(error) => {
            // Nothing of value was there: it did not exist before.
            let _ = fs::remove_file(&target);
            Err(error)
        }
    }
}

fn refuse_existing(dir: &Path) -> Result<PathBuf, BackupError> {
    let path = dir.join(FILE_NAME);
    if path.exists() {
        return Err(BackupError::Exists {
            path: path.display().to_string(),
        });
    }
    Ok(path)
}

fn check(what: &'static str, found: &str, expected: &str) -> Result<(), BackupError> {
    if found == expected {
        return Ok(());
    }
    Err(BackupError::Mismatch {
        what,
        found: found.to_owned(),
        expected: expected.to_owned(),
    })
}

/// Written aside and renamed, so that a manifest is there whole or not at all.
fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let path = dir.join(MANIFEST_NAME);
    let unfinished = dir.join(format!("{MANIFEST_NAME}.new"));
    let text = serde_json::to_string_pretty(manifest).expect("strings and numbers are JSON");
    let write = || -> io::Result<()> {
        let mut file = File::create(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    write().map_err(io_error(&path))
}

fn read_manifest(dir: &Path) -> Result<Manifest, BackupError> {
    let path = dir.join(MANIFEST_NAME);
    let text = fs::read_to_string(&path).map_err(io_error(&path))?;
    let problem = |problem: String| BackupError::Manifest {
        path: path.display().to_string(),
        problem,
    };
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?;
    if manifest.format != FORMAT {
        return Err(problem(format!(
            "format {}, expected {FORMAT}",
            manifest.format
        )));
    }
    Ok(manifest)
}

fn digest(path: &Path) -> Result<(u64, String), BackupError> {
    let read = || -> io::Result<(u64, String)> {
        let mut file = File::open(path)?;
        let mut engine = sha256::Hash::engine();
        let mut buffer = vec![0; 1 << 20];
        let mut length = 0;
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((length, sha256::Hash::from_engine(engine).to_string())),
                count => {
                    engine.input(&buffer[..count]);
                    length += count as u64;
                }
            }
        }
    };
    read().map_err(io_error(path))
}

fn copy_durably(source: &Path, target: &Path) -> io::Result<()> {
    let mut file = File::create_new(target)?;
    io::copy(&mut File::open(source)?, &mut file)?;
    file.sync_all()
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    |error| BackupError::Io {
        path: path.display().to_string(),
        error,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
