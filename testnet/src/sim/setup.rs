//! A [`World`] from a scenario and a seed.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use bitcoin::Amount;
use chain::genesis::GenesisSpec;
use chain::store::MemoryDisk;
use chain::{Chain, ChainOptions, Params, Timestamp};
use node_core::{CoreOptions, Input, NodeCore};
use rand::Rng;

use super::fates::Payments;
use super::gossip::Rumours;
use super::payments::Payers;
use super::queue::Queue;
use super::random::{Streams, by_weight, interval_us};
use super::requests::Requests;
use super::stats::Counters;
use super::trace::{Line, Trace};
use super::wires::Wires;
use super::world::{Event, SimNode, World};
use crate::accounts::{Accounts, WORDS};
use crate::invariants::Watch;
use crate::link::LinkSettings;
use crate::scenario::{Action, Scenario, ScenarioError, Span};

/// Time of every simulated genesis block: any would do.
const GENESIS_TIME: Timestamp = Timestamp(1_700_000_000);
/// Memory for each node's database and coins.
const CACHE_BYTES: usize = 1 << 20;
/// Coins of each account that pays.
const COINS_PER_ACCOUNT: usize = 20;
/// Value of each.
const COIN: Amount = Amount::ONE_BTC;

/// A world at its start.
pub(super) fn world<'a>(
    scenario: &Scenario,
    seed: u64,
    trace: Option<&'a mut dyn Write>,
) -> Result<World<'a>, ScenarioError> {
    scenario.check()?;
    let mut streams = Streams::new(seed);
    let accounts = scenario
        .payments
        .map(|plan| Accounts::from_words(WORDS, plan.accounts).expect("the words are BIP 39"));
    let params = Arc::new(params(scenario, accounts.as_ref()));
    let wires = wires(scenario, &mut streams.setup);
    let pairs: Vec<(usize, usize)> = wires
        .links
        .iter()
        .map(|link| (link.from, link.to))
        .collect();
    let mut actions = scenario.actions()?;
    if let Some(chaos) = &scenario.chaos {
        actions.extend(chaos.events(scenario.nodes, &pairs, &mut streams.chaos));
        actions.sort_by_key(|(at, _)| *at);
    }
    // What never crashes needs nothing that survives: its database stays empty, which costs less.
    let crashes = |node: usize| {
        let mut actions = actions.iter();
        actions.any(|(_, action)| *action == Action::Crash(node))
    };
    let nodes = (0..scenario.nodes).map(|node| SimNode {
        core: None,
        disk: crashes(node).then(MemoryDisk::new),
        address: address(node),
        dials: dials(&pairs, node),
        paused: false,
        inbox: Vec::new(),
        clock_offset_s: 0,
        wake_us: None,
        scheduled_us: None,
        undecided: Vec::new(),
        tip: None,
        taken_back: 0,
        lives: 0,
    });
    let nodes = nodes.collect();
    let last_act = actions.last().map_or(Span::default(), |(at, _)| *at);
    let acts = actions.len();
    let mut world = World {
        scenario: scenario.clone(),
        seed,
        now_us: 0,
        queue: Queue::new(),
        nodes,
        wires,
        rumours: Rumours::new(scenario.nodes, scenario.gossip.degree),
        gossip_loss: scenario.gossip.loss,
        parked: BTreeMap::new(),
        requests: Requests::default(),
        next_number: 0,
        shares: shares(scenario),
        extra_nonce: 0,
        payers: accounts.map(|accounts| Payers::new(accounts, &params)),
        payments: Payments::default(),
        signatures: Arc::default(),
        actions,
        tips: BTreeMap::new(),
        agreed: false,
        trace: Trace::new(trace),
        counters: Counters::default(),
        watch: Watch::new(scenario.nodes, last_act.0, acts),
        outputs: Vec::new(),
        encoded: Vec::new(),
        params,
        streams,
    };
    world.begin();
    Ok(world)
}

impl World<'_> {
    fn begin(&mut self) {
        self.trace.line(&Line::Start {
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            nodes: self.scenario.nodes,
        });
        for node in 0..self.nodes.len() {
            if !self.scenario.down.contains(&node) {
                self.start_node(node);
            }
        }
        for index in 0..self.actions.len() {
            let at = self.actions[index].0;
            self.queue.push(at.0, Event::Act(index));
        }
        let spacing = self.scenario.spacing.0;
        let first = interval_us(spacing, &mut self.streams.mining);
        self.queue.push(first, Event::BlockFound);
        if let Some(plan) = self.scenario.payments {
            let first = interval_us(plan.every.0, &mut self.streams.payments);
            self.queue.push(first, Event::Payment);
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
        sim.core = Some(Box::new(NodeCore::new(chain, options)));
        self.trace.line(&Line::Up {
            t: self.now_us,
            node,
            hash: tip.hash,
            height: tip.height.0,
        });
        let sim = &self.nodes[node];
        let address = format!("{}/p2p/{}", sim.address, peer_id(node));
        self.watch.started(node);
        self.note_tip(node);
        self.feed(node, Input::Listening { address });
        self.feed(node, Input::Tick);
    }
}

/// The rules: blocks cost two hashes.
fn params(scenario: &Scenario, accounts: Option<&Accounts>) -> Params {
    let mut spec = GenesisSpec::trivial("sim", GENESIS_TIME);
    spec.pow.spacing_s = u32::try_from(scenario.spacing.0 / 1_000_000)
        .unwrap_or(u32::MAX)
        .clamp(1, 1_000_000);
    for account in accounts.iter().flat_map(|accounts| accounts.list()) {
        for _ in 0..COINS_PER_ACCOUNT {
            spec = spec.allocate(&account.address, COIN);
        }
    }
    spec.mine()
        .and_then(|file| file.verify())
        .expect("the simulator's own network is valid")
}

fn wires(scenario: &Scenario, rng: &mut impl Rng) -> Wires {
    let pairs = scenario.topology.links(scenario.nodes, rng);
    let regions: Option<Vec<usize>> = scenario.regions.as_ref().map(|regions| {
        (0..scenario.nodes)
            .map(|_| by_weight(&regions.shares, rng).unwrap_or(0))
            .collect()
    });
    let mut wires = Wires::new(scenario.nodes);
    let common = Arc::new(LinkSettings::both(scenario.link));
    for (from, to) in pairs {
        let mut settings = Arc::clone(&common);
        if let (Some(plan), Some(of)) = (&scenario.regions, &regions) {
            let settings = Arc::make_mut(&mut settings);
            settings.forward.delay_ms += plan.delay_ms[of[from]][of[to]];
            settings.backward.delay_ms += plan.delay_ms[of[to]][of[from]];
        }
        wires.add_link(from, to, settings);
    }
    wires
}

fn shares(scenario: &Scenario) -> Vec<f64> {
    if scenario.miners.is_empty() {
        return vec![1.0; scenario.nodes];
    }
    let mut shares = vec![0.0; scenario.nodes];
    for miner in &scenario.miners {
        shares[miner.node] = miner.share;
    }
    shares
}

fn dials(pairs: &[(usize, usize)], node: usize) -> Vec<String> {
    pairs
        .iter()
        .filter(|(from, _)| *from == node)
        .map(|(_, to)| address(*to))
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
