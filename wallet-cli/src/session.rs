//! One opened wallet: the file, BDK's view of it, and saving both together.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bdk_wallet::chain::Merge;
use bdk_wallet::{ChangeSet, CreateParams, KeychainKind, LoadParams, SignOptions, Wallet};
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Psbt};

use crate::cli::PassphraseArgs;
use crate::file::{Lock, WalletFile};
use crate::keys::{self, AccountKind, NETWORK};
use crate::vault::Vault;

const WATCH_ONLY: &str = "this wallet only watches: it has no words and cannot sign; make the payment with `mend wallet psbt create`, and sign it where the words are";

/// An opened wallet.
pub(crate) struct Session {
    /// Where it is stored.
    pub(crate) path: PathBuf,
    /// What was read.
    pub(crate) file: WalletFile,
    /// BDK's wallet over the file's state; without private keys.
    pub(crate) wallet: Wallet,
    /// Keeps other commands away.
    lock: Lock,
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
        genesis: Option<BlockHash>,
        account: AccountKind,
        secret: &Secret,
        passphrase: &str,
    ) -> anyhow::Result<Session> {
        let words = keys::parse_words(&secret.words)?;
        let account_keys = keys::account(&words, &secret.extra, account)?;
        let [receive, change] = account_keys.descriptors;
        let vault = Vault::seal(
            &serde_json::to_string(secret)?,
            passphrase,
            &context(genesis),
        );
        Self::store(
            path,
            genesis,
            Some(account),
            Some(vault),
            Wallet::create(receive, change),
        )
    }

    /// Makes a wallet without keys and writes it to `path`, which must not exist yet.
    pub(crate) fn create_watching(
        path: &Path,
        genesis: BlockHash,
        params: CreateParams,
    ) -> anyhow::Result<Session> {
        Self::store(path, Some(genesis), None, None, params)
    }

    fn store(
        path: &Path,
        genesis: Option<BlockHash>,
        account: Option<AccountKind>,
        vault: Option<Vault>,
        params: CreateParams,
    ) -> anyhow::Result<Session> {
        let mut wallet = params
            .network(NETWORK)
            .genesis_hash(genesis.unwrap_or_else(no_network))
            .create_wallet_no_persist()
            .context("these descriptors make no wallet; see `mend wallet export` for an example")?;
        let state = wallet.take_staged().unwrap_or_default();
        let file = WalletFile::new(genesis, account, vault, state);
        let lock = file.create(path)?;
        Ok(Session {
            path: path.to_owned(),
            file,
            wallet,
            lock,
        })
    }

    /// Opens the wallet at `path`.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Session> {
        let lock = Lock::take(path)?;
        let file = WalletFile::read(path)?;
        let wallet = load(&file, path)?;
        Ok(Session {
            path: path.to_owned(),
            file,
            wallet,
            lock,
        })
    }

    /// Writes what changed; does nothing when nothing did.
    pub(crate) fn save(&mut self) -> anyhow::Result<()> {
        if let Some(staged) = self.wallet.take_staged() {
            self.file.state.merge(staged);
            self.file.replace(&self.path, &mut self.lock)?;
        }
        Ok(())
    }

    /// The state as it was saved last.
    pub(crate) fn saved(&self) -> ChangeSet {
        self.file.state.clone()
    }

    /// Takes an earlier state in place of what was saved since, and writes it.
    pub(crate) fn go_back_to(&mut self, earlier: ChangeSet) -> anyhow::Result<()> {
        self.file.state = earlier;
        self.file.replace(&self.path, &mut self.lock)?;
        self.wallet = load(&self.file, &self.path)?;
        Ok(())
    }

    /// Writes a label of an address or transaction; an empty one removes it.
    pub(crate) fn set_label(&mut self, target: &str, text: &str) -> anyhow::Result<()> {
        if text.is_empty() {
            self.file.labels.remove(target);
        } else {
            self.file.labels.insert(target.to_owned(), text.to_owned());
        }
        self.file.replace(&self.path, &mut self.lock)
    }

    /// Forgets the blocks above `height`, because the node has left them. Nothing is written yet.
    pub(crate) fn roll_back(&mut self, height: u32) -> anyhow::Result<()> {
        if let Some(staged) = self.wallet.take_staged() {
            self.file.state.merge(staged);
        }
        self.file.state.local_chain.blocks.split_off(&(height + 1));
        self.wallet = load(&self.file, &self.path)?;
        Ok(())
    }

    /// Takes `wallet` in place of the one that was read, and writes it.
    pub(crate) fn replace_wallet(&mut self, mut wallet: Wallet) -> anyhow::Result<()> {
        self.file.state = wallet.take_staged().unwrap_or_default();
        self.file.replace(&self.path, &mut self.lock)?;
        self.wallet = wallet;
        Ok(())
    }

    /// From now on the wallet belongs to the network of `genesis`. One that has a network keeps it.
    pub(crate) fn belong_to(&mut self, genesis: BlockHash) -> anyhow::Result<()> {
        if self.file.genesis.is_some() {
            return Ok(());
        }
        let wallet = anew(
            &self.wallet,
            genesis,
            bdk_wallet::chain::keychain_txout::DEFAULT_LOOKAHEAD,
        )?;
        self.file.genesis = Some(genesis);
        self.replace_wallet(wallet)
    }

    fn context(&self) -> String {
        context(self.file.genesis.filter(|_| !self.file.made_early))
    }

    /// Opens the vault.
    pub(crate) fn secret(&self, passphrase: &PassphraseArgs) -> anyhow::Result<Secret> {
        let vault = self.file.vault.as_ref().context(WATCH_ONLY)?;
        let passphrase = if vault.is_encrypted() {
            passphrase.existing()?
        } else {
            String::new()
        };
        let text = vault.open(&passphrase, &self.context())?;
        serde_json::from_str(&text)
            .context("the wallet's secret is damaged; restore it from its words")
    }

    /// Signs every input that is ours, and says whether the payment is complete. Keys exist only inside this call.
    pub(crate) fn sign(
        &self,
        psbt: &mut Psbt,
        secret: &Secret,
        options: SignOptions,
    ) -> anyhow::Result<bool> {
        let words = keys::parse_words(&secret.words)?;
        let account = self.file.account.context(WATCH_ONLY)?;
        let account_keys = keys::account(&words, &secret.extra, account)?;
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
            .sign_with_signers(psbt, &signers.each_ref(), options)
            .context("cannot sign")?;
        Ok(done)
    }
}

/// BDK's wallet over a file's state.
fn load(file: &WalletFile, path: &Path) -> anyhow::Result<Wallet> {
    LoadParams::new()
        .check_network(NETWORK)
        .check_genesis_hash(file.genesis.unwrap_or_else(no_network))
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
        })
}

/// What a vault is bound to: moved into another network's wallet file, it does not open.
fn context(genesis: Option<BlockHash>) -> String {
    match genesis {
        Some(genesis) => format!("mend wallet {genesis}"),
        None => "mend wallet of any network".to_owned(),
    }
}

/// What BDK takes for the genesis of a wallet that has no network yet.
fn no_network() -> BlockHash {
    BlockHash::all_zeros()
}

/// The same wallet on another network, or as if nothing had been read: addresses that were given away stay so.
pub(crate) fn anew(old: &Wallet, genesis: BlockHash, lookahead: u32) -> anyhow::Result<Wallet> {
    let descriptors: Vec<String> = old
        .keychains()
        .map(|(_, descriptor)| descriptor.to_string())
        .collect();
    let params = match <[String; 2]>::try_from(descriptors) {
        Ok([receive, change]) => Wallet::create(receive, change),
        Err(descriptors) => Wallet::create_single(descriptors.concat()),
    };
    let mut wallet = params
        .network(NETWORK)
        .genesis_hash(genesis)
        .lookahead(lookahead)
        .create_wallet_no_persist()?;
    for keychain in [KeychainKind::External, KeychainKind::Internal] {
        if let Some(last) = old.derivation_index(keychain) {
            let _revealed = wallet.reveal_addresses_to(keychain, last);
        }
    }
    Ok(wallet)
}
