//! One opened wallet: the file, BDK's view of it, and saving both together.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bdk_wallet::chain::Merge;
use bdk_wallet::{KeychainKind, LoadParams, SignOptions, Wallet};
use bitcoin::{BlockHash, Psbt};

use crate::cli::PassphraseArgs;
use crate::file::WalletFile;
use crate::keys::{self, AccountKind, NETWORK};
use crate::vault::Vault;

/// An opened wallet.
pub(crate) struct Session {
    /// Where it is stored.
    pub(crate) path: PathBuf,
    /// What was read.
    pub(crate) file: WalletFile,
    /// BDK's wallet over the file's state; without private keys.
    pub(crate) wallet: Wallet,
}

/// The words and BIP 39's optional passphrase, as they are sealed in the vault.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Secret {
    /// 12 to 24 words.
    pub(crate) words: String,
    /// BIP 39's optional passphrase; empty for none.
    pub(crate) extra: String,
}

impl Session {
    /// Makes a wallet of `secret` and writes it to `path`, which must not exist yet.
    pub(crate) fn create(
        path: &Path,
        genesis: BlockHash,
        account: AccountKind,
        secret: &Secret,
        passphrase: &str,
    ) -> anyhow::Result<Session> {
        let words = keys::parse_words(&secret.words)?;
        let account_keys = keys::account(&words, &secret.extra, account)?;
        let [receive, change] = account_keys.descriptors;
        let mut wallet = Wallet::create(receive, change)
            .network(NETWORK)
            .genesis_hash(genesis)
            .create_wallet_no_persist()
            .context("BDK refuses the descriptors")?;
        let state = wallet.take_staged().unwrap_or_default();
        let vault = Vault::seal(
            &serde_json::to_string(secret)?,
            passphrase,
            &context(genesis),
        );
        let file = WalletFile::new(genesis, account, Some(vault), state);
        file.create(path)?;
        Ok(Session {
            path: path.to_owned(),
            file,
            wallet,
        })
    }

    /// Opens the wallet at `path`.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Session> {
        let file = WalletFile::read(path)?;
        let wallet = LoadParams::new()
            .check_network(NETWORK)
            .check_genesis_hash(file.genesis)
            .load_wallet_no_persist(file.state.clone())
            .with_context(|| {
                format!(
                    "{} is damaged; restore the wallet from its words",
                    path.display()
                )
            })?
            .with_context(|| {
                format!(
                    "{} holds no wallet; restore it from its words",
                    path.display()
                )
            })?;
        Ok(Session {
            path: path.to_owned(),
            file,
            wallet,
        })
    }

    /// Writes what changed; does nothing when nothing did.
    pub(crate) fn save(&mut self) -> anyhow::Result<()> {
        if let Some(staged) = self.wallet.take_staged() {
            self.file.state.merge(staged);
            self.file.replace(&self.path)?;
        }
        Ok(())
    }

    /// Opens the vault.
    pub(crate) fn secret(&self, passphrase: &PassphraseArgs) -> anyhow::Result<Secret> {
        let vault = self
            .file
            .vault
            .as_ref()
            .context("this wallet only watches: it has no words and cannot sign")?;
        let passphrase = if vault.is_encrypted() {
            passphrase.existing()?
        } else {
            String::new()
        };
        let text = vault.open(&passphrase, &context(self.file.genesis))?;
        serde_json::from_str(&text)
            .context("the wallet's secret is damaged; restore it from its words")
    }

    /// Signs every input that is ours. Keys exist only inside this call.
    pub(crate) fn sign(&mut self, psbt: &mut Psbt, secret: &Secret) -> anyhow::Result<bool> {
        let words = keys::parse_words(&secret.words)?;
        let account_keys = keys::account(&words, &secret.extra, self.file.account)?;
        let [receive, change] = account_keys.key_maps;
        let signers = [
            (KeychainKind::External, receive),
            (KeychainKind::Internal, change),
        ]
        .map(|(keychain, key_map)| {
            let descriptor = self.wallet.public_descriptor(keychain);
            bdk_wallet::signer::SignersContainer::build(key_map, descriptor, self.wallet.secp_ctx())
        });
        let done = self
            .wallet
            .sign_with_signers(psbt, &signers.each_ref(), SignOptions::default())
            .context("cannot sign")?;
        Ok(done)
    }
}

/// What a vault is bound to: moved into another network's wallet file, it does not open.
fn context(genesis: BlockHash) -> String {
    format!("mend wallet {genesis}")
}
