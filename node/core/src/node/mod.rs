//! [`NodeCore`]: everything a node decides, without IO. This file dispatches; each concern has its own.
//!
//! | file | concern |
//! |---|---|
//! | `net` | carries the sync engine's decisions to the chain, and the results back |
//! | `blocks` | taking blocks, connecting them, and what follows from a new tip |
//! | `relay` | transactions, gossip verdicts, answers to peers |
//! | `peers`, `dial`, `bans` | who is connected, who is dialled, who is kept away |
//! | `mode` | how well the node works |
//! | `flush` | when pending data is committed |
//! | `mend` | stored blocks that are damaged |
//! | `early` | blocks whose time has not come |
//! | `template` | what the next block may hold |
//! | `operator` | what an operator may order |
//! | `snapshot` | starting from a snapshot of coins |
//!
//! *Invariants*: the same inputs, times and seed give the same outputs. Time and randomness come in from outside. After a
//! storage failure, told once as [`Output::Fatal`], nothing is written.

mod bans;
mod blocks;
mod deep;
mod dial;
mod early;
mod flush;
mod freeze;
mod input;
mod mend;
mod mode;
mod net;
mod operator;
mod output;
mod package;
mod peers;
mod random;
mod relay;
mod snapshot;
mod template;
mod wake;

pub use bans::{Ban, BannedBy};
pub use blocks::SubmitError;
pub use dial::{AddNode, AddNodeError};
pub use input::Input;
pub use operator::OperatorError;
pub use output::Output;
pub use peers::{PeerInfo, PeerTable};
pub use snapshot::LoadSnapshotError;
pub use template::{BlockTemplate, ChainAhead, TemplateTransaction};

use std::sync::Arc;

use bitcoin::BlockHash;
use chain::rules::spend::SignatureCache;
use chain::{Chain, StoreError};
use p2p::sync::{Input as EngineInput, ServedBlocks, SyncEngine};

use crate::events::NodeEvent;
use crate::mempool::policy::OutputKinds;
use crate::mempool::{Mempool, Orphans};
use crate::mode::Mode;
use crate::now::Now;

/// What the core is told at the start.
#[derive(Clone, Debug, Default)]
pub struct CoreOptions {
    /// Dial only these.
    pub connect: Vec<String>,
    /// Dial these as well as known ones.
    pub peers: Vec<String>,
    /// Seed for ids, nonces and jitter.
    pub seed: u64,
    /// Bytes of transactions the mempool may hold; 0 for the default of 50 MB.
    pub mempool_bytes: usize,
    /// Which outputs the mempool takes.
    pub outputs: OutputKinds,
    /// The peer book as [`NodeCore::book_json`] gave it.
    pub book: Option<String>,
    /// Neither learn addresses of other nodes nor tell them. `connect` implies it.
    pub no_discovery: bool,
    /// Nothing need survive: pending data stays in memory until [`NodeCore::shutdown`]. For simulations.
    pub volatile: bool,
    /// Signatures that are known to be valid; nodes of one process may share them. Absent: a cache of its own.
    pub signatures: Option<Arc<SignatureCache>>,
}

/// One node without its IO.
pub struct NodeCore {
    chain: Chain,
    mempool: Mempool,
    orphans: Orphans,
    served: ServedBlocks,
    signatures: Arc<SignatureCache>,
    engine: SyncEngine,
    peers: PeerTable,
    dialer: dial::Dialer,
    bans: bans::BanList,
    mode: mode::ModeWatch,
    flush: flush::FlushTimer,
    early: early::EarlyBlocks,
    nonces: random::Nonces,
    templates: template::TemplateCache,
    wake: wake::WakePlan,
    mending: mend::Mending,
    deferred: net::Deferred,
    /// The tip that events and mempool have followed to.
    followed: BlockHash,
    /// The best header that was last told.
    best_header: BlockHash,
    /// Connecting has not reached the best chain yet.
    activation_due: bool,
    /// The mempool follows a change of chains in steps.
    deep: Option<deep::DeepChange>,
    network_active: bool,
    /// The storage failure after which nothing is written.
    failed: Option<StoreError>,
}

impl std::fmt::Debug for NodeCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeCore")
            .field("tip", &self.chain.tip())
            .field("mempool", &self.mempool.len())
            .field("peers", &self.peers.len())
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}

impl NodeCore {
    /// A core on an opened chain.
    #[must_use]
    pub fn new(chain: Chain, options: CoreOptions) -> NodeCore {
        let dialer = dial::Dialer::new(&options);
        NodeCore {
            mempool: Mempool::new(options.mempool_bytes).with_outputs(options.outputs),
            orphans: Orphans::default(),
            served: ServedBlocks::default(),
            signatures: options.signatures.unwrap_or_default(),
            engine: SyncEngine::new(Arc::clone(chain.params()), options.seed),
            peers: PeerTable::default(),
            dialer,
            bans: bans::BanList::default(),
            mode: mode::ModeWatch::default(),
            flush: flush::FlushTimer::new(options.volatile),
            early: early::EarlyBlocks::default(),
            nonces: random::Nonces::new(options.seed),
            templates: template::TemplateCache::default(),
            wake: wake::WakePlan::default(),
            mending: mend::Mending::default(),
            deferred: net::Deferred::default(),
            followed: chain.tip().hash,
            best_header: chain.tree().best_header().hash,
            // After a crash, bodies may be here that were not connected.
            activation_due: true,
            deep: None,
            network_active: true,
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
            Input::Listening { address } => self.dialer.listening(address),
            Input::PeerUp {
                peer,
                peer_id,
                address,
                direction,
                agent,
            } => {
                let peer = peers::NewPeer {
                    num: peer,
                    peer_id,
                    address,
                    direction,
                    agent,
                };
                self.peer_up(now, peer, out);
            }
            Input::PeerDown { peer, reason } => self.peer_down(now, peer, reason, out),
            Input::PeerListens { peer, addresses } => self.peer_listens(peer, addresses),
            Input::DialMet { address, peer_id } => self.dialer.met(&address, &peer_id),
            Input::DialFailed {
                address,
                reason,
                lasting,
            } => {
                let complaint = self.dialer.failed(now.mono, &address, &reason, lasting);
                out.extend(complaint.map(Output::Complaint));
            }
            Input::Request {
                peer,
                token,
                request,
            } => {
                self.peers.note_message(peer, now);
                self.request_received(now, peer, token, &request, out);
            }
            Input::Response { peer, id, response } => {
                self.peers.note_message(peer, now);
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
                self.peers.note_message(peer, now);
                self.gossip_received(now, peer, id, gossip, out);
            }
            Input::MalformedGossip { peer } => {
                // Honest nodes decode what they forward.
                self.punish(
                    now,
                    peer,
                    "it sent gossip that cannot be decoded".to_owned(),
                    out,
                );
            }
            Input::Ping { peer, micros } => self.peers.note_ping(peer, micros),
            Input::Tick => self.drive(now, EngineInput::Tick, out),
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
        self.continue_deep_change(now, out);
        self.retry_early_blocks(now, out);
        self.mend(now, out);
        if self.failed.is_some() {
            return;
        }
        self.expire_transactions(now, out);
        self.end_bans(now, out);
        self.update_mode(now, out);
        self.flush_if_due(now, out);
        self.dial_due(now, out);
        self.plan_wake_up(now, out);
    }

    fn expire_transactions(&mut self, now: Now, out: &mut Vec<Output>) {
        if self
            .mempool
            .next_expiry()
            .is_some_and(|due| due <= now.wall)
        {
            let mut changes = Vec::new();
            self.mempool.expire(now.wall, &mut changes);
            output::tell_changes(&changes, out);
        }
    }

    /// Storage failed: that is told once, and nothing is written any more.
    fn fail(&mut self, error: StoreError, out: &mut Vec<Output>) {
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

    /// The mempool, to read.
    #[must_use]
    pub fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// Signatures that were checked, for checking blocks that are not submitted (proposals).
    #[must_use]
    pub fn signatures(&self) -> &Arc<SignatureCache> {
        &self.signatures
    }
}
