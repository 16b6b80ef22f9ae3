//! Who is kept away: by an operator's word, or for a while after misbehaving.

use std::collections::BTreeMap;
use std::time::Duration;

use chain::Timestamp;
use p2p::Mono;

use super::{NodeCore, Output};
use crate::now::Now;

/// A peer that misbehaved may come back after so many seconds.
const DISCOURAGED_S: u32 = 600;
/// Most entries; those that end first make room.
const MAX_BANS: usize = 1_000;

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// Who is kept away: peer ids, and IP addresses.
#[derive(Debug, Default)]
pub(super) struct BanList {
    by_subject: BTreeMap<String, Ban>,
}

impl BanList {
    /// Keeps a misbehaving identity away for a while. Not its address: on one machine all peers share it.
    pub(super) fn discourage(&mut self, peer_id: &str, now: Timestamp, reason: &str) {
        let until = now.saturating_add_secs(DISCOURAGED_S);
        self.insert(
            peer_id,
            Ban {
                created: now,
                until,
                reason: reason.to_owned(),
            },
        );
    }

    /// Why a peer is kept away, if it is.
    pub(super) fn reason_against(
        &self,
        peer_id: &str,
        address: &str,
        now: Timestamp,
    ) -> Option<&str> {
        if self.by_subject.is_empty() {
            return None;
        }
        let subjects = [Some(peer_id), ip_of(address)].into_iter().flatten();
        let mut bans = subjects.filter_map(|subject| self.by_subject.get(subject));
        bans.find(|ban| ban.until > now)
            .map(|ban| ban.reason.as_str())
    }

    fn insert(&mut self, subject: &str, ban: Ban) {
        let longer = |known: &Ban| known.until >= ban.until;
        if !self.by_subject.get(subject).is_some_and(longer) {
            self.by_subject.insert(subject.to_owned(), ban);
        }
        while self.by_subject.len() > MAX_BANS {
            let first = self.by_subject.iter().min_by_key(|(_, ban)| ban.until);
            let Some(subject) = first.map(|(subject, _)| subject.clone()) else {
                return;
            };
            self.by_subject.remove(&subject);
        }
    }

    fn take_ended(&mut self, now: Timestamp) -> Vec<String> {
        let ended = self.by_subject.iter().filter(|(_, ban)| ban.until <= now);
        let ended: Vec<String> = ended.map(|(subject, _)| subject.clone()).collect();
        for subject in &ended {
            self.by_subject.remove(subject);
        }
        ended
    }

    /// When the next one ends, if the wall clock runs evenly.
    pub(super) fn next_due(&self, now: Now) -> Option<Mono> {
        let until = self.by_subject.values().map(|ban| ban.until).min()?;
        let ahead = until.0.saturating_sub(now.wall.0);
        Some(now.mono + Duration::from_secs(u64::from(ahead)))
    }
}

/// The IP address in a multiaddress.
fn ip_of(address: &str) -> Option<&str> {
    let mut parts = address.split('/').skip(1);
    match parts.next() {
        Some("ip4" | "ip6") => parts.next(),
        _ => None,
    }
}

/// Whether a subject is an IP address rather than a peer id.
fn is_ip(subject: &str) -> bool {
    subject.parse::<std::net::IpAddr>().is_ok()
}

impl NodeCore {
    /// Who is kept away: peer id or IP address, and why.
    pub fn bans(&self) -> impl Iterator<Item = (&str, &Ban)> {
        self.bans
            .by_subject
            .iter()
            .map(|(subject, ban)| (subject.as_str(), ban))
    }

    /// Keeps a peer id or IP address away for `seconds`, and ends its connections.
    pub fn ban(&mut self, now: Now, subject: &str, seconds: u32, out: &mut Vec<Output>) {
        let until = now.wall.saturating_add_secs(seconds);
        let reason = "an operator asked for it".to_owned();
        self.bans.insert(
            subject,
            Ban {
                created: now.wall,
                until,
                reason: reason.clone(),
            },
        );
        if !is_ip(subject) {
            out.push(Output::Ban {
                peer_id: subject.to_owned(),
                banned: true,
            });
        }
        let matches = |peer: &&super::PeerInfo| {
            peer.peer_id == subject || ip_of(&peer.address) == Some(subject)
        };
        for peer in self.peers.iter().filter(matches).map(|peer| peer.num) {
            out.push(Output::Disconnect {
                peer,
                reason: reason.clone(),
            });
        }
        self.settle(now, out);
    }

    /// Lets a peer id or IP address come again. `false`: it was not kept away.
    pub fn unban(&mut self, subject: &str, out: &mut Vec<Output>) -> bool {
        let known = self.bans.by_subject.remove(subject).is_some();
        if known {
            allow_again(subject, out);
        }
        known
    }

    /// Lets everyone come again.
    pub fn clear_bans(&mut self, out: &mut Vec<Output>) {
        for subject in std::mem::take(&mut self.bans.by_subject).into_keys() {
            allow_again(&subject, out);
        }
    }

    /// Ends what has lasted long enough.
    pub(super) fn end_bans(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.bans.by_subject.is_empty() {
            return;
        }
        for subject in self.bans.take_ended(now.wall) {
            allow_again(&subject, out);
        }
    }
}

fn allow_again(subject: &str, out: &mut Vec<Output>) {
    if !is_ip(subject) {
        out.push(Output::Ban {
            peer_id: subject.to_owned(),
            banned: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "/ip4/10.0.0.7/tcp/18444/p2p/12D3A";

    #[test]
    fn identities_and_addresses_are_kept_away_until_the_end() {
        let mut bans = BanList::default();
        bans.discourage("12D3A", Timestamp(1_000), "sent rubbish");
        assert_eq!(
            bans.reason_against("12D3A", ADDRESS, Timestamp(1_599)),
            Some("sent rubbish")
        );
        assert_eq!(
            bans.reason_against("12D3A", ADDRESS, Timestamp(1_600)),
            None
        );
        let ban = |until| Ban {
            created: Timestamp(0),
            until: Timestamp(until),
            reason: "asked".to_owned(),
        };
        bans.insert("10.0.0.7", ban(5_000));
        bans.insert("10.0.0.7", ban(4_000));
        assert_eq!(
            bans.reason_against("12D3B", ADDRESS, Timestamp(4_500)),
            Some("asked")
        );
        assert_eq!(bans.take_ended(Timestamp(1_600)), ["12D3A"]);
        assert_eq!(bans.by_subject.len(), 1);
    }

    #[test]
    fn the_list_is_bounded() {
        let mut bans = BanList::default();
        for n in 0..=MAX_BANS as u32 {
            bans.discourage(&format!("peer {n}"), Timestamp(n), "flood");
        }
        assert_eq!(bans.by_subject.len(), MAX_BANS);
        assert!(!bans.by_subject.contains_key("peer 0"));
    }
}
