//! Networks of real processes under faults, by the lab's own means.
#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod crash;
#[cfg(unix)]
mod orders;
mod outages;
mod scenario;
mod split;

use std::time::{Duration, Instant};

use testnet::real::{Layout, Network, NetworkOptions, Probe, Supervisor};
use testnet::report::observe;

/// Bound of every wait: these tests run without optimisation, beside others.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running network in a directory of its own.
struct Lab {
    supervisor: Supervisor,
    _directory: tempfile::TempDir,
}

fn options(nodes: usize) -> NetworkOptions {
    NetworkOptions::new(env!("CARGO_BIN_EXE_mend"), nodes)
}

impl Lab {
    fn start(options: &NetworkOptions) -> Lab {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::start(Layout::new(directory.path()), options).unwrap();
        Lab {
            supervisor: Supervisor::new(network).unwrap(),
            _directory: directory,
        }
    }

    fn mine(&self, node: usize, count: u32) {
        self.supervisor.mine(node, count).unwrap();
    }

    fn partition(&self, groups: &str, silent: bool) {
        let groups = groups.parse().unwrap();
        self.supervisor
            .network()
            .partition(&groups, silent)
            .unwrap();
    }

    fn probe(&self, node: usize) -> Probe {
        self.supervisor.network().probe(node).unwrap()
    }

    fn height(&self, node: usize) -> u32 {
        self.probe(node).chain().unwrap().blocks
    }

    /// Waits until all nodes that are up are on one tip, and all have the same coins. Gives the time it took.
    fn wait_for_one_tip(&self) -> Duration {
        let began = Instant::now();
        let probes = self.supervisor.network().probes();
        let before = observe::tips(&probes).unwrap();
        observe::wait_for_one_tip(&probes, &before, began, PATIENCE).unwrap();
        let took = began.elapsed();
        let coins: Vec<String> = probes
            .iter()
            .map(|probe| probe.coins().unwrap().muhash)
            .collect();
        assert!(coins.windows(2).all(|pair| pair[0] == pair[1]), "{coins:?}");
        took
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.supervisor.end();
    }
}
