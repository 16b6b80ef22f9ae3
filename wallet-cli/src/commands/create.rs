//! `create`, `restore` and `verify-backup`.

use std::io::Read as _;

use anyhow::{Context, bail};
use bdk_wallet::KeychainKind;
use bitcoin::BlockHash;
use serde_json::json;

use super::show;
use crate::cli::{AccountArgs, CommonArgs};
use crate::keys;
use crate::node::Node;
use crate::session::{Secret, Session};

pub(crate) fn create(
    common: &CommonArgs,
    account: &AccountArgs,
    word_count: usize,
) -> anyhow::Result<()> {
    let words = keys::new_words(word_count)?.to_string();
    let session = make(common, account, words.clone())?;
    show(
        common,
        &json!({ "wallet": session.path, "words": words, "account": account.account }),
        &format!(
            "made {}\n\nWrite these words down. Who has them has the coins; without them a lost file is lost for good.\n\n  {words}\n",
            session.path.display()
        ),
    )?;
    Ok(())
}

pub(crate) fn restore(
    common: &CommonArgs,
    account: &AccountArgs,
    words: &[String],
) -> anyhow::Result<()> {
    let words = read_words(words)?;
    let session = make(common, account, words)?;
    show(
        common,
        &json!({ "wallet": session.path, "account": account.account }),
        &format!(
            "restored {}; `mend wallet balance` reads the chain for its coins",
            session.path.display()
        ),
    )?;
    Ok(())
}

/// Compares words with the wallet: whether they would bring it back.
pub(crate) fn verify_backup(
    common: &CommonArgs,
    words: &[String],
    bip39_passphrase: &str,
) -> anyhow::Result<()> {
    let session = Session::open(&common.path()?)?;
    let words = keys::parse_words(&read_words(words)?)?;
    let Some(account) = session.file.account else {
        bail!("this wallet only watches; its backup are its descriptors, see `mend wallet export`");
    };
    let found = keys::account(&words, bip39_passphrase, account)?.descriptors;
    let expected = [KeychainKind::External, KeychainKind::Internal]
        .map(|keychain| session.wallet.public_descriptor(keychain).to_string());
    if found != expected {
        bail!(
            "these words make another wallet than {}; check their order, and --bip39-passphrase if one was used",
            session.path.display()
        );
    }
    show(
        common,
        &json!({ "wallet": session.path, "matches": true }),
        &format!("these words restore {}", session.path.display()),
    )?;
    Ok(())
}

/// The words as given, or from standard input.
fn read_words(given: &[String]) -> anyhow::Result<String> {
    let text = if given.is_empty() {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the words")?;
        text
    } else {
        terminal::note(
            "note: words on the command line stay in the shell's history; pipe them in instead",
        );
        given.join(" ")
    };
    Ok(keys::parse_words(&text)?.to_string())
}

fn make(common: &CommonArgs, account: &AccountArgs, words: String) -> anyhow::Result<Session> {
    let path = common.path()?;
    if path.exists() {
        bail!(
            "{} exists already; name another wallet with --wallet",
            path.display()
        );
    }
    let genesis = match genesis(common, account.genesis_hash) {
        Ok(genesis) => Some(genesis),
        // Who names a node wants that one.
        Err(error) if common.node.is_named() => return Err(error),
        Err(_) => {
            terminal::note(
                "note: no node answers; the wallet will belong to the network of the first node that it meets",
            );
            None
        }
    };
    let secret = Secret {
        words,
        extra: account.bip39_passphrase.clone(),
    };
    let passphrase = common.passphrase.chosen()?;
    Session::create(&path, genesis, account.account, &secret, &passphrase)
}

/// The network of a new wallet: the one that was given, or the node's.
pub(super) fn genesis(common: &CommonArgs, given: Option<BlockHash>) -> anyhow::Result<BlockHash> {
    match given {
        Some(hash) => Ok(hash),
        None => Node::new(&common.node)?
            .genesis()
            .context("a wallet belongs to one network: start a node, name it with --rpc, or give --genesis-hash"),
    }
}
