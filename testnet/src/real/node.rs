//! One node of a testnet over its lives: what it is started with, and its process while it has one.

use std::path::Path;

use super::process::{Launch, NodeProcess, StartLine};
use super::{Layout, NodeState, Probe};

/// One node of a testnet.
#[derive(Debug)]
pub(super) struct NodeSlot {
    pub(super) index: usize,
    /// Hashes per second of its own miner; 0: none.
    pub(super) rate: u64,
    /// Where its miner is paid.
    pub(super) address: String,
    /// Proxies that it dials, as multiaddresses.
    pub(super) dials: Vec<String>,
    /// More arguments.
    pub(super) more: Vec<String>,
    /// Its process, while it has one.
    pub(super) process: Option<NodeProcess>,
    /// What it said at its last start.
    pub(super) last_start: Option<StartLine>,
    pub(super) paused: bool,
    /// How its process ended, if nobody had asked it to.
    pub(super) died: Option<String>,
}

impl NodeSlot {
    /// What starts its process; [`NodeSlot::started`] takes that when it is ready.
    pub(super) fn launch(&self, program: &Path, layout: &Layout) -> Launch {
        Launch {
            program: program.to_owned(),
            arguments: self.arguments(layout),
            log: layout.node_log(self.index),
        }
    }

    fn arguments(&self, layout: &Layout) -> Vec<String> {
        let path = |path: std::path::PathBuf| path.display().to_string();
        let mut arguments = vec![
            "node".to_owned(),
            "--json".to_owned(),
            "--exit-with-stdin".to_owned(),
            "--no-discovery".to_owned(),
            "--genesis".to_owned(),
            path(layout.genesis()),
            "--data-dir".to_owned(),
            path(layout.node_data(self.index)),
            "--listen".to_owned(),
            "/ip4/127.0.0.1/tcp/0".to_owned(),
            "--rpc".to_owned(),
            self.rpc_address(),
        ];
        for address in &self.dials {
            arguments.extend(["--connect".to_owned(), address.clone()]);
        }
        if self.rate > 0 {
            let mine = ["--mine", &self.address, "--threads", "1", "--rate"];
            arguments.extend(mine.map(str::to_owned));
            arguments.push(self.rate.to_string());
        }
        arguments.extend(self.more.iter().cloned());
        arguments
    }

    /// The port it had before, so that tools find it again; any free one at first.
    fn rpc_address(&self) -> String {
        self.last_start
            .as_ref()
            .and_then(|start| start.rpc.split("://").last())
            .map_or_else(
                || "127.0.0.1:0".to_owned(),
                |address| address.trim_end_matches('/').to_owned(),
            )
    }

    /// Takes a process that is ready.
    pub(super) fn started(&mut self, process: NodeProcess) {
        self.last_start = Some(process.start.clone());
        self.process = Some(process);
        self.paused = false;
        self.died = None;
    }

    /// Whether it is up; a process that ended by itself is put away.
    pub(super) fn state(&mut self) -> NodeState {
        let ended = self.process.as_mut().and_then(NodeProcess::ended);
        if let Some(status) = ended {
            self.process = None;
            self.died = Some(status.to_string());
        }
        match (&self.process, self.paused) {
            (None, _) => NodeState::Down,
            (Some(_), true) => NodeState::Paused,
            (Some(_), false) => NodeState::Up,
        }
    }

    /// Its RPC, if it is up.
    pub(super) fn probe(&self) -> Option<Probe> {
        let process = self.process.as_ref()?;
        let start = &process.start;
        Some(Probe::new(self.index, &start.rpc, start.cookie.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(rate: u64) -> NodeSlot {
        NodeSlot {
            index: 3,
            rate,
            address: "bcrt1p".to_owned(),
            dials: vec!["/ip4/127.0.0.1/tcp/9".to_owned()],
            more: Vec::new(),
            process: None,
            last_start: None,
            paused: false,
            died: None,
        }
    }

    #[test]
    fn a_node_dials_proxies_only_and_mines_only_when_it_should() {
        let layout = Layout::new("/t");
        let line = slot(0).arguments(&layout).join(" ");
        assert!(line.contains("--data-dir /t/node3"));
        assert!(line.contains("--connect /ip4/127.0.0.1/tcp/9"));
        assert!(line.contains("--rpc 127.0.0.1:0"));
        assert!(!line.contains("--mine"));
        let line = slot(500).arguments(&layout).join(" ");
        assert!(line.ends_with("--mine bcrt1p --threads 1 --rate 500"));
    }

    #[test]
    fn a_restarted_node_asks_for_its_old_rpc_port() {
        let mut slot = slot(0);
        slot.last_start = Some(StartLine {
            rpc: "http://127.0.0.1:18443/".to_owned(),
            cookie: "c".into(),
            listen: vec![],
            peer_id: String::new(),
        });
        assert_eq!(slot.rpc_address(), "127.0.0.1:18443");
    }
}
