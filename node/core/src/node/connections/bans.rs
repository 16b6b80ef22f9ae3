//! Who is kept away: by an operator's word, or for a while after misbehaving.
//!
//! The two are apart: whoever misbehaves a thousand times pushes no order of the operator's off the list.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use chain::Timestamp;
use p2p::Mono;
use p2p::book::{Host, PeerAddress, Reach};
use serde::{Deserialize, Serialize};

use super::Output;
use crate::now::Now;

/// A peer that misbehaved may come back after so many seconds.
const DISCOURAGED_S: u32 = 600;
/// Most entries for misbehaviour; those that end first make room.
const MAX_DISCOURAGED: usize = 1_000;

/// Why the operator keeps a peer away, or sends it away.
pub(super) const ASKED_FOR: &str = "an operator asked for it";

/// Who keeps a peer away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BannedBy {
    /// The operator said so.
    Operator,
    /// It misbehaved.
    Misbehaviour,
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// By whose word.
    pub by: BannedBy,
}

/// Who is kept away: peer ids, and IP addresses.
#[derive(Debug, Default)]
pub(super) struct BanList {
    ordered: BTreeMap<String, Ban>,
    discouraged: BTreeMap<String, Ban>,
    changes: u64,
}

impl BanList {
    /// Keeps a misbehaving peer away for a while: its identity, and its address where that is its own. Not the addresses of
    /// this machine and of local networks, which many share. Gives whom that pushed off the list.
    pub(super) fn discourage(
        &mut self,
        peer_id: &str,
        address: &str,
        now: Timestamp,
        reason: &str,
    ) -> Vec<String> {
        let ban = Ban {
            created: now,
            until: now.saturating_add_secs(DISCOURAGED_S),
            reason: reason.to_owned(),
            by: BannedBy::Misbehaviour,
        };
        let public = public_ip_of(address).map(|ip| ip.to_string());
        for subject in [Some(peer_id.to_owned()), public].into_iter().flatten() {
            self.discouraged.insert(subject, ban.clone());
        }
        self.changes += 1;
        let mut pushed_off = Vec::new();
        while self.discouraged.len() > MAX_DISCOURAGED {
            let first = self.discouraged.iter().min_by_key(|(_, ban)| ban.until);
            let Some(subject) = first.map(|(subject, _)| subject.clone()) else {
                break;
            };
            self.discouraged.remove(&subject);
            pushed_off.push(subject);
        }
        self.freed(pushed_off)
    }

    /// Keeps a peer away by the operator's word; the longer of two orders counts.
    pub(super) fn order(&mut self, subject: &str, ban: Ban) {
        let longer = |known: &Ban| known.until >= ban.until;
        if !self.ordered.get(subject).is_some_and(longer) {
            self.ordered.insert(subject.to_owned(), ban);
            self.changes += 1;
        }
    }

    /// Why a peer is kept away, if it is.
    pub(super) fn reason_against(
        &self,
        peer_id: &str,
        address: &str,
        now: Timestamp,
    ) -> Option<&Ban> {
        if self.ordered.is_empty() && self.discouraged.is_empty() {
            return None;
        }
        let ip = ip_of(address).map(|ip| ip.to_string());
        let subjects = [Some(peer_id.to_owned()), ip];
        let mut bans = subjects
            .iter()
            .flatten()
            .flat_map(|subject| [self.ordered.get(subject), self.discouraged.get(subject)])
            .flatten();
        bans.find(|ban| ban.until > now)
    }

    /// Lets a subject come again. `false`: it was not kept away.
    pub(super) fn lift(&mut self, subject: &str) -> bool {
        let ordered = self.ordered.remove(subject).is_some();
        let discouraged = self.discouraged.remove(subject).is_some();
        self.changes += u64::from(ordered || discouraged);
        ordered || discouraged
    }

    /// Takes off the list what has lasted long enough. Gives who may come again.
    pub(super) fn take_ended(&mut self, now: Timestamp) -> Vec<String> {
        let mut ended = Vec::new();
        for list in [&mut self.ordered, &mut self.discouraged] {
            list.retain(|subject, ban| {
                let lasts = ban.until > now;
                if !lasts {
                    ended.push(subject.clone());
                }
                lasts
            });
        }
        self.changes += u64::from(!ended.is_empty());
        self.freed(ended)
    }

    /// Those of some subjects that nobody keeps away any more.
    fn freed(&self, mut subjects: Vec<String>) -> Vec<String> {
        subjects.retain(|subject| {
            !self.ordered.contains_key(subject) && !self.discouraged.contains_key(subject)
        });
        subjects
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Ban)> {
        let all = self.ordered.iter().chain(&self.discouraged);
        all.map(|(subject, ban)| (subject.as_str(), ban))
    }

    /// Puts back an entry of an earlier run.
    pub(super) fn restore(&mut self, subject: String, ban: Ban) {
        let list = match ban.by {
            BannedBy::Operator => &mut self.ordered,
            BannedBy::Misbehaviour => &mut self.discouraged,
        };
        list.insert(subject, ban);
    }

    /// Grows with every change that is worth storing.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// When the next one ends, if the wall clock runs evenly.
    pub(super) fn next_due(&self, now: Now) -> Option<Mono> {
        let until = self.iter().map(|(_, ban)| ban.until).min()?;
        let ahead = until.0.saturating_sub(now.wall.0);
        Some(now.mono + Duration::from_secs(u64::from(ahead)))
    }
}

/// The IP address in a multiaddress, an IPv4 address always as such.
pub(super) fn ip_of(address: &str) -> Option<IpAddr> {
    match PeerAddress::of_form(address).ok()?.endpoint.host {
        Host::Ip(ip) => Some(ip),
        Host::Name { .. } => None,
    }
}

/// The same, if it is one that few share.
fn public_ip_of(address: &str) -> Option<IpAddr> {
    let known = PeerAddress::of_form(address).ok()?;
    ip_of(address).filter(|_| known.reach() == Reach::Public)
}

/// A subject as it is kept: an IP address in its canonical form, or a peer id.
pub(super) fn canonical(subject: &str) -> String {
    match subject.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => subject.to_owned(),
    }
}

/// Whether a subject is an IP address rather than a peer id.
fn is_ip(subject: &str) -> bool {
    subject.parse::<IpAddr>().is_ok()
}

/// Has an identity refused.
pub(super) fn refuse(subject: &str, out: &mut Vec<Output>) {
    tell(subject, true, out);
}

/// Has an identity let in again.
pub(super) fn allow_again(subject: &str, out: &mut Vec<Output>) {
    tell(subject, false, out);
}

/// The swarm refuses identities; addresses are looked at when a peer comes.
fn tell(subject: &str, banned: bool, out: &mut Vec<Output>) {
    if !is_ip(subject) {
        out.push(Output::Ban {
            peer_id: subject.to_owned(),
            banned,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "/ip4/10.0.0.7/tcp/18444";

    fn ordered(until: u32) -> Ban {
        Ban {
            created: Timestamp(0),
            until: Timestamp(until),
            reason: "asked".to_owned(),
            by: BannedBy::Operator,
        }
    }

    fn why(bans: &BanList, id: &str, address: &str, now: u32) -> Option<String> {
        let ban = bans.reason_against(id, address, Timestamp(now));
        ban.map(|ban| ban.reason.clone())
    }

    #[test]
    fn identities_and_addresses_are_kept_away_until_the_end() {
        let mut bans = BanList::default();
        bans.discourage("12D3A", ADDRESS, Timestamp(1_000), "sent rubbish");
        assert_eq!(
            why(&bans, "12D3A", ADDRESS, 1_599).as_deref(),
            Some("sent rubbish")
        );
        assert_eq!(why(&bans, "12D3A", ADDRESS, 1_600), None);
        assert_eq!(why(&bans, "12D3B", ADDRESS, 1_100), None, "many share it");
        bans.order("10.0.0.7", ordered(5_000));
        bans.order("10.0.0.7", ordered(4_000));
        for address in [ADDRESS, "/ip6/::ffff:10.0.0.7/tcp/1"] {
            assert_eq!(
                why(&bans, "12D3B", address, 4_500).as_deref(),
                Some("asked")
            );
        }
        assert_eq!(bans.take_ended(Timestamp(1_600)), ["12D3A"]);
        assert_eq!(bans.iter().count(), 1);
    }

    /// A new identity is no new start.
    #[test]
    fn who_misbehaves_from_an_address_of_its_own_is_known_by_it() {
        let mut bans = BanList::default();
        let address = "/ip4/8.8.8.8/tcp/40000";
        bans.discourage("12D3A", address, Timestamp(1_000), "sent rubbish");
        let elsewhere = "/ip4/8.8.8.8/tcp/40001";
        assert!(why(&bans, "12D3B", elsewhere, 1_001).is_some());
    }

    /// A thousand identities that got themselves banned pushed an order of the operator's off the list, and those that were
    /// pushed off stayed refused for ever.
    #[test]
    fn misbehaviour_pushes_off_misbehaviour_alone_and_whoever_is_pushed_off_may_come() {
        let mut bans = BanList::default();
        bans.order("12D3X", ordered(500));
        bans.order("peer 0", ordered(500));
        let mut freed = Vec::new();
        for n in 0..=MAX_DISCOURAGED as u32 + 1 {
            let peer = format!("peer {n}");
            freed.extend(bans.discourage(&peer, ADDRESS, Timestamp(n), "flood"));
        }
        assert_eq!(freed, ["peer 1"], "the first is still kept away by order");
        assert_eq!(bans.discouraged.len(), MAX_DISCOURAGED);
        assert!(bans.ordered.contains_key("12D3X"));
    }
}
