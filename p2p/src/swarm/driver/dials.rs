//! Dials: from an address in words to a connection, and what happens when two nodes dial each other at once.
//!
//! Each side refuses a second connection to the same peer. When both dial at once, each may keep its own and refuse the other's,
//! and both are lost. Then the node with the smaller peer id dials again, and the other one does not.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::swarm::dial_opts::DialOpts;

use super::{Driver, Timer};
use crate::Direction;
use crate::budget::Full;
use crate::swarm::address::{self, Place};
use crate::swarm::{Event, Told, listen, reason};

/// A dial that met one from the other side is tried again this often at most: the last time 1.3 s after the one before, when the
/// other side has long found out that its own dial was refused.
const MAX_COLLISIONS: u32 = 8;
/// Wait before the first time; doubled each time.
const COLLISION_PAUSE: Duration = Duration::from_millis(10);
/// Addresses of one name that are tried.
const MAX_ADDRESSES_OF_A_NAME: usize = 4;

/// A dial under way.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    /// As it was told.
    pub(super) text: String,
    /// Who must answer; anyone if `None`.
    peer: Option<PeerId>,
    /// Where, in the order to try.
    sockets: Vec<SocketAddr>,
    /// What is left to try this time.
    left: VecDeque<SocketAddr>,
    collisions: u32,
}

impl Dial {
    /// Whether this dial met one from the other side before. While the other side still takes its own refused connection for a
    /// good one, it refuses the next one as well.
    pub(super) fn has_collided(&self) -> bool {
        self.collisions > 0
    }
}

/// A name that was looked up for a dial.
#[derive(Debug)]
pub(super) struct LookedUp {
    text: String,
    peer: Option<PeerId>,
    found: Result<Vec<SocketAddr>, String>,
}

impl<E: Fn(Told) -> Result<(), Full>> Driver<E> {
    /// Starts a dial to an address in words.
    pub(super) fn dial(&mut self, text: String) {
        if !self.swarm.behaviour().gate.is_open() {
            let reason = crate::swarm::gate::Refused::Off.to_string();
            self.fail_dial(text, reason, false);
            return;
        }
        let target = match address::parse(&text) {
            Ok(target) => target,
            Err(reason) => {
                self.fail_dial(text, reason, true);
                return;
            }
        };
        let peer = target.peer;
        match target.place {
            Place::Socket(socket) => {
                self.looked_up(LookedUp {
                    text,
                    peer,
                    found: Ok(vec![socket]),
                });
            }
            Place::Name { host, port, family } => {
                let done = self.lookups.0.clone();
                tokio::spawn(async move {
                    let found = listen::look_up(&host, port, family).await;
                    // The driver is gone when the node is shutting down; then nobody waits for this.
                    let _ = done.send(LookedUp { text, peer, found });
                });
            }
        }
    }

    /// Goes on with a dial whose sockets are known.
    pub(super) fn looked_up(&mut self, looked_up: LookedUp) {
        let LookedUp { text, peer, found } = looked_up;
        match found {
            Ok(mut sockets) => {
                sockets.truncate(MAX_ADDRESSES_OF_A_NAME);
                self.start_dial(Dial {
                    text,
                    peer,
                    sockets,
                    left: VecDeque::new(),
                    collisions: 0,
                });
            }
            Err(reason) => self.fail_dial(text, reason, false),
        }
    }

    /// Tries all sockets of a dial from the first on.
    pub(super) fn start_dial(&mut self, mut dial: Dial) {
        dial.left = dial.sockets.iter().copied().collect();
        self.dial_next(dial, "no address to dial".to_owned());
    }

    /// Tries the next socket; `failure` tells why the one before failed.
    pub(super) fn dial_next(&mut self, mut dial: Dial, failure: String) {
        let Some(socket) = dial.left.pop_front() else {
            self.give_up(dial, failure);
            return;
        };
        let address = address::multiaddr(socket);
        // A fresh local port each time: with the listening port, a redial soon after a cut would meet the old connection's
        // remains, and two nodes that dial each other would open one TCP connection from both ends.
        let options = match dial.peer {
            Some(peer) => DialOpts::peer_id(peer)
                .addresses(vec![address])
                .allocate_new_port()
                .build(),
            None => DialOpts::unknown_peer_id()
                .address(address)
                .allocate_new_port()
                .build(),
        };
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dialling.insert(id, dial);
            }
            Err(error) => self.give_up(dial, reason::of_dial(&error)),
        }
    }

    /// A dial reached a peer that is connected already.
    pub(super) fn collided(&mut self, dial: Dial, peer: PeerId) {
        self.ask_for_a_sign_of_life(peer);
        let local = self.local;
        let existing = self
            .connections
            .of_peer(peer)
            .filter(|id| self.connections.is_unknown(*id));
        if let Some(connection) = existing.and_then(|id| self.connections.get_mut(id))
            && connection.direction == Direction::Inbound
            && connection.parked.is_none()
            && local < peer
        {
            connection.parked = Some(dial);
            return;
        }
        self.give_up_met(dial, peer);
    }

    /// Tries a dial again that was lost to one from the other side.
    pub(super) fn dial_again(&mut self, mut dial: Dial) {
        if dial.collisions >= MAX_COLLISIONS {
            self.give_up(
                dial,
                "both nodes dialled each other again and again".to_owned(),
            );
            return;
        }
        let pause = COLLISION_PAUSE * 2u32.pow(dial.collisions);
        dial.collisions += 1;
        self.timers.set(Instant::now() + pause, Timer::Redial(dial));
    }

    /// Tells that a dial came to nothing because its peer is connected already, and who that is.
    pub(super) fn give_up_met(&self, dial: Dial, peer: PeerId) {
        self.outlet.tell(Event::DialMet {
            address: dial.text.clone(),
            peer_id: peer.to_string(),
        });
        self.give_up(dial, "already connected to this peer".to_owned());
    }

    /// Tells that a dial came to nothing.
    pub(super) fn give_up(&self, dial: Dial, reason: String) {
        self.fail_dial(dial.text, reason, false);
    }

    /// As [`Driver::give_up`], for a reason that will not pass by itself.
    pub(super) fn give_up_for_good(&self, dial: Dial, reason: String) {
        self.fail_dial(dial.text, reason, true);
    }

    fn fail_dial(&self, address: String, reason: String, lasting: bool) {
        self.outlet.tell(Event::DialFailed {
            address,
            reason,
            lasting,
        });
    }

    /// A dial led to this node's own identity: to itself, or to a node that was started on a copy of its folder.
    pub(super) fn own_identity_answers(&self, dial: Dial) {
        let own = |at: &SocketAddr| {
            self.swarm
                .listeners()
                .any(|own| *own == address::multiaddr(*at))
        };
        let reason = if dial.sockets.iter().any(own) {
            "that address is this node itself; give the address of another node"
        } else {
            "the node there has this node's own identity: one of the two data directories is a copy of the other; stop one node, \
             delete the file node.key in its data directory, and start it again"
        };
        self.give_up_for_good(dial, reason.to_owned());
    }
}
