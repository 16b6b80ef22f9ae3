//! The swarm over real sockets on 127.0.0.1, every wait bounded.
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]

mod connect;
mod cost;
mod exchange;
mod heal;
mod hostile;
mod link;
mod raw_peer;
mod relay;

use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Work};
use chain::{Height, NetworkDigest};
use p2p::AnswerToken;
use p2p::swarm::{Command, Event, SwarmConfig, SwarmError, Told, Traffic};
use p2p::sync::{GossipId, RequestId};
use p2p::wire::{Gossip, Request, Response, TipStatus};
use p2p::{Direction, PeerNum};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Everything that should happen, happens within this time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// What should not happen is waited for this long.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// The network of these tests.
pub(crate) const NETWORK: NetworkDigest = NetworkDigest([0x11; 32]);

/// A listening swarm and its events.
pub(crate) struct Node {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    /// Where it listens, with its peer id.
    pub(crate) address: String,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) task: JoinHandle<Result<(), SwarmError>>,
    requests: u64,
}

/// A configuration for one node of a test.
pub(crate) fn config() -> SwarmConfig {
    SwarmConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        network: NETWORK,
        key_file: None,
        max_inbound: 50,
        max_outbound: 50,
    }
}

impl Node {
    pub(crate) async fn start() -> Node {
        Node::with(config()).await
    }

    pub(crate) async fn with(config: SwarmConfig) -> Node {
        let (commands, commanded) = mpsc::unbounded_channel();
        let (told, events) = mpsc::unbounded_channel();
        let traffic = Arc::new(Traffic::new());
        let counted = traffic.clone();
        let tell = move |told_by: Told| {
            drop(told.send(told_by.event));
            Ok(())
        };
        let task = tokio::spawn(p2p::swarm::run(config, commanded, tell, counted));
        let address = String::new();
        let mut node = Node {
            commands,
            events,
            address,
            traffic,
            task,
            requests: 0,
        };
        node.address = node
            .until("listening", |event| match event {
                Event::Listening { address } => Some(address),
                _ => None,
            })
            .await;
        node
    }

    pub(crate) fn peer_id(&self) -> &str {
        self.address.rsplit_once('/').unwrap().1
    }

    /// Where it listens, without its peer id.
    pub(crate) fn plain_address(&self) -> &str {
        self.address.split_once("/p2p/").unwrap().0
    }

    pub(crate) fn port(&self) -> u16 {
        self.plain_address()
            .rsplit_once('/')
            .unwrap()
            .1
            .parse()
            .unwrap()
    }

    pub(crate) fn tell(&self, command: Command) {
        self.commands.send(command).unwrap();
    }

    pub(crate) fn dial(&self, address: &str) {
        self.tell(Command::Dial(address.to_owned()));
    }

    /// The first event that `wanted` takes; others are passed over.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(Event) -> Option<T>,
    ) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the swarm runs");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => panic!("nothing came: {what}"),
        }
    }

    /// Fails if anything that `unwanted` finds comes within a moment.
    pub(crate) async fn stays_without(&mut self, unwanted: impl Fn(&Event) -> bool) {
        let end = tokio::time::Instant::now() + SILENCE;
        while let Ok(Some(event)) = tokio::time::timeout_at(end, self.events.recv()).await {
            assert!(!unwanted(&event), "unwanted: {event:?}");
        }
    }

    pub(crate) async fn peer_up(&mut self) -> PeerNum {
        self.peer_up_in().await.0
    }

    pub(crate) async fn peer_up_in(&mut self) -> (PeerNum, Direction) {
        self.until("a peer", |event| match event {
            Event::PeerUp {
                peer, direction, ..
            } => Some((peer, direction)),
            _ => None,
        })
        .await
    }

    pub(crate) async fn peer_down(&mut self) -> (PeerNum, String) {
        self.until("the end of a peer", |event| match event {
            Event::PeerDown { peer, reason } => Some((peer, reason)),
            _ => None,
        })
        .await
    }

    pub(crate) async fn dial_failed(&mut self) -> String {
        self.until("a failed dial", |event| match event {
            Event::DialFailed { reason, .. } => Some(reason),
            Event::PeerUp { .. } => panic!("a dial went through that should not: {event:?}"),
            _ => None,
        })
        .await
    }

    /// Asks a peer without waiting.
    pub(crate) fn ask(&mut self, peer: PeerNum, request: Request) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.tell(Command::Request { peer, id, request });
        id
    }

    pub(crate) async fn asked(&mut self) -> (AnswerToken, Request) {
        self.until("a request", |event| match event {
            Event::Request { token, request, .. } => Some((token, request)),
            _ => None,
        })
        .await
    }

    pub(crate) fn answer(&self, token: AnswerToken, response: Response) {
        self.tell(Command::Answer {
            token,
            response: Some(response),
        });
    }

    pub(crate) async fn response(&mut self) -> (RequestId, Response) {
        self.until("a response", |event| match event {
            Event::Response { id, response, .. } => Some((id, response)),
            Event::RequestFailed { reason, .. } => panic!("the request failed: {reason}"),
            _ => None,
        })
        .await
    }

    pub(crate) async fn request_failed(&mut self) -> (RequestId, bool, String) {
        self.until("a failed request", |event| match event {
            Event::RequestFailed {
                id,
                malformed,
                reason,
                ..
            } => Some((id, malformed, reason)),
            Event::Response { .. } => panic!("answered: {event:?}"),
            _ => None,
        })
        .await
    }

    /// Shows that requests go both ways over a connection.
    pub(crate) async fn shake_hands(&mut self, peer: PeerNum, other: &mut Node) {
        let id = self.ask(peer, Request::Status(status(1)));
        let (token, request) = other.asked().await;
        assert_eq!(request, Request::Status(status(1)));
        other.answer(token, Response::Status(status(2)));
        assert_eq!(self.response().await.0, id);
    }
}

/// Two nodes, the first of which dialled.
pub(crate) async fn pair() -> (Node, PeerNum, Node, PeerNum) {
    let (mut a, mut b) = (Node::start().await, Node::start().await);
    a.dial(&b.address);
    let (to_b, to_a) = (a.peer_up().await, b.peer_up().await);
    (a, to_b, b, to_a)
}

pub(crate) fn status(height: u32) -> TipStatus {
    TipStatus {
        hash: BlockHash::from_byte_array([height as u8; 32]),
        height: Height(height),
        chain_work: Work::from_be_bytes([0x22; 32]),
    }
}

/// A transaction unlike those with other numbers.
pub(crate) fn transaction(number: u32) -> Gossip {
    Gossip::Transaction(Arc::new(plain_transaction(number, 1)))
}

/// A transaction of about `outputs` times 31 bytes.
pub(crate) fn plain_transaction(number: u32, outputs: usize) -> bitcoin::Transaction {
    let script = bitcoin::ScriptBuf::from_bytes(vec![0x51; 22]);
    bitcoin::Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::from_consensus(number),
        input: vec![bitcoin::TxIn::default()],
        output: vec![
            bitcoin::TxOut {
                value: bitcoin::Amount::from_sat(1),
                script_pubkey: script
            };
            outputs
        ],
    }
}

/// A block of about `bytes` bytes; no rule is asked about it here.
pub(crate) fn block(number: u32, bytes: usize) -> bitcoin::Block {
    let header = bitcoin::block::Header {
        version: bitcoin::block::Version::TWO,
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: bitcoin::TxMerkleNode::all_zeros(),
        time: number,
        bits: bitcoin::CompactTarget::from_consensus(0x207fffff),
        nonce: 0,
    };
    let transactions = bytes.div_ceil(31_000);
    let txdata = (0..transactions as u32)
        .map(|i| plain_transaction(i, 1_000))
        .collect();
    bitcoin::Block { header, txdata }
}
