//! Nodes in fake time: messages take a while, links can be cut, gossip can be lost, peers can misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chain::Params;
use p2p::sync::{GossipId, Input, RequestId};
use p2p::wire::{Gossip, Request, Response, TipStatus, Verdict};
use p2p::{Direction, Mono, PeerGroup, PeerNum};

use crate::host::{Node, Sent};

/// How a node treats requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Honest,
    /// Never answers requests for bodies.
    Stalls,
    /// Answers every request for bodies with nothing.
    GivesNothing,
    /// Answers requests for bodies with another block.
    WrongBlocks,
    /// Alters bodies, so that the merkle root does not match.
    Mutates,
    /// Gives one block of what was asked.
    Short,
}

/// What a misbehaving node does with one request.
#[derive(Debug)]
pub enum Answer {
    /// What an honest node does.
    Honest,
    /// Nothing: whoever asked gives up after [`REQUEST_TIMEOUT`].
    Silence,
    /// Something of its own, after a while.
    Say(Response, Duration),
}

/// Decides how a node answers.
pub type Script = Box<dyn FnMut(&Node, &Request) -> Answer>;

/// When the swarm gives a request up.
const REQUEST_TIMEOUT: Duration = p2p::wire::limits::BLOCKS_TIMEOUT;

#[derive(Debug)]
enum Event {
    Request {
        to: usize,
        from: usize,
        link: u64,
        id: RequestId,
        request: Request,
    },
    Response {
        to: usize,
        from: usize,
        link: u64,
        id: RequestId,
        response: Response,
    },
    /// A request of `to` was dropped, or timed out.
    Failure {
        to: usize,
        from: usize,
        link: u64,
        id: RequestId,
    },
    Gossip {
        to: usize,
        from: usize,
        link: u64,
        gossip: Gossip,
    },
    Wake {
        node: usize,
    },
}

/// A few nodes and the links between them.
pub struct Net {
    pub nodes: Vec<Node>,
    pub conduct: Vec<Conduct>,
    /// Nodes that answer by a script of their own, whatever their conduct.
    pub scripts: BTreeMap<usize, Script>,
    /// Tips that nodes claim instead of their own.
    pub claims: BTreeMap<usize, TipStatus>,
    /// The group of addresses that a node seems to come from; its number if absent.
    pub groups: BTreeMap<usize, PeerGroup>,
    pub now: Mono,
    /// One way.
    pub delay: Duration,
    /// Links that take longer.
    delays: BTreeMap<(usize, usize), Duration>,
    /// Bytes of blocks a second that a node sends at most, and until when it is busy.
    rates: BTreeMap<usize, (u64, Mono)>,
    /// Of a hundred gossiped messages, so many are lost.
    pub gossip_loss: u64,
    /// Requests by kind, and bodies served by node.
    pub requests: BTreeMap<&'static str, usize>,
    pub bodies_served: Vec<usize>,
    /// Who dismissed whom, and whether it was held against them.
    pub dismissals: Vec<(usize, usize, bool, String)>,
    links: BTreeMap<(usize, usize), u64>,
    queue: BTreeMap<(Mono, u64), Event>,
    sequence: u64,
    wakes: Vec<Option<Mono>>,
    gossip: BTreeMap<GossipId, (usize, Gossip)>,
    seen: Vec<BTreeSet<[u8; 32]>>,
    random: u64,
}

impl Net {
    pub fn new(params: &Arc<Params>, count: usize) -> Net {
        Net {
            nodes: (0..count).map(|n| Node::new(params, n as u64)).collect(),
            conduct: vec![Conduct::Honest; count],
            scripts: BTreeMap::new(),
            claims: BTreeMap::new(),
            groups: BTreeMap::new(),
            now: Mono::ZERO,
            delay: Duration::from_millis(10),
            delays: BTreeMap::new(),
            rates: BTreeMap::new(),
            gossip_loss: 0,
            requests: BTreeMap::new(),
            bodies_served: vec![0; count],
            dismissals: Vec::new(),
            links: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            wakes: vec![None; count],
            gossip: BTreeMap::new(),
            seen: vec![BTreeSet::new(); count],
            random: 42,
        }
    }

    /// Node `a` dials node `b`.
    pub fn connect(&mut self, a: usize, b: usize) {
        self.sequence += 1;
        let link = self.sequence;
        self.links.insert((a, b), link);
        self.links.insert((b, a), link);
        let peer = |other: usize| number(link, other);
        let group = |net: &Net, other: usize| {
            let own = PeerGroup(other as u64);
            net.groups.get(&other).copied().unwrap_or(own)
        };
        let (of_a, of_b) = (group(self, a), group(self, b));
        self.feed(
            a,
            Input::PeerUp {
                peer: peer(b),
                direction: Direction::Outbound,
                group: of_b,
            },
        );
        self.feed(
            b,
            Input::PeerUp {
                peer: peer(a),
                direction: Direction::Inbound,
                group: of_a,
            },
        );
    }

    /// Cuts the link between two nodes; both notice.
    pub fn cut(&mut self, a: usize, b: usize) {
        let Some(link) = self.links.remove(&(a, b)) else {
            return;
        };
        self.links.remove(&(b, a));
        self.feed(
            a,
            Input::PeerDown {
                peer: number(link, b),
            },
        );
        self.feed(
            b,
            Input::PeerDown {
                peer: number(link, a),
            },
        );
    }

    pub fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                self.connect(a, b);
            }
        }
    }

    /// The link between two nodes takes this long, one way.
    pub fn slow(&mut self, a: usize, b: usize, delay: Duration) {
        self.delays.insert((a, b), delay);
        self.delays.insert((b, a), delay);
    }

    /// A node sends blocks no faster than this, one after the other.
    pub fn narrow(&mut self, n: usize, bytes_per_s: u64) {
        self.rates.insert(n, (bytes_per_s, Mono::ZERO));
    }

    /// How long a node takes to send a response.
    fn sending(&mut self, n: usize, response: &Response) -> Duration {
        let Response::Blocks(blocks) = response else {
            return Duration::ZERO;
        };
        let Some((rate, busy)) = self.rates.get_mut(&n) else {
            return Duration::ZERO;
        };
        let bytes: usize = blocks.iter().map(|block| block.block().total_size()).sum();
        let start = (*busy).max(self.now);
        *busy = start + Duration::from_micros(bytes as u64 * 1_000_000 / *rate);
        busy.since(self.now)
    }

    /// A node's chain was changed behind its engine's back.
    pub fn changed(&mut self, n: usize) {
        self.feed(n, Input::ChainChanged);
    }

    fn delay(&self, a: usize, b: usize) -> Duration {
        self.delays.get(&(a, b)).copied().unwrap_or(self.delay)
    }

    /// Node `n` mines a block and announces it.
    pub fn mine(&mut self, n: usize, tag: u64) {
        self.mine_with(n, tag, &[]);
    }

    /// Node `n` mines a block with these transactions and announces it.
    pub fn mine_with(&mut self, n: usize, tag: u64, transactions: &[bitcoin::Transaction]) {
        let hash = self.nodes[n].grow_with(transactions, tag).block_hash();
        let gossip = self.nodes[n].announce(&hash);
        self.seen[n].insert(gossip.content_id());
        self.feed(n, Input::ChainChanged);
        self.spread(n, n, &gossip);
    }

    /// Runs for a while.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some((&(time, sequence), _)) = self.queue.first_key_value() {
            if time > end {
                break;
            }
            let event = self.queue.remove(&(time, sequence)).expect("just seen");
            self.now = self.now.max(time);
            self.happen(event);
        }
        self.now = end;
    }

    /// Runs until all nodes in `group` have the same tip; gives the time it took, or panics after `limit`.
    pub fn run_until_agreed(&mut self, group: &[usize], limit: Duration) -> Duration {
        let start = self.now;
        while !self.agree(group) {
            let tips: Vec<_> = group
                .iter()
                .map(|n| self.nodes[*n].status().height.0)
                .collect();
            assert!(
                self.now.since(start) < limit,
                "no agreement in {limit:?}: {tips:?}"
            );
            self.run(Duration::from_millis(5));
        }
        self.now.since(start)
    }

    pub fn agree(&self, group: &[usize]) -> bool {
        group
            .windows(2)
            .all(|pair| self.nodes[pair[0]].tip() == self.nodes[pair[1]].tip())
    }

    fn feed(&mut self, n: usize, input: Input) {
        let sent = self.nodes[n].input(self.now, input);
        for item in sent {
            match item {
                Sent::Request { peer, id, request } => self.ask(n, peer, id, request),
                Sent::Verdict { id, verdict } => {
                    let (source, gossip) = self.gossip.remove(&id).expect("one verdict each");
                    if verdict == Verdict::Accept {
                        self.spread(n, source, &gossip);
                    }
                }
                Sent::Dismiss {
                    peer,
                    punished,
                    reason,
                } => {
                    let other = (peer.0 % 1_000) as usize;
                    self.dismissals.push((n, other, punished, reason));
                    self.cut(n, other);
                }
                // It replaces an earlier one.
                Sent::WakeAt(time) => {
                    self.wakes[n] = Some(time);
                    self.schedule(time, Event::Wake { node: n });
                }
            }
        }
    }

    fn ask(&mut self, from: usize, peer: PeerNum, id: RequestId, request: Request) {
        let to = (peer.0 % 1_000) as usize;
        *self.requests.entry(request.kind()).or_default() += 1;
        if let Some(link) = self.links.get(&(from, to)).copied() {
            let time = self.now + self.delay(from, to);
            self.schedule(
                time,
                Event::Request {
                    to,
                    from,
                    link,
                    id,
                    request,
                },
            );
        }
    }

    fn spread(&mut self, n: usize, source: usize, gossip: &Gossip) {
        for to in 0..self.nodes.len() {
            let Some(link) = self.links.get(&(n, to)).copied() else {
                continue;
            };
            if to == source || self.random(100) < self.gossip_loss {
                continue;
            }
            let time = self.now + self.delay(n, to);
            let gossip = gossip.clone();
            self.schedule(
                time,
                Event::Gossip {
                    to,
                    from: n,
                    link,
                    gossip,
                },
            );
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { node } => {
                if self.wakes[node].is_some_and(|wake| wake <= self.now) {
                    self.wakes[node] = None;
                    self.feed(node, Input::Tick);
                }
            }
            Event::Request {
                to,
                from,
                link,
                id,
                request,
            } => {
                if self.links.get(&(to, from)) != Some(&link) {
                    return;
                }
                if let Request::Status(status) = &request {
                    let peer = number(link, from);
                    let status = self.claims.get(&from).copied().unwrap_or(*status);
                    self.feed(to, Input::PeerStatus { peer, status });
                }
                let answer = self.respond(to, &request);
                let (time, event) = match answer {
                    Answer::Say(response, after) => {
                        let after = after + self.sending(to, &response);
                        let event = Event::Response {
                            to: from,
                            from: to,
                            link,
                            id,
                            response,
                        };
                        (self.now + after + self.delay(to, from), event)
                    }
                    Answer::Honest | Answer::Silence => {
                        let event = Event::Failure {
                            to: from,
                            from: to,
                            link,
                            id,
                        };
                        (self.now + REQUEST_TIMEOUT, event)
                    }
                };
                self.schedule(time, event);
            }
            Event::Failure { to, from, link, id } => {
                if self.links.get(&(to, from)) == Some(&link) {
                    let failed = Input::RequestFailed {
                        peer: number(link, from),
                        id,
                        malformed: false,
                    };
                    self.feed(to, failed);
                }
            }
            Event::Response {
                to,
                from,
                link,
                id,
                response,
            } => {
                if self.links.get(&(to, from)) == Some(&link) {
                    self.feed(
                        to,
                        Input::Response {
                            peer: number(link, from),
                            id,
                            response,
                        },
                    );
                }
            }
            Event::Gossip {
                to,
                from,
                link,
                gossip,
            } => {
                let alive = self.links.get(&(to, from)) == Some(&link);
                if alive && self.seen[to].insert(gossip.content_id()) {
                    self.sequence += 1;
                    let id = GossipId(self.sequence);
                    self.gossip.insert(id, (from, gossip.clone()));
                    let peer = number(link, from);
                    self.feed(to, Input::Announcement { peer, id, gossip });
                }
            }
        }
    }

    fn respond(&mut self, n: usize, request: &Request) -> Answer {
        if let Some(script) = self.scripts.get_mut(&n) {
            match script(&self.nodes[n], request) {
                Answer::Honest => {}
                other => return other,
            }
        }
        let at_once = |response| Answer::Say(response, Duration::ZERO);
        let Some(honest) = self.nodes[n].serve(request) else {
            return Answer::Silence;
        };
        let Response::Blocks(mut blocks) = honest else {
            return match (honest, self.claims.get(&n)) {
                (Response::Status(_), Some(claim)) => at_once(Response::Status(*claim)),
                (honest, _) => at_once(honest),
            };
        };
        match self.conduct[n] {
            Conduct::Honest => {}
            Conduct::Stalls => return Answer::Silence,
            Conduct::GivesNothing => blocks.clear(),
            Conduct::Short => blocks.truncate(1),
            Conduct::WrongBlocks => {
                let genesis = self.nodes[n].chain.params().genesis.clone();
                blocks = vec![p2p::wire::BlockBytes::Theirs(Box::new(genesis))];
            }
            Conduct::Mutates => {
                for block in &mut blocks {
                    let mut altered = block.block().clone();
                    altered.txdata[0].lock_time = bitcoin::absolute::LockTime::from_consensus(7);
                    *block = p2p::wire::BlockBytes::Theirs(Box::new(altered));
                }
            }
        }
        self.bodies_served[n] += blocks.len();
        at_once(Response::Blocks(blocks))
    }

    fn schedule(&mut self, time: Mono, event: Event) {
        self.sequence += 1;
        self.queue.insert((time, self.sequence), event);
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.random >> 33) % below
    }
}

fn number(link: u64, other: usize) -> PeerNum {
    PeerNum(link * 1_000 + other as u64)
}
