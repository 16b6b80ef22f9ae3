//! The file of bans, `banlist.json`: written when the list changes, read at the start.
//!
//! It has Bitcoin Core's form, so that the same tools read it; identities of peers, which Core does not have, are in a list of their own.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use chain::Timestamp;
use node_core::{Ban, BannedBy, NodeCore};
use serde::{Deserialize, Serialize};

use crate::{DataDir, NodeHandle, write_atomically};

/// The file's name in the data directory.
pub const BAN_FILE_NAME: &str = "banlist.json";
/// Bitcoin Core's version of an entry.
const ENTRY_VERSION: u32 = 1;

/// What was written last.
#[derive(Debug, Default)]
pub(crate) struct BanFile {
    saved: Mutex<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct List {
    #[serde(default)]
    banned_nets: Vec<Net>,
    #[serde(default)]
    banned_peers: Vec<Peer>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Net {
    version: u32,
    ban_created: i64,
    banned_until: i64,
    address: String,
    #[serde(default)]
    reason: String,
    #[serde(default = "by_operator")]
    by: BannedBy,
}

#[derive(Debug, Serialize, Deserialize)]
struct Peer {
    peer_id: String,
    ban_created: i64,
    banned_until: i64,
    #[serde(default)]
    reason: String,
    #[serde(default = "by_operator")]
    by: BannedBy,
}

/// Whoever wrote a file without a word on it.
fn by_operator() -> BannedBy {
    BannedBy::Operator
}

/// The list as it is written.
fn written<'a>(bans: impl Iterator<Item = (&'a str, &'a Ban)>) -> String {
    let mut list = List::default();
    for (subject, ban) in bans {
        let (ban_created, banned_until) = (i64::from(ban.created.0), i64::from(ban.until.0));
        let (reason, by) = (ban.reason.clone(), ban.by);
        match subnet_of(subject) {
            Some(address) => list.banned_nets.push(Net {
                version: ENTRY_VERSION,
                ban_created,
                banned_until,
                address,
                reason,
                by,
            }),
            None => list.banned_peers.push(Peer {
                peer_id: subject.to_owned(),
                ban_created,
                banned_until,
                reason,
                by,
            }),
        }
    }
    serde_json::to_string_pretty(&list).expect("strings and numbers are JSON")
}

/// The entries of a file.
fn parsed(text: &str) -> Result<Vec<(String, Ban)>, serde_json::Error> {
    let list: List = serde_json::from_str(text)?;
    let time = |seconds: i64| Timestamp(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
    let ban = |created, until, reason, by| Ban {
        created: time(created),
        until: time(until),
        reason,
        by,
    };
    let nets = list.banned_nets.into_iter().map(|net| {
        let subject = subject_of(&net.address).to_owned();
        let ban = ban(net.ban_created, net.banned_until, net.reason, net.by);
        (subject, ban)
    });
    let peers = list.banned_peers.into_iter().map(|peer| {
        let ban = ban(peer.ban_created, peer.banned_until, peer.reason, peer.by);
        (peer.peer_id, ban)
    });
    Ok(nets.chain(peers).collect())
}

/// An address or subnet in Bitcoin Core's form; `None` for the identity of a peer.
fn subnet_of(subject: &str) -> Option<String> {
    let (address, bits) = match subject.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (subject, None),
    };
    let address: std::net::IpAddr = address.parse().ok()?;
    let all = if address.is_ipv4() { "32" } else { "128" };
    Some(format!("{address}/{}", bits.unwrap_or(all)))
}

/// A single address without its number of bits, as the core names it.
fn subject_of(subnet: &str) -> &str {
    match subnet.split_once('/') {
        Some((address, "32")) if !address.contains(':') => address,
        Some((address, "128")) => address,
        _ => subnet,
    }
}

impl NodeHandle {
    /// Takes over the bans that were saved. A file that cannot be read is told and set aside.
    pub(crate) fn load_bans(&self) {
        let path = path(self.data_dir());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "bans cannot be read");
                return;
            }
        };
        match parsed(&text) {
            Ok(bans) => self.act(|core, now, out| core.restore_bans(now, bans, out)),
            Err(error) => {
                let aside = path.with_extension("json.unreadable");
                let kept = std::fs::rename(&path, &aside);
                tracing::warn!(path = %aside.display(), %error, kept = kept.is_ok(), "bans cannot be read");
            }
        }
    }

    /// Writes the bans if they changed. What goes wrong is told.
    pub fn save_bans(&self) {
        let text = self.read(|core: &NodeCore| written(core.bans()));
        let mut saved = self
            .inner
            .ban_file
            .saved
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *saved == text {
            return;
        }
        let path = path(self.data_dir());
        match write_atomically(&path, text.as_bytes()) {
            Ok(()) => *saved = text,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "bans cannot be saved");
            }
        }
    }
}

fn path(data_dir: &DataDir) -> PathBuf {
    data_dir.path().join(BAN_FILE_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_are_written_in_cores_form_and_read_again() {
        let ban = |until, reason: &str| Ban {
            created: Timestamp(5),
            until: Timestamp(until),
            reason: reason.to_owned(),
            by: match reason {
                "rubbish" => BannedBy::Misbehaviour,
                _ => BannedBy::Operator,
            },
        };
        let bans = [
            ("10.0.0.0/8".to_owned(), ban(7, "asked")),
            ("10.0.0.7".to_owned(), ban(8, "")),
            ("12D3KooW".to_owned(), ban(9, "rubbish")),
            ("::1".to_owned(), ban(u32::MAX, "asked")),
        ];
        let text = written(bans.iter().map(|(subject, ban)| (subject.as_str(), ban)));
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["banned_nets"][1]["address"], "10.0.0.7/32");
        assert_eq!(json["banned_nets"][1]["version"], 1);
        assert_eq!(json["banned_nets"][2]["address"], "::1/128");
        let mut read = parsed(&text).expect("sound");
        read.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(read, bans);
        // A file of Bitcoin Core.
        let core = r#"{"banned_nets":[{"version":1,"ban_created":1700000000,"banned_until":1800000000,"address":"1.2.3.4/32"}]}"#;
        let read = parsed(core).expect("sound");
        assert_eq!(read[0].0, "1.2.3.4");
        assert_eq!(read[0].1.until, Timestamp(1_800_000_000));
        assert!(parsed("{").is_err());
    }
}
