//! Whom the node keeps away.

use chain::Timestamp;
use serde_json::{Value, json};

use node_core::BannedBy;

use crate::Api;
use crate::rpc::args::Args;
use crate::rpc::error::{Failure, code};
use crate::rpc::reply::Reply;
use crate::rpc::reply::{null, reply};

/// How long a ban lasts if nothing is said: a day, as in Bitcoin Core.
const DEFAULT_BAN_S: u32 = 86_400;

pub(super) fn list_banned(node: &Api, _: &Args) -> Result<Reply, Failure> {
    let now = node.now().wall;
    let bans = node.read(|core| {
        let bans = core.bans().map(|(subject, ban)| {
            json!({
                "address": subject,
                "ban_created": ban.created,
                "banned_until": ban.until,
                "ban_duration": ban.until.0.saturating_sub(ban.created.0),
                "time_remaining": ban.until.0.saturating_sub(now.0),
                "ban_reason": ban.reason,
            })
        });
        bans.collect::<Vec<Value>>()
    });
    reply(&bans)
}

pub(super) fn set_ban(node: &Api, args: &Args) -> Result<Reply, Failure> {
    let subject = ban_subject(args.text(0)?)?;
    match args.text(1)? {
        "add" => {
            let now = node.now().wall;
            let seconds = ban_seconds(args.opt_int(2)?.unwrap_or(0), args.flag(3, false)?, now)?;
            let known = node.read(|core| {
                let mut bans = core.bans();
                bans.any(|(known, ban)| known == subject && ban.by == BannedBy::Operator)
            });
            if known {
                let text = "Error: IP/Subnet already banned";
                return Err(Failure::new(code::NODE_ALREADY_ADDED, text));
            }
            node.act(|core, now, out| core.ban(now, &subject, seconds, out));
            node.save_bans();
            null()
        }
        "remove" => {
            if node.act(|core, _, out| core.unban(&subject, out)) {
                node.save_bans();
                return null();
            }
            let text =
                "Error: Unban failed. Requested address/subnet was not previously manually banned.";
            Err(Failure::new(code::INVALID_IP_OR_SUBNET, text))
        }
        other => Err(Failure::misc(format!(
            "command must be add or remove, not {other}"
        ))),
    }
}

/// An IP address, perhaps with a mask for it alone, or a peer id.
fn ban_subject(text: &str) -> Result<String, Failure> {
    let alone = text
        .strip_suffix("/32")
        .or_else(|| text.strip_suffix("/128"))
        .unwrap_or(text);
    let is_peer_id = alone.len() > 40 && alone.chars().all(|c| c.is_ascii_alphanumeric());
    if alone.parse::<std::net::IpAddr>().is_ok() || is_peer_id {
        return Ok(alone.to_owned());
    }
    let text = format!("Error: Invalid IP/Subnet: {text} is neither an IP address nor a peer id");
    Err(Failure::new(code::INVALID_IP_OR_SUBNET, text))
}

fn ban_seconds(given: i64, absolute: bool, now: Timestamp) -> Result<u32, Failure> {
    let seconds = match given {
        0 => return Ok(DEFAULT_BAN_S),
        given if absolute => given - i64::from(now.0),
        given => given,
    };
    match u32::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(Failure::invalid(
            "Error: Absolute timestamp is in the past, or bantime is out of range",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_are_for_addresses_and_identities() {
        assert_eq!(ban_subject("10.0.0.1/32").as_deref(), Ok("10.0.0.1"));
        assert!(ban_subject("12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp").is_ok());
        assert_eq!(ban_subject("10.0.0.0/8").expect_err("a net").code, -30);
        let now = Timestamp(1_000);
        assert_eq!(ban_seconds(0, false, now), Ok(86_400));
        assert_eq!(ban_seconds(1_010, true, now), Ok(10));
        assert!(ban_seconds(900, true, now).is_err());
    }
}
