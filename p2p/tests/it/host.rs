//! A node for tests: the shipped engine over the shipped chain, driven by hand.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash, Transaction, Txid, Wtxid};
use chain::fixtures::BlockBuilder;
use chain::rules::spend::SignatureCache;
use chain::{AcceptError, Chain, Params, Timestamp};
use p2p::sync::{
    Action, Answer, BlockOutcome, GossipId, HeaderProblem, Input, PoolView, RequestId,
    ServedBlocks, SyncEngine, answer,
};
use p2p::wire::{Gossip, Request, Response, TipStatus, Verdict};
use p2p::{Direction, Mono, PeerGroup, PeerNum};

/// Our clock, for rules: well after all blocks of the tests.
pub const CLOCK: Timestamp = Timestamp(1_900_000_000);

pub const ALICE: PeerNum = PeerNum(1);
pub const BOB: PeerNum = PeerNum(2);

/// A mempool that keeps what it is given.
#[derive(Debug, Default)]
pub struct Pool {
    by_wtxid: BTreeMap<Wtxid, Arc<Transaction>>,
}

impl Pool {
    pub fn add(&mut self, tx: &Transaction) {
        self.by_wtxid
            .insert(tx.compute_wtxid(), Arc::new(tx.clone()));
    }

    pub fn len(&self) -> usize {
        self.by_wtxid.len()
    }
}

impl PoolView for Pool {
    fn for_each(&self, each: &mut dyn FnMut(&Arc<Transaction>, Wtxid)) {
        for (wtxid, tx) in &self.by_wtxid {
            each(tx, *wtxid);
        }
    }

    fn knows(&self, txid: &Txid) -> bool {
        self.transaction(txid).is_some()
    }

    fn transaction(&self, txid: &Txid) -> Option<Arc<Transaction>> {
        self.by_wtxid
            .values()
            .find(|tx| tx.compute_txid() == *txid)
            .cloned()
    }
}

/// What a node wants of the network.
#[derive(Debug)]
pub enum Sent {
    Request {
        peer: PeerNum,
        id: RequestId,
        request: Request,
    },
    Verdict {
        id: GossipId,
        verdict: Verdict,
    },
    /// `punished`: held against the peer.
    Dismiss {
        peer: PeerNum,
        punished: bool,
        reason: String,
    },
    WakeAt(Mono),
}

/// Chain, engine and mempool of one node.
pub struct Node {
    pub chain: Chain,
    pub engine: SyncEngine,
    pub pool: Pool,
    pub clock: Timestamp,
    pub addresses: Vec<String>,
    /// Blocks and headers that were handed to the chain.
    pub accepted_blocks: usize,
    pub accepted_headers: usize,
    signatures: SignatureCache,
    served: RefCell<ServedBlocks>,
}

impl Node {
    pub fn new(params: &Arc<Params>, seed: u64) -> Node {
        Node {
            chain: Chain::in_memory(Arc::clone(params)),
            engine: SyncEngine::new(Arc::clone(params), seed),
            pool: Pool::default(),
            clock: CLOCK,
            addresses: Vec::new(),
            accepted_blocks: 0,
            accepted_headers: 0,
            signatures: SignatureCache::default(),
            served: RefCell::default(),
        }
    }

    pub fn tip(&self) -> BlockHash {
        self.chain.tip().hash
    }

    pub fn status(&self) -> TipStatus {
        let tip = self.chain.tip();
        TipStatus {
            hash: tip.hash,
            height: tip.height,
            chain_work: tip.chain_work,
        }
    }

    /// Feeds one input and whatever follows from it in the chain.
    pub fn input(&mut self, now: Mono, input: Input) -> Vec<Sent> {
        let mut inputs = VecDeque::from([input]);
        let mut sent = Vec::new();
        while let Some(input) = inputs.pop_front() {
            let actions = self.engine.handle(now, input, &self.chain, &self.pool);
            for action in actions {
                self.act(action, &mut inputs, &mut sent);
            }
        }
        sent
    }

    fn act(&mut self, action: Action, inputs: &mut VecDeque<Input>, sent: &mut Vec<Sent>) {
        match action {
            Action::Request { peer, id, request } => {
                sent.push(Sent::Request { peer, id, request });
            }
            Action::Verdict { id, verdict } => sent.push(Sent::Verdict { id, verdict }),
            Action::WakeAt(at) => sent.push(Sent::WakeAt(at)),
            Action::Punish { peer, reason } => {
                sent.push(Sent::Dismiss {
                    peer,
                    punished: true,
                    reason,
                });
            }
            Action::Disconnect { peer, reason } => {
                sent.push(Sent::Dismiss {
                    peer,
                    punished: false,
                    reason,
                });
            }
            Action::AcceptHeaders { peer, headers } => {
                inputs.push_back(self.accept_headers(peer, &headers));
            }
            Action::RebuildBlock { hash } => inputs.push_back(Input::RebuildBlock { hash }),
            Action::AcceptBlock { peer, block } => self.accept_block(peer, block, inputs),
            Action::AcceptTransactions { transactions, .. } => {
                transactions.iter().for_each(|tx| self.pool.add(tx));
            }
            Action::LearnPeers { addresses, .. } => self.addresses.extend(addresses),
        }
    }

    fn accept_headers(&mut self, peer: PeerNum, headers: &[Header]) -> Input {
        let mut accepted = 0;
        let mut error = None;
        for header in headers {
            match self.chain.accept_header(header, self.clock) {
                Ok(_) => accepted += 1,
                Err(AcceptError::UnknownParent { .. }) => {
                    error = Some(HeaderProblem::UnknownParent);
                }
                Err(AcceptError::KnownInvalid { .. } | AcceptError::InvalidParent { .. }) => {
                    error = Some(HeaderProblem::KnownInvalid)
                }
                Err(AcceptError::Rule(rule)) => error = Some(HeaderProblem::Rule(rule)),
                Err(AcceptError::Store(error)) => panic!("{error}"),
            }
            if error.is_some() {
                break;
            }
        }
        self.accepted_headers += accepted;
        Input::HeadersProcessed {
            peer,
            accepted,
            error,
        }
    }

    fn accept_block(&mut self, peer: PeerNum, block: Block, inputs: &mut VecDeque<Input>) {
        let hash = block.block_hash();
        let outcome = match self.chain.accept_block(block, self.clock) {
            Ok(_) => BlockOutcome::Accepted,
            Err(AcceptError::UnknownParent { .. }) => BlockOutcome::UnknownParent,
            Err(AcceptError::KnownInvalid { .. } | AcceptError::InvalidParent { .. }) => {
                BlockOutcome::KnownInvalid
            }
            Err(AcceptError::Rule(rule)) => BlockOutcome::Rule(rule),
            Err(AcceptError::Store(error)) => panic!("{error}"),
        };
        self.accepted_blocks += 1;
        inputs.push_back(Input::BlockProcessed {
            peer,
            hash,
            outcome,
        });
        let mut failed = Vec::new();
        let reorg = self
            .chain
            .activate_best(&self.signatures, &mut failed)
            .expect("in memory");
        for (position, rule) in failed {
            let outcome = BlockOutcome::Rule(rule);
            inputs.push_back(Input::BlockProcessed {
                peer,
                hash: position.hash,
                outcome,
            });
        }
        if reorg.is_some() {
            inputs.push_back(Input::ChainChanged);
        }
    }

    /// Extends the active chain by `count` blocks; `tag` makes them differ from those of others.
    pub fn grow(&mut self, count: usize, tag: u64) -> Vec<BlockHash> {
        (0..count)
            .map(|_| self.grow_with(&[], tag).block_hash())
            .collect()
    }

    /// Extends the active chain by one block with these transactions.
    pub fn grow_with(&mut self, transactions: &[Transaction], tag: u64) -> Block {
        let tip = self.chain.tip();
        let parent = self.chain.tree().get(&tip.hash).expect("the tip is known");
        let params = Arc::clone(self.chain.params());
        let mut builder =
            BlockBuilder::on(&params, &parent.header, tip.height.next()).extra_nonce(tag);
        for tx in transactions {
            builder = builder.with(tx);
        }
        let block = builder.mine();
        self.take(block.clone());
        block
    }

    /// Puts a block into the chain, unseen by the engine.
    pub fn take(&mut self, block: Block) {
        let mut failed = Vec::new();
        self.chain
            .accept_block(block, self.clock)
            .expect("the test's block is valid");
        self.chain
            .activate_best(&self.signatures, &mut failed)
            .expect("in memory");
        assert!(failed.is_empty(), "{failed:?}");
    }

    /// Answers a request as an honest peer does.
    pub fn serve(&self, request: &Request) -> Option<Response> {
        let mut served = self.served.borrow_mut();
        let now = Mono::ZERO;
        let answer = answer(
            now,
            request,
            &self.chain,
            &self.pool,
            &self.addresses,
            &mut served,
        );
        match answer.expect("in memory") {
            Answer::Made(response) => response,
            Answer::Blocks(blocks) => Some(blocks.open().response),
        }
    }

    /// A stored block.
    pub fn block(&self, hash: &BlockHash) -> Block {
        self.chain
            .block(hash)
            .expect("in memory")
            .expect("stored")
            .block()
            .clone()
    }

    /// The announcement of a stored block.
    pub fn announce(&mut self, hash: &BlockHash) -> Gossip {
        let block = self.chain.block(hash).expect("in memory").expect("stored");
        self.engine.announce(&block, 77)
    }
}

/// A peer's connection, as its node sees it.
pub fn up(peer: PeerNum) -> Input {
    Input::PeerUp {
        peer,
        direction: Direction::Outbound,
        group: PeerGroup(peer.0),
    }
}

/// Requests among what was sent.
pub fn requests(sent: &[Sent]) -> Vec<(PeerNum, RequestId, Request)> {
    let mut all = Vec::new();
    for item in sent {
        if let Sent::Request { peer, id, request } = item {
            all.push((*peer, *id, request.clone()));
        }
    }
    all
}

/// The peers that were dismissed, and whether it is held against them.
pub fn dismissed(sent: &[Sent]) -> Vec<(PeerNum, bool)> {
    let mut all = Vec::new();
    for item in sent {
        if let Sent::Dismiss { peer, punished, .. } = item {
            all.push((*peer, *punished));
        }
    }
    all
}

/// Requests for whole blocks among what was sent.
pub fn body_requests(sent: &[Sent]) -> Vec<(PeerNum, RequestId, Vec<BlockHash>)> {
    let mut found = Vec::new();
    for (peer, id, request) in requests(sent) {
        if let Request::Blocks(hashes) = request {
            found.push((peer, id, hashes));
        }
    }
    found
}

/// Verdicts among what was sent.
pub fn verdicts(sent: &[Sent]) -> Vec<(GossipId, Verdict)> {
    let mut all = Vec::new();
    for item in sent {
        if let Sent::Verdict { id, verdict } = item {
            all.push((*id, *verdict));
        }
    }
    all
}

/// `seconds` after the start.
pub fn at(seconds: f64) -> Mono {
    Mono::from_micros((seconds * 1e6) as u64)
}

/// All zeros: no stop hash.
pub fn no_stop() -> BlockHash {
    BlockHash::all_zeros()
}
