//! [`HostilePeer`]: a libp2p peer of the network that says what an attack wants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::request_response::{self, ProtocolSupport, ResponseChannel};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, gossipsub, identify, noise, ping, tcp, yamux};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::raw::{self, RawCodec};

/// Bound of every wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Whoever was let go comes back after this.
const COMES_BACK_AFTER: Duration = Duration::from_millis(200);

/// All hostile peers share two threads.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads")
});

/// What is said to a request.
pub(crate) enum Reply {
    /// Nothing, ever.
    Silence,
    /// These bytes, at once.
    Now(Vec<u8>),
    /// These bytes, after a while.
    Later(Duration, Vec<u8>),
}

/// What a peer says to a request, which comes without its length.
type Answerer = Box<dyn FnMut(&[u8]) -> Reply + Send>;

/// How a peer behaves.
pub(crate) struct Manners {
    /// The network's digest in hexadecimal.
    pub(crate) network: String,
    /// What it says to requests.
    pub(crate) answer: Answerer,
    /// What it asks as soon as it is connected.
    pub(crate) greeting: Option<Vec<u8>>,
    /// Whether it reads the answers to its own requests.
    pub(crate) reads: bool,
    /// Whether it ends each connection as soon as both sides know each other.
    pub(crate) closes: bool,
    /// What it does when its connection ends.
    pub(crate) when_let_go: WhenLetGo,
}

/// What a peer does when its connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenLetGo {
    StaysAway,
    ComesBack,
    ComesBackAsAnother,
}

impl Manners {
    /// Connected and silent.
    pub(crate) fn silent(network: &str) -> Manners {
        Manners {
            network: network.to_owned(),
            answer: Box::new(|_| Reply::Silence),
            greeting: None,
            reads: true,
            closes: false,
            when_let_go: WhenLetGo::StaysAway,
        }
    }
}

/// What a peer has met with so far.
#[derive(Default)]
pub(crate) struct Met {
    connected: AtomicU64,
    let_go: AtomicU64,
    asked: Mutex<BTreeMap<u8, u64>>,
    answers: AtomicU64,
}

/// A peer that runs in the background until it is dropped.
pub(crate) struct HostilePeer {
    /// Where it listens, with its first identity.
    pub(crate) address: String,
    orders: mpsc::UnboundedSender<Order>,
    met: Arc<Met>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Order {
    Dial(Multiaddr),
    Ask(Vec<u8>),
    Gossip(Topic, Vec<u8>),
}

/// Where gossip goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Topic {
    Blocks,
    Transactions,
}

impl Drop for HostilePeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HostilePeer {
    /// A peer that waits to be dialled, or for orders.
    pub(crate) fn start(manners: Manners) -> HostilePeer {
        let (orders, ordered) = mpsc::unbounded_channel();
        let (listening, listens) = std::sync::mpsc::channel();
        let met = Arc::new(Met::default());
        let task = RUNTIME.spawn(run(manners, ordered, Arc::clone(&met), listening));
        let address = listens.recv_timeout(PATIENCE).expect("it listens");
        HostilePeer {
            address,
            orders,
            met,
            task,
        }
    }

    /// A peer that is connected to the node at `address`.
    pub(crate) fn join(address: &str, manners: Manners) -> HostilePeer {
        let peer = HostilePeer::start(manners);
        peer.dial(address);
        peer.wait_until("connected", |peer| peer.times_connected() > 0);
        peer
    }

    /// Dials a node.
    pub(crate) fn dial(&self, address: &str) {
        self.order(Order::Dial(address.parse().expect("an address")));
    }

    /// Asks whoever it is connected to.
    pub(crate) fn ask(&self, request: Vec<u8>) {
        self.order(Order::Ask(request));
    }

    /// Gossips, as soon as somebody has subscribed.
    pub(crate) fn gossip(&self, topic: Topic, message: Vec<u8>) {
        self.order(Order::Gossip(topic, message));
    }

    /// How often it was connected.
    pub(crate) fn times_connected(&self) -> u64 {
        self.met.connected.load(Ordering::Relaxed)
    }

    /// How often its connection ended.
    pub(crate) fn times_let_go(&self) -> u64 {
        self.met.let_go.load(Ordering::Relaxed)
    }

    /// Whether it is connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.times_connected() > self.times_let_go()
    }

    /// How often it was asked for this.
    pub(crate) fn times_asked(&self, kind: u8) -> u64 {
        lock(&self.met.asked).get(&kind).copied().unwrap_or(0)
    }

    /// Answers that it got.
    pub(crate) fn answers(&self) -> u64 {
        self.met.answers.load(Ordering::Relaxed)
    }

    /// Waits until `ready` is true, looking every 10 ms.
    pub(crate) fn wait_until(&self, what: &str, ready: impl Fn(&HostilePeer) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready(self) {
            assert!(
                Instant::now() < deadline,
                "a hostile peer waited in vain: {what}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("the peer runs");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

#[derive(NetworkBehaviour)]
struct RawBehaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    exchange: request_response::Behaviour<RawCodec>,
    gossip: gossipsub::Behaviour,
}

fn swarm(manners: &Manners) -> Swarm<RawBehaviour> {
    let (version, name) = (
        format!("mend/1/{}", manners.network),
        manners.network[..16].to_owned(),
    );
    let codec = RawCodec {
        reads: manners.reads,
    };
    libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .expect("encryption")
        .with_behaviour(|key| RawBehaviour {
            identify: identify::Behaviour::new(identify::Config::new(version, key.public())),
            ping: ping::Behaviour::default(),
            exchange: request_response::Behaviour::with_codec(
                codec,
                [(raw::exchange_protocol(&name), ProtocolSupport::Full)],
                request_response::Config::default()
                    .with_request_timeout(PATIENCE * 10)
                    .with_max_concurrent_streams(1_000),
            ),
            gossip: raw::gossip(&name),
        })
        .expect("behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE * 10))
        .build()
}

fn ident(name: &str, topic: Topic) -> gossipsub::IdentTopic {
    match topic {
        Topic::Blocks => raw::topic(name, "blocks"),
        Topic::Transactions => raw::topic(name, "transactions"),
    }
}

async fn listen(swarm: &mut Swarm<RawBehaviour>) -> String {
    let any = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    swarm.listen_on(any).expect("a free port");
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return format!("{address}/p2p/{}", swarm.local_peer_id());
        }
    }
}

async fn run(
    mut manners: Manners,
    mut ordered: mpsc::UnboundedReceiver<Order>,
    met: Arc<Met>,
    listening: std::sync::mpsc::Sender<String>,
) {
    let mut swarm = swarm(&manners);
    let address = listen(&mut swarm).await;
    listening.send(address).expect("it is waited for");
    let mut target: Option<Multiaddr> = None;
    let mut connected: Option<PeerId> = None;
    let mut unanswered: Vec<ResponseChannel<Vec<u8>>> = Vec::new();
    let (late, mut due) = mpsc::unbounded_channel::<(ResponseChannel<Vec<u8>>, Vec<u8>)>();
    let mut unheard: Vec<(Topic, Vec<u8>)> = Vec::new();
    let mut again = tokio::time::interval(Duration::from_millis(50));
    let mut dial_at: Option<tokio::time::Instant> = None;
    loop {
        tokio::select! {
            order = ordered.recv() => match order {
                None => return,
                Some(Order::Dial(address)) => {
                    target = Some(address);
                    dial_at = Some(tokio::time::Instant::now());
                }
                Some(Order::Ask(bytes)) => if let Some(peer) = &connected {
                    swarm.behaviour_mut().exchange.send_request(peer, bytes);
                },
                Some(Order::Gossip(topic, bytes)) => {
                    let name = &manners.network[..16];
                    let gossip = &mut swarm.behaviour_mut().gossip;
                    if gossip.publish(ident(name, topic), bytes.clone()).is_err() {
                        unheard.push((topic, bytes));
                    }
                }
            },
            Some((channel, bytes)) = due.recv() => {
                // The asker may have given up.
                let _ = swarm.behaviour_mut().exchange.send_response(channel, bytes);
            }
            _ = again.tick() => {
                let name = &manners.network[..16];
                let gossip = &mut swarm.behaviour_mut().gossip;
                unheard.retain(|(topic, bytes)| gossip.publish(ident(name, *topic), bytes.clone()).is_err());
                if dial_at.is_some_and(|at| at <= tokio::time::Instant::now())
                    && connected.is_none()
                    && let Some(address) = &target
                {
                    dial_at = Some(tokio::time::Instant::now() + 5 * COMES_BACK_AFTER);
                    // A dial under way already is one.
                    let _ = swarm.dial(address.clone());
                }
            }
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                    met.connected.fetch_add(1, Ordering::Relaxed);
                    connected = Some(peer_id);
                    if let Some(greeting) = &manners.greeting {
                        let exchange = &mut swarm.behaviour_mut().exchange;
                        exchange.send_request(&peer_id, greeting.clone());
                    }
                }
                SwarmEvent::ConnectionClosed { num_established: 0, .. } => {
                    met.let_go.fetch_add(1, Ordering::Relaxed);
                    connected = None;
                    match manners.when_let_go {
                        WhenLetGo::StaysAway => target = None,
                        WhenLetGo::ComesBack => {}
                        WhenLetGo::ComesBackAsAnother => {
                            swarm = self::swarm(&manners);
                            listen(&mut swarm).await;
                        }
                    }
                    dial_at = Some(tokio::time::Instant::now() + COMES_BACK_AFTER);
                }
                SwarmEvent::Behaviour(RawBehaviourEvent::Identify(
                    identify::Event::Received { peer_id, .. },
                )) if manners.closes => {
                    // It may be gone already.
                    let _ = swarm.disconnect_peer_id(peer_id);
                }
                SwarmEvent::Behaviour(RawBehaviourEvent::Exchange(
                    request_response::Event::Message { message, .. },
                )) => match message {
                    request_response::Message::Request { request, channel, .. } => {
                        // Its length is in front.
                        let request = request.get(4..).unwrap_or_default();
                        let kind = request.first().copied().unwrap_or(u8::MAX);
                        *lock(&met.asked).entry(kind).or_default() += 1;
                        match (manners.answer)(request) {
                            Reply::Silence => unanswered.push(channel),
                            Reply::Now(bytes) => {
                                let exchange = &mut swarm.behaviour_mut().exchange;
                                let _ = exchange.send_response(channel, bytes);
                            }
                            Reply::Later(wait, bytes) => {
                                let late = late.clone();
                                tokio::spawn(async move {
                                    tokio::time::sleep(wait).await;
                                    let _ = late.send((channel, bytes));
                                });
                            }
                        }
                    }
                    request_response::Message::Response { .. } => {
                        met.answers.fetch_add(1, Ordering::Relaxed);
                    }
                },
                _ => {}
            },
        }
    }
}
