//! `address`: where to be paid. Needs no node.

use std::io::IsTerminal as _;

use bdk_wallet::KeychainKind;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;

use super::{label, show};
use crate::cli::CommonArgs;
use crate::session::Session;

pub(crate) fn address(
    common: &CommonArgs,
    unused: bool,
    label: Option<&str>,
) -> anyhow::Result<()> {
    let mut session = Session::open(&common.path()?)?;
    let info = if unused {
        session.wallet.next_unused_address(KeychainKind::External)
    } else {
        session.wallet.reveal_next_address(KeychainKind::External)
    };
    // Saved before it is shown: an address that was given away is never given again.
    session.save()?;
    if let Some(label) = label {
        label::set(&mut session, &info.address.to_string(), label)?;
    }
    let mut text = info.address.to_string();
    if std::io::stdout().is_terminal() {
        // Upper case makes a smaller code, and bech32 reads the same.
        if let Ok(code) = QrCode::new(info.address.to_qr_uri()) {
            text = format!(
                "{}\n{text}",
                code.render::<Dense1x2>().quiet_zone(true).build()
            );
        }
    }
    show(
        common,
        &json!({ "address": info.address, "index": info.index, "label": label }),
        &text,
    )?;
    Ok(())
}
