//! `watch`, `import` and `export`: wallets as descriptors (BIP 380), without keys.

use std::path::Path;

use anyhow::{Context, bail};
use bdk_wallet::{CreateParams, KeychainKind, Wallet};
use bitcoin::BlockHash;
use clap::Args;
use serde_json::{Value, json};

use super::{create, show};
use crate::cli::CommonArgs;
use crate::keys::AccountKind;
use crate::session::Session;

/// What to watch.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// A receiving descriptor and, if there is one, a change descriptor; or one with `<0;1>`; or an account's xpub
    #[arg(required = true, num_args = 1..=2)]
    descriptors: Vec<String>,
    /// Address kind of an xpub
    #[arg(long, value_enum, default_value_t)]
    account: AccountKind,
    /// Genesis hash of the network, when no node is running to tell it
    #[arg(long, value_name = "HASH")]
    genesis_hash: Option<BlockHash>,
}

pub(crate) fn watch(common: &CommonArgs, args: &WatchArgs) -> anyhow::Result<()> {
    let found: Vec<Descriptor> = args
        .descriptors
        .iter()
        .map(|text| Descriptor {
            text: text.clone(),
            next_index: 0,
        })
        .collect();
    make(common, args.account, args.genesis_hash, &found)
}

/// Makes a watch-only wallet of the descriptors in a file: as `export` or Core's `listdescriptors` write them.
pub(crate) fn import(
    common: &CommonArgs,
    path: &Path,
    genesis_hash: Option<BlockHash>,
) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = parse_export(&text).with_context(|| {
        format!(
            "{} holds no descriptors; write one with `mend wallet export --json`",
            path.display()
        )
    })?;
    make(common, AccountKind::default(), genesis_hash, &found)
}

pub(crate) fn export(common: &CommonArgs) -> anyhow::Result<()> {
    let session = Session::open(&common.path()?)?;
    let mut rows = Vec::new();
    let mut text = String::new();
    for (keychain, descriptor) in session.wallet.keychains() {
        text += &format!("{descriptor}\n");
        let next = session
            .wallet
            .derivation_index(keychain)
            .map_or(0, |last| last + 1);
        // What Core's importdescriptors takes.
        rows.push(json!({
            "desc": descriptor.to_string(),
            "active": true,
            "internal": keychain == KeychainKind::Internal,
            "range": [0, next.max(1) + 24],
            "next_index": next,
            "timestamp": 0,
        }));
    }
    show(common, &json!(rows), text.trim_end())?;
    Ok(())
}

/// A descriptor and how many of its addresses were given away.
#[derive(Debug)]
struct Descriptor {
    text: String,
    next_index: u32,
}

fn make(
    common: &CommonArgs,
    account: AccountKind,
    genesis_hash: Option<BlockHash>,
    found: &[Descriptor],
) -> anyhow::Result<()> {
    let texts: Vec<&str> = found
        .iter()
        .map(|descriptor| descriptor.text.trim())
        .collect();
    let params = params(&texts, account)?;
    let genesis = create::genesis(common, genesis_hash)?;
    let mut session = Session::create_watching(&common.path()?, genesis, params)?;
    for (keychain, descriptor) in [KeychainKind::External, KeychainKind::Internal]
        .into_iter()
        .zip(found)
    {
        if let Some(last) = descriptor.next_index.checked_sub(1) {
            let _revealed = session.wallet.reveal_addresses_to(keychain, last);
        }
    }
    session.save()?;
    show(
        common,
        &json!({ "wallet": session.path, "watch_only": true }),
        &format!(
            "watching with {}; `mend wallet balance` reads the chain for its coins",
            session.path.display()
        ),
    )?;
    Ok(())
}

fn params(texts: &[&str], account: AccountKind) -> anyhow::Result<CreateParams> {
    for text in texts {
        if text.contains("prv") {
            bail!(
                "a private key is no thing to watch with; give the public descriptor, or restore the words"
            );
        }
        if text.contains('(') && !text.starts_with("tr(") && !text.starts_with("wpkh(") {
            bail!("`{text}` cannot be spent here; use tr(KEY) or wpkh(KEY)");
        }
    }
    let owned = |text: &str| text.to_owned();
    match texts {
        [xpub] if !xpub.contains('(') => {
            let function = match account {
                AccountKind::Taproot => "tr",
                AccountKind::Segwit => "wpkh",
            };
            let branch = |number| format!("{function}({xpub}/{number}/*)");
            Ok(Wallet::create(branch(0), branch(1)))
        }
        [both] if both.contains('<') => Ok(Wallet::create_from_two_path_descriptor(owned(both))),
        [one] => Ok(Wallet::create_single(owned(one))),
        [receive, change] => Ok(Wallet::create(owned(receive), owned(change))),
        _ => bail!("give one or two descriptors, receiving first"),
    }
}

/// Reads an array of descriptor objects, bare or under `descriptors`, or one descriptor a line. Receiving first.
fn parse_export(text: &str) -> Option<Vec<Descriptor>> {
    if !text.trim_start().starts_with(['[', '{']) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        return Some(
            lines
                .map(|line| Descriptor {
                    text: line.to_owned(),
                    next_index: 0,
                })
                .collect(),
        );
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let list = value.get("descriptors").unwrap_or(&value).as_array()?;
    let mut found: Vec<(bool, Descriptor)> = Vec::new();
    for item in list {
        let next = item.get("next_index").and_then(Value::as_u64).unwrap_or(0);
        found.push((
            item.get("internal")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            Descriptor {
                text: item.get("desc")?.as_str()?.to_owned(),
                // More addresses than this were never given away by hand.
                next_index: u32::try_from(next).ok()?.min(100_000),
            },
        ));
    }
    found.sort_by_key(|(internal, _)| *internal);
    (!found.is_empty()).then(|| {
        found
            .into_iter()
            .map(|(_, descriptor)| descriptor)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_of_ours_and_of_core_are_read() {
        let ours = r#"[{"desc":"tr(b)","internal":true},{"desc":"tr(a)","internal":false,"next_index":7}]"#;
        let core = r#"{"wallet_name":"x","descriptors":[{"desc":"tr(a)"},{"desc":"tr(b)","internal":true}]}"#;
        for text in [ours, core, "tr(a)\n\ntr(b)\n"] {
            let found = parse_export(text).expect(text);
            let texts: Vec<&str> = found.iter().map(|one| one.text.as_str()).collect();
            assert_eq!(texts, ["tr(a)", "tr(b)"]);
        }
        assert_eq!(parse_export(ours).expect("read")[0].next_index, 7);
        for text in ["{}", "[]", "[1]", "{", r#"[{"desc":1}]"#] {
            assert!(parse_export(text).is_none(), "{text}");
        }
    }

    #[test]
    fn private_keys_and_unspendable_kinds_are_refused() {
        for text in [
            "tr(tprv8ZgxMBicQKsPd/0/*)",
            "sh(wpkh(tpub/0/*))",
            "pkh(tpub/0/*)",
        ] {
            assert!(params(&[text], AccountKind::Taproot).is_err(), "{text}");
        }
    }
}
