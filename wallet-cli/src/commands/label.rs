//! `label`: words beside an address or a transaction, kept in the wallet file alone.

use anyhow::bail;
use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Txid};
use serde_json::json;

use super::show;
use crate::cli::CommonArgs;
use crate::session::Session;

/// The longest label, in bytes: BIP 329 asks programs to take at least 255.
const MAX_LABEL_BYTES: usize = 255;

pub(crate) fn label(
    common: &CommonArgs,
    target: Option<&str>,
    text: Option<&str>,
) -> anyhow::Result<()> {
    let mut session = Session::open(&common.path()?)?;
    if let (Some(target), Some(text)) = (target, text) {
        set(&mut session, target, text)?;
    }
    // In the words of BIP 329, one object for each label.
    let mut rows = Vec::new();
    let mut lines = String::new();
    for (reference, text) in &session.file.labels {
        if target.is_some_and(|target| target != reference) {
            continue;
        }
        let kind = if reference.parse::<Txid>().is_ok() {
            "tx"
        } else {
            "addr"
        };
        rows.push(json!({ "type": kind, "ref": reference, "label": text }));
        lines += &format!("{reference}  {text}\n");
    }
    if rows.is_empty() {
        lines = "no label".to_owned();
    }
    show(common, &json!(rows), lines.trim_end())?;
    Ok(())
}

/// Sets a label after looking at both of its parts.
pub(super) fn set(session: &mut Session, target: &str, text: &str) -> anyhow::Result<()> {
    let is_address = target.parse::<Address<NetworkUnchecked>>().is_ok();
    if !is_address && target.parse::<Txid>().is_err() {
        bail!("`{target}` is neither an address nor a transaction id; label one of these");
    }
    if text.len() > MAX_LABEL_BYTES {
        bail!(
            "the label has {} bytes; use up to {MAX_LABEL_BYTES}",
            text.len()
        );
    }
    session.set_label(target, text)
}
