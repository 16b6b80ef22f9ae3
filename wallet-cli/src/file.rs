//! The wallet file: JSON, mode 0600, replaced atomically.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bdk_wallet::ChangeSet;
use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};

use crate::keys::AccountKind;
use crate::vault::Vault;

/// The newest format that this program knows.
const FORMAT: u32 = 1;

/// Everything that is stored of one wallet.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WalletFile {
    /// Version of this structure.
    pub(crate) format: u32,
    /// The genesis hash of the network that the wallet belongs to.
    pub(crate) genesis: BlockHash,
    /// Which addresses it has.
    pub(crate) account: AccountKind,
    /// The words (and BIP 39 passphrase), sealed; absent for a watch-only wallet.
    pub(crate) vault: Option<Vault>,
    /// BDK's state: public descriptors, revealed indexes, transactions, checkpoints.
    pub(crate) state: ChangeSet,
}

impl WalletFile {
    /// A new one.
    pub(crate) fn new(
        genesis: BlockHash,
        account: AccountKind,
        vault: Option<Vault>,
        state: ChangeSet,
    ) -> WalletFile {
        WalletFile {
            format: FORMAT,
            genesis,
            account,
            vault,
            state,
        }
    }

    /// Reads a wallet file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<WalletFile> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "there is no wallet at {}; make one with `mend wallet create`, or name another with --wallet",
                path.display()
            ),
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
    pub(crate) fn create(&self, path: &Path) -> anyhow::Result<()> {
        if path.exists() {
            bail!(
                "{} exists already; name another wallet with --wallet",
                path.display()
            );
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        self.replace(path)
    }

    /// Replaces the file: a crash leaves the old one or the new one, never a mixture.
    pub(crate) fn replace(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let written = (|| -> anyhow::Result<()> {
            // tempfile makes it with mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(serde_json::to_string(self)?.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            fs::File::open(folder)?.sync_all()?;
            Ok(())
        })();
        written
            .with_context(|| format!("cannot write {}; the old file is unchanged", path.display()))
    }
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
