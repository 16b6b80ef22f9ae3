//! Who is connected: [`PeerTable`], and what follows when a peer comes, goes or misbehaves.

use std::collections::BTreeMap;

use chain::Timestamp;
use p2p::book::{AddressesOf, Connected};
use p2p::sync::Input as EngineInput;
use p2p::{Direction, Mono, PeerGroup, PeerNum};

use super::bans::{self, BannedBy};
use super::{NodeCore, Output};
use crate::events::NodeEvent;
use crate::now::Now;

/// Most addresses that are kept of what one peer says it listens on.
const MAX_LISTENS: usize = 8;

/// One connected peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Its number.
    pub num: PeerNum,
    /// Its identity in text form.
    pub peer_id: String,
    /// Its address, as dialled or seen.
    pub address: String,
    /// Who dialled.
    pub direction: Direction,
    /// What it calls itself.
    pub agent: String,
    /// When it was connected, by the wall clock.
    pub connected_at: Timestamp,
    /// When it was connected.
    pub connected_mono: Mono,
    /// The last round-trip time, in microseconds.
    pub ping_micros: Option<u64>,
    /// The shortest round-trip time, in microseconds.
    pub min_ping_micros: Option<u64>,
    /// Where it says it listens.
    pub listens: Vec<String>,
    /// When it last told or asked something.
    pub last_message: Option<Timestamp>,
    /// When it last gave a block that was new.
    pub last_block: Option<Timestamp>,
    /// When it last gave a transaction that was new.
    pub last_transaction: Option<Timestamp>,
}

/// Connected peers, by number.
#[derive(Debug, Default)]
pub struct PeerTable {
    peers: BTreeMap<PeerNum, PeerInfo>,
    outbound: usize,
}

impl PeerTable {
    /// In order of their numbers, which is that of their coming.
    pub fn iter(&self) -> impl Iterator<Item = &PeerInfo> {
        self.peers.values()
    }

    /// One peer.
    #[must_use]
    pub fn get(&self, peer: PeerNum) -> Option<&PeerInfo> {
        self.peers.get(&peer)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// How many of them we dialled.
    #[must_use]
    pub fn outbound(&self) -> usize {
        self.outbound
    }

    fn insert(&mut self, info: PeerInfo) {
        self.remove(info.num);
        self.outbound += usize::from(info.direction == Direction::Outbound);
        self.peers.insert(info.num, info);
    }

    fn remove(&mut self, peer: PeerNum) -> Option<PeerInfo> {
        let info = self.peers.remove(&peer)?;
        self.outbound -= usize::from(info.direction == Direction::Outbound);
        Some(info)
    }

    fn with(&mut self, peer: PeerNum, update: impl FnOnce(&mut PeerInfo)) {
        if let Some(info) = self.peers.get_mut(&peer) {
            update(info);
        }
    }

    pub(super) fn note_message(&mut self, peer: PeerNum, now: Now) {
        self.with(peer, |info| info.last_message = Some(now.wall));
    }

    pub(super) fn note_block(&mut self, peer: PeerNum, now: Now) {
        self.with(peer, |info| info.last_block = Some(now.wall));
    }

    pub(super) fn note_transaction(&mut self, peer: PeerNum, now: Now) {
        self.with(peer, |info| info.last_transaction = Some(now.wall));
    }

    pub(super) fn note_ping(&mut self, peer: PeerNum, micros: u64) {
        self.with(peer, |info| {
            info.ping_micros = Some(micros);
            info.min_ping_micros = Some(info.min_ping_micros.map_or(micros, |m| m.min(micros)));
        });
    }
}

/// A peer as the host tells it.
pub(super) struct NewPeer {
    pub(super) num: PeerNum,
    pub(super) peer_id: String,
    pub(super) address: String,
    pub(super) direction: Direction,
    pub(super) agent: String,
}

impl NodeCore {
    /// Connected peers.
    #[must_use]
    pub fn peers(&self) -> &PeerTable {
        &self.peers
    }

    pub(super) fn peer_up(&mut self, now: Now, peer: NewPeer, out: &mut Vec<Output>) {
        let NewPeer {
            num,
            peer_id,
            address,
            direction,
            agent,
        } = peer;
        let is_named = direction == Direction::Outbound && self.dialer.is_named_address(&address);
        let ban = self.bans.reason_against(&peer_id, &address, now.wall);
        // Whom the operator named is kept away by his own word only.
        if let Some(ban) = ban.filter(|ban| !is_named || ban.by == BannedBy::Operator) {
            let reason = format!("it is banned: {}", ban.reason);
            out.push(Output::Disconnect { peer: num, reason });
            self.dialer.refused(now.mono, &address);
            return;
        }
        let info = PeerInfo {
            num,
            peer_id,
            address,
            direction,
            agent,
            connected_at: now.wall,
            connected_mono: now.mono,
            ping_micros: None,
            min_ping_micros: None,
            listens: Vec::new(),
            last_message: None,
            last_block: None,
            last_transaction: None,
        };
        let group = PeerGroup::of(direction, &info.address);
        if self.dialer.connected(now, &info) == Connected::Feeler {
            let reason = "it was only looked whether someone answers there".to_owned();
            out.push(Output::Disconnect { peer: num, reason });
            return;
        }
        out.push(Output::Event(NodeEvent::PeerUp {
            peer: num,
            address: info.address.clone(),
        }));
        self.peers.insert(info);
        self.drive(
            now,
            EngineInput::PeerUp {
                peer: num,
                direction,
                group,
            },
            out,
        );
    }

    pub(super) fn peer_down(
        &mut self,
        now: Now,
        peer: PeerNum,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        // One that is banned, or that was only looked for, was never let in.
        let Some(info) = self.peers.remove(peer) else {
            return;
        };
        self.dialer.disconnected(now.mono, info.num, &reason);
        out.push(Output::Event(NodeEvent::PeerDown { peer, reason }));
        self.drive(now, EngineInput::PeerDown { peer }, out);
    }

    pub(super) fn peer_listens(&mut self, peer: PeerNum, mut addresses: Vec<String>) {
        addresses.truncate(MAX_LISTENS);
        self.learn_addresses(peer, AddressesOf::Itself, &addresses);
        self.peers.with(peer, |info| info.listens = addresses);
    }

    /// A peer broke the protocol or the rules: it is sent away, and kept away for a while. Whom the operator named is never
    /// banned: its address is left alone for some time.
    pub(super) fn punish(
        &mut self,
        now: Now,
        peer: PeerNum,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        if let Some(info) = self.peers.get(peer) {
            let (peer_id, address) = (info.peer_id.clone(), info.address.clone());
            let is_named = self.dialer.is_named(peer);
            self.dialer.gave_up(peer);
            let freed = match is_named {
                true => Vec::new(),
                false => self.bans.discourage(&peer_id, &address, now.wall, &reason),
            };
            out.push(Output::Disconnect { peer, reason });
            if !is_named {
                bans::refuse(&peer_id, out);
            }
            for subject in freed {
                bans::allow_again(&subject, out);
            }
        }
    }

    /// Ends the connection to a peer. `false`: there is no such peer.
    pub fn disconnect_peer(&mut self, peer: PeerNum, out: &mut Vec<Output>) -> bool {
        let known = self.peers.get(peer).is_some();
        if known {
            let reason = "an operator asked for it".to_owned();
            out.push(Output::Disconnect { peer, reason });
        }
        known
    }

    /// Ends the connections to an address, with or without the peer id at its end. `false`: there is none.
    pub fn disconnect_address(&mut self, address: &str, out: &mut Vec<Output>) -> bool {
        let matching: Vec<PeerNum> = self
            .peers
            .iter()
            .filter(|peer| is_same_address(&peer.address, address))
            .map(|peer| peer.num)
            .collect();
        matching
            .iter()
            .for_each(|peer| _ = self.disconnect_peer(*peer, out));
        !matching.is_empty()
    }
}

/// Whether two multiaddresses are the same place, peer ids aside unless both have one.
fn is_same_address(a: &str, b: &str) -> bool {
    const PEER_ID: &str = "/p2p/";
    match (a.split_once(PEER_ID), b.split_once(PEER_ID)) {
        (Some((a, _)), None) => a == b,
        (None, Some((b, _))) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::is_same_address;

    #[test]
    fn addresses_match_with_and_without_peer_id() {
        let plain = "/ip4/127.0.0.1/tcp/18444";
        assert!(is_same_address(plain, plain));
        assert!(is_same_address(plain, "/ip4/127.0.0.1/tcp/18444/p2p/12D3A"));
        assert!(is_same_address("/ip4/127.0.0.1/tcp/18444/p2p/12D3A", plain));
        assert!(!is_same_address(
            "/ip4/127.0.0.1/tcp/18444/p2p/12D3A",
            "/ip4/127.0.0.1/tcp/18444/p2p/12D3B"
        ));
        assert!(!is_same_address(plain, "/ip4/127.0.0.1/tcp/1844"));
    }
}
