//! [`Gate`]: who may connect at all, asked before any other behaviour hears of a connection.
//!
//! Gossipsub tells its subscriptions only on the first of several connections to a peer. So a second connection is
//! refused here, before it exists for the others; which of two simultaneous dials survives is settled in
//! [`driver::dials`](super::driver).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// Why the gate is shut for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Networking is off.
    #[error("networking is off; turn it on with setnetworkactive true")]
    Off,
    /// There is one connection to this peer already.
    #[error("already connected to this peer")]
    Duplicate,
}

/// Lets at most one connection per peer through, and none while networking is off.
#[derive(Debug)]
pub(super) struct Gate {
    open: bool,
    established: BTreeMap<PeerId, ConnectionId>,
}

impl Gate {
    /// A gate that lets peers through.
    pub(super) fn open() -> Gate {
        Gate {
            open: true,
            established: BTreeMap::new(),
        }
    }

    /// Opens or shuts the gate. Connections that exist are not touched.
    pub(super) fn set_open(&mut self, open: bool) {
        self.open = open;
    }

    /// Whether connections are let through.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    fn check_open(&self) -> Result<(), ConnectionDenied> {
        if self.open {
            Ok(())
        } else {
            Err(ConnectionDenied::new(Refused::Off))
        }
    }

    fn check_established(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        self.check_open()?;
        if self.established.contains_key(peer) {
            return Err(ConnectionDenied::new(Refused::Duplicate));
        }
        Ok(())
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.check_open()
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check_established(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.check_open()?;
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check_established(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(made) => {
                self.established.insert(made.peer_id, made.connection_id);
            }
            FromSwarm::ConnectionClosed(closed)
                if self.established.get(&closed.peer_id) == Some(&closed.connection_id) =>
            {
                self.established.remove(&closed.peer_id);
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
        Poll::Pending
    }
}
