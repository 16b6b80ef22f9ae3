//! Links and connections: who can talk to whom, and when what is sent arrives.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::link::model::{LaneClock, RETRANSMISSION_US};
use crate::link::{Flow, LinkSettings};

/// A connection, by a number that is never used again. Both ends know each other by it.
pub(super) type ConnId = u64;

/// A link that one node dials.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Links that are alike share them: few lines of the cache instead of some for each link.
    pub(super) settings: Arc<LinkSettings>,
    /// The partition cuts it.
    pub(super) cut: bool,
}

/// An open connection over a link.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) link: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    clocks: [LaneClock; 2],
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) connection: ConnId,
    pub(super) node: usize,
}

/// A message that waits for its lane to open.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: usize,
    pub(super) number: u64,
}

/// All links and open connections.
#[derive(Debug, Default)]
pub(super) struct Wires {
    pub(super) links: Vec<Link>,
    by_pair: BTreeMap<(usize, usize), usize>,
    /// By number; `None` once they have ended.
    connections: Vec<Option<Connection>>,
    /// What was sent over a connection while its lane was stalled, for either end that sends.
    held: BTreeMap<ConnId, [Vec<Held>; 2]>,
    /// Of each node, in order of the connections' numbers.
    pub(super) neighbours: Vec<Vec<Neighbour>>,
}

/// When a message arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// At these times: once, or twice when it is doubled.
    At(u64, Option<u64>),
    /// Never.
    Lost,
    /// When the lane opens.
    Held,
}

impl Wires {
    pub(super) fn new(nodes: usize) -> Wires {
        Wires {
            neighbours: vec![Vec::new(); nodes],
            // Numbers start at 1.
            connections: vec![None],
            ..Wires::default()
        }
    }

    pub(super) fn add_link(&mut self, from: usize, to: usize, settings: Arc<LinkSettings>) {
        self.by_pair.insert((from, to), self.links.len());
        self.links.push(Link {
            from,
            to,
            settings,
            cut: false,
        });
    }

    /// The settings of a link, to change.
    pub(super) fn settings_mut(&mut self, link: usize) -> &mut LinkSettings {
        Arc::make_mut(&mut self.links[link].settings)
    }

    /// The link between two nodes, whoever dials.
    pub(super) fn link_between(&self, a: usize, b: usize) -> Option<usize> {
        let found = self.by_pair.get(&(a, b)).or(self.by_pair.get(&(b, a)));
        found.copied()
    }

    /// How long a handshake over the link takes: three round trips (TCP, Noise, Yamux with identify).
    pub(super) fn handshake_us(&self, link: usize) -> u64 {
        let settings = &self.links[link].settings;
        let round_trip =
            u64::from(settings.forward.delay_ms) + u64::from(settings.backward.delay_ms);
        (3 * round_trip * 1_000).max(1_000)
    }

    /// Whether a connection can be made.
    pub(super) fn can_connect(&self, link: usize) -> bool {
        let link = &self.links[link];
        let stalled = |flow| flow == Flow::Stalled;
        !link.cut
            && !stalled(link.settings.forward.flow)
            && !stalled(link.settings.backward.flow)
            && !self.are_connected(link.from, link.to)
    }

    fn are_connected(&self, a: usize, b: usize) -> bool {
        self.neighbours[a].iter().any(|other| other.node == b)
    }

    pub(super) fn open(&mut self, link: usize) -> ConnId {
        let number = self.connections.len() as ConnId;
        let (from, to) = (self.links[link].from, self.links[link].to);
        // Numbers grow, so that the lists stay in order.
        for (end, other) in [(from, to), (to, from)] {
            self.neighbours[end].push(Neighbour {
                connection: number,
                node: other,
            });
        }
        self.connections.push(Some(Connection {
            link,
            from,
            to,
            clocks: [LaneClock::default(); 2],
        }));
        number
    }

    /// Ends a connection; its two ends and the messages that waited on its lanes, if it was open.
    pub(super) fn close(&mut self, connection: ConnId) -> Option<(Connection, Vec<Held>)> {
        let ended = self.connections.get_mut(connection as usize)?.take()?;
        for end in [ended.from, ended.to] {
            self.neighbours[end].retain(|other| other.connection != connection);
        }
        let held = self.held.remove(&connection).unwrap_or_default();
        Some((ended, held.into_iter().flatten().collect()))
    }

    /// The other end of an open connection.
    pub(super) fn other_end(&self, connection: ConnId, node: usize) -> Option<usize> {
        match self.connections.get(connection as usize)? {
            Some(open) if open.from == node => Some(open.to),
            Some(open) if open.to == node => Some(open.from),
            _ => None,
        }
    }

    /// The open connections of a link.
    pub(super) fn connections_of(&self, link: usize) -> Vec<ConnId> {
        let from = self.links[link].from;
        let of_link = |number: &ConnId| {
            let open = self.connections[*number as usize].as_ref();
            open.is_some_and(|open| open.link == link)
        };
        self.neighbours[from]
            .iter()
            .map(|other| other.connection)
            .filter(of_link)
            .collect()
    }

    /// Sends a message from one end; it is known as `number` if it has to wait.
    ///
    /// With `reliable`, it belongs to a stream that is never lost, doubled or out of order: a lost message comes later.
    pub(super) fn send(
        &mut self,
        now_us: u64,
        connection: ConnId,
        sender: usize,
        message: Held,
        reliable: bool,
        rng: &mut ChaCha8Rng,
    ) -> Arrival {
        let Some(Some(open)) = self.connections.get_mut(connection as usize) else {
            return Arrival::Lost;
        };
        let settings = &self.links[open.link].settings;
        let (side, lane) = match sender == open.from {
            true => (0, &settings.forward),
            false => (1, &settings.backward),
        };
        if lane.flow == Flow::Stalled {
            self.held.entry(connection).or_default()[side].push(message);
            return Arrival::Held;
        }
        let clock = &mut open.clocks[side];
        if reliable {
            return Arrival::At(clock.stream(now_us, message.bytes, lane, rng), None);
        }
        let passage = clock.message(now_us, message.bytes, lane, rng);
        match passage.first {
            Some(first) => Arrival::At(first, passage.second),
            None => Arrival::Lost,
        }
    }

    /// What waits on a link's lanes that are open now, with the sender of each.
    pub(super) fn release(&mut self, link: usize) -> Vec<(ConnId, usize, Held)> {
        let mut released = Vec::new();
        for number in self.connections_of(link) {
            let Some(Some(open)) = self.connections.get(number as usize) else {
                continue;
            };
            let Some(held) = self.held.get_mut(&number) else {
                continue;
            };
            let settings = &self.links[link].settings;
            let flows = [settings.forward.flow, settings.backward.flow];
            let ends = [open.from, open.to];
            for side in 0..2 {
                if flows[side] == Flow::Open {
                    let held = std::mem::take(&mut held[side]);
                    released.extend(
                        held.into_iter()
                            .map(|message| (number, ends[side], message)),
                    );
                }
            }
        }
        released
    }
}

/// A reset is noticed by the other end after about this.
pub(super) const RESET_US: u64 = 1_000;
/// A request without answer fails after this, as in the swarm.
pub(super) const REQUEST_TIMEOUT_US: u64 = p2p::wire::limits::BLOCKS_TIMEOUT.as_micros() as u64;
/// A dial that meets nobody fails after this: one retransmission of the first packet.
pub(super) const DIAL_FAILS_US: u64 = RETRANSMISSION_US;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::link::Lane;

    fn wires() -> (Wires, ChaCha8Rng) {
        let mut wires = Wires::new(3);
        wires.add_link(0, 1, Arc::new(LinkSettings::both(Lane::delayed(10))));
        wires.add_link(2, 1, Arc::default());
        (wires, ChaCha8Rng::seed_from_u64(1))
    }

    fn message(number: u64) -> Held {
        Held { bytes: 100, number }
    }

    #[test]
    fn a_pair_of_nodes_has_one_connection() {
        let (mut wires, _) = wires();
        assert_eq!(wires.link_between(1, 0), Some(0));
        assert!(wires.can_connect(0));
        let connection = wires.open(0);
        assert!(!wires.can_connect(0) && wires.can_connect(1));
        assert_eq!(wires.other_end(connection, 0), Some(1));
        assert_eq!(wires.connections_of(0), [connection]);
        wires.close(connection);
        assert!(wires.can_connect(0) && wires.other_end(connection, 0).is_none());
        assert_ne!(wires.open(0), connection);
    }

    #[test]
    fn stalled_messages_wait_and_are_released_in_order() {
        let (mut wires, mut rng) = wires();
        let connection = wires.open(0);
        wires.settings_mut(0).forward.flow = Flow::Stalled;
        for number in 0..2 {
            let arrival = wires.send(0, connection, 0, message(number), true, &mut rng);
            assert_eq!(arrival, Arrival::Held);
        }
        let back = wires.send(0, connection, 1, message(9), true, &mut rng);
        assert_eq!(back, Arrival::At(10_000, None));
        assert!(wires.release(0).is_empty());
        wires.settings_mut(0).forward.flow = Flow::Open;
        let released: Vec<u64> = wires
            .release(0)
            .iter()
            .map(|(_, _, held)| held.number)
            .collect();
        assert_eq!(released, [0, 1]);
    }

    #[test]
    fn only_what_is_not_reliable_is_lost() {
        let (mut wires, mut rng) = wires();
        wires.settings_mut(1).forward.loss = 1.0;
        let connection = wires.open(1);
        let lost = wires.send(0, connection, 2, message(0), false, &mut rng);
        assert_eq!(lost, Arrival::Lost);
        let late = wires.send(0, connection, 2, message(0), true, &mut rng);
        assert_eq!(late, Arrival::At(RETRANSMISSION_US, None));
    }
}
