//! [`Driver`]: turns commands into library calls and library events into ours.
//!
//! This file dispatches. What is known of each connection is in [`connections`], dials and their collisions in [`dials`],
//! questions and answers in [`requests`], gossip in [`relay`].

mod connections;
mod dials;
mod outlet;
mod relay;
mod requests;
mod timers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::core::transport::TransportError;
use libp2p::identity::Keypair;
use libp2p::swarm::{DialError, ListenError, SwarmEvent};
use libp2p::{PeerId, Swarm, identify, ping};
use tokio::sync::mpsc;

use self::connections::{Connection, Connections};
use self::dials::{Dial, LookedUp};
use self::outlet::Outlet;
use self::requests::Requests;
use self::timers::Timers;
use super::address;
use super::behaviour::{Behaviour, BehaviourEvent};
use super::gossip::{Topics, Verdicts};
use super::names::protocol_version;
use super::throttle::Throttle;
use super::{Command, Event, SwarmConfig, SwarmError, Told, Traffic, listen, reason, transport};
use crate::budget::{AddressGroup, Full};
use crate::wire::limits::IDENTIFY_TIMEOUT;
use crate::{Direction, Mono};

/// A connection is never ended for being idle: gossip is silent between blocks. Ping finds the dead ones.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 365 * 86_400);
/// When leaving, peers are told so for at most this long.
const FAREWELL: Duration = Duration::from_millis(500);

/// What is due.
#[derive(Debug)]
enum Timer {
    /// A peer must have said its network by now.
    Introduction(libp2p::swarm::ConnectionId),
    /// Something must have come over a connection whose peer came back by another one: more than was heard by then, in bytes.
    SignOfLife {
        /// The old connection.
        connection: libp2p::swarm::ConnectionId,
        /// Bytes that had come over it.
        heard: u64,
    },
    /// A dial that met a dial from the other side is tried again.
    Redial(Dial),
}

/// The swarm and what is known of its connections.
pub(super) struct Driver<E> {
    swarm: Swarm<Behaviour>,
    local: PeerId,
    protocol_version: String,
    topics: Topics,
    traffic: Arc<Traffic>,
    outlet: Outlet<E>,
    connections: Connections,
    dialling: BTreeMap<libp2p::swarm::ConnectionId, Dial>,
    lookups: (
        mpsc::UnboundedSender<LookedUp>,
        mpsc::UnboundedReceiver<LookedUp>,
    ),
    requests: Requests,
    verdicts: Verdicts,
    timers: Timers<Timer>,
    refusals: Throttle,
    rubbish: Throttle,
    /// Where [`Mono`] begins.
    started: Instant,
}

impl<E: Fn(Told) -> Result<(), Full>> Driver<E> {
    pub(super) fn new(
        config: &SwarmConfig,
        key: &Keypair,
        events: E,
        traffic: Arc<Traffic>,
    ) -> Result<Driver<E>, SwarmError> {
        let topics = Topics::new(&config.network);
        let behaviour = Behaviour::new(config, key, &topics, traffic.clone())?;
        let local = key.public().to_peer_id();
        let swarm = Swarm::new(
            transport::build(key, traffic.clone())?,
            behaviour,
            local,
            libp2p::swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT),
        );
        Ok(Driver {
            swarm,
            local,
            protocol_version: protocol_version(&config.network),
            topics,
            traffic,
            outlet: Outlet::new(events),
            connections: Connections::default(),
            dialling: BTreeMap::new(),
            lookups: mpsc::unbounded_channel(),
            requests: Requests::default(),
            verdicts: Verdicts::default(),
            timers: Timers::default(),
            refusals: Throttle::default(),
            rubbish: Throttle::default(),
            started: Instant::now(),
        })
    }

    /// A time as the budgets take it.
    fn mono(&self, at: Instant) -> Mono {
        Mono::ZERO + at.saturating_duration_since(self.started)
    }

    /// Starts to listen.
    pub(super) fn listen(&mut self, socket: SocketAddr) -> Result<(), SwarmError> {
        let listening = self.swarm.listen_on(address::multiaddr(socket));
        listening.map(drop).map_err(|error| match error {
            TransportError::Other(error) => listen::unusable(&socket.to_string(), &error),
            TransportError::MultiaddrNotSupported(_) => SwarmError::new(format!(
                "cannot listen on {socket}; choose another --listen"
            )),
        })
    }

    /// Serves commands and the network until told to leave.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            let slow = self.requests.next_too_slow();
            let slow = slow.map(|at| self.started + at.since(Mono::ZERO));
            let deadline = [self.timers.next(), slow].into_iter().flatten().min();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Shutdown) | None => break,
                    Some(command) => self.command(command),
                },
                event = self.swarm.select_next_some() => self.network(event),
                Some(found) = self.lookups.1.recv() => self.looked_up(found),
                () = timers::until(deadline) => self.expire(Instant::now()),
            }
        }
        self.leave().await;
    }

    /// Ends all connections, so that peers notice at once.
    async fn leave(mut self) {
        self.end_all("this node is shutting down");
        let farewell = async {
            while !self.connections.is_empty() {
                let event = self.swarm.select_next_some().await;
                self.network(event);
            }
        };
        // Who does not listen any more is left without a farewell.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Dial(address) => self.dial(address),
            Command::Disconnect(peer) => {
                if let Some(id) = self.connections.of_number(peer) {
                    self.end(id, "this node ended the connection");
                }
            }
            Command::Request { peer, id, request } => self.ask(peer, id, request),
            Command::Answer { token, response } => self.answer(token, response),
            Command::Publish(gossip) => self.publish(&gossip),
            Command::Verdict { id, verdict } => self.judge(id, verdict),
            Command::Ban { peer_id, banned } => self.ban(&peer_id, banned),
            Command::SetActive(active) => self.set_active(active),
            // Seen by the loop; it does not come here.
            Command::Shutdown => {}
        }
    }

    fn network(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.connected(connection_id, peer_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed {
                connection_id,
                cause,
                ..
            } => {
                self.closed(connection_id, cause.as_ref());
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => {
                self.dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                peer_id,
                ..
            } => {
                self.inbound_refused(&send_back_addr.to_string(), peer_id, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                if let Some(address) = address::with_peer(&address, self.local) {
                    self.outlet.tell(Event::Listening { address });
                }
            }
            SwarmEvent::ListenerClosed {
                addresses,
                reason: Err(error),
                ..
            } => {
                tracing::error!(?addresses, %error, "no longer listening; restart the node");
            }
            SwarmEvent::ListenerError { error, .. } => {
                if let Some(more) = self.refusals.pass(Instant::now()) {
                    tracing::warn!(%error, more, "cannot accept a connection");
                }
            }
            _ => {}
        }
    }

    fn behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received {
                connection_id,
                info,
                ..
            }) => {
                self.introduced(connection_id, info);
            }
            BehaviourEvent::Identify(identify::Event::Error {
                connection_id,
                error,
                ..
            }) => {
                if self.connections.is_unknown(connection_id) {
                    let problem = format!("the peer did not say its network: {error}");
                    self.end(connection_id, &problem);
                }
            }
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Ping(ping::Event {
                connection, result, ..
            }) => {
                self.pinged(connection, result);
            }
            BehaviourEvent::Gossip(event) => self.gossip(event),
            BehaviourEvent::Exchange(event) => self.exchange(event),
            // These never say anything.
            BehaviourEvent::Gate(never) => match never {},
            BehaviourEvent::Banned(never) => match never {},
            BehaviourEvent::Limits(never) => match never {},
            BehaviourEvent::Seats(never) => match never {},
        }
    }

    fn connected(
        &mut self,
        id: libp2p::swarm::ConnectionId,
        peer: PeerId,
        endpoint: &ConnectedPoint,
    ) {
        let dial = self.dialling.remove(&id);
        let direction = if endpoint.is_dialer() {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        let address = match &dial {
            Some(dial) => dial.text.clone(),
            None => endpoint.get_remote_address().to_string(),
        };
        let group = address::ip_of(endpoint.get_remote_address()).and_then(AddressGroup::of);
        self.connections
            .insert(id, Connection::new(peer, direction, address, group, dial));
        self.timers
            .set(Instant::now() + IDENTIFY_TIMEOUT, Timer::Introduction(id));
    }

    fn inbound_refused(&mut self, from: &str, peer: Option<PeerId>, error: &ListenError) {
        if let (ListenError::Denied { cause }, Some(peer)) = (error, peer)
            && reason::is_duplicate(cause)
        {
            self.connections.contest(peer);
            self.ask_for_a_sign_of_life(peer);
        }
        if let Some(more) = self.refusals.pass(Instant::now()) {
            let reason = reason::of_listen(error);
            tracing::debug!(from, reason, more, "inbound connection not taken");
        }
    }

    fn dial_failed(
        &mut self,
        id: libp2p::swarm::ConnectionId,
        peer: Option<PeerId>,
        error: &DialError,
    ) {
        let Some(dial) = self.dialling.remove(&id) else {
            return;
        };
        match (error, peer) {
            (DialError::Denied { cause }, Some(peer)) if reason::is_duplicate(cause) => {
                self.collided(dial, peer);
            }
            (DialError::LocalPeerId { .. }, _) => self.own_identity_answers(dial),
            (DialError::WrongPeerId { .. }, _) => {
                self.give_up_for_good(dial, reason::of_dial(error));
            }
            (DialError::Transport(_), _) => self.dial_next(dial, reason::of_dial(error)),
            _ => self.give_up(dial, reason::of_dial(error)),
        }
    }

    fn pinged(&mut self, id: libp2p::swarm::ConnectionId, result: Result<Duration, ping::Failure>) {
        match result {
            Ok(time) => {
                if let Some(payer) = self.connections.payer(id) {
                    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
                    self.swarm.behaviour_mut().seats.pinged(id, micros);
                    let peer = payer.peer;
                    let ping = Event::Ping { peer, micros };
                    self.outlet.tell_firmly(payer, 0, ping);
                }
            }
            Err(ping::Failure::Unsupported) => {}
            Err(ping::Failure::Timeout | ping::Failure::Other { .. }) => {
                self.end(id, "the peer does not answer pings");
            }
        }
    }

    fn ban(&mut self, peer_id: &str, banned: bool) {
        let Ok(peer) = peer_id.parse::<PeerId>() else {
            tracing::warn!(peer_id, "not a peer id, so nobody is banned");
            return;
        };
        if banned {
            if let Some(id) = self.connections.of_peer(peer) {
                self.end(id, "the peer was banned");
            }
            self.swarm.behaviour_mut().banned.block_peer(peer);
        } else {
            self.swarm.behaviour_mut().banned.unblock_peer(peer);
        }
    }

    fn set_active(&mut self, active: bool) {
        self.swarm.behaviour_mut().gate.set_open(active);
        if !active {
            self.end_all("networking was turned off");
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Introduction(id) => {
                    if self.connections.is_unknown(id) {
                        self.end(id, "the peer did not say its network in time");
                    }
                }
                Timer::Redial(dial) => self.start_dial(dial),
                Timer::SignOfLife { connection, heard } => {
                    self.expect_a_sign_of_life(connection, heard);
                }
            }
        }
        self.let_slow_readers_go(now);
    }
}
