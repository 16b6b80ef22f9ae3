//! [`Outbox`]: the one place where intents become actions, and where requests wait for their answers.

use std::collections::VecDeque;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::block::Header;
use chain::Params;

use super::broken::Broken;
use super::{Action, ChainView, PoolView, RequestId};
use crate::wire::limits::{BLOCKS_TIMEOUT, REQUEST_TIMEOUT};
use crate::wire::{Request, Response};
use crate::{Mono, PeerNum};

/// What every part of the engine works with during one input.
pub(super) struct Context<'a> {
    pub(super) now: Mono,
    pub(super) chain: &'a dyn ChainView,
    pub(super) pool: &'a dyn PoolView,
    pub(super) params: &'a Params,
    pub(super) broken: &'a mut Broken,
    pub(super) out: &'a mut Outbox,
}

/// What a request asks for, and hence which part of the engine waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Status,
    Headers,
    Blocks,
    BlockTransactions,
    MempoolIds,
    Transactions,
    Peers,
}

impl Kind {
    fn of_request(request: &Request) -> Kind {
        match request {
            Request::Status(_) => Kind::Status,
            Request::Headers { .. } => Kind::Headers,
            Request::Blocks(_) => Kind::Blocks,
            Request::BlockTransactions { .. } => Kind::BlockTransactions,
            Request::MempoolIds => Kind::MempoolIds,
            Request::Transactions(_) => Kind::Transactions,
            Request::Peers => Kind::Peers,
        }
    }

    fn timeout(self) -> Duration {
        match self {
            Kind::Blocks => BLOCKS_TIMEOUT,
            _ => REQUEST_TIMEOUT,
        }
    }

    pub(super) fn of_response(response: &Response) -> Kind {
        match response {
            Response::Status(_) => Kind::Status,
            Response::Headers(_) => Kind::Headers,
            Response::Blocks(_) => Kind::Blocks,
            Response::BlockTransactions(_) => Kind::BlockTransactions,
            Response::MempoolIds(_) => Kind::MempoolIds,
            Response::Transactions(_) => Kind::Transactions,
            Response::Peers(_) => Kind::Peers,
        }
    }
}

/// A request without answer yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outstanding {
    pub(super) peer: PeerNum,
    pub(super) kind: Kind,
    /// When it counts as failed. The swarm most likely notices sooner; this holds for hosts that never do.
    due: Mono,
}

/// Why headers were handed to the chain.
#[derive(Clone, Copy, Debug)]
pub(super) enum Handed {
    /// They were fetched.
    Fetched,
    /// This block was announced.
    Announced(BlockHash),
}

/// Collects actions and keeps the requests that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    actions: Vec<Action>,
    dismissed: Vec<PeerNum>,
    next_id: u64,
    /// Requests without answer, those for blocks apart: each in order of their ids, which grow with time, and so of their dues.
    waiting: [VecDeque<(RequestId, Outstanding)>; 2],
    /// Headers that are with the chain, with their sender, in the order they were handed over.
    handed: Vec<(PeerNum, Handed)>,
}

impl Outbox {
    pub(super) fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(super) fn request(&mut self, now: Mono, peer: PeerNum, request: Request) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let kind = Kind::of_request(&request);
        let asked = Outstanding {
            peer,
            kind,
            due: now + kind.timeout(),
        };
        self.waiting[usize::from(kind == Kind::Blocks)].push_back((id, asked));
        self.actions.push(Action::Request { peer, id, request });
        id
    }

    /// Hands headers to the chain.
    pub(super) fn accept_headers(&mut self, peer: PeerNum, headers: Vec<Header>, why: Handed) {
        self.handed.push((peer, why));
        self.actions.push(Action::AcceptHeaders { peer, headers });
    }

    /// What the chain's next result about headers of this peer is about.
    pub(super) fn take_handed(&mut self, peer: PeerNum) -> Option<Handed> {
        let first = self.handed.iter().position(|(sender, _)| *sender == peer)?;
        Some(self.handed.remove(first).1)
    }

    /// Ends the connection and holds the reason against the peer.
    pub(super) fn punish(&mut self, peer: PeerNum, reason: impl Into<String>) {
        if !self.dismissed.contains(&peer) {
            self.dismissed.push(peer);
            self.actions.push(Action::Punish {
                peer,
                reason: reason.into(),
            });
        }
    }

    /// Ends the connection to a peer that is of no use.
    pub(super) fn disconnect(&mut self, peer: PeerNum, reason: impl Into<String>) {
        if !self.dismissed.contains(&peer) {
            self.dismissed.push(peer);
            self.actions.push(Action::Disconnect {
                peer,
                reason: reason.into(),
            });
        }
    }

    /// Whether the peer was punished or given up during this input.
    pub(super) fn is_dismissed(&self, peer: PeerNum) -> bool {
        self.dismissed.contains(&peer)
    }

    pub(super) fn take_dismissed(&mut self) -> Vec<PeerNum> {
        std::mem::take(&mut self.dismissed)
    }

    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Takes the request that an answer belongs to; `None` for what this peer was never asked or what is settled.
    pub(super) fn settle(&mut self, id: RequestId, peer: PeerNum) -> Option<Outstanding> {
        self.waiting.iter_mut().find_map(|waiting| {
            let at = waiting.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            let (_, asked) = waiting.get(at).filter(|(_, asked)| asked.peer == peer)?;
            let asked = *asked;
            waiting.remove(at);
            Some(asked)
        })
    }

    /// Takes a request that has waited too long.
    pub(super) fn take_expired(&mut self, now: Mono) -> Option<(RequestId, Outstanding)> {
        let due = |waiting: &VecDeque<(RequestId, Outstanding)>| {
            let (id, asked) = waiting.front()?;
            Some((asked.due, *id))
        };
        let is_due = |waiting: &&mut VecDeque<_>| due(waiting).is_some_and(|(due, _)| due <= now);
        let waiting = self.waiting.iter_mut().filter(is_due);
        waiting.min_by_key(|waiting| due(waiting))?.pop_front()
    }

    pub(super) fn next_due(&self) -> Option<Mono> {
        let firsts = self.waiting.iter().filter_map(VecDeque::front);
        firsts.map(|(_, asked)| asked.due).min()
    }

    pub(super) fn forget_peer(&mut self, peer: PeerNum) {
        for waiting in &mut self.waiting {
            waiting.retain(|(_, asked)| asked.peer != peer);
        }
    }
}
