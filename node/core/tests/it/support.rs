//! Cores driven by hand: a lone one with wallets, and a small network of them in fake time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Amount, Block, BlockHash, OutPoint, Transaction, Txid};
use chain::fixtures::{Key, Payment, TestChain, grind};
use chain::{Acceptance, Chain, Height, Timestamp};
use node_core::events::NodeEvent;
use node_core::{CoreOptions, Input, NodeCore, Now, Output, SubmitError};
use p2p::AnswerToken;
use p2p::sync::{GossipId, RequestId};
use p2p::wire::{Gossip, Request, Verdict};
use p2p::{Direction, Mono, PeerNum};

/// The wall clock when fake time begins: a day after genesis.
pub(crate) const START: Timestamp = Timestamp(1_700_086_400);

pub(crate) const FEE: Amount = Amount::from_sat(1_000);

pub(crate) fn alice() -> Key {
    TestChain::rich_keys()[0].clone()
}

pub(crate) fn bob() -> Key {
    TestChain::rich_keys()[1].clone()
}

/// The peer of a lone core.
pub(crate) const PEER: PeerNum = PeerNum(7);
/// Where it is.
pub(crate) const ADDRESS: &str = "/ip4/127.0.0.1/tcp/20007";

/// A lone core dials its peer and reaches it.
pub(crate) fn peer_up(lone: &mut Lone) {
    lone.handle(Input::PeerUp {
        peer: PEER,
        peer_id: "12D3KooWPeer".to_owned(),
        address: ADDRESS.to_owned(),
        direction: Direction::Outbound,
        agent: "test".to_owned(),
    });
}

/// A miner hands in a block.
pub(crate) fn submit(lone: &mut Lone, block: &Block) -> Result<Acceptance, SubmitError> {
    lone.core
        .submit_block(lone.now, block.clone(), &mut lone.out)
}

/// The word of BIP 22 for why a block was not taken.
pub(crate) fn word(result: Result<Acceptance, SubmitError>) -> String {
    let error = result.expect_err("refused");
    error.reject_reason().expect("a verdict").into_owned()
}

/// The coins that `key` has from the start.
pub(crate) fn allocations(key: &Key) -> Vec<OutPoint> {
    let params = TestChain::params();
    let tx = &params.genesis.txdata[1];
    let txid = tx.compute_txid();
    let mine = |vout: &u32| tx.output[*vout as usize].script_pubkey == key.script();
    (0..tx.output.len() as u32)
        .filter(mine)
        .map(|vout| OutPoint { txid, vout })
        .collect()
}

/// Pays all of allocation `index` of `from`, less `fee`, to `to`.
pub(crate) fn pay(from: &Key, index: usize, to: &Key, fee: Amount) -> Transaction {
    let params = TestChain::params();
    let outpoint = allocations(from)[index];
    let output = &params.genesis.txdata[1].output[outpoint.vout as usize];
    Payment::new()
        .spend(outpoint, output, from)
        .pay(to, output.value - fee)
        .sign()
}

/// Pays all of output 0 of `parent`, less `fee`, from `from` to `to`.
pub(crate) fn pay_on(parent: &Transaction, from: &Key, to: &Key, fee: Amount) -> Transaction {
    let value = parent.output[0].value - fee;
    Payment::new()
        .spend_output_of(parent, 0, from)
        .pay(to, value)
        .sign()
}

pub(crate) fn new_core(seed: u64) -> NodeCore {
    let options = CoreOptions {
        seed,
        ..CoreOptions::default()
    };
    NodeCore::new(Chain::in_memory(TestChain::params()), options)
}

/// A mined block from a core's own template.
pub(crate) fn mine_template(core: &NodeCore, now: Now, extra_nonce: u64) -> Block {
    let template = core.template(now).expect("a template is never refused");
    let mut block = template.build(&Key::p2tr("miner").script(), extra_nonce);
    core.chain()
        .test_block(block.clone(), now.wall)
        .expect("the template is valid");
    grind(&mut block.header);
    block
}

/// One core without a network.
pub(crate) struct Lone {
    pub core: NodeCore,
    pub now: Now,
    pub out: Vec<Output>,
    extra_nonce: u64,
}

impl Lone {
    pub(crate) fn new() -> Lone {
        Lone::with(new_core(1))
    }

    pub(crate) fn with(core: NodeCore) -> Lone {
        let now = Now {
            mono: Mono::ZERO,
            wall: START,
        };
        let mut lone = Lone {
            core,
            now,
            out: Vec::new(),
            extra_nonce: 0,
        };
        lone.handle(Input::Tick);
        lone
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.core.handle(self.now, input, &mut self.out);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall.saturating_add_secs(time.as_secs() as u32);
        self.handle(Input::Tick);
    }

    /// Submits and gives the txid, or Core's reject reason.
    pub(crate) fn send(&mut self, tx: &Transaction) -> Result<Txid, String> {
        let result = self
            .core
            .submit_transaction(self.now, tx.clone(), &mut self.out);
        result.map_err(|error| error.reject_reason().into_owned())
    }

    pub(crate) fn submit(&mut self, block: &Block) {
        self.core
            .submit_block(self.now, block.clone(), &mut self.out)
            .expect("a good block");
    }

    /// Mines from the template.
    pub(crate) fn mine(&mut self) -> Block {
        self.now.wall = self.now.wall.saturating_add_secs(1);
        self.extra_nonce += 1;
        let block = mine_template(&self.core, self.now, self.extra_nonce);
        self.submit(&block);
        assert_eq!(self.core.chain().tip().hash, block.block_hash());
        block
    }

    pub(crate) fn mine_many(&mut self, count: usize) {
        for _ in 0..count {
            self.mine();
        }
    }

    pub(crate) fn pool(&self) -> BTreeSet<Txid> {
        self.core
            .mempool()
            .entries()
            .map(|entry| entry.txid)
            .collect()
    }

    pub(crate) fn take_events(&mut self) -> Vec<NodeEvent> {
        events_of(std::mem::take(&mut self.out))
    }
}

pub(crate) fn events_of(outputs: Vec<Output>) -> Vec<NodeEvent> {
    let event = |output| match output {
        Output::Event(event) => Some(event),
        _ => None,
    };
    outputs.into_iter().filter_map(event).collect()
}

/// What is on its way to a node.
enum Parcel {
    Input(Input),
    Wake,
}

/// Cores that exchange messages in fake time. Links are symmetric, gossip floods.
pub(crate) struct Net {
    pub cores: Vec<NodeCore>,
    pub events: Vec<Vec<NodeEvent>>,
    /// Every output, as text: the trace that must be equal in equal runs.
    pub trace: Vec<String>,
    pub banned: Vec<String>,
    /// Announcements and transactions vanish while this is set.
    pub lose_gossip: bool,
    now: Mono,
    latency: Duration,
    parcels: BTreeMap<(Mono, u64), (usize, Parcel)>,
    sequence: u64,
    /// By (node, its number of the peer): the other node and the number that it gave.
    links: BTreeMap<(usize, PeerNum), (usize, PeerNum)>,
    severed: BTreeSet<(usize, usize)>,
    tokens: BTreeMap<AnswerToken, (usize, PeerNum, RequestId)>,
    gossip: BTreeMap<GossipId, (usize, PeerNum, Gossip)>,
    seen: BTreeSet<(usize, [u8; 32])>,
}

impl Net {
    pub(crate) fn new(count: usize) -> Net {
        let mut net = Net {
            cores: (0..count).map(|index| new_core(index as u64 + 1)).collect(),
            events: vec![Vec::new(); count],
            trace: Vec::new(),
            banned: Vec::new(),
            lose_gossip: false,
            now: Mono::ZERO,
            latency: Duration::from_millis(5),
            parcels: BTreeMap::new(),
            sequence: 0,
            links: BTreeMap::new(),
            severed: BTreeSet::new(),
            tokens: BTreeMap::new(),
            gossip: BTreeMap::new(),
            seen: BTreeSet::new(),
        };
        for index in 0..count {
            let address = address_of(index);
            net.post(
                index,
                Parcel::Input(Input::Listening { address }),
                Duration::ZERO,
            );
        }
        net
    }

    /// All nodes dial their next ones: a ring.
    pub(crate) fn ring(count: usize) -> Net {
        let mut net = Net::new(count);
        for index in 0..count {
            net.connect(index, (index + 1) % count);
        }
        net.run(Duration::from_secs(1));
        net
    }

    pub(crate) fn now(&self) -> Now {
        let seconds = u32::try_from(self.now.as_micros() / 1_000_000).expect("short runs");
        Now {
            mono: self.now,
            wall: START.saturating_add_secs(seconds),
        }
    }

    fn post(&mut self, node: usize, parcel: Parcel, delay: Duration) {
        self.sequence += 1;
        self.parcels
            .insert((self.now + delay, self.sequence), (node, parcel));
    }

    /// Lets `from` dial `to`, now and whenever the connection is lost.
    pub(crate) fn connect(&mut self, from: usize, to: usize) {
        self.act(from, |core, now, out| {
            core.add_node(now, &address_of(to), node_core::AddNode::Add, out)
                .expect("new");
        });
    }

    pub(crate) fn act<R>(
        &mut self,
        node: usize,
        act: impl FnOnce(&mut NodeCore, Now, &mut Vec<Output>) -> R,
    ) -> R {
        let mut out = Vec::new();
        let now = self.now();
        let result = act(&mut self.cores[node], now, &mut out);
        for output in out {
            self.carry_out(node, output);
        }
        result
    }

    /// Runs for a while of fake time.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((&(at, sequence), _)) = self.parcels.first_key_value() {
            if at > end {
                break;
            }
            let (node, parcel) = self.parcels.remove(&(at, sequence)).expect("it is first");
            self.now = at;
            let input = match parcel {
                Parcel::Input(input) => input,
                Parcel::Wake => Input::Tick,
            };
            self.act(node, |core, now, out| core.handle(now, input, out));
        }
        self.now = end;
    }

    /// Runs until `done`, at most for `limit`. Gives the time it took.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Net) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now.since(start) < limit, "not done within {limit:?}");
            self.run(Duration::from_millis(10));
        }
        self.now.since(start)
    }

    pub(crate) fn tips(&self) -> BTreeSet<BlockHash> {
        self.cores
            .iter()
            .map(|core| core.chain().tip().hash)
            .collect()
    }

    pub(crate) fn agree(&self) -> bool {
        self.tips().len() == 1
    }

    pub(crate) fn height(&self, node: usize) -> Height {
        self.cores[node].chain().tip().height
    }

    pub(crate) fn mine(&mut self, node: usize) -> BlockHash {
        // Each block a second later, so that times move.
        self.run(Duration::from_secs(1));
        let block = mine_template(
            &self.cores[node],
            self.now(),
            100 * self.sequence + node as u64,
        );
        let hash = block.block_hash();
        self.act(node, |core, now, out| {
            core.submit_block(now, block, out).expect("good")
        });
        hash
    }

    pub(crate) fn send(&mut self, node: usize, tx: &Transaction) -> Txid {
        let tx = tx.clone();
        self.act(node, |core, now, out| {
            core.submit_transaction(now, tx, out).expect("good")
        })
    }

    pub(crate) fn has(&self, node: usize, txid: &Txid) -> bool {
        self.cores[node].mempool().get(txid).is_some()
    }

    /// A peer of `node` that is none of the cores: it answers nothing.
    pub(crate) fn stranger(&mut self, node: usize) -> PeerNum {
        self.sequence += 1;
        let peer = PeerNum(self.sequence);
        let up = Input::PeerUp {
            peer,
            peer_id: format!("stranger-{}", peer.0),
            address: format!("/ip4/127.0.0.1/tcp/{}", 40_000 + peer.0),
            direction: Direction::Inbound,
            agent: "test".to_owned(),
        };
        self.post(node, Parcel::Input(up), Duration::ZERO);
        self.run(Duration::ZERO);
        peer
    }

    /// A stranger gossips a transaction.
    pub(crate) fn tell(&mut self, node: usize, peer: PeerNum, tx: &Transaction) {
        let gossip = Gossip::Transaction(Arc::new(tx.clone()));
        assert!(self.seen.insert((node, gossip.content_id())), "it is new");
        self.sequence += 1;
        let id = GossipId(self.sequence);
        self.gossip.insert(id, (node, peer, gossip.clone()));
        let input = Input::Gossip { peer, id, gossip };
        self.post(node, Parcel::Input(input), Duration::ZERO);
        self.run(Duration::ZERO);
    }

    /// Cuts all links between the two groups.
    pub(crate) fn partition(&mut self, left: &[usize], right: &[usize]) {
        for &a in left {
            for &b in right {
                self.severed.extend([(a, b), (b, a)]);
                self.disconnect(a, b);
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.severed.clear();
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        let between: Vec<_> = self
            .links
            .iter()
            .filter(|((from, _), (to, _))| (*from, *to) == (a, b) || (*from, *to) == (b, a))
            .map(|(key, _)| *key)
            .collect();
        for (node, peer) in between {
            self.links.remove(&(node, peer));
            let reason = "cut".to_owned();
            self.post(
                node,
                Parcel::Input(Input::PeerDown { peer, reason }),
                Duration::ZERO,
            );
        }
    }

    fn dial(&mut self, from: usize, address: String) {
        let place = address.split("/p2p/").next().expect("text has a start");
        let to = (0..self.cores.len()).find(|index| address_of(*index) == place);
        let connected = |to: usize| {
            self.links
                .iter()
                .any(|((a, _), (b, _))| (*a, *b) == (from, to))
        };
        let Some(to) = to.filter(|to| !self.severed.contains(&(from, *to)) && !connected(*to))
        else {
            let reason = "nobody there".to_owned();
            let lasting = false;
            let failed = Input::DialFailed {
                address,
                reason,
                lasting,
            };
            return self.post(from, Parcel::Input(failed), self.latency);
        };
        self.sequence += 2;
        let numbers = [PeerNum(self.sequence - 1), PeerNum(self.sequence)];
        self.links.insert((from, numbers[0]), (to, numbers[1]));
        self.links.insert((to, numbers[1]), (from, numbers[0]));
        for (node, peer, other, direction) in [
            (from, numbers[0], to, Direction::Outbound),
            (to, numbers[1], from, Direction::Inbound),
        ] {
            let up = Input::PeerUp {
                peer,
                peer_id: format!("peer-{other}"),
                address: address_of(other),
                direction,
                agent: "test".to_owned(),
            };
            self.post(node, Parcel::Input(up), self.latency);
        }
    }

    fn spread(&mut self, node: usize, except: Option<PeerNum>, gossip: &Gossip) {
        if !self.seen.insert((node, gossip.content_id())) && except.is_none() {
            return;
        }
        let neighbours: Vec<_> = self
            .links
            .range((node, PeerNum(0))..=(node, PeerNum(u64::MAX)))
            .filter(|((_, peer), _)| Some(*peer) != except)
            .map(|(_, other)| *other)
            .collect();
        for (to, peer) in neighbours {
            if self.lose_gossip || !self.seen.insert((to, gossip.content_id())) {
                continue;
            }
            self.sequence += 1;
            let id = GossipId(self.sequence);
            self.gossip.insert(id, (to, peer, gossip.clone()));
            let gossip = gossip.clone();
            self.post(
                to,
                Parcel::Input(Input::Gossip { peer, id, gossip }),
                self.latency,
            );
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        self.trace
            .push(format!("{} {node} {output:?}", self.now.as_micros()));
        match output {
            Output::Dial(address) => self.dial(node, address),
            Output::Disconnect { peer, .. } => {
                if let Some(&(other, _)) = self.links.get(&(node, peer)) {
                    self.disconnect(node, other);
                }
            }
            Output::Request { peer, id, request } => self.request(node, peer, id, request),
            Output::AnswerBlocks { token, blocks } => {
                let opened = blocks.open();
                if let Some(hash) = opened.damaged {
                    let damaged = Input::BlockDamaged { hash };
                    self.post(node, Parcel::Input(damaged), Duration::ZERO);
                }
                let response = Some(opened.response);
                self.carry_out(node, Output::Answer { token, response });
            }
            Output::Answer { token, response } => {
                let Some((to, peer, id)) = self.tokens.remove(&token) else {
                    return;
                };
                let input = match response {
                    Some(response) => Input::Response { peer, id, response },
                    None => Input::RequestFailed {
                        peer,
                        id,
                        malformed: false,
                    },
                };
                if self.links.contains_key(&(to, peer)) {
                    self.post(to, Parcel::Input(input), self.latency);
                }
            }
            Output::Publish(gossip) => self.spread(node, None, &gossip),
            Output::Verdict { id, verdict } => {
                let (_, peer, gossip) = self.gossip.remove(&id).expect("one verdict each");
                if verdict == Verdict::Accept {
                    self.spread(node, Some(peer), &gossip);
                }
            }
            Output::Event(event) => self.events[node].push(event),
            Output::WakeAt(at) => {
                let delay = at.since(self.now);
                self.post(node, Parcel::Wake, delay);
            }
            Output::Ban { peer_id, banned } => self.banned.push(format!("{peer_id} {banned}")),
            Output::SetActive(_) | Output::Complaint(_) => {}
            Output::Fatal(error) => panic!("storage failed: {error}"),
        }
    }

    fn request(&mut self, node: usize, peer: PeerNum, id: RequestId, request: Request) {
        let Some(&(to, back)) = self.links.get(&(node, peer)) else {
            return;
        };
        self.sequence += 1;
        let token = AnswerToken(self.sequence);
        self.tokens.insert(token, (node, peer, id));
        let input = Input::Request {
            peer: back,
            token,
            request,
        };
        self.post(to, Parcel::Input(input), self.latency);
    }
}

pub(crate) fn address_of(index: usize) -> String {
    format!("/ip4/127.0.0.1/tcp/{}", 20_000 + index)
}
