//! [`BareGossip`]: nodes that are nothing but libp2p with gossipsub, to tell what a message of some size costs without all else.
//!
//! The fan-out is that of the program: the library's mesh, messages flooded by their first sender, TCP without delay, Noise and
//! Yamux. Messages are forwarded at once; nothing is decoded or checked.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, noise, tcp, yamux};
use tokio::sync::mpsc;

/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(30);

enum Order {
    Dial(Multiaddr),
    Publish(Vec<u8>),
}

/// What a node tells of itself.
enum Told {
    Listens(usize, Multiaddr),
    Subscribed,
    Has(Instant),
}

/// Some such nodes. Each has a thread of its own, as each process has that is measured beside them.
pub struct BareGossip {
    orders: Vec<mpsc::UnboundedSender<Order>>,
    told: Receiver<Told>,
}

impl BareGossip {
    /// Starts `count` nodes of which each dials `outbound` others, and waits until all know each other's topic and have meshes.
    pub fn start(count: usize, outbound: usize) -> BareGossip {
        let (telling, told) = channel();
        let orders = (0..count)
            .map(|node| {
                let (orders, ordered) = mpsc::unbounded_channel();
                let telling = telling.clone();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .expect("a runtime");
                    runtime.block_on(live(node, ordered, telling));
                });
                orders
            })
            .collect();
        let nodes = BareGossip { orders, told };
        let mut addresses = vec![None; count];
        while addresses.contains(&None) {
            if let Told::Listens(node, address) = nodes.next() {
                addresses[node] = Some(address);
            }
        }
        let outbound = outbound.min((count - 1) / 2).max(1);
        for (node, orders) in nodes.orders.iter().enumerate() {
            for step in 1..=outbound {
                let address = addresses[(node + step) % count].clone();
                let order = Order::Dial(address.expect("it listens"));
                orders.send(order).expect("the node runs");
            }
        }
        // Each node tells of each of its neighbours once.
        for _ in 0..count * (2 * outbound).min(count - 1) {
            while !matches!(nodes.next(), Told::Subscribed) {}
        }
        nodes
    }

    fn next(&self) -> Told {
        let told = self.told.recv_timeout(PATIENCE);
        told.expect("nodes answer in time")
    }

    /// Lets the first node publish a message of so many bytes. Gives the milliseconds until the last of the others had it.
    pub fn spread_ms(&self, bytes: usize, number: usize) -> f64 {
        let mut message = vec![0; bytes];
        let tag = number.to_le_bytes();
        message[..tag.len()].copy_from_slice(&tag);
        let began = Instant::now();
        let order = Order::Publish(message);
        self.orders[0].send(order).expect("the node runs");
        let mut last = began;
        for _ in 1..self.orders.len() {
            last = loop {
                if let Told::Has(at) = self.next() {
                    break last.max(at);
                }
            };
        }
        last.duration_since(began).as_secs_f64() * 1_000.0
    }
}

fn swarm() -> Swarm<gossipsub::Behaviour> {
    libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .expect("a transport")
        .with_behaviour(|_| {
            let config = gossipsub::ConfigBuilder::default()
                .validation_mode(ValidationMode::Anonymous)
                .flood_publish(true)
                .max_transmit_size(1 << 20)
                .message_id_fn(|message| gossipsub::MessageId::new(&message.data[..8]))
                .build()
                .expect("settings");
            gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config).expect("gossipsub")
        })
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3_600)))
        .build()
}

/// One node, until nobody orders any more.
async fn live(node: usize, mut ordered: mpsc::UnboundedReceiver<Order>, telling: Sender<Told>) {
    let mut swarm = swarm();
    let topic = IdentTopic::new("bare");
    let gossip = swarm.behaviour_mut();
    gossip.subscribe(&topic).expect("subscribed");
    let any = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    swarm.listen_on(any).expect("it can listen");
    loop {
        let told = tokio::select! {
            order = ordered.recv() => match order {
                None => return,
                Some(Order::Dial(address)) => {
                    swarm.dial(address).expect("it can dial");
                    continue;
                }
                Some(Order::Publish(message)) => {
                    let gossip = swarm.behaviour_mut();
                    gossip.publish(topic.clone(), message).expect("it has peers");
                    continue;
                }
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::NewListenAddr { address, .. } => Told::Listens(node, address),
                SwarmEvent::Behaviour(gossipsub::Event::Subscribed { .. }) => Told::Subscribed,
                SwarmEvent::Behaviour(gossipsub::Event::Message { .. }) => Told::Has(Instant::now()),
                _ => continue,
            },
        };
        if telling.send(told).is_err() {
            return;
        }
    }
}
