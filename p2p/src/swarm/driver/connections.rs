//! What is known of each connection, from the handshake to the end.
//!
//! A connection is first of an unknown network: what its peer sends is held back. Once the peer has named our network it is up and
//! has a number. Numbers belong to connections, not identities: a peer that comes back gets a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use libp2p::gossipsub::MessageId;
use libp2p::request_response::{InboundRequestId, OutboundRequestId, ResponseChannel};
use libp2p::swarm::{ConnectionError, ConnectionId};
use libp2p::{Multiaddr, PeerId, identify};

use super::dials::Dial;
use super::{Driver, Timer};
use crate::budget::{AddressGroup, Full, Payer};
use crate::swarm::meter::Parcel;
use crate::swarm::{Event, Told, address, reason};
use crate::wire::limits::{
    MAX_AGENT_CHARS, MAX_EARLY_BYTES, MAX_EARLY_BYTES_OF_ALL, MAX_EARLY_MESSAGES,
    MAX_LISTEN_ADDRESSES, MAX_LISTEN_UPDATES, PROOF_OF_LIFE,
};
use crate::wire::{Gossip, Request, Response};
use crate::{Direction, PeerNum};

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: PeerId,
    pub(super) direction: Direction,
    /// As dialled, or the remote address.
    address: String,
    /// Where the peer is, for what it costs; `None` on this machine.
    group: Option<AddressGroup>,
    /// The dial that made it.
    pub(super) dial: Option<Dial>,
    /// A dial of ours that met this inbound connection.
    pub(super) parked: Option<Dial>,
    /// The peer dialled us while this connection was being made.
    contested: bool,
    pub(super) stage: Stage,
    since: Instant,
    /// It has been asked for a sign of life.
    is_doubted: bool,
    /// Why we ended it, if we did.
    ended: Option<String>,
    /// The peer is of another network.
    is_foreign: bool,
    /// Requests of ours that wait.
    pub(super) asked: BTreeSet<OutboundRequestId>,
    /// Requests of the peer that were dropped for being too many.
    pub(super) dropped_requests: u32,
    /// Gossip of the peer that could not be read.
    pub(super) malformed_gossip: u32,
    /// Gossip of the peer that was refused for being too much.
    pub(super) refused_gossip: u32,
    listens: Vec<Multiaddr>,
    listen_updates: usize,
}

/// How well the peer is known.
#[derive(Debug)]
pub(super) enum Stage {
    /// It has not said its network. What it sent is held back.
    Unknown(Vec<Early>),
    /// It is of our network.
    Up(PeerNum),
}

/// A message that came before its peer was up.
#[derive(Debug)]
pub(super) enum Early {
    /// A question.
    Request(
        InboundRequestId,
        Request,
        usize,
        ResponseChannel<Parcel<Response>>,
    ),
    /// Gossip.
    Gossip(MessageId, Gossip, usize),
}

impl Connection {
    pub(super) fn new(
        peer: PeerId,
        direction: Direction,
        address: String,
        group: Option<AddressGroup>,
        dial: Option<Dial>,
    ) -> Connection {
        Connection {
            peer,
            direction,
            address,
            group,
            dial,
            parked: None,
            contested: false,
            stage: Stage::Unknown(Vec::new()),
            since: Instant::now(),
            is_doubted: false,
            ended: None,
            is_foreign: false,
            asked: BTreeSet::new(),
            dropped_requests: 0,
            malformed_gossip: 0,
            refused_gossip: 0,
            listens: Vec::new(),
            listen_updates: 0,
        }
    }

    /// Bytes that are held back.
    fn early_bytes(&self) -> usize {
        match &self.stage {
            Stage::Unknown(early) => early.iter().map(Early::bytes).sum(),
            Stage::Up(_) => 0,
        }
    }
}

impl Early {
    fn bytes(&self) -> usize {
        match self {
            Early::Request(_, _, bytes, _) | Early::Gossip(_, _, bytes) => *bytes,
        }
    }
}

/// All connections. There is at most one per peer: the gate sees to it.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: BTreeMap<ConnectionId, Connection>,
    of_peer: BTreeMap<PeerId, ConnectionId>,
    of_number: BTreeMap<PeerNum, ConnectionId>,
    last_number: u64,
    /// Bytes that are held back, of all connections.
    early_bytes: usize,
}

impl Connections {
    pub(super) fn insert(&mut self, id: ConnectionId, connection: Connection) {
        self.of_peer.insert(connection.peer, id);
        self.all.insert(id, connection);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.all.get_mut(&id)
    }

    pub(super) fn stage(&self, id: ConnectionId) -> Option<&Stage> {
        self.all.get(&id).map(|connection| &connection.stage)
    }

    /// Who pays for what comes over a connection, once its peer is up.
    pub(super) fn payer(&self, id: ConnectionId) -> Option<Payer> {
        let connection = self.all.get(&id)?;
        match connection.stage {
            Stage::Up(peer) => Some(Payer {
                peer,
                group: connection.group,
            }),
            Stage::Unknown(_) => None,
        }
    }

    /// Keeps a message back until its peer is up; gives it back if that or all peers have sent too much.
    pub(super) fn hold_back(&mut self, id: ConnectionId, message: Early) -> Result<(), Early> {
        let bytes = message.bytes();
        let Some(connection) = self.all.get_mut(&id) else {
            return Err(message);
        };
        let fits = connection.early_bytes() + bytes <= MAX_EARLY_BYTES
            && self.early_bytes + bytes <= MAX_EARLY_BYTES_OF_ALL;
        match &mut connection.stage {
            Stage::Unknown(early) if early.len() < MAX_EARLY_MESSAGES && fits => {
                early.push(message);
                self.early_bytes += bytes;
                Ok(())
            }
            _ => Err(message),
        }
    }

    pub(super) fn is_unknown(&self, id: ConnectionId) -> bool {
        matches!(self.stage(id), Some(Stage::Unknown(_)))
    }

    pub(super) fn of_peer(&self, peer: PeerId) -> Option<ConnectionId> {
        self.of_peer.get(&peer).copied()
    }

    pub(super) fn of_number(&self, peer: PeerNum) -> Option<ConnectionId> {
        self.of_number.get(&peer).copied()
    }

    /// Notes that the peer's own dial was refused because this connection is being made.
    pub(super) fn contest(&mut self, peer: PeerId) {
        if let Some(connection) = self.of_peer(peer).and_then(|id| self.get_mut(id)) {
            connection.contested = true;
        }
    }

    /// Makes a peer known by a number that was never used before.
    fn number(&mut self, id: ConnectionId) -> PeerNum {
        let early = self.all.get(&id).map_or(0, Connection::early_bytes);
        self.early_bytes -= early;
        self.last_number += 1;
        let number = PeerNum(self.last_number);
        self.of_number.insert(number, id);
        number
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.all.remove(&id)?;
        self.early_bytes -= connection.early_bytes();
        if self.of_peer.get(&connection.peer) == Some(&id) {
            self.of_peer.remove(&connection.peer);
        }
        if let Stage::Up(number) = connection.stage {
            self.of_number.remove(&number);
        }
        Some(connection)
    }
}

impl<E: Fn(Told) -> Result<(), Full>> Driver<E> {
    /// A peer said who it is: it is up, or of another network and has to go.
    pub(super) fn introduced(&mut self, id: ConnectionId, info: identify::Info) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.ended.is_some() {
            return;
        }
        if info.protocol_version != self.protocol_version {
            let theirs: String = info
                .protocol_version
                .chars()
                .take(MAX_AGENT_CHARS)
                .collect();
            let problem = format!(
                "the peer is of another network: it speaks {theirs:?}, this node {:?}; start both with the same --genesis",
                self.protocol_version
            );
            connection.is_foreign = true;
            tracing::debug!(peer = %connection.peer, "{problem}");
            self.end(id, &problem);
            return;
        }
        if let Stage::Unknown(_) = connection.stage {
            self.up(id, &info.agent_version);
        }
        self.listens(id, info.listen_addrs);
    }

    fn up(&mut self, id: ConnectionId, agent: &str) {
        let number = self.connections.number(id);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut connection.stage, Stage::Up(number));
        connection.dial = None;
        let (parked, peer) = (connection.parked.take(), connection.peer);
        self.outlet.tell(Event::PeerUp {
            peer: number,
            peer_id: connection.peer.to_string(),
            address: connection.address.clone(),
            direction: connection.direction,
            agent: printable(agent),
        });
        if let Some(dial) = parked {
            self.give_up_met(dial, peer);
        }
        let Stage::Unknown(early) = before else {
            return;
        };
        for message in early {
            match message {
                Early::Request(inbound, request, bytes, channel) => {
                    self.asked(id, inbound, request, bytes, channel);
                }
                Early::Gossip(message, gossip, bytes) => {
                    self.gossiped(id, message, gossip, bytes);
                }
            }
        }
    }

    /// Tells where a peer listens, when that is news.
    fn listens(&mut self, id: ConnectionId, mut addresses: Vec<Multiaddr>) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Stage::Up(peer) = connection.stage else {
            return;
        };
        let group = connection.group;
        addresses.sort();
        addresses.dedup();
        addresses.truncate(MAX_LISTEN_ADDRESSES);
        if addresses == connection.listens || connection.listen_updates >= MAX_LISTEN_UPDATES {
            return;
        }
        connection.listen_updates += 1;
        connection.listens = addresses;
        let addresses: Vec<_> = connection
            .listens
            .iter()
            .filter_map(|address| address::with_peer(address, connection.peer))
            .filter(|address| address::parse(address).is_ok())
            .collect();
        if !addresses.is_empty() {
            let bytes = addresses.iter().map(String::len).sum();
            let payer = Payer { peer, group };
            let listens = Event::PeerListens { peer, addresses };
            self.outlet.tell_firmly(payer, bytes, listens);
        }
    }

    /// Ends a connection. The first reason counts.
    pub(super) fn end(&mut self, id: ConnectionId, reason: &str) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.ended.get_or_insert_with(|| reason.to_owned());
            self.swarm.close_connection(id);
        }
    }

    /// Ends the connection of a peer that costs too much. It may come back while there is room.
    pub(super) fn let_go(&mut self, id: ConnectionId, reason: &str) {
        if let Some(connection) = self.connections.get_mut(id) {
            let (peer, group) = (connection.peer, connection.group);
            self.swarm.behaviour_mut().seats.discourage(peer, group);
            self.end(id, reason);
        }
    }

    /// A peer came by a second connection. If the first one is dead (its machine died, its address changed) nobody may have told
    /// us; so it has to show that it lives, or makes room.
    pub(super) fn ask_for_a_sign_of_life(&mut self, peer: PeerId) {
        let Some(id) = self.connections.of_peer(peer) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        // When two nodes dial each other at once, the connection that won is as young as the one that was refused.
        let is_young = connection.since.elapsed() < PROOF_OF_LIFE;
        if is_young || std::mem::replace(&mut connection.is_doubted, true) {
            return;
        }
        let heard = self.heard(peer);
        let meter = self.traffic.meter_of(&peer);
        // Any question will do: the stream for it is answered by the peer's connection, however busy its node is.
        let question = Parcel::to_send(Request::Peers, meter);
        let exchange = &mut self.swarm.behaviour_mut().exchange;
        exchange.send_request(&peer, question);
        let timer = Timer::SignOfLife {
            connection: id,
            heard,
        };
        self.timers.set(Instant::now() + PROOF_OF_LIFE, timer);
    }

    /// The time for a sign of life is over.
    pub(super) fn expect_a_sign_of_life(&mut self, id: ConnectionId, heard: u64) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        connection.is_doubted = false;
        let peer = connection.peer;
        if self.heard(peer) <= heard {
            self.end(
                id,
                "the peer came back by another connection, and nothing comes over this one",
            );
        }
    }

    /// Bytes that came from a peer.
    fn heard(&self, peer: PeerId) -> u64 {
        let meter = self.traffic.meter_of(&peer);
        meter.map_or(0, |meter| meter.read().streams.received_bytes)
    }

    /// Ends every connection.
    pub(super) fn end_all(&mut self, reason: &str) {
        let ids: Vec<_> = self.connections.all.keys().copied().collect();
        for id in ids {
            self.end(id, reason);
        }
    }

    /// A connection has ended, for whatever reason.
    pub(super) fn closed(&mut self, id: ConnectionId, cause: Option<&ConnectionError>) {
        let Some(connection) = self.connections.remove(id) else {
            return;
        };
        let ours = connection.ended.is_some();
        let made_room = self.swarm.behaviour_mut().seats.take_made_room(id);
        let reason = connection.ended.unwrap_or_else(|| {
            if made_room {
                "it made room for another inbound connection".to_owned()
            } else {
                reason::of_end(cause)
            }
        });
        match connection.stage {
            Stage::Up(number) => {
                let payer = Payer {
                    peer: number,
                    group: connection.group,
                };
                self.forget_asked(payer, connection.asked);
                self.stop_serving(id, number);
                let down = Event::PeerDown {
                    peer: number,
                    reason,
                };
                self.outlet.tell_firmly(payer, 0, down);
            }
            Stage::Unknown(_) => {
                let parked = connection.parked.is_some();
                let dial = connection.dial.or(connection.parked);
                let Some(dial) = dial else { return };
                let collision = connection.contested || parked || dial.has_collided();
                if collision && !ours && self.local < connection.peer {
                    self.dial_again(dial);
                } else if connection.is_foreign {
                    self.give_up_for_good(dial, reason);
                } else if ours {
                    self.give_up(dial, reason);
                } else {
                    self.give_up(
                        dial,
                        format!(
                            "{reason} before it said its network: it may be full, connected to this node already, or refuse it"
                        ),
                    );
                }
            }
        }
    }
}

/// What a peer calls itself, cut and cleaned for logs and terminals.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_AGENT_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_write_to_the_terminal_through_its_name() {
        assert_eq!(printable("mend/0.1\u{1b}[2J\n"), "mend/0.1[2J");
        assert_eq!(printable(&"x".repeat(10_000)).len(), MAX_AGENT_CHARS);
    }

    #[test]
    fn a_peer_that_comes_back_gets_a_new_number() {
        let mut connections = Connections::default();
        let peer = PeerId::random();
        let mut seen = BTreeSet::new();
        for i in 0..3 {
            let id = ConnectionId::new_unchecked(i);
            connections.insert(
                id,
                Connection::new(peer, Direction::Inbound, String::new(), None, None),
            );
            let number = connections.number(id);
            connections.get_mut(id).unwrap().stage = Stage::Up(number);
            assert!(seen.insert(number));
            assert_eq!(connections.of_number(number), Some(id));
            connections.remove(id);
            assert_eq!(connections.of_number(number), None);
            assert_eq!(connections.of_peer(peer), None);
        }
    }
}
