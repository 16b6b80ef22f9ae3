//! [`Network`]: the processes, proxies and accounts of one testnet, and everything that can be done to them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bitcoin::{Amount, ScriptBuf};
use chain::{Params, Timestamp};

use super::layout::Claim;
use super::manifest::{AccountEntry, HttpEntry, LinkEntry, Manifest, NodeEntry};
use super::node::NodeSlot;
use super::process::{Launch, NodeProcess, last_line};
use super::{LabError, Layout, NodeState, Probe};
use crate::accounts::{Accounts, WORDS};
use crate::link::{LinkProxy, LinkSettings};
use crate::network::{
    COIN_BTC, COINS_PER_ACCOUNT, FAUCET_COIN_BTC, FAUCET_COINS, FreshNetwork, HALF_LIFE_BLOCKS,
    NetworkPlan,
};
use crate::pay::{Purse, SentPayment};
use crate::plan::{Link, lay};
use crate::scenario::{Groups, Topology};

/// How long links may take to be dialled after a start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What a testnet is made of.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Executable of the nodes: the lab's own.
    pub program: PathBuf,
    /// Number of nodes.
    pub nodes: usize,
    /// Nodes that mine, with their hashes per second.
    pub miners: Vec<(usize, u64)>,
    /// Nodes that are not started with the others.
    pub down: Vec<usize>,
    /// Who dials whom, and what each link does at first.
    pub links: Vec<Link>,
    /// Wished time between blocks, in seconds.
    pub spacing_s: u32,
    /// By how many blocks the chain must run ahead for the difficulty to double; `None` keeps it as it is at first.
    pub half_life_blocks: Option<u32>,
    /// Funded accounts.
    pub accounts: u32,
    /// Their phrase.
    pub words: String,
    /// How far ahead of its clock a node takes a block's time for right, in seconds; `None`: as on the built-in network.
    pub max_future_s: Option<u32>,
    /// Decides jitter and loss.
    pub seed: u64,
    /// Every block is found at once: for tests that mine by order.
    pub instant: bool,
    /// One more account, the last, with coins for a faucet.
    pub faucet: bool,
    /// More arguments for every node.
    pub node_arguments: Vec<String>,
}

impl NetworkOptions {
    /// A small network whose nodes run `program` and mine by order only.
    pub fn new(program: impl Into<PathBuf>, nodes: usize) -> NetworkOptions {
        NetworkOptions {
            program: program.into(),
            nodes,
            miners: Vec::new(),
            down: Vec::new(),
            links: lay(Topology::Complete, nodes, LinkSettings::default(), 1),
            spacing_s: 2,
            half_life_blocks: Some(HALF_LIFE_BLOCKS),
            accounts: 6,
            words: WORDS.to_owned(),
            max_future_s: None,
            seed: 1,
            instant: false,
            faucet: false,
            node_arguments: Vec::new(),
        }
    }
}

/// A running testnet. Dropping it ends all its processes.
pub struct Network {
    pub(super) layout: Layout,
    /// Keeps other testnets out of the directory.
    _claim: Claim,
    pub(super) program: PathBuf,
    pub(super) name: String,
    pub(super) params: Params,
    pub(super) nodes: Vec<NodeSlot>,
    pub(super) links: Vec<LinkSlot>,
    pub(super) accounts: Accounts,
    pub(super) purse: Purse,
    pub(super) sent: Vec<SentPayment>,
    pub(super) partition: Option<Groups>,
    /// Where other programs find it by HTTP.
    pub(super) http: Option<HttpEntry>,
    /// Runs the proxies. Last, so that it outlives them.
    runtime: tokio::runtime::Runtime,
}

/// One link of a testnet.
pub(super) struct LinkSlot {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) proxy: LinkProxy,
    /// What it does when it is not cut.
    pub(super) settings: LinkSettings,
    pub(super) cut: bool,
}

impl LinkSlot {
    pub(super) fn multiaddress(&self) -> String {
        let address = self.proxy.address();
        format!("/ip4/{}/tcp/{}", address.ip(), address.port())
    }
}

impl Network {
    /// Makes a fresh network in `layout`, starts its nodes, and waits until every link is up.
    ///
    /// # Errors
    ///
    /// [`LabError`]; no process is left behind then.
    pub fn start(layout: Layout, options: &NetworkOptions) -> Result<Network, LabError> {
        let mut network = Network::prepare(layout, options)?;
        let starting: Vec<_> = network
            .nodes
            .iter()
            .filter(|node| !options.down.contains(&node.index))
            .map(|node| (node.index, network.launch(node.index).spawn()))
            .collect();
        for (node, starting) in starting {
            let ready = starting.and_then(|starting| starting.ready());
            network.take_started(node, ready)?;
        }
        network.wait_connected()?;
        Ok(network)
    }

    /// Everything but the processes.
    fn prepare(layout: Layout, options: &NetworkOptions) -> Result<Network, LabError> {
        let claim = layout.prepare()?;
        let root = std::path::absolute(layout.root())
            .map_err(|error| LabError::io(layout.root(), &error))?;
        let layout = Layout::new(root);
        let count = options.accounts + u32::from(options.faucet);
        let accounts = Accounts::from_words(&options.words, count)
            .map_err(|error| LabError::Refused(error.to_string()))?;
        let name = format!("testnet-{}", std::process::id());
        let plan = NetworkPlan {
            time: wall_clock(),
            spacing_s: options.spacing_s,
            half_life_blocks: options.half_life_blocks,
            instant: options.instant,
            max_future_s: options.max_future_s,
            faucet: options.faucet.then_some(options.accounts),
        };
        let fresh = FreshNetwork::make(&name, plan, &accounts)
            .map_err(|error| LabError::Refused(error.to_string()))?;
        std::fs::write(layout.genesis(), fresh.file.to_json())
            .map_err(|error| LabError::io(&layout.genesis(), &error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("links")
            .enable_all()
            .build()
            .map_err(|error| LabError::Io {
                what: "threads for the links".to_owned(),
                problem: error.to_string(),
            })?;
        let purse = fresh
            .allocation()
            .map(|allocation| Purse::new(&accounts, allocation))
            .unwrap_or_default();
        let mut network = Network {
            layout,
            _claim: claim,
            program: options.program.clone(),
            name,
            params: fresh.params,
            nodes: Vec::new(),
            links: Vec::new(),
            accounts,
            purse,
            sent: Vec::new(),
            partition: None,
            http: None,
            runtime,
        };
        network.lay_links(options)?;
        network.plan_nodes(options);
        Ok(network)
    }

    fn lay_links(&mut self, options: &NetworkOptions) -> Result<(), LabError> {
        for (number, link) in (0u64..).zip(&options.links) {
            link.settings.check()?;
            let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(number);
            let proxy = self
                .runtime
                .block_on(LinkProxy::listen(seed))
                .map_err(|error| LabError::Io {
                    what: "a port for a link".to_owned(),
                    problem: error.to_string(),
                })?;
            proxy.set(link.settings);
            self.links.push(LinkSlot {
                from: link.from,
                to: link.to,
                proxy,
                settings: link.settings,
                cut: false,
            });
        }
        Ok(())
    }

    fn plan_nodes(&mut self, options: &NetworkOptions) {
        for (index, number) in (0..options.nodes).zip(0u32..) {
            let miner = options.miners.iter().find(|(node, _)| *node == index);
            self.nodes.push(NodeSlot {
                index,
                rate: miner.map_or(0, |(_, rate)| *rate),
                address: self.accounts.payout(number).to_string(),
                dials: self
                    .links
                    .iter()
                    .filter(|link| link.from == index)
                    .map(LinkSlot::multiaddress)
                    .collect(),
                more: options.node_arguments.clone(),
                process: None,
                last_start: None,
                paused: false,
                died: None,
            });
        }
    }

    /// What starts a node.
    pub(super) fn launch(&self, node: usize) -> Launch {
        self.nodes[node].launch(&self.program, &self.layout)
    }

    /// Takes over a node that is ready, and lets its links reach it.
    pub(super) fn take_started(
        &mut self,
        node: usize,
        ready: Result<NodeProcess, String>,
    ) -> Result<(), LabError> {
        let process = ready.map_err(|problem| LabError::Start {
            node,
            problem,
            log: self.layout.node_log(node).display().to_string(),
        })?;
        let target = process.start.socket_address();
        self.nodes[node].started(process);
        for link in self.links.iter().filter(|link| link.to == node) {
            link.proxy.set_target(target);
        }
        Ok(())
    }

    /// Waits until every node has a connection for each of its links that is not cut.
    ///
    /// # Errors
    ///
    /// [`LabError::TooSlow`].
    pub fn wait_connected(&self) -> Result<(), LabError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        loop {
            let missing = self.nodes.iter().find(|node| !self.is_connected(node));
            match missing {
                None => return Ok(()),
                Some(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Some(node) => {
                    return Err(LabError::TooSlow {
                        what: format!("connecting node {} to its neighbours", node.index),
                        seconds: CONNECT_TIMEOUT.as_secs(),
                    });
                }
            }
        }
    }

    fn is_connected(&self, node: &NodeSlot) -> bool {
        let is_up = |index: usize| self.nodes[index].process.is_some();
        let wanted = self
            .links
            .iter()
            .filter(|link| !link.cut && (link.from == node.index || link.to == node.index))
            .filter(|link| is_up(link.from) && is_up(link.to))
            .count();
        match node.probe() {
            Some(probe) => probe.connections().is_ok_and(|open| open >= wanted),
            None => true,
        }
    }

    /// Whether a node works.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchNode`].
    pub fn state(&mut self, node: usize) -> Result<NodeState, LabError> {
        self.check_node(node)?;
        Ok(self.nodes[node].state())
    }

    /// Fails if a node has ended though nobody asked it to: with the first of them, how it ended, and its last words.
    ///
    /// # Errors
    ///
    /// [`LabError::Died`].
    pub fn check_alive(&mut self) -> Result<(), LabError> {
        for slot in &mut self.nodes {
            slot.state();
            if let Some(how) = &slot.died {
                let log = self.layout.node_log(slot.index);
                return Err(LabError::Died {
                    node: slot.index,
                    how: how.clone(),
                    last_words: last_line(&log).unwrap_or_default(),
                    log: log.display().to_string(),
                });
            }
        }
        Ok(())
    }

    /// The RPC of a node that is up.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchNode`], [`LabError::Down`].
    pub fn probe(&self, node: usize) -> Result<Probe, LabError> {
        self.check_node(node)?;
        self.nodes[node].probe().ok_or(LabError::Down { node })
    }

    /// The RPC of a node that can answer: it is up and not paused.
    ///
    /// # Errors
    ///
    /// [`LabError::NoSuchNode`], [`LabError::Down`], [`LabError::Paused`].
    pub(super) fn answering(&mut self, node: usize) -> Result<Probe, LabError> {
        match self.state(node)? {
            NodeState::Up => self.probe(node),
            NodeState::Paused => Err(LabError::Paused { node }),
            NodeState::Down => Err(LabError::Down { node }),
        }
    }

    /// The RPCs of all nodes that are up and not paused.
    pub fn probes(&mut self) -> Vec<Probe> {
        self.nodes
            .iter_mut()
            .filter_map(|node| match node.state() {
                NodeState::Up => node.probe(),
                NodeState::Paused | NodeState::Down => None,
            })
            .collect()
    }

    /// Calls `ended` when Ctrl-C is pressed or the system wants this process to end.
    pub fn on_end(&self, ended: impl FnOnce() + Send + 'static) {
        self.runtime.spawn(async move {
            super::signals::end_is_wanted().await;
            ended();
        });
    }

    /// The rules of the network.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Whose miner is paid by which script.
    pub(super) fn payouts(&self) -> BTreeMap<ScriptBuf, usize> {
        let payout = |(index, number)| (self.accounts.payout(number).script_pubkey(), index);
        (0..self.nodes.len()).zip(0u32..).map(payout).collect()
    }

    /// Payments sent so far.
    pub fn sent(&self) -> &[SentPayment] {
        &self.sent
    }

    pub(super) fn check_node(&self, node: usize) -> Result<(), LabError> {
        if node < self.nodes.len() {
            return Ok(());
        }
        Err(LabError::NoSuchNode {
            got: node,
            last: self.nodes.len() - 1,
        })
    }

    /// The list for tools.
    pub fn manifest(&mut self) -> Manifest {
        let layout = self.layout.clone();
        let nodes = self.nodes.iter_mut().map(|slot| {
            let state = slot.state();
            let start = slot.last_start.as_ref();
            NodeEntry {
                index: slot.index,
                state,
                rpc: start.map(|start| start.rpc.clone()).unwrap_or_default(),
                cookie: start.map(|start| start.cookie.clone()).unwrap_or_default(),
                listen: start.map(|start| start.listen.clone()).unwrap_or_default(),
                peer_id: start.map(|start| start.peer_id.clone()).unwrap_or_default(),
                data_dir: layout.node_data(slot.index),
                log: layout.node_log(slot.index),
                pid: slot.process.as_ref().map(|process| process.pid()),
                mining: slot.rate,
                address: slot.address.clone(),
            }
        });
        let nodes = nodes.collect();
        let links = self.links.iter().map(|link| LinkEntry {
            from: link.from,
            to: link.to,
            proxy: link.multiaddress(),
        });
        let funded = Amount::from_int_btc(COIN_BTC * u64::from(COINS_PER_ACCOUNT));
        let faucet = self.http.as_ref().map(|http| http.faucet_account);
        let extra = Amount::from_int_btc(FAUCET_COIN_BTC * u64::from(FAUCET_COINS));
        let accounts = self.accounts.list().iter().map(|account| AccountEntry {
            index: account.index,
            address: account.address.to_string(),
            segwit_address: account.segwit_address.to_string(),
            derivation: account.path.clone(),
            funded_sat: match faucet == Some(account.index) {
                true => (funded + extra).to_sat(),
                false => funded.to_sat(),
            },
        });
        Manifest {
            name: self.name.clone(),
            supervisor_pid: std::process::id(),
            genesis: self.layout.genesis(),
            genesis_hash: self.params.genesis_hash.to_string(),
            nodes,
            links: links.collect(),
            words: self.accounts.words().to_owned(),
            accounts: accounts.collect(),
            http: self.http.clone(),
        }
    }
}

/// The time of this machine: a fresh genesis is made now.
fn wall_clock() -> Timestamp {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Timestamp(u32::try_from(seconds).unwrap_or(u32::MAX))
}
