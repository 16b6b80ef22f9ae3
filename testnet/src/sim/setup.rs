//! A [`World`] from a plan and a seed.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use bitcoin::{Amount, BlockHash, CompactTarget};
use chain::genesis::{Algorithm, GenesisSpec};
use chain::{Chain, ChainOptions, Params, Timestamp};
use node_core::{CoreOptions, Input, NodeCore};

use super::disk::PowerDisk;
use super::fates::Payments;
use super::gossip::Rumours;
use super::mining::Luck;
use super::payments::Payers;
use super::queue::Queue;
use super::requests::Requests;
use super::stats::Counters;
use super::wires::Wires;
use super::world::{Event, SimNode, Streams, World};
use crate::accounts::{Accounts, WORDS};
use crate::invariants::Watch;
use crate::link::LinkSettings;
use crate::network::HALF_LIFE_BLOCKS;
use crate::plan::steps::Lasting;
use crate::plan::{FaultKind, Plan};
use crate::record::{Book, Engine, Genesis, Line, Start};
use crate::scenario::file::Difficulty;

/// Time of every simulated genesis block: any would do.
const GENESIS_TIME: Timestamp = Timestamp(1_700_000_000);
/// Memory for each node's database and coins.
const CACHE_BYTES: usize = 1 << 20;
/// Coins of each account that pays.
const COINS_PER_ACCOUNT: usize = 20;
/// The first target where the difficulty follows the blocks: a 128th of the easiest, as late blocks may be eased so far.
const FIRST_BITS: u32 = 0x2000_ffff;
/// Value of each.
const COIN: Amount = Amount::ONE_BTC;

/// A world at its start.
pub(super) fn world<'a>(plan: Plan, seed: u64, record: Option<&'a mut dyn Write>) -> World<'a> {
    let accounts = (plan.accounts > 0)
        .then(|| Accounts::from_words(WORDS, plan.accounts).expect("the words are BIP 39"));
    let params = Arc::new(params(&plan, accounts.as_ref()));
    // What never ends needs nothing that survives: its database stays empty, which costs less.
    let ends = |node: usize| {
        let mut faults = plan.faults.iter();
        faults.any(|fault| {
            fault.what == FaultKind::Kill { node } || fault.what == FaultKind::Stop { node }
        })
    };
    let nodes = (0..plan.nodes).map(|node| SimNode {
        core: None,
        disk: ends(node).then(PowerDisk::new),
        acknowledged: Vec::new(),
        address: address(node),
        dials: dials(&plan, node),
        paused: false,
        inbox: Vec::new(),
        clock_offset_s: 0,
        wake_us: None,
        scheduled_us: None,
        undecided: Vec::new(),
        tip: None,
        reshapes: false,
        taken_back: 0,
        lives: 0,
    });
    let nodes = nodes.collect();
    let steps = plan.steps();
    let lasting = Lasting::new();
    let mut world = World {
        seed,
        now_us: 0,
        queue: Queue::new(),
        nodes,
        wires: wires(&plan),
        rumours: Rumours::new(plan.nodes, plan.gossip.degree),
        gossip_loss: plan.gossip.loss,
        parked: BTreeMap::new(),
        requests: Requests::default(),
        next_number: 0,
        shares: (0..plan.nodes)
            .map(|node| plan.share(node, &lasting))
            .collect(),
        luck: Luck::default(),
        extra_nonce: 0,
        payers: accounts.map(|accounts| Payers::new(accounts, &params)),
        payments: Payments::default(),
        signatures: Arc::default(),
        tips: BTreeMap::new(),
        agreed: false,
        heals: false,
        book: Book::begin(record, start_line(&plan, seed, &params), &params),
        counters: Counters::default(),
        watch: Watch::new(plan.nodes, plan.last_step_us(), steps.len()),
        outputs: Vec::new(),
        encoded: Vec::new(),
        params,
        streams: Streams::new(seed),
        steps,
        lasting,
        plan,
    };
    world.begin();
    world
}

impl World<'_> {
    fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            if !self.plan.down.contains(&node) {
                self.start_node(node);
            }
        }
        for index in 0..self.steps.len() {
            self.queue.push(self.steps[index].0, Event::Act(index));
        }
        self.draw_next_block();
        if let Some(first) = self.plan.payments.first() {
            self.queue.push(first.at_us, Event::Payment(0));
        }
        self.queue.push(self.look_stride_us(), Event::Look);
    }

    /// Starts a node on what its disk holds.
    pub(super) fn start_node(&mut self, node: usize) {
        let sim = &mut self.nodes[node];
        sim.lives += 1;
        let chain = match &sim.disk {
            None => Chain::in_memory(Arc::clone(&self.params)),
            Some(disk) => {
                let options = ChainOptions {
                    cache_bytes: CACHE_BYTES,
                };
                match Chain::open_backend(disk.clone(), Arc::clone(&self.params), options) {
                    Ok(chain) => chain,
                    Err(error) => {
                        let now_us = self.now_us;
                        return self.watch.failed(now_us, node, &error.to_string());
                    }
                }
            }
        };
        let options = CoreOptions {
            connect: sim.dials.clone(),
            seed: self.seed ^ ((node as u64) << 20) ^ sim.lives,
            no_discovery: true,
            volatile: sim.disk.is_none(),
            signatures: Some(Arc::clone(&self.signatures)),
            ..CoreOptions::default()
        };
        let tip = chain.tip();
        let lost = lost_blocks(&chain, &sim.acknowledged);
        sim.core = Some(Box::new(NodeCore::new(chain, options)));
        self.book.line(Line::Up {
            t: self.now_us,
            node,
            tip: tip.hash,
        });
        for hash in lost {
            self.watch.lost_acknowledged(self.now_us, node, &hash);
        }
        let sim = &self.nodes[node];
        let address = format!("{}/p2p/{}", sim.address, peer_id(node));
        self.watch.started(node);
        self.note_tip(node);
        self.feed(node, Input::Listening { address });
        self.feed(node, Input::Tick);
    }
}

fn start_line(plan: &Plan, seed: u64, params: &Params) -> Start {
    Start {
        plan: plan.clone(),
        engine: Engine::Sim,
        seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        program: None,
        speed: 1.0,
        left_out: Vec::new(),
        genesis: Genesis::of(params),
    }
}

/// Blocks that a node had taken for good and has not any more.
fn lost_blocks(chain: &Chain, acknowledged: &[BlockHash]) -> Vec<BlockHash> {
    let is_lost = |hash: &&BlockHash| !matches!(chain.block(hash), Ok(Some(_)));
    acknowledged.iter().filter(is_lost).copied().collect()
}

/// The rules: blocks cost two hashes, or at first 256 where the difficulty follows the blocks.
fn params(plan: &Plan, accounts: Option<&Accounts>) -> Params {
    let mut spec = GenesisSpec::trivial("sim", GENESIS_TIME);
    spec.pow.spacing_s = u32::try_from(plan.spacing_us / 1_000_000)
        .unwrap_or(u32::MAX)
        .clamp(1, 1_000_000);
    if plan.difficulty == Difficulty::Shipped {
        spec.pow.algorithm = Algorithm::Ema;
        spec.pow.half_life_s = Some(spec.pow.spacing_s.saturating_mul(HALF_LIFE_BLOCKS));
        spec.bits = Some(CompactTarget::from_consensus(FIRST_BITS));
    }
    for account in accounts.iter().flat_map(|accounts| accounts.list()) {
        for _ in 0..COINS_PER_ACCOUNT {
            spec = spec.allocate(&account.address, COIN);
        }
    }
    spec.mine()
        .and_then(|file| file.verify())
        .expect("the simulator's own network is valid")
}

fn wires(plan: &Plan) -> Wires {
    let mut wires = Wires::new(plan.nodes);
    let mut common: Arc<LinkSettings> = Arc::default();
    for link in &plan.links {
        if *common != link.settings {
            common = Arc::new(link.settings);
        }
        wires.add_link(link.from, link.to, Arc::clone(&common));
    }
    wires
}

fn dials(plan: &Plan, node: usize) -> Vec<String> {
    let links = plan.links.iter();
    links
        .filter(|link| link.from == node)
        .map(|link| address(link.to))
        .collect()
}

/// The address of a node: its number in 10.0.0.0/8.
fn address(node: usize) -> String {
    let [_, a, b, c] = (node as u32).to_be_bytes();
    format!("/ip4/10.{a}.{b}.{c}/tcp/4001")
}

/// The node at an address.
pub(super) fn node_at(address: &str) -> Option<usize> {
    let ip = address.strip_prefix("/ip4/10.")?.split('/').next()?;
    ip.split('.')
        .try_fold(0, |sum, part| Some(sum << 8 | part.parse::<usize>().ok()?))
}

/// What a node's peers know it by.
pub(super) fn peer_id(node: usize) -> String {
    format!("sim{node}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_the_node() {
        for node in [0, 1, 255, 256, 70_000] {
            assert_eq!(node_at(&address(node)), Some(node));
        }
        assert_eq!(node_at("/ip4/192.168.0.1/tcp/1"), None);
    }
}
