//! What a node speaks over a connection.

use std::sync::Arc;

use chain::NetworkDigest;
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{allow_block_list, connection_limits, identify, ping};

use super::codec::Codec;
use super::gate::Gate;
use super::gossip::{self, Topics};
use super::names::{exchange_protocol, protocol_version};
use super::seats::Seats;
use super::traffic::Traffic;
use super::{SwarmConfig, SwarmError};
use crate::wire::limits;

/// Everything a node speaks. Derived calls go in the order of the fields, so those that refuse connections come first: what they
/// refuse, the others never hear of. Seats are given last of these, so that nobody has to go for one who is refused.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) gate: Gate,
    pub(super) banned: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    limits: connection_limits::Behaviour,
    pub(super) seats: Seats,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) gossip: gossip::Gossipsub,
    pub(super) exchange: request_response::Behaviour<Codec>,
}

impl Behaviour {
    pub(super) fn new(
        config: &SwarmConfig,
        key: &Keypair,
        topics: &Topics,
        traffic: Arc<Traffic>,
    ) -> Result<Behaviour, SwarmError> {
        Ok(Behaviour {
            gate: Gate::open(),
            banned: allow_block_list::Behaviour::default(),
            limits: connection_limits::Behaviour::new(connection_limits(config)),
            seats: Seats::new(config.max_inbound),
            identify: identify::Behaviour::new(identify_config(&config.network, key)),
            ping: ping::Behaviour::new(
                ping::Config::new()
                    .with_interval(limits::PING_INTERVAL)
                    .with_timeout(limits::PING_TIMEOUT),
            ),
            gossip: gossip::behaviour(&config.network, topics)?,
            exchange: request_response::Behaviour::with_codec(
                Codec::new(traffic),
                [(exchange_protocol(&config.network), ProtocolSupport::Full)],
                request_response::Config::default()
                    .with_request_timeout(limits::BLOCKS_TIMEOUT)
                    .with_max_concurrent_streams(limits::MAX_STREAMS_PER_PEER),
            ),
        })
    }
}

fn identify_config(network: &NetworkDigest, key: &Keypair) -> identify::Config {
    identify::Config::new(protocol_version(network), key.public())
        .with_agent_version(concat!("mend/", env!("CARGO_PKG_VERSION")).to_owned())
        .with_push_listen_addr_updates(true)
        // The node's own peer book remembers addresses; without this cache a request never dials by itself.
        .with_cache_size(0)
}

/// Inbound connections are not in it: [`Seats`] and [`Handshakes`](super::handshakes::Handshakes) make room for new ones.
fn connection_limits(config: &SwarmConfig) -> connection_limits::ConnectionLimits {
    connection_limits::ConnectionLimits::default()
        .with_max_established_outgoing(Some(config.max_outbound))
        .with_max_pending_outgoing(Some(limits::MAX_PENDING_CONNECTIONS))
}
