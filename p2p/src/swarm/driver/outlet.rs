//! [`Outlet`]: what happened goes to the core, each thing with who pays for it and where it waits.

use crate::budget::{Charge, Full, Lane, Payer};
use crate::swarm::{Event, Told};
use crate::wire::limits::GOSSIP_COPIES;
use crate::wire::{Gossip, Request, Response};

/// The way to the core.
pub(super) struct Outlet<E> {
    events: E,
}

impl<E: Fn(Told) -> Result<(), Full>> Outlet<E> {
    pub(super) fn new(events: E) -> Outlet<E> {
        Outlet { events }
    }

    /// Tells what no peer can cause at will.
    pub(super) fn tell(&self, event: Event) {
        let told = Told {
            event,
            charge: None,
        };
        // It is never refused.
        let _ = (self.events)(told);
    }

    /// Tells what became of a peer, or of something that we asked of it. It keeps its place among what else that peer told
    /// about the chain.
    pub(super) fn tell_firmly(&self, payer: Payer, bytes: usize, event: Event) {
        let lane = match &event {
            Event::Response { response, .. } => lane_of_response(response),
            _ => Lane::Chain,
        };
        let charge = Charge {
            payer,
            lane,
            bytes,
            firm: true,
        };
        let _ = (self.events)(Told {
            event,
            charge: Some(charge),
        });
    }

    /// Offers gossip of `bytes`.
    pub(super) fn offer_gossip(
        &self,
        payer: Payer,
        bytes: usize,
        event: Event,
    ) -> Result<(), Full> {
        let lane = match &event {
            Event::Gossip {
                gossip: Gossip::Block(_) | Gossip::Header(_),
                ..
            } => Lane::Chain,
            _ => Lane::Payments,
        };
        let charge = Charge {
            payer,
            lane,
            bytes: bytes * GOSSIP_COPIES,
            firm: false,
        };
        (self.events)(Told {
            event,
            charge: Some(charge),
        })
    }

    /// Offers a peer's question. Its bytes are charged where it waited, until its answer is made.
    pub(super) fn offer_question(&self, payer: Payer, event: Event) -> Result<(), Full> {
        let lane = match &event {
            // Tells the peer's tip as well, and is answered from memory.
            Event::Request {
                request: Request::Status(_),
                ..
            } => Lane::Chain,
            _ => Lane::Serving,
        };
        let charge = Charge {
            payer,
            lane,
            bytes: 0,
            firm: false,
        };
        (self.events)(Told {
            event,
            charge: Some(charge),
        })
    }
}

fn lane_of_response(response: &Response) -> Lane {
    match response {
        Response::Status(_)
        | Response::Headers(_)
        | Response::Blocks(_)
        | Response::BlockTransactions(_) => Lane::Chain,
        Response::MempoolIds(_) | Response::Transactions(_) | Response::Peers(_) => Lane::Payments,
    }
}
