//! The only libp2p: TCP, Noise, Yamux, gossipsub and one request-response protocol, driven by commands and events.
//!
//! It carries messages and keeps connections, and decides nothing about blocks or peers: what to dial, whom to ask and
//! what to think of an answer is told to it by [`Command`]s. It is a host, so it reads the clock and uses libp2p's randomness.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the swarm does the network's IO: timers and the library's maps are its business"
)]

mod address;
mod behaviour;
mod codec;
mod counters;
mod driver;
mod ended;
mod gate;
mod gossip;
mod handshakes;
mod identity;
mod listen;
mod meter;
mod names;
mod reason;
mod seats;
mod throttle;
mod traffic;
mod transport;

use std::path::PathBuf;
use std::sync::Arc;

use chain::NetworkDigest;
use tokio::sync::mpsc;

use crate::budget::{Charge, Full};
use crate::sync::{GossipId, RequestId};
use crate::wire::{Gossip, Request, Response, Verdict};
use crate::{AnswerToken, Direction, PeerNum};

pub use address::check as check_address;
pub use counters::{Channel, KindTraffic, WireTraffic};
pub use meter::PeerTraffic;
pub use traffic::Traffic;

/// Directives for a log filter that silence libraries which warn of what is normal here, such as gossip seen twice.
pub const LOG_DIRECTIVES: &str = "libp2p_gossipsub=error,libp2p_request_response=error";

/// How the swarm is set up.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// Multiaddresses or `host:port` to listen on; port 0 takes a free one.
    pub listen: Vec<String>,
    /// Part of every protocol id.
    pub network: NetworkDigest,
    /// File with the node's identity key, made (mode 0600) if absent; `None` for a throw-away one.
    pub key_file: Option<PathBuf>,
    /// Most inbound connections. When there are more, one that is good for little has to go.
    pub max_inbound: u32,
    /// Most outbound connections.
    pub max_outbound: u32,
}

/// What the swarm is told to do.
#[derive(Debug)]
pub enum Command {
    /// Dial a multiaddress, with or without a peer id, or `host:port`.
    Dial(String),
    /// End a connection.
    Disconnect(PeerNum),
    /// Ask a peer.
    Request {
        /// Whom.
        peer: PeerNum,
        /// Echoed in the answer.
        id: RequestId,
        /// What.
        request: Request,
    },
    /// Answer a peer.
    Answer {
        /// Which request of it.
        token: AnswerToken,
        /// The answer; `None` drops the request.
        response: Option<Response>,
    },
    /// Spread to everyone.
    Publish(Gossip),
    /// Say whether gossip is forwarded.
    Verdict {
        /// Which item.
        id: GossipId,
        /// Forward it or not.
        verdict: Verdict,
    },
    /// Refuse this peer's identity from now on, and end its connection; or allow it again.
    Ban {
        /// libp2p peer id in text form.
        peer_id: String,
        /// Refuse or allow.
        banned: bool,
    },
    /// Networking on or off: off ends all connections and refuses new ones (`setnetworkactive`).
    SetActive(bool),
    /// Leave.
    Shutdown,
}

/// Something that happened, and what it costs whoever caused it.
#[derive(Debug)]
pub struct Told {
    /// What happened.
    pub event: Event,
    /// Who pays for it until it is consumed; `None` for what no peer can cause at will.
    pub charge: Option<Charge>,
}

/// What happened in the swarm.
#[derive(Debug)]
pub enum Event {
    /// Listening here; the address ends in the node's own peer id.
    Listening {
        /// The full multiaddress.
        address: String,
    },
    /// A peer of the same network is connected and can be asked.
    PeerUp {
        /// Its number from now on.
        peer: PeerNum,
        /// libp2p peer id in text form.
        peer_id: String,
        /// As given in [`Command::Dial`] if we dialled; else the remote multiaddress, whose port is of use to nobody.
        address: String,
        /// Who dialled.
        direction: Direction,
        /// What it calls itself (identify's agent version), as far as known.
        agent: String,
    },
    /// A peer is gone.
    PeerDown {
        /// Which.
        peer: PeerNum,
        /// In words.
        reason: String,
    },
    /// The addresses that a peer says it listens on.
    PeerListens {
        /// Which.
        peer: PeerNum,
        /// Multiaddresses with its peer id.
        addresses: Vec<String>,
    },
    /// A dial reached a peer that is connected already. [`Event::DialFailed`] follows.
    DialMet {
        /// As given in [`Command::Dial`].
        address: String,
        /// Whom it reached: libp2p peer id in text form.
        peer_id: String,
    },
    /// A dial failed.
    DialFailed {
        /// As given in [`Command::Dial`].
        address: String,
        /// In words.
        reason: String,
        /// The reason will not pass by itself: somebody else answers there, or ourselves, or another network.
        lasting: bool,
    },
    /// A peer asks.
    Request {
        /// Who.
        peer: PeerNum,
        /// For the answer.
        token: AnswerToken,
        /// What.
        request: Request,
    },
    /// A peer answered.
    Response {
        /// Who.
        peer: PeerNum,
        /// Our request.
        id: RequestId,
        /// The answer.
        response: Response,
    },
    /// A request of ours failed.
    RequestFailed {
        /// Whom we asked.
        peer: PeerNum,
        /// Our request.
        id: RequestId,
        /// The answer was malformed or over a limit.
        malformed: bool,
        /// In words.
        reason: String,
    },
    /// Gossip came in and waits for a verdict (within 4 s).
    Gossip {
        /// Who passed it on.
        peer: PeerNum,
        /// For the verdict.
        id: GossipId,
        /// Decoded, not checked.
        gossip: Gossip,
    },
    /// A peer sent gossip that cannot be decoded; it was rejected already.
    MalformedGossip {
        /// Who.
        peer: PeerNum,
    },
    /// Round-trip time of a peer.
    Ping {
        /// Which.
        peer: PeerNum,
        /// Microseconds.
        micros: u64,
    },
}

/// Why the swarm could not start. Ends with a remedy.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct SwarmError {
    /// Cause and remedy.
    pub problem: String,
}

impl SwarmError {
    fn new(problem: String) -> SwarmError {
        SwarmError { problem }
    }
}

/// Runs the swarm until [`Command::Shutdown`] or until `commands` closes.
///
/// Everything that a peer or a dial comes to is told by `events`, which must not block. It may refuse what is not firm (see
/// [`Charge`]): refused gossip is not forwarded, a refused request is dropped. Each [`Command::Dial`] ends in one
/// [`Event::PeerUp`] of an outbound peer at that address or one [`Event::DialFailed`]; each [`Command::Request`] in one
/// [`Event::Response`] or [`Event::RequestFailed`], and that before the [`Event::PeerDown`] of its peer; each
/// [`Event::PeerUp`] in one [`Event::PeerDown`]. Must be called within a tokio runtime with IO and time.
///
/// # Errors
///
/// At once when it cannot listen on an address or use its key file.
pub async fn run(
    config: SwarmConfig,
    commands: mpsc::UnboundedReceiver<Command>,
    events: impl Fn(Told) -> Result<(), Full> + Send + 'static,
    traffic: Arc<Traffic>,
) -> Result<(), SwarmError> {
    let key = identity::load_or_create(config.key_file.as_deref())?;
    let mut driver = driver::Driver::new(&config, &key, events, traffic)?;
    for address in listen::resolve_free(&config.listen).await? {
        driver.listen(address)?;
    }
    driver.run(commands).await;
    Ok(())
}
