//! [`World`]: everything that a run consists of, and its loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use chain::rules::spend::SignatureCache;
use chain::{Params, Timestamp};
use node_core::{Input, NodeCore, Now};
use p2p::Mono;
use p2p::sync::{ChainView, GossipId};
use p2p::wire::{Request, Response};
use rand_chacha::ChaCha8Rng;

use super::disk::PowerDisk;
use super::fates::Payments;
use super::gossip::{ItemId, Rumours};
use super::mining::Luck;
use super::payments::Payers;
use super::queue::Queue;
use super::requests::{Expiry, Requests};
use super::stats::Counters;
use super::wires::{ConnId, Wires};
use crate::invariants::Watch;
use crate::plan::random::{Concern, stream};
use crate::plan::steps::Lasting;
use crate::plan::{Plan, Step};
use crate::record::Book;

/// A run that goes on.
pub(super) struct World<'a> {
    pub(super) plan: Plan,
    pub(super) steps: Vec<(u64, Step)>,
    /// Faults that last now.
    pub(super) lasting: Lasting,
    pub(super) seed: u64,
    pub(super) params: Arc<Params>,
    pub(super) now_us: u64,
    pub(super) queue: Queue<Event, Expiry>,
    pub(super) streams: Streams,
    pub(super) nodes: Vec<SimNode>,
    pub(super) wires: Wires,
    pub(super) rumours: Rumours,
    pub(super) gossip_loss: f64,
    /// Messages on stalled lanes.
    pub(super) parked: BTreeMap<u64, Event>,
    /// Requests that are not answered.
    pub(super) requests: Requests,
    pub(super) next_number: u64,
    /// Weight of every node among all miners.
    pub(super) shares: Vec<f64>,
    pub(super) luck: Luck,
    pub(super) extra_nonce: u64,
    pub(super) payers: Option<Payers>,
    pub(super) payments: Payments,
    /// A signature is checked once, not once for each node: whether it is valid depends on nothing else.
    pub(super) signatures: Arc<SignatureCache>,
    /// How many nodes are on each tip.
    pub(super) tips: BTreeMap<bitcoin::BlockHash, usize>,
    pub(super) agreed: bool,
    /// A split is over, and the nodes have not come together since.
    pub(super) heals: bool,
    pub(super) book: Book<'a>,
    pub(super) counters: Counters,
    pub(super) watch: Watch,
    /// Empty; its memory is used again and again.
    pub(super) outputs: Vec<node_core::Output>,
    /// The last message that was measured.
    pub(super) encoded: Vec<u8>,
}

/// The sources of what is drawn while a run goes on.
pub(super) struct Streams {
    pub(super) wires: ChaCha8Rng,
    pub(super) mining: ChaCha8Rng,
    pub(super) disks: ChaCha8Rng,
    pub(super) gossip: ChaCha8Rng,
}

impl Streams {
    pub(super) fn new(seed: u64) -> Streams {
        Streams {
            wires: stream(seed, Concern::Wires),
            mining: stream(seed, Concern::Mining),
            disks: stream(seed, Concern::Disks),
            gossip: stream(seed, Concern::Gossip),
        }
    }
}

/// One node of a run.
pub(super) struct SimNode {
    /// `None` while it is down.
    pub(super) core: Option<Box<NodeCore>>,
    /// What survives its end; `None` if it never ends.
    pub(super) disk: Option<PowerDisk>,
    /// Own blocks that it has taken for good: they survive everything.
    pub(super) acknowledged: Vec<bitcoin::BlockHash>,
    pub(super) address: String,
    pub(super) dials: Vec<String>,
    pub(super) paused: bool,
    /// What came while it was frozen.
    pub(super) inbox: Vec<Input>,
    pub(super) clock_offset_s: i64,
    /// When the core wants to be woken.
    pub(super) wake_us: Option<u64>,
    /// The next wake-up event that is in the queue.
    pub(super) scheduled_us: Option<u64>,
    /// Gossip without verdict.
    pub(super) undecided: Vec<Undecided>,
    /// Its tip, as counted in [`World::tips`].
    pub(super) tip: Option<bitcoin::BlockHash>,
    /// Whether its next heartbeat changes its mesh.
    pub(super) reshapes: bool,
    /// Blocks that left its chain in a change that goes on.
    pub(super) taken_back: u32,
    /// Lives so far: a restarted node gets another seed.
    pub(super) lives: u64,
}

/// Gossip that waits for a node's verdict.
pub(super) struct Undecided {
    pub(super) id: GossipId,
    pub(super) item: ItemId,
    /// Over which connection it came.
    pub(super) source: ConnId,
}

/// A dial, by a node in the life that it had then.
#[derive(Clone)]
pub(super) struct Dial {
    pub(super) link: usize,
    pub(super) dialler: usize,
    pub(super) life: u64,
}

/// A dial that meets nobody.
#[derive(Clone)]
pub(super) struct FailedDial {
    pub(super) dialler: usize,
    pub(super) address: String,
}

/// A request on its way.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) connection: ConnId,
    pub(super) to: usize,
    pub(super) number: u64,
    pub(super) request: Request,
}

/// A line about a message on its way to a node.
#[derive(Clone, Copy)]
pub(super) struct Lazy {
    pub(super) connection: ConnId,
    pub(super) to: u32,
    pub(super) item: ItemId,
}

/// Something that is to happen. Small, for thousands are on the way at any time: what is large is boxed.
#[derive(Clone)]
pub(super) enum Event {
    /// A node's timer.
    Wake(usize),
    /// A dial comes to its end, one way or the other.
    Dialled(Box<Dial>),
    /// A dial fails.
    DialFailed(Box<FailedDial>),
    /// A request arrives.
    Request(Box<Question>),
    /// An answer arrives; `None`: the request was dropped.
    Response {
        number: u64,
        response: Option<Box<Response>>,
    },
    /// A node found a stored block damaged when it was opened for a peer.
    BlockDamaged {
        node: u32,
        hash: Box<bitcoin::BlockHash>,
    },
    /// A request should be answered by now.
    Expired(Expiry),
    /// Gossip arrives.
    Gossip {
        connection: ConnId,
        to: u32,
        item: ItemId,
    },
    /// A node tells neighbours outside of its mesh of a message, at so many heartbeats from now on.
    Heartbeat { node: u32, item: ItemId, left: u8 },
    /// A node hears that a neighbour has a message.
    Told(Lazy),
    /// A node is asked for a message.
    Wanted(Lazy),
    /// A heartbeat at which a node's mesh changes.
    Reshape(usize),
    /// A node notices that a connection ended.
    PeerGone { connection: ConnId, node: usize },
    /// Somebody may find a block, or the time of a draw is over without.
    Luck { draw: u32, found: bool },
    /// The planned payment with this number is due.
    Payment(usize),
    /// The next step of the plan.
    Act(usize),
    /// The invariants are looked at.
    Look,
}

impl From<Expiry> for Event {
    fn from(expiry: Expiry) -> Event {
        Event::Expired(expiry)
    }
}

impl World<'_> {
    /// Runs until the end of the scenario.
    pub(super) fn run(&mut self) {
        let end_us = self.plan.duration_us;
        while self.step(end_us) {}
        self.now_us = end_us;
    }

    /// Lets the next event happen, unless it lies after `end_us`.
    pub(super) fn step(&mut self, end_us: u64) -> bool {
        match self.queue.pop() {
            Some((at_us, event)) if at_us <= end_us => {
                self.now_us = at_us;
                self.happen(event);
                true
            }
            _ => false,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(node) => self.wake(node),
            Event::Dialled(dial) => self.dialled(&dial),
            Event::DialFailed(dial) => {
                let FailedDial { dialler, address } = *dial;
                let reason = "nobody answers".to_owned();
                let lasting = false;
                self.feed(
                    dialler,
                    Input::DialFailed {
                        address,
                        reason,
                        lasting,
                    },
                );
            }
            Event::Request(question) => self.request_arrives(*question),
            Event::Response { number, response } => {
                self.response_arrives(number, response.map(|response| *response));
            }
            Event::BlockDamaged { node, hash } => {
                let hash = *hash;
                self.feed(node as usize, Input::BlockDamaged { hash });
            }
            Event::Expired(expiry) => self.request_expires(expiry),
            Event::Gossip {
                connection,
                to,
                item,
            } => self.gossip_arrives(connection, to as usize, item),
            Event::Heartbeat { node, item, left } => self.heartbeat(node as usize, item, left),
            Event::Told(lazy) => self.told(lazy),
            Event::Wanted(lazy) => self.wanted(lazy),
            Event::Reshape(node) => self.reshape(node),
            Event::PeerGone { connection, node } => self.peer_gone(connection, node),
            Event::Luck { draw, found } => self.luck(draw, found),
            Event::Payment(index) => self.payment(index),
            Event::Act(index) => self.act(index),
            Event::Look => self.look(),
        }
    }

    /// The two clocks of a node.
    pub(super) fn now(&self, node: usize) -> Now {
        let start = i64::from(self.params.genesis_time().0);
        let wall = start + (self.now_us / 1_000_000) as i64 + self.nodes[node].clock_offset_s;
        Now {
            mono: Mono::from_micros(self.now_us),
            wall: Timestamp(u32::try_from(wall.max(0)).unwrap_or(u32::MAX)),
        }
    }

    /// Tells a node something. A frozen one hears it later, one that is down never.
    pub(super) fn feed(&mut self, node: usize, input: Input) {
        let now = self.now(node);
        let sim = &mut self.nodes[node];
        let Some(core) = &mut sim.core else { return };
        if sim.paused {
            sim.inbox.push(input);
            return;
        }
        let mut outputs = std::mem::take(&mut self.outputs);
        core.handle(now, input, &mut outputs);
        self.carry_out(node, outputs);
    }

    fn wake(&mut self, node: usize) {
        let sim = &mut self.nodes[node];
        if sim.scheduled_us.is_some_and(|due| due <= self.now_us) {
            sim.scheduled_us = None;
        }
        match sim.wake_us {
            Some(due) if due <= self.now_us => {
                sim.wake_us = None;
                self.feed(node, Input::Tick);
            }
            Some(due) => self.schedule_wake(node, due),
            None => {}
        }
    }

    pub(super) fn schedule_wake(&mut self, node: usize, due_us: u64) {
        let sim = &mut self.nodes[node];
        sim.wake_us = Some(due_us);
        if sim.scheduled_us.is_none_or(|scheduled| due_us < scheduled) {
            sim.scheduled_us = Some(due_us);
            self.queue.push(due_us.max(self.now_us), Event::Wake(node));
        }
    }

    /// Counts a node's tip after anything that may have moved it.
    pub(super) fn note_tip(&mut self, node: usize) {
        let core = self.nodes[node].core.as_ref();
        let hash = core.map(|core| ChainView::tip(core.chain()).hash);
        let before = self.nodes[node].tip;
        if before == hash {
            return;
        }
        if let Some(old) = before
            && let Some(count) = self.tips.get_mut(&old)
        {
            *count -= 1;
            if *count == 0 {
                self.tips.remove(&old);
            }
        }
        if let Some(new) = hash {
            *self.tips.entry(new).or_default() += 1;
        }
        self.nodes[node].tip = hash;
        if let Some(core) = &self.nodes[node].core {
            self.watch.tip_moved(self.now_us, node, &core.chain().tip());
        }
        self.note_agreement();
    }

    fn note_agreement(&mut self) {
        let agreed = self.tips.len() == 1;
        if self.agreed && !agreed {
            self.watch.divided(self.now_us);
        }
        self.agreed = agreed;
        if agreed {
            self.watch.agreed(self.now_us);
        }
        self.tell_healed();
    }
}

#[cfg(test)]
mod tests {
    use super::Event;

    #[test]
    fn events_are_small() {
        assert_eq!(size_of::<Event>(), 24);
    }
}
