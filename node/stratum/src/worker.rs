//! Workers' names, and whom they want to be paid.

use bitcoin::ScriptBuf;
use chain::address::{AddressError, parse_address};

use super::limits::MAX_NAME_BYTES;
use super::message::Refusal;

/// Whom a worker's name wants to be paid: `ADDRESS` or `ADDRESS.anything`. `None`: the name is no address.
pub(super) fn payout_of(user: &str) -> Result<Option<ScriptBuf>, Refusal> {
    let text = user.split('.').next().unwrap_or_default();
    match parse_address(text) {
        Ok(address) => Ok(Some(address.script_pubkey())),
        Err(AddressError::OtherNetwork) => Err(Refusal::Unauthorized(
            "an address of another network: addresses here begin with bcrt1",
        )),
        Err(_) if text.to_ascii_lowercase().starts_with("bcrt1") => Err(Refusal::Unauthorized(
            "the address is mistyped: its checksum is wrong",
        )),
        Err(_) => Ok(None),
    }
}

/// A name as it may be kept and shown.
pub(super) fn name(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    let mut kept: String = shown.take(MAX_NAME_BYTES).collect();
    while kept.len() > MAX_NAME_BYTES {
        kept.pop();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_name_may_be_an_address() {
        let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        let script = parse_address(address).expect("valid").script_pubkey();
        assert_eq!(payout_of(address), Ok(Some(script.clone())));
        assert_eq!(payout_of(&format!("{address}.rig.1")), Ok(Some(script)));
        assert_eq!(payout_of("worker1"), Ok(None));
        for wrong in [
            "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081.x",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        ] {
            let refusal = payout_of(wrong).expect_err("nobody else is paid instead");
            assert_eq!(refusal.code(), 24, "{wrong}");
        }
    }

    #[test]
    fn names_are_shortened_and_have_no_control_characters() {
        assert_eq!(name("a\u{1b}[31m\nb"), "a[31mb");
        assert_eq!(name(&"ä".repeat(500)).len(), MAX_NAME_BYTES);
    }
}
