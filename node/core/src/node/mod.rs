//! [`NodeCore`]: everything a node decides, without IO: parts with state of their own, and their composition.
//!
//! A part is a struct whose fields nobody else sees. It is told what it needs to know, and gives back what follows.
//!
//! | part | what it decides |
//! |---|---|
//! | [`connections::Connections`] | who is connected, who is dialled, who is kept away |
//! | [`payments::Payments`] | which transactions wait, which wait for their parents, what the next block may hold |
//! | [`p2p::sync::SyncEngine`] | who has which blocks, and how to get them |
//! | [`mode::ModeWatch`] | how well the node works |
//! | [`flush::FlushTimer`] | when pending data is committed |
//! | [`early::EarlyBlocks`] | blocks whose time has not come |
//! | [`wake::WakePlan`] | when something is due |
//!
//! The files of the composition route inputs to parts, and what follows to others and out. The chain stands in their midst: parts
//! read it, `blocks` moves it.
//!
//! | file | what goes its way there |
//! |---|---|
//! | `net` | the sync engine's decisions to the chain, and the results back |
//! | `blocks` | blocks to the chain, and what follows from a new tip |
//! | `heard` | transactions of peers |
//! | `relay` | transactions of wallets, answers to peers |
//! | `peers` | peers that come and go, and the operator's orders about them |
//! | `commit` | what is to be on disk |
//! | `mend` | damage that was found |
//! | `operator`, `snapshot`, `freeze` | what an operator orders |
//!
//! *Invariants*: the same inputs, times and seed give the same outputs. Time and randomness come in from outside. After a
//! storage failure, told once as [`Output::Fatal`], nothing is written.

mod beside;
mod blocks;
mod commit;
mod connections;
mod early;
mod flush;
mod freeze;
mod heard;
mod input;
mod mend;
mod mode;
mod net;
mod operator;
mod output;
mod payments;
mod peers;
mod relay;
mod snapshot;
mod wake;

pub use blocks::SubmitError;
pub use connections::{AddNode, AddNodeError, Ban, BannedBy, PeerInfo, PeerTable};
pub use input::Input;
pub use operator::OperatorError;
pub use output::Output;
pub use payments::{BlockTemplate, ChainAhead, TemplateTransaction};
pub use snapshot::LoadSnapshotError;

use std::sync::Arc;

use bitcoin::BlockHash;
use chain::rules::spend::SignatureCache;
use chain::{Chain, StoreError};
use p2p::SplitMix64;
use p2p::sync::{Input as EngineInput, ServedBlocks, SyncEngine};

use crate::events::NodeEvent;
use crate::mempool::Mempool;
use crate::mode::Mode;
use crate::now::Now;
use crate::options::CoreOptions;
use connections::Connections;
use payments::Payments;

/// One node without its IO.
pub struct NodeCore {
    chain: Chain,
    payments: Payments,
    served: ServedBlocks,
    engine: SyncEngine,
    connections: Connections,
    mode: mode::ModeWatch,
    flush: flush::FlushTimer,
    early: early::EarlyBlocks,
    nonces: SplitMix64,
    wake: wake::WakePlan,
    mending: mend::Mending,
    deferred: net::Deferred,
    /// The tip that events and mempool have followed to.
    followed: BlockHash,
    /// The best header that was last told.
    best_header: BlockHash,
    /// Connecting has not reached the best chain yet.
    activation_due: bool,
    /// The storage failure after which nothing is written.
    failed: Option<StoreError>,
}

impl std::fmt::Debug for NodeCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeCore")
            .field("tip", &self.chain.tip())
            .field("mempool", &self.mempool().len())
            .field("peers", &self.peers().len())
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}

impl NodeCore {
    /// A core on an opened chain.
    #[must_use]
    pub fn new(mut chain: Chain, options: CoreOptions) -> NodeCore {
        chain.heal_in_steps();
        let connections = Connections::new(&options);
        let pool = Mempool::new(options.mempool_bytes).with_outputs(options.outputs);
        NodeCore {
            payments: Payments::new(pool, options.signatures.unwrap_or_default()),
            served: ServedBlocks::default(),
            engine: SyncEngine::new(Arc::clone(chain.params()), options.seed),
            connections,
            mode: mode::ModeWatch::default(),
            flush: flush::FlushTimer::new(options.volatile),
            early: early::EarlyBlocks::default(),
            nonces: SplitMix64::new(options.seed),
            wake: wake::WakePlan::default(),
            mending: mend::Mending::default(),
            deferred: net::Deferred::default(),
            followed: chain.tip().hash,
            best_header: chain.tree().best_header().hash,
            // After a crash, bodies may be here that were not connected.
            activation_due: true,
            failed: None,
            chain,
        }
    }

    /// Advances the node by one input from the network or the clock.
    ///
    /// `now.mono` only moves forward. After a storage failure nothing happens any more.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Vec<Output>) {
        if self.failed.is_some() {
            return;
        }
        self.wake.woken(now.mono);
        self.dispatch(now, input, out);
        self.settle(now, out);
    }

    fn dispatch(&mut self, now: Now, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Listening { address } => self.connections.listening(address),
            Input::PeerUp {
                peer,
                peer_id,
                address,
                direction,
                agent,
            } => {
                let peer = connections::NewPeer {
                    num: peer,
                    peer_id,
                    address,
                    direction,
                    agent,
                };
                self.peer_up(now, peer, out);
            }
            Input::PeerDown { peer, reason } => self.peer_down(now, peer, reason, out),
            Input::PeerListens { peer, addresses } => self.connections.listens(peer, addresses),
            Input::DialMet { address, peer_id } => self.connections.dial_met(&address, &peer_id),
            Input::DialFailed {
                address,
                reason,
                lasting,
            } => {
                let complaint = self
                    .connections
                    .dial_failed(now, &address, &reason, lasting);
                out.extend(complaint.map(Output::Complaint));
            }
            Input::Request {
                peer,
                token,
                request,
            } => {
                self.connections.note_message(peer, now);
                self.request_received(now, peer, token, &request, out);
            }
            Input::Response { peer, id, response } => {
                self.connections.note_message(peer, now);
                self.drive(now, EngineInput::Response { peer, id, response }, out);
            }
            Input::RequestFailed {
                peer,
                id,
                malformed,
            } => {
                self.drive(
                    now,
                    EngineInput::RequestFailed {
                        peer,
                        id,
                        malformed,
                    },
                    out,
                );
            }
            Input::Gossip { peer, id, gossip } => {
                self.connections.note_message(peer, now);
                self.gossip_received(now, peer, id, gossip, out);
            }
            Input::MalformedGossip { peer } => {
                // Honest nodes decode what they forward.
                let reason = "it sent gossip that cannot be decoded".to_owned();
                self.connections.punish(now, peer, reason, out);
            }
            Input::Ping { peer, micros } => self.connections.note_ping(peer, micros),
            Input::BlockDamaged { hash } => self.look_at_block(&hash, out),
            Input::Tick => {
                self.drive(now, EngineInput::Tick, out);
                self.judge_costly(now, out);
            }
        }
    }

    /// What follows from any input: work that goes on, timers that are due, the mode, the next wake-up.
    fn settle(&mut self, now: Now, out: &mut Vec<Output>) {
        if self.failed.is_some() {
            return;
        }
        if self.activation_due {
            self.continue_activation(now, out);
        }
        self.with_payments(now, out, Payments::continue_deep_change);
        self.retry_early_blocks(now, out);
        self.mend(now, out);
        if self.failed.is_some() {
            return;
        }
        self.punish_culprits(now, out);
        self.payments.expire(now.wall, out);
        self.connections.end_bans(now, out);
        self.update_mode(now, out);
        self.flush_if_due(now, out);
        self.connections.dial_due(now, out);
        self.ask_for_addresses(now, out);
        self.plan_wake_up(now, out);
    }

    /// Storage failed. What is damaged is healed; anything else is told once, and nothing is written any more.
    fn fail(&mut self, error: StoreError, out: &mut Vec<Output>) {
        if !self.chain.is_for_healing(&error) {
            self.give_up(error, out);
        }
    }

    fn give_up(&mut self, error: StoreError, out: &mut Vec<Output>) {
        if self.failed.is_none() {
            self.failed = Some(error.clone());
            self.mode.failed();
            out.push(Output::Event(NodeEvent::ModeChanged {
                mode: Mode::ReadOnly,
            }));
            out.push(Output::Fatal(error));
        }
    }

    /// As [`NodeCore::fail`], giving the error back for the caller as well.
    fn fail_with(&mut self, error: StoreError, out: &mut Vec<Output>) -> StoreError {
        self.fail(error.clone(), out);
        error
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        match &self.failed {
            None => Ok(()),
            Some(first) => Err(first.stopped()),
        }
    }

    /// The chain, to read.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Whether stored blocks are yet to be connected, as after the start.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        self.activation_due && self.failed.is_none()
    }

    /// As [`NodeCore::is_connecting`], but for what is done in long steps beside other work: a deep change between two chains, healing.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.is_connecting() && !self.chain.is_between_chains() && !self.chain.is_healing()
    }

    /// The mempool, to read.
    #[must_use]
    pub fn mempool(&self) -> &Mempool {
        self.payments.pool()
    }

    /// Signatures that were checked, for checking blocks that are not submitted (proposals).
    #[must_use]
    pub fn signatures(&self) -> &Arc<SignatureCache> {
        self.payments.signatures()
    }
}
