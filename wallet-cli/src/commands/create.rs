//! `create` and `restore`.

use std::io::Read as _;

use anyhow::Context;
use bitcoin::BlockHash;
use serde_json::json;

use super::{show, tell};
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
    );
    Ok(())
}

pub(crate) fn restore(
    common: &CommonArgs,
    account: &AccountArgs,
    words: &[String],
) -> anyhow::Result<()> {
    let words = if words.is_empty() {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the words")?;
        text
    } else {
        tell("note: words on the command line stay in the shell's history; pipe them in instead");
        words.join(" ")
    };
    let words = keys::parse_words(&words)?.to_string();
    let session = make(common, account, words)?;
    show(
        common,
        &json!({ "wallet": session.path, "account": account.account }),
        &format!(
            "restored {}; `mend wallet balance` reads the chain for its coins",
            session.path.display()
        ),
    );
    Ok(())
}

fn make(common: &CommonArgs, account: &AccountArgs, words: String) -> anyhow::Result<Session> {
    let path = common.path()?;
    if path.exists() {
        anyhow::bail!(
            "{} exists already; name another wallet with --wallet",
            path.display()
        );
    }
    let genesis = genesis(common, account)?;
    let secret = Secret {
        words,
        extra: account.bip39_passphrase.clone(),
    };
    let passphrase = common.passphrase.chosen()?;
    Session::create(&path, genesis, account.account, &secret, &passphrase)
}

fn genesis(common: &CommonArgs, account: &AccountArgs) -> anyhow::Result<BlockHash> {
    match account.genesis_hash {
        Some(hash) => Ok(hash),
        None => Node::new(&common.node)?
            .genesis()
            .context("a wallet belongs to one network: start a node, name it with --rpc, or give --genesis-hash"),
    }
}
