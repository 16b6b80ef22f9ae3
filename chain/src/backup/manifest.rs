//! What a backup says of itself.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use serde::{Deserialize, Serialize};

use super::{BackupError, io_error};
use crate::chain::Chain;
use crate::new_file::NewFile;

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

/// Length and SHA-256 of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileDigest {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Manifest {
    /// Of a copy in a file.
    pub(super) fn of(chain: &Chain, file: FileDigest) -> Result<Manifest, BackupError> {
        let stats = chain.coin_set_stats(false)?;
        let tip = chain.tip();
        Ok(Manifest {
            format: FORMAT,
            network: chain.params().name.clone(),
            network_digest: chain.params().digest.to_string(),
            tip: tip.hash.to_string(),
            height: tip.height.0,
            coins: stats.coins,
            muhash: stats.muhash.to_string(),
            file_bytes: file.bytes,
            file_sha256: file.sha256,
        })
    }

    /// The manifest of the backup in `dir`.
    ///
    /// # Errors
    ///
    /// When it cannot be read or understood.
    pub fn read(dir: &Path) -> Result<Manifest, BackupError> {
        let path = dir.join(MANIFEST_NAME);
        let text = fs::read_to_string(&path).map_err(io_error(&path))?;
        let problem = |problem: String| BackupError::Manifest {
            path: path.display().to_string(),
            problem,
        };
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?;
        if manifest.format != FORMAT {
            let format = manifest.format;
            return Err(problem(format!("format {format}, expected {FORMAT}")));
        }
        Ok(manifest)
    }

    /// Writes it to `dir`, durably.
    pub(super) fn write(&self, dir: &Path) -> Result<(), BackupError> {
        let path = dir.join(MANIFEST_NAME);
        let text = serde_json::to_string_pretty(self).expect("strings and numbers are JSON");
        let write = || {
            let new = NewFile::create(&path)?;
            new.file().write_all(text.as_bytes())?;
            new.finish()
        };
        write().map_err(io_error(&path))
    }

    pub(super) fn check_file(&self, found: &FileDigest) -> Result<(), BackupError> {
        check("SHA-256", &found.sha256, &self.file_sha256)
    }

    /// Checks that a chain is the one that was backed up.
    pub(super) fn check_chain(&self, chain: &Chain) -> Result<(), BackupError> {
        check("tip", &chain.tip().hash.to_string(), &self.tip)?;
        let stats = chain.coin_set_stats(false)?;
        check("MuHash", &stats.muhash.to_string(), &self.muhash)
    }
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

/// Length and hash of a file.
pub(super) fn digest(path: &Path) -> Result<FileDigest, BackupError> {
    let read = || copy_hashing(&mut File::open(path)?, &mut io::sink());
    read().map_err(io_error(path))
}

/// Copies, and tells what was copied.
pub(super) fn copy_hashing(from: &mut impl Read, to: &mut impl Write) -> io::Result<FileDigest> {
    let mut engine = sha256::Hash::engine();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match from.read(&mut buffer)? {
            0 => {
                let sha256 = sha256::Hash::from_engine(engine).to_string();
                return Ok(FileDigest { bytes, sha256 });
            }
            count => {
                engine.input(&buffer[..count]);
                to.write_all(&buffer[..count])?;
                bytes += count as u64;
            }
        }
    }
}
