//! What the real host does with sockets: carries a core's outputs to other cores, and brings what comes.

use node_core::events::NodeEvent;
use node_core::{Input, Output};
use p2p::AnswerToken;
use p2p::sync::{RequestId, StoredBlocks};
use p2p::wire::{BlockBytes, Request, Response};
use p2p::{Direction, PeerNum};

use crate::record::Line;

use super::requests::{Asked, Expiry};
use super::wires::{Arrival, ConnId, DIAL_FAILS_US, Held, REQUEST_TIMEOUT_US, RESET_US};
use super::world::{Dial, Event, FailedDial, Question, World};

/// Bytes around a request or answer: stream header and length.
const FRAME_BYTES: usize = 12;

impl World<'_> {
    /// Does what a core wants done, in order.
    pub(super) fn carry_out(&mut self, node: usize, mut outputs: Vec<Output>) {
        let mut taken_back = std::mem::take(&mut self.nodes[node].taken_back);
        let mut tip_moved = false;
        for output in outputs.drain(..) {
            match output {
                Output::Dial(address) => self.dial(node, address),
                Output::Disconnect { peer, reason } => self.disconnect(node, peer.0, reason),
                Output::Ban { peer_id, banned } => {
                    if banned {
                        let now_us = self.now_us;
                        self.watch.banned(now_us, node, &peer_id);
                    }
                }
                Output::SetActive(_) => {}
                Output::Request { peer, id, request } => self.ask(node, peer.0, id, request),
                Output::Answer { token, response } => self.answer(node, token, response),
                Output::AnswerBlocks { token, blocks } => self.answer_blocks(node, token, blocks),
                Output::Publish(gossip) => self.publish(node, gossip),
                Output::Verdict { id, verdict } => self.decide(node, id, verdict),
                // People read it.
                Output::Complaint(_) => {}
                Output::Event(event) => {
                    tip_moved |= matches!(
                        event,
                        NodeEvent::BlockConnected { .. } | NodeEvent::BlockDisconnected { .. }
                    );
                    self.tell(node, &event, &mut taken_back);
                }
                Output::WakeAt(due) => self.schedule_wake(node, due.as_micros()),
                Output::Fatal(error) => {
                    let now_us = self.now_us;
                    self.watch.failed(now_us, node, &error.to_string());
                }
            }
        }
        self.outputs = outputs;
        if taken_back == 0 && !tip_moved {
            return;
        }
        let core = self.nodes[node].core.as_ref();
        if core.is_some_and(|core| core.chain().is_between_chains()) {
            // A deep change of chains goes on: what is between counts for nothing.
            self.nodes[node].taken_back = taken_back;
        } else {
            self.counters.note_reorg(&mut taken_back);
            if tip_moved {
                self.note_tip(node);
            }
        }
    }

    fn tell(&mut self, node: usize, event: &NodeEvent, taken_back: &mut u32) {
        let t = self.now_us;
        match event {
            NodeEvent::BlockConnected { hash, .. } => {
                if let Some(found) = self.counters.found.get(hash)
                    && found.node != node
                {
                    self.counters.delays_us.push(t - found.at_us);
                }
                self.counters.note_reorg(taken_back);
                let hash = *hash;
                self.book.line(Line::Connected { t, node, hash });
            }
            NodeEvent::BlockDisconnected { hash, .. } => {
                *taken_back += 1;
                let hash = *hash;
                self.book.line(Line::Disconnected { t, node, hash });
            }
            NodeEvent::BlockInvalid { hash, reason, .. } => {
                self.watch.found_invalid(t, node, hash, reason);
            }
            _ => {}
        }
    }

    fn dial(&mut self, node: usize, address: String) {
        let target = super::setup::node_at(&address);
        let link = target.and_then(|target| self.wires.link_between(node, target));
        match link {
            Some(link) if self.wires.links[link].from == node => {
                let due = self.now_us + self.wires.handshake_us(link);
                let life = self.nodes[node].lives;
                let dial = Dial {
                    link,
                    dialler: node,
                    life,
                };
                self.queue.push(due, Event::Dialled(Box::new(dial)));
            }
            _ => self.fail_dial(node, address),
        }
    }

    fn fail_dial(&mut self, dialler: usize, address: String) {
        let due = self.now_us + DIAL_FAILS_US;
        let dial = FailedDial { dialler, address };
        self.queue.push(due, Event::DialFailed(Box::new(dial)));
    }

    pub(super) fn dialled(&mut self, dial: &Dial) {
        let &Dial {
            link,
            dialler,
            life,
        } = dial;
        let to = self.wires.links[link].to;
        if self.nodes[dialler].lives != life || self.nodes[dialler].core.is_none() {
            return;
        }
        let awake = |node: usize| self.nodes[node].core.is_some() && !self.nodes[node].paused;
        if !self.wires.can_connect(link) || !awake(dialler) || !awake(to) {
            let address = self.nodes[to].address.clone();
            return self.fail_dial(dialler, address);
        }
        let connection = self.wires.open(link);
        self.rumours.connected(connection, dialler, to);
        self.watch_mesh(dialler);
        self.watch_mesh(to);
        for (node, other, direction) in [
            (dialler, to, Direction::Outbound),
            (to, dialler, Direction::Inbound),
        ] {
            let input = Input::PeerUp {
                peer: PeerNum(connection),
                peer_id: super::setup::peer_id(other),
                address: self.nodes[other].address.clone(),
                direction,
                agent: "sim".to_owned(),
            };
            self.feed(node, input);
        }
    }

    /// A core ends a connection: with somebody who is silent for too long, most likely. That is no blame; a ban is.
    fn disconnect(&mut self, node: usize, connection: ConnId, reason: String) {
        let Some(peer) = self.wires.other_end(connection, node) else {
            return;
        };
        let t = self.now_us;
        self.counters.sent_away += 1;
        self.book.line(Line::Parted {
            t,
            node,
            peer,
            reason,
        });
        self.end_connection(connection);
    }

    /// Ends a connection; both ends notice.
    pub(super) fn end_connection(&mut self, connection: ConnId) {
        let Some((ended, held)) = self.wires.close(connection) else {
            return;
        };
        for message in held {
            self.parked.remove(&message.number);
        }
        let ends = [ended.from, ended.to];
        self.rumours.disconnected(connection, ends);
        for node in ends {
            self.watch_mesh(node);
            let due = self.now_us + RESET_US;
            self.queue.push(due, Event::PeerGone { connection, node });
        }
    }

    pub(super) fn peer_gone(&mut self, connection: ConnId, node: usize) {
        for number in self.requests.of_connection(node, connection) {
            self.request_fails(number);
        }
        let peer = PeerNum(connection);
        let reason = "the connection was reset".to_owned();
        self.feed(node, Input::PeerDown { peer, reason });
    }

    fn ask(&mut self, node: usize, connection: ConnId, id: RequestId, request: Request) {
        let number = self.requests.open(Asked {
            connection,
            asker: node,
            id,
        });
        let due = self.now_us + REQUEST_TIMEOUT_US;
        self.queue.push_last(due, Expiry(number));
        let Some(to) = self.wires.other_end(connection, node) else {
            return;
        };
        self.encoded.clear();
        request.encode(&mut self.encoded);
        let bytes = self.encoded.len() + FRAME_BYTES;
        self.counters.sent(request.kind(), bytes);
        let question = Question {
            connection,
            to,
            number,
            request,
        };
        self.send(connection, node, bytes, Event::Request(Box::new(question)));
    }

    /// Sends a message over a connection; the event is its arrival.
    pub(super) fn send(&mut self, connection: ConnId, sender: usize, bytes: usize, event: Event) {
        self.next_number += 1;
        let message = Held {
            bytes,
            number: self.next_number,
        };
        let number = message.number;
        let rng = &mut self.streams.wires;
        match self
            .wires
            .send(self.now_us, connection, sender, message, false, rng)
        {
            Arrival::At(first, second) => {
                if let Some(second) = second {
                    self.queue.push(second, event.clone());
                }
                self.queue.push(first, event);
            }
            Arrival::Held => _ = self.parked.insert(number, event),
            Arrival::Lost => {}
        }
    }

    pub(super) fn request_arrives(&mut self, question: Question) {
        let Question {
            connection,
            to,
            number,
            request,
        } = question;
        if self.wires.other_end(connection, to).is_none() {
            return;
        }
        let input = Input::Request {
            peer: PeerNum(connection),
            token: self.requests.arrived(connection, number),
            request,
        };
        self.feed(to, input);
    }

    fn answer(&mut self, node: usize, token: AnswerToken, response: Option<Response>) {
        let Some((connection, number)) = self.requests.answered(token) else {
            return;
        };
        let (bytes, kind) = match &response {
            Some(response) => (
                response_bytes(response, &mut self.encoded) + FRAME_BYTES,
                response.kind(),
            ),
            None => (FRAME_BYTES, "refusal"),
        };
        self.counters.sent(kind, bytes);
        let response = response.map(Box::new);
        let event = Event::Response { number, response };
        self.send(connection, node, bytes, event);
    }

    fn answer_blocks(&mut self, node: usize, token: AnswerToken, blocks: StoredBlocks) {
        let opened = blocks.open();
        if let Some(hash) = opened.damaged {
            let (node, hash) = (node as u32, Box::new(hash));
            self.queue
                .push(self.now_us, Event::BlockDamaged { node, hash });
        }
        self.answer(node, token, Some(opened.response));
    }

    pub(super) fn response_arrives(&mut self, number: u64, response: Option<Response>) {
        // One that comes twice, or too late, ends here as it does in the swarm.
        let Some(&Asked {
            connection,
            asker,
            id,
        }) = self.requests.get(number)
        else {
            return;
        };
        if self.wires.other_end(connection, asker).is_none() {
            return;
        }
        let Some(response) = response else {
            return self.request_fails(number);
        };
        self.requests.settle(number);
        let peer = PeerNum(connection);
        let response = as_received(response);
        self.feed(asker, Input::Response { peer, id, response });
    }

    /// The time for an answer is over.
    pub(super) fn request_expires(&mut self, Expiry(number): Expiry) {
        self.request_fails(number);
        self.requests.forget_settled();
    }

    fn request_fails(&mut self, number: u64) {
        let Some(asked) = self.requests.settle(number) else {
            return;
        };
        let failed = Input::RequestFailed {
            peer: PeerNum(asked.connection),
            id: asked.id,
            malformed: false,
        };
        self.feed(asked.asker, failed);
    }
}

/// Blocks arrive as bytes: decoded anew, not shared with the sender.
fn as_received(response: Response) -> Response {
    match response {
        Response::Blocks(blocks) => Response::Blocks(
            blocks
                .into_iter()
                .map(|block| BlockBytes::Theirs(Box::new(block.into_block())))
                .collect(),
        ),
        other => other,
    }
}

/// Bytes of a response; `encoded` is room to write it to.
fn response_bytes(response: &Response, encoded: &mut Vec<u8>) -> usize {
    match response {
        Response::Blocks(blocks) => blocks.iter().map(|block| block.block().total_size()).sum(),
        other => {
            encoded.clear();
            other.encode(encoded);
            encoded.len()
        }
    }
}
