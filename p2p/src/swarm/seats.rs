//! [`Seats`]: inbound connections, bounded: one that is good for little makes room for one more.
//!
//! Whom to let go is decided by [`to_evict`]; here is what it has to know, and who was discouraged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::address;
use crate::Mono;
use crate::budget::{AddressGroup, Seat, to_evict};
use crate::wire::limits::{DISCOURAGED, GROUP_SHARE_OF_INBOUND, MAX_DISCOURAGED};

/// Why an inbound connection gets no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoSeat {
    /// Nobody has to go for it.
    #[error("no more than {0} inbound connections are allowed")]
    Full(usize),
    /// Its group of addresses has its share.
    #[error("its network has {0} inbound connections already, as many as one may")]
    GroupFull(usize),
    /// It cost too much before, and seats are few.
    #[error("it was let go for what it cost, and few places are free")]
    Discouraged,
}

/// Inbound connections and who was discouraged.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    seats: BTreeMap<ConnectionId, (PeerId, Seat<ConnectionId>)>,
    /// Connections that have to go.
    evicted: VecDeque<(PeerId, ConnectionId)>,
    /// Connections that had to go, until their end is told.
    made_room: BTreeSet<ConnectionId>,
    discouraged: VecDeque<Discouraged>,
    started: Instant,
    random: RandomState,
    draws: u64,
}

#[derive(Clone, Copy, Debug)]
struct Discouraged {
    peer: PeerId,
    group: Option<AddressGroup>,
    until: Instant,
}

impl Seats {
    /// At most `most` inbound connections.
    pub(super) fn new(most: u32) -> Seats {
        Seats {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            seats: BTreeMap::new(),
            evicted: VecDeque::new(),
            made_room: BTreeSet::new(),
            discouraged: VecDeque::new(),
            started: Instant::now(),
            random: RandomState::new(),
            draws: 0,
        }
    }

    /// A round trip of a peer took so long.
    pub(super) fn pinged(&mut self, id: ConnectionId, micros: u64) {
        if let Some((_, seat)) = self.seats.get_mut(&id) {
            let least = seat.ping_micros.map_or(micros, |least| least.min(micros));
            seat.ping_micros = Some(least);
        }
    }

    /// A peer told something that was new and good.
    pub(super) fn was_useful(&mut self, id: ConnectionId, told_a_block: bool) {
        let now = self.mono();
        if let Some((_, seat)) = self.seats.get_mut(&id) {
            if told_a_block {
                seat.last_block = Some(now);
            } else {
                seat.last_payment = Some(now);
            }
        }
    }

    /// A peer cost too much: for a while it and its group are taken only while most seats are free.
    pub(super) fn discourage(&mut self, peer: PeerId, group: Option<AddressGroup>) {
        let until = Instant::now() + DISCOURAGED;
        self.discouraged
            .push_back(Discouraged { peer, group, until });
        if self.discouraged.len() > MAX_DISCOURAGED {
            self.discouraged.pop_front();
        }
    }

    /// Whether a connection that ended had to make room.
    pub(super) fn take_made_room(&mut self, id: ConnectionId) -> bool {
        self.made_room.remove(&id)
    }

    fn is_discouraged(&self, peer: &PeerId, group: Option<AddressGroup>) -> bool {
        let now = Instant::now();
        self.discouraged.iter().any(|entry| {
            let same = entry.peer == *peer || (group.is_some() && entry.group == group);
            same && now < entry.until
        })
    }

    fn check(&self, peer: &PeerId, group: Option<AddressGroup>) -> Result<(), NoSeat> {
        let share = (self.most / GROUP_SHARE_OF_INBOUND).max(1);
        let of_group = self.seats.values().filter(|(_, seat)| seat.group == group);
        if group.is_some() && of_group.count() >= share {
            return Err(NoSeat::GroupFull(share));
        }
        if self.seats.len() * 2 >= self.most && self.is_discouraged(peer, group) {
            return Err(NoSeat::Discouraged);
        }
        if self.seats.len() >= self.most && self.choose(0).is_none() {
            return Err(NoSeat::Full(self.most));
        }
        Ok(())
    }

    fn choose(&self, lot: u64) -> Option<ConnectionId> {
        let seats: Vec<_> = self.seats.values().map(|(_, seat)| seat.clone()).collect();
        to_evict(&seats, lot)
    }

    /// Gives a seat, and takes another one if there are too many.
    fn seat(&mut self, id: ConnectionId, peer: PeerId, remote: &Multiaddr) {
        if self.seats.len() >= self.most {
            self.draws += 1;
            let lot = self.random.hash_one(self.draws);
            if let Some(victim) = self.choose(lot)
                && let Some((peer, _)) = self.seats.remove(&victim)
            {
                self.evicted.push_back((peer, victim));
                self.made_room.insert(victim);
            }
        }
        let group = group_of(remote);
        let seat = Seat {
            name: id,
            group,
            since: self.mono(),
            ping_micros: None,
            last_block: None,
            last_payment: None,
            discouraged: self.is_discouraged(&peer, group),
        };
        self.seats.insert(id, (peer, seat));
    }

    fn mono(&self) -> Mono {
        Mono::ZERO + self.started.elapsed()
    }
}

fn group_of(remote: &Multiaddr) -> Option<AddressGroup> {
    address::ip_of(remote).and_then(AddressGroup::of)
}

impl NetworkBehaviour for Seats {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(&peer, group_of(remote))
            .map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(made) if made.endpoint.is_listener() => {
                let remote = made.endpoint.get_remote_address().clone();
                self.seat(made.connection_id, made.peer_id, &remote);
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.seats.remove(&closed.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        match self.evicted.pop_front() {
            Some((peer_id, id)) => {
                tracing::debug!(peer = %peer_id, "an inbound connection makes room for another one");
                Poll::Ready(ToSwarm::CloseConnection {
                    peer_id,
                    connection: CloseConnection::One(id),
                })
            }
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(host: &str, port: u16) -> Multiaddr {
        format!("/ip4/{host}/tcp/{port}").parse().unwrap()
    }

    fn fill(seats: &mut Seats, host: &str, count: usize) {
        for number in 0..count {
            let id = ConnectionId::new_unchecked(seats.seats.len() + number * 1_000 + 1);
            seats.seat(id, PeerId::random(), &remote(host, 1));
        }
    }

    #[test]
    fn a_full_house_lets_one_go_for_each_that_comes() {
        let mut seats = Seats::new(10);
        fill(&mut seats, "127.0.0.1", 10);
        assert!(seats.evicted.is_empty());
        assert_eq!(seats.check(&PeerId::random(), None), Ok(()));
        let id = ConnectionId::new_unchecked(77_777);
        seats.seat(id, PeerId::random(), &remote("127.0.0.1", 2));
        assert_eq!((seats.seats.len(), seats.evicted.len()), (10, 1));
        assert!(
            seats.seats.contains_key(&id),
            "whoever came is not the one to go"
        );
        assert!(Seats::new(0).check(&PeerId::random(), None).is_err());
    }

    #[test]
    fn a_group_has_a_share_and_this_machine_is_no_group() {
        let mut seats = Seats::new(40);
        fill(&mut seats, "8.8.1.1", 10);
        let group = |ip: &str| AddressGroup::of(ip.parse().unwrap());
        let stranger = PeerId::random();
        assert_eq!(
            seats.check(&stranger, group("8.8.77.1")),
            Err(NoSeat::GroupFull(10))
        );
        assert_eq!(seats.check(&stranger, group("8.9.1.1")), Ok(()));
        let mut seats = Seats::new(40);
        fill(&mut seats, "127.0.0.1", 40);
        assert_eq!(seats.check(&stranger, None), Ok(()));
    }

    #[test]
    fn the_discouraged_come_in_only_while_there_is_room() {
        let mut seats = Seats::new(10);
        let costly = PeerId::random();
        let group = AddressGroup::of("8.8.8.8".parse().unwrap());
        seats.discourage(costly, group);
        assert_eq!(seats.check(&costly, None), Ok(()));
        fill(&mut seats, "127.0.0.1", 5);
        assert_eq!(seats.check(&costly, None), Err(NoSeat::Discouraged));
        let fresh_identity = PeerId::random();
        assert_eq!(
            seats.check(&fresh_identity, group),
            Err(NoSeat::Discouraged)
        );
        assert_eq!(seats.check(&fresh_identity, None), Ok(()));
    }
}
