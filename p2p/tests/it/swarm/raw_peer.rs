//! A real libp2p peer that says whatever a test wants: right identify, wrong bytes.

use futures::StreamExt;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, gossipsub, identify, noise, tcp, yamux};

use super::*;
use crate::raw::{self, RawCodec};

#[derive(NetworkBehaviour)]
pub(crate) struct RawBehaviour {
    pub(crate) identify: identify::Behaviour,
    pub(crate) exchange: request_response::Behaviour<RawCodec>,
    pub(crate) gossip: gossipsub::Behaviour,
}

/// How a raw peer behaves.
pub(crate) struct Manners {
    /// What it says in identify.
    pub(crate) protocol_version: String,
    /// What it answers to any request; `None`: never anything.
    pub(crate) answer: Option<Vec<u8>>,
}

impl Default for Manners {
    fn default() -> Manners {
        Manners {
            protocol_version: format!("mend/1/{}", "11".repeat(32)),
            answer: None,
        }
    }
}

/// A raw peer that runs in the background.
pub(crate) struct RawPeer {
    pub(crate) address: String,
    orders: mpsc::UnboundedSender<Order>,
    /// What comes back for its requests: an answer, or why there is none.
    pub(crate) answers: mpsc::UnboundedReceiver<Result<Vec<u8>, String>>,
}

pub(crate) enum Order {
    Dial(String),
    /// Ask whoever listens there.
    Ask(PeerId, Vec<u8>),
    /// Gossip under a topic, by its last word.
    Gossip(&'static str, Vec<u8>),
}

impl RawPeer {
    pub(crate) async fn start(manners: Manners) -> RawPeer {
        let mut swarm = swarm(&manners.protocol_version);
        swarm
            .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
            .unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address.to_string();
            }
        };
        let (orders, mut ordered) = mpsc::unbounded_channel();
        let (told, answers) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut ignored = Vec::new();
            loop {
                tokio::select! {
                    order = ordered.recv() => match order {
                        Some(order) => obey(&mut swarm, order),
                        None => return,
                    },
                    event = swarm.select_next_some() => {
                        let SwarmEvent::Behaviour(RawBehaviourEvent::Exchange(event)) = event else {
                            continue;
                        };
                        match event {
                            request_response::Event::Message { message, .. } => match message {
                                request_response::Message::Request { channel, .. } => {
                                    match &manners.answer {
                                        Some(answer) => {
                                            let exchange = &mut swarm.behaviour_mut().exchange;
                                            let _ = exchange.send_response(channel, answer.clone());
                                        }
                                        None => ignored.push(channel),
                                    }
                                }
                                request_response::Message::Response { response, .. } => {
                                    let _ = told.send(Ok(response));
                                }
                            },
                            request_response::Event::OutboundFailure { error, .. } => {
                                let _ = told.send(Err(error.to_string()));
                            }
                            _ => {}
                        }
                    }
                }
            }
        });
        RawPeer {
            address,
            orders,
            answers,
        }
    }

    pub(crate) fn order(&self, order: Order) {
        self.orders.send(order).ok().unwrap();
    }

    pub(crate) async fn answer(&mut self) -> Result<Vec<u8>, String> {
        tokio::time::timeout(PATIENCE, self.answers.recv())
            .await
            .expect("an answer")
            .unwrap()
    }
}

fn obey(swarm: &mut Swarm<RawBehaviour>, order: Order) {
    match order {
        Order::Dial(address) => swarm.dial(address.parse::<Multiaddr>().unwrap()).unwrap(),
        Order::Ask(peer, bytes) => {
            swarm.behaviour_mut().exchange.send_request(&peer, bytes);
        }
        Order::Gossip(topic, bytes) => {
            let topic = raw::topic(&name(), topic);
            // Until somebody has subscribed there is nobody to send to; the test tries again.
            let _ = swarm.behaviour_mut().gossip.publish(topic, bytes);
        }
    }
}

/// The first digits of the network's digest.
fn name() -> String {
    "11".repeat(8)
}

fn swarm(protocol_version: &str) -> Swarm<RawBehaviour> {
    libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|key| {
            RawBehaviour {
                identify: identify::Behaviour::new(identify::Config::new(
                    protocol_version.to_owned(),
                    key.public(),
                )),
                exchange: request_response::Behaviour::new(
                    [(raw::exchange_protocol(&name()), ProtocolSupport::Full)],
                    // More patient than any node, so that it is the node that gives up.
                    request_response::Config::default()
                        .with_request_timeout(p2p::wire::limits::BLOCKS_TIMEOUT + PATIENCE),
                ),
                gossip: raw::gossip(&name()),
            }
        })
        .unwrap()
        .with_swarm_config(|config| {
            config.with_idle_connection_timeout(p2p::wire::limits::BLOCKS_TIMEOUT + PATIENCE)
        })
        .build()
}
