//! `label`: words beside an address or a transaction, kept in the wallet file alone.

use anyhow::bail;
use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Txid};
use serde_json::json;

use super::show;
use crate::cli::CommonArgs;
use crate::ids::Prefix;
use crate::session::Session;

/// The longest label, in bytes: BIP 329 asks programs to take at least 255.
const MAX_LABEL_BYTES: usize = 255;

pub(crate) fn label(
    common: &CommonArgs,
    target: Option<&str>,
    text: Option<&str>,
) -> anyhow::Result<()> {
    let mut session = Session::open(&common.path()?)?;
    let target = target
        .map(|target| canonical(&session, target))
        .transpose()?;
    let target = target.as_deref();
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
        lines += &format!("{reference}  {}\n", printable(text));
    }
    if rows.is_empty() {
        lines = "no label".to_owned();
    }
    show(common, &json!(rows), lines.trim_end())?;
    Ok(())
}

/// An address or id as it is printed, however it was typed: whole or, of an id, its beginning, in either case.
fn canonical(session: &Session, target: &str) -> anyhow::Result<String> {
    if let Ok(address) = target.parse::<Address<NetworkUnchecked>>() {
        return Ok(address.assume_checked().to_string());
    }
    match Prefix::parse(target) {
        Ok(prefix) => Ok(prefix.find(&session.wallet)?.to_string()),
        Err(_) => {
            bail!("`{target}` is neither an address nor a transaction id; label one of these")
        }
    }
}

/// A label on a terminal: control characters could write over what stands there.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Sets a label of an address or id as it is printed.
pub(super) fn set(session: &mut Session, target: &str, text: &str) -> anyhow::Result<()> {
    if text.len() > MAX_LABEL_BYTES {
        bail!(
            "the label has {} bytes; use up to {MAX_LABEL_BYTES}",
            text.len()
        );
    }
    session.set_label(target, text)
}
