//! `list`: the wallets in the wallets folder.

use serde_json::json;

use super::show;
use crate::cli::CommonArgs;
use crate::file::{self, WalletFile};

pub(crate) fn list(common: &CommonArgs) -> anyhow::Result<()> {
    let folder = file::wallets_folder(common.wallet_dir.as_deref())?;
    let mut rows = Vec::new();
    let mut text = String::new();
    let mut entries: Vec<_> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .collect(),
        Err(_) => Vec::new(),
    };
    entries.retain(|path| path.extension().is_some_and(|end| end == "json"));
    entries.sort();
    for path in entries {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match WalletFile::read(&path) {
            Ok(wallet) => {
                let kind = match &wallet.vault {
                    None => "watch-only",
                    Some(vault) if vault.is_encrypted() => "encrypted",
                    Some(_) => "unencrypted",
                };
                let network = wallet.genesis.map_or_else(
                    || "no network yet".to_owned(),
                    |genesis| format!("genesis {genesis}"),
                );
                text += &format!("{name:20} {kind:12} {network}\n");
                rows.push(json!({ "name": name, "path": path, "kind": kind, "account": wallet.account, "genesis": wallet.genesis }));
            }
            Err(error) => {
                text += &format!("{name:20} unreadable: {error}\n");
                rows.push(json!({ "name": name, "path": path, "error": error.to_string() }));
            }
        }
    }
    if rows.is_empty() {
        text = format!(
            "no wallets in {}; make one with `mend wallet create`",
            folder.display()
        );
    }
    show(common, &json!(rows), text.trim_end())?;
    Ok(())
}
