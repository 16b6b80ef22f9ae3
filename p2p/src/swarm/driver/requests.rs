//! Questions and answers: ours by their id, those of peers by tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::request_response::{
    self, InboundRequestId, Message, OutboundRequestId, ResponseChannel,
};
use libp2p::swarm::ConnectionId;

use super::Driver;
use super::connections::Early;
use crate::budget::{Full, Payer, Serving, largest_answer, size_of_answer};
use crate::swarm::counters::{Channel, Way};
use crate::swarm::meter::{Meter, Parcel};
use crate::swarm::{Event, Told, reason};
use crate::sync::RequestId;
use crate::wire::limits::{MAX_DROPPED_REQUESTS, MAX_OUTBOUND_REQUESTS_PER_PEER};
use crate::wire::{Request, Response};
use crate::{AnswerToken, Mono, PeerNum};

/// Requests under way, both ways.
#[derive(Debug, Default)]
pub(super) struct Requests {
    ours: BTreeMap<OutboundRequestId, Ours>,
    theirs: BTreeMap<AnswerToken, Theirs>,
    /// Every request of a peer from its arrival until its answer is delivered or dropped.
    serving: BTreeMap<InboundRequestId, AnswerToken>,
    /// Which of them is handed on next.
    turns: Serving<AnswerToken>,
    last_token: u64,
}

impl Requests {
    /// When peers that do not read their answers are in the way of others.
    pub(super) fn next_too_slow(&self) -> Option<Mono> {
        self.turns.next_too_slow()
    }
}

/// A request of a peer.
#[derive(Debug)]
struct Theirs {
    connection: ConnectionId,
    inbound: InboundRequestId,
    /// Until it is handed on.
    request: Option<Request>,
    channel: ResponseChannel<Parcel<Response>>,
    meter: Option<Arc<Meter>>,
}

/// A request of ours.
#[derive(Clone, Copy, Debug)]
struct Ours {
    peer: PeerNum,
    connection: ConnectionId,
    id: RequestId,
}

type ExchangeEvent = request_response::Event<Parcel<Request>, Parcel<Response>>;

impl<E: Fn(Told) -> Result<(), Full>> Driver<E> {
    /// Asks a peer.
    pub(super) fn ask(&mut self, peer: PeerNum, id: RequestId, request: Request) {
        let fail = |reason: &str| {
            let reason = reason.to_owned();
            self.outlet.tell(Event::RequestFailed {
                peer,
                id,
                malformed: false,
                reason,
            });
        };
        let Some(connection_id) = self.connections.of_number(peer) else {
            return fail("the peer is gone");
        };
        let Some(connection) = self.connections.get_mut(connection_id) else {
            return fail("the peer is gone");
        };
        if connection.asked.len() >= MAX_OUTBOUND_REQUESTS_PER_PEER {
            return fail("too many requests wait for this peer");
        }
        let exchange = &mut self.swarm.behaviour_mut().exchange;
        let parcel = Parcel::to_send(request, self.traffic.meter_of(&connection.peer));
        let outbound = exchange.send_request(&connection.peer, parcel);
        connection.asked.insert(outbound);
        self.requests.ours.insert(
            outbound,
            Ours {
                peer,
                connection: connection_id,
                id,
            },
        );
    }

    /// Answers a peer, or drops its request.
    pub(super) fn answer(&mut self, token: AnswerToken, response: Option<Response>) {
        if let Some(theirs) = self.requests.theirs.remove(&token) {
            let sent = response.is_some_and(|response| self.send_answer(token, theirs, response));
            if !sent {
                self.requests.turns.done(token, false);
            }
        }
        self.hand_on();
    }

    /// Sends an answer; `false` when it is too late for it. A request whose channel is dropped ends its stream, which the peer
    /// sees at once.
    fn send_answer(&mut self, token: AnswerToken, theirs: Theirs, response: Response) -> bool {
        let bytes = size_of_answer(&response);
        let parcel = Parcel::to_send(response, theirs.meter);
        let exchange = &mut self.swarm.behaviour_mut().exchange;
        let sent = exchange.send_response(theirs.channel, parcel).is_ok();
        if sent {
            let now = self.mono(Instant::now());
            self.requests.turns.answered(token, bytes, now);
        } else {
            tracing::debug!(inbound = %theirs.inbound, "the answer came too late");
        }
        sent
    }

    pub(super) fn exchange(&mut self, event: ExchangeEvent) {
        match event {
            ExchangeEvent::Message {
                peer,
                connection_id,
                message,
            } => match message {
                Message::Request {
                    request_id,
                    request,
                    channel,
                } => {
                    let Parcel { message, bytes, .. } = request;
                    self.count_received(&peer, Channel::Request, message.kind(), bytes);
                    self.received_request(connection_id, request_id, message, bytes, channel);
                }
                Message::Response {
                    request_id,
                    response,
                } => {
                    let Parcel {
                        message: response,
                        bytes,
                        ..
                    } = response;
                    self.count_received(&peer, Channel::Response, response.kind(), bytes);
                    if let Some(Ours { peer, id, .. }) = self.finished(request_id)
                        && let Some(payer) = self.connections.payer(connection_id)
                    {
                        let answer = Event::Response { peer, id, response };
                        self.outlet.tell_firmly(payer, bytes, answer);
                    }
                }
            },
            ExchangeEvent::OutboundFailure {
                request_id, error, ..
            } => {
                if let Some(Ours {
                    peer,
                    id,
                    connection,
                }) = self.finished(request_id)
                    && let Some(payer) = self.connections.payer(connection)
                {
                    let (reason, malformed) = reason::of_request(&error);
                    let failure = Event::RequestFailed {
                        peer,
                        id,
                        malformed,
                        reason,
                    };
                    self.outlet.tell_firmly(payer, 0, failure);
                }
            }
            ExchangeEvent::InboundFailure {
                request_id,
                error,
                peer,
                ..
            } => {
                tracing::debug!(%peer, %error, "a peer's request came to nothing");
                self.served(request_id, false);
            }
            ExchangeEvent::ResponseSent { request_id, .. } => self.served(request_id, true),
        }
    }

    /// For the peer alone; the codec has counted it for all.
    pub(super) fn count_received(&self, peer: &PeerId, channel: Channel, kind: &str, bytes: usize) {
        if let Some(meter) = self.traffic.meter_of(peer) {
            meter.count(channel, kind, Way::Received, bytes);
        }
    }

    /// Takes a peer's request, or keeps it until the peer is up.
    fn received_request(
        &mut self,
        id: ConnectionId,
        inbound: InboundRequestId,
        request: Request,
        bytes: usize,
        channel: ResponseChannel<Parcel<Response>>,
    ) {
        if !self.connections.is_unknown(id) {
            self.asked(id, inbound, request, bytes, channel);
            return;
        }
        let early = Early::Request(inbound, request, bytes, channel);
        if self.connections.hold_back(id, early).is_err() {
            // Its channel is dropped, and with it the request.
            tracing::debug!(
                "a peer asks too much before it says its network: a request is dropped"
            );
        }
    }

    /// Takes the request of a peer that is up. It is handed on when its answer can be taken.
    pub(super) fn asked(
        &mut self,
        id: ConnectionId,
        inbound: InboundRequestId,
        request: Request,
        bytes: usize,
        channel: ResponseChannel<Parcel<Response>>,
    ) {
        let Some(payer) = self.connections.payer(id) else {
            return;
        };
        self.requests.last_token += 1;
        let token = AnswerToken(self.requests.last_token);
        let largest = largest_answer(&request);
        let kept = self.requests.turns.asked(token, payer, bytes, largest);
        if kept.is_err() {
            self.asked_too_much(id);
            return;
        }
        let peer = self.connections.get_mut(id).map(|known| known.peer);
        let meter = peer.and_then(|peer| self.traffic.meter_of(&peer));
        self.requests.serving.insert(inbound, token);
        self.requests.theirs.insert(
            token,
            Theirs {
                connection: id,
                inbound,
                request: Some(request),
                channel,
                meter,
            },
        );
        self.hand_on();
    }

    /// A request was dropped because its peer has too many. Who goes on like that is let go.
    fn asked_too_much(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        tracing::debug!(peer = %connection.peer, "too many requests of one peer: one is dropped");
        connection.dropped_requests += 1;
        if connection.dropped_requests >= MAX_DROPPED_REQUESTS {
            self.let_go(id, "the peer asks more than it may, again and again");
        }
    }

    /// Hands requests on for which there is room.
    fn hand_on(&mut self) {
        while let Some(token) = self.requests.turns.take_next() {
            let taken = self.offer(token);
            if taken.is_none() {
                self.requests.theirs.remove(&token);
                self.requests.turns.done(token, false);
            }
        }
    }

    /// Offers a request to the core; `None` when it was not taken.
    fn offer(&mut self, token: AnswerToken) -> Option<()> {
        let theirs = self.requests.theirs.get_mut(&token)?;
        let request = theirs.request.take()?;
        let payer = self.connections.payer(theirs.connection)?;
        let question = Event::Request {
            peer: payer.peer,
            token,
            request,
        };
        self.outlet.offer_question(payer, question).ok()
    }

    /// Ends the connections of peers that do not read what they asked for while others wait for that room.
    pub(super) fn let_slow_readers_go(&mut self, now: Instant) {
        for peer in self.requests.turns.too_slow(self.mono(now)) {
            if let Some(id) = self.connections.of_number(peer) {
                tracing::info!(
                    peer = peer.0,
                    "a peer does not read the answers that it asked for: it is let go"
                );
                self.let_go(id, "the peer does not read the answers that it asked for");
            }
            // The room is free at once: what was sent ends with the connection.
            self.requests.turns.left(peer);
        }
        self.hand_on();
    }

    /// Forgets what a peer asked that is gone.
    pub(super) fn stop_serving(&mut self, id: ConnectionId, peer: PeerNum) {
        self.requests.turns.left(peer);
        let theirs = &mut self.requests.theirs;
        theirs.retain(|_, request| request.connection != id);
        self.hand_on();
    }

    /// Fails what a peer that is gone was asked.
    pub(super) fn forget_asked(&mut self, payer: Payer, asked: BTreeSet<OutboundRequestId>) {
        for outbound in asked {
            if let Some(Ours { peer, id, .. }) = self.requests.ours.remove(&outbound) {
                let reason = "the connection ended".to_owned();
                let failure = Event::RequestFailed {
                    peer,
                    id,
                    malformed: false,
                    reason,
                };
                self.outlet.tell_firmly(payer, 0, failure);
            }
        }
    }

    fn finished(&mut self, outbound: OutboundRequestId) -> Option<Ours> {
        let ours = self.requests.ours.remove(&outbound)?;
        if let Some(connection) = self.connections.get_mut(ours.connection) {
            connection.asked.remove(&outbound);
        }
        Some(ours)
    }

    /// A request is done with: its answer was delivered, or it came to nothing.
    fn served(&mut self, inbound: InboundRequestId, delivered: bool) {
        if let Some(token) = self.requests.serving.remove(&inbound) {
            self.requests.theirs.remove(&token);
            self.requests.turns.done(token, delivered);
        }
        self.hand_on();
    }
}
