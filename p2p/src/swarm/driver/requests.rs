//! Questions and answers: ours by their id, those of peers by tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use libp2p::PeerId;
use libp2p::request_response::{
    self, InboundRequestId, Message, OutboundRequestId, ResponseChannel,
};
use libp2p::swarm::ConnectionId;

use super::Driver;
use super::connections::{Early, Stage};
use crate::AnswerToken;
use crate::PeerNum;
use crate::swarm::meter::{Meter, Parcel};
use crate::swarm::traffic::{Channel, Way};
use crate::swarm::{Event, reason};
use crate::sync::RequestId;
use crate::wire::limits::{MAX_INBOUND_REQUESTS_PER_PEER, MAX_OUTBOUND_REQUESTS_PER_PEER};
use crate::wire::{Request, Response};

/// Requests under way, both ways.
#[derive(Debug, Default)]
pub(super) struct Requests {
    ours: BTreeMap<OutboundRequestId, Ours>,
    theirs: BTreeMap<AnswerToken, Theirs>,
    /// Every request of a peer from its arrival until its answer is delivered or dropped.
    serving: BTreeMap<InboundRequestId, Serving>,
    last_token: u64,
}

/// A request of a peer that was handed on.
#[derive(Debug)]
struct Theirs {
    inbound: InboundRequestId,
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

/// A request of a peer.
#[derive(Clone, Copy, Debug)]
struct Serving {
    connection: ConnectionId,
    token: Option<AnswerToken>,
}

type ExchangeEvent = request_response::Event<Parcel<Request>, Parcel<Response>>;

impl<E: Fn(Event)> Driver<E> {
    /// Asks a peer.
    pub(super) fn ask(&mut self, peer: PeerNum, id: RequestId, request: Request) {
        let fail = |reason: &str| {
            let reason = reason.to_owned();
            (self.events)(Event::RequestFailed {
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
        let Some(theirs) = self.requests.theirs.remove(&token) else {
            return;
        };
        let Theirs {
            inbound,
            channel,
            meter,
        } = theirs;
        // A dropped channel ends the stream, which the peer sees at once.
        if let Some(response) = response
            && self
                .swarm
                .behaviour_mut()
                .exchange
                .send_response(channel, Parcel::to_send(response, meter))
                .is_err()
        {
            tracing::debug!(%inbound, "the answer came too late");
        }
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
                    self.received_request(connection_id, request_id, message, channel);
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
                    if let Some(Ours { peer, id, .. }) = self.finished(request_id) {
                        (self.events)(Event::Response { peer, id, response });
                    }
                }
            },
            ExchangeEvent::OutboundFailure {
                request_id, error, ..
            } => {
                if let Some(Ours { peer, id, .. }) = self.finished(request_id) {
                    let (reason, malformed) = reason::of_request(&error);
                    (self.events)(Event::RequestFailed {
                        peer,
                        id,
                        malformed,
                        reason,
                    });
                }
            }
            ExchangeEvent::InboundFailure {
                request_id,
                error,
                peer,
                ..
            } => {
                tracing::debug!(%peer, %error, "a peer's request came to nothing");
                self.served(request_id);
            }
            ExchangeEvent::ResponseSent { request_id, .. } => self.served(request_id),
        }
    }

    /// For the peer alone; the codec has counted it for all.
    pub(super) fn count_received(&self, peer: &PeerId, channel: Channel, kind: &str, bytes: usize) {
        if let Some(meter) = self.traffic.meter_of(peer) {
            meter.count(channel, kind, Way::Received, bytes);
        }
    }

    /// Hands a peer's request on, or keeps it until the peer is up.
    fn received_request(
        &mut self,
        id: ConnectionId,
        inbound: InboundRequestId,
        request: Request,
        channel: ResponseChannel<Parcel<Response>>,
    ) {
        // Whatever returns early drops the channel, and with it the request.
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.serving >= MAX_INBOUND_REQUESTS_PER_PEER {
            tracing::debug!(peer = %connection.peer, "too many requests of one peer: one is dropped");
            return;
        }
        connection.serving += 1;
        self.requests.serving.insert(
            inbound,
            Serving {
                connection: id,
                token: None,
            },
        );
        if let Stage::Unknown(_) = connection.stage {
            connection.hold_back(Early::Request(inbound, request, channel));
        } else {
            self.asked(id, inbound, request, channel);
        }
    }

    /// Hands the request of a peer that is up on.
    pub(super) fn asked(
        &mut self,
        id: ConnectionId,
        inbound: InboundRequestId,
        request: Request,
        channel: ResponseChannel<Parcel<Response>>,
    ) {
        let Some(&Stage::Up(peer)) = self.connections.stage(id) else {
            return;
        };
        let connection_peer = self.connections.get_mut(id).map(|known| known.peer);
        // Gone if it was given up while it was held back.
        let Some(serving) = self.requests.serving.get_mut(&inbound) else {
            return;
        };
        self.requests.last_token += 1;
        let token = AnswerToken(self.requests.last_token);
        serving.token = Some(token);
        let meter = connection_peer.and_then(|peer| self.traffic.meter_of(&peer));
        self.requests.theirs.insert(
            token,
            Theirs {
                inbound,
                channel,
                meter,
            },
        );
        (self.events)(Event::Request {
            peer,
            token,
            request,
        });
    }

    /// Fails what a peer that is gone was asked.
    pub(super) fn forget_asked(&mut self, peer: PeerNum, asked: BTreeSet<OutboundRequestId>) {
        for outbound in asked {
            if let Some(Ours { id, .. }) = self.requests.ours.remove(&outbound) {
                let reason = "the connection ended".to_owned();
                (self.events)(Event::RequestFailed {
                    peer,
                    id,
                    malformed: false,
                    reason,
                });
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

    fn served(&mut self, inbound: InboundRequestId) {
        let Some(serving) = self.requests.serving.remove(&inbound) else {
            return;
        };
        if let Some(token) = serving.token {
            self.requests.theirs.remove(&token);
        }
        if let Some(connection) = self.connections.get_mut(serving.connection) {
            connection.serving -= 1;
        }
    }
}
