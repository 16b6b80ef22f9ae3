//! The wallet file: JSON, mode 0600, replaced atomically, used by one command at a time.

use std::collections::BTreeMap;
use std::fs::{self, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bdk_wallet::ChangeSet;
use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};

use crate::keys::AccountKind;
use crate::vault::Vault;

/// The newest format that this program knows.
const FORMAT: u32 = 2;
/// The format of wallets that were made for a network; older programs read it too.
const FORMAT_OF_A_NETWORK: u32 = 1;

/// How long a command waits for another one that uses the same wallet.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// Everything that is stored of one wallet.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WalletFile {
    /// Version of this structure.
    pub(crate) format: u32,
    /// The genesis hash of the network that the wallet belongs to; `None` until it meets a node.
    pub(crate) genesis: Option<BlockHash>,
    /// Made before its network was known: its vault is bound to no network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) made_early: bool,
    /// Which addresses its words lead to; absent for a watch-only wallet.
    pub(crate) account: Option<AccountKind>,
    /// The words (and BIP 39 passphrase), sealed; absent for a watch-only wallet.
    pub(crate) vault: Option<Vault>,
    /// What the owner wrote beside addresses and transactions, by address or transaction id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    /// BDK's state: public descriptors, revealed indexes, transactions, checkpoints.
    pub(crate) state: ChangeSet,
}

impl WalletFile {
    /// A new one.
    pub(crate) fn new(
        genesis: Option<BlockHash>,
        account: Option<AccountKind>,
        vault: Option<Vault>,
        state: ChangeSet,
    ) -> WalletFile {
        WalletFile {
            format: match genesis {
                Some(_) => FORMAT_OF_A_NETWORK,
                None => FORMAT,
            },
            genesis,
            made_early: genesis.is_none(),
            account,
            vault,
            labels: BTreeMap::new(),
            state,
        }
    }

    /// Reads a wallet file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<WalletFile> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_wallet(path)),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let damaged = || {
            format!(
                "{} is not a wallet file, or damaged; restore the wallet from its words",
                path.display()
            )
        };
        let version: Version = serde_json::from_str(&text).with_context(damaged)?;
        if version.format > FORMAT {
            bail!(
                "{} has format {}, this program knows up to {FORMAT}; use a newer mend",
                path.display(),
                version.format
            );
        }
        serde_json::from_str(&text).with_context(damaged)
    }

    /// Writes a file that must not exist yet.
    pub(crate) fn create(&self, path: &Path) -> anyhow::Result<Lock> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        match self.write(path, true) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
                "{} exists already; name another wallet with --wallet",
                path.display()
            ),
            written => written
                .with_context(|| format!("cannot write {}; choose another folder", path.display())),
        }
    }

    /// Replaces the file: a crash leaves the old one or the new one, never a mixture.
    pub(crate) fn replace(&self, path: &Path, lock: &mut Lock) -> anyhow::Result<()> {
        *lock = self.write(path, false).with_context(|| {
            format!("cannot write {}; the old file is unchanged", path.display())
        })?;
        Ok(())
    }

    fn write(&self, path: &Path, fresh: bool) -> std::io::Result<Lock> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        // tempfile makes it with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        // Locked before it has the wallet's name, so that there is no moment without a lock.
        file.as_file().lock()?;
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        file.as_file().sync_all()?;
        let file = if fresh {
            file.persist_noclobber(path)?
        } else {
            file.persist(path)?
        };
        fs::File::open(folder)?.sync_all()?;
        Ok(Lock { _file: file })
    }
}

/// Keeps other commands away from a wallet file until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: fs::File,
}

impl Lock {
    /// Waits until no other command uses the wallet at `path`.
    pub(crate) fn take(path: &Path) -> anyhow::Result<Lock> {
        let start = Instant::now();
        loop {
            let file = match fs::File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_wallet(path)),
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot read {}", path.display()));
                }
            };
            match file.try_lock() {
                Ok(()) if is_still_at(&file, path) => return Ok(Lock { _file: file }),
                // Replaced while we waited: the lock is on the old file.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
            if start.elapsed() > LOCK_PATIENCE {
                bail!(
                    "{} is in use by another wallet command; wait for its end, or stop it",
                    path.display()
                );
            }
        }
    }
}

#[cfg(unix)]
fn is_still_at(file: &fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_still_at(_: &fs::File, _: &Path) -> bool {
    true
}

fn no_wallet(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "there is no wallet at {}; make one with `mend wallet create`, or name another with --wallet",
        path.display()
    )
}

/// Where the wallet called `name` lives: a path as it is, a bare name in the wallets folder.
pub(crate) fn locate(name: &str, folder: Option<&Path>) -> anyhow::Result<PathBuf> {
    let given = Path::new(name);
    if given.components().count() > 1 || given.extension().is_some() {
        return Ok(given.to_owned());
    }
    Ok(wallets_folder(folder)?.join(format!("{name}.json")))
}

/// The folder with the wallets that are known by name.
pub(crate) fn wallets_folder(folder: Option<&Path>) -> anyhow::Result<PathBuf> {
    match folder {
        Some(folder) => Ok(folder.to_owned()),
        None => std::env::home_dir()
            .map(|home| home.join(".mend").join("wallets"))
            .context("no home folder is known; name one with --wallet-dir"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> WalletFile {
        let genesis = "0f".repeat(32).parse().expect("a hash");
        WalletFile::new(Some(genesis), None, None, ChangeSet::default())
    }

    #[test]
    fn a_wallet_is_never_written_over_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        let _lock = empty().create(&path).expect("made");
        let before = fs::read(&path).expect("read");
        let error = empty().create(&path).expect_err("refused");
        assert!(error.to_string().contains("exists already"), "{error}");
        assert_eq!(fs::read(&path).expect("read"), before);
    }

    #[test]
    fn the_lock_goes_on_when_the_file_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        let mut lock = empty().create(&path).expect("made");
        empty().replace(&path, &mut lock).expect("replaced");
        let other = fs::File::open(&path).expect("opened");
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        Lock::take(&path).expect("free");
    }

    #[test]
    fn truncated_and_newer_files_are_named_as_such() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        drop(empty().create(&path).expect("made"));
        let text = fs::read_to_string(&path).expect("read");
        fs::write(&path, &text[..text.len() / 2]).expect("written");
        let error = WalletFile::read(&path).expect_err("refused");
        assert!(error.to_string().contains("damaged"), "{error}");
        fs::write(&path, text.replace("\"format\":1", "\"format\":3")).expect("written");
        let error = WalletFile::read(&path).expect_err("refused");
        assert!(error.to_string().contains("newer mend"), "{error}");
    }
}
