//! A running node in this process, with its RPC.
#![expect(
    clippy::disallowed_methods,
    reason = "a real node runs in real time: waits are bounded by the clock"
)]

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chain::{ChainOptions, Params};
use node::start::{self, StartOptions, Started};
use node_api::auth::Users;
use node_core::CoreOptions;
use node_host::MiningSettings;
use rpc_client::{Auth, Client, RpcError};
use serde_json::{Value, json};

/// An address that nobody in particular holds.
pub(crate) const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// How long anything may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A node on a thread of its own; stopped and joined when it is dropped.
pub(crate) struct RunningNode {
    pub(crate) started: Started,
    pub(crate) client: Client,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// What a test starts from: everything local, any free port, Bitcoin Core's regtest.
pub(crate) fn options(dir: &Path) -> StartOptions {
    let params = Params::bitcoin_regtest();
    let mut users = Users::default();
    users.add_password("alice", "secret", b"salt");
    users.add_password("watcher", "pw", b"salt");
    users.add_whitelist("watcher:getblockcount").expect("valid");
    users.bind_all(false);
    StartOptions {
        params,
        data_dir: dir.to_owned(),
        chain: ChainOptions {
            cache_bytes: 8 << 20,
        },
        on_damage: chain::OnDamage::Mend,
        scrub: Some(1 << 20),
        txindex: false,
        persist_mempool: true,
        core: CoreOptions {
            seed: 1,
            no_discovery: true,
            ..CoreOptions::default()
        },
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        max_inbound: 10,
        max_outbound: 10,
        rpc: Some(([127, 0, 0, 1], 0).into()),
        users,
        rest: true,
        rpc_hosts: Vec::new(),
        mining: MiningSettings {
            active: false,
            address: None,
            rate: None,
            threads: 1,
            while_syncing: false,
        },
        stratum: None,
        clock_offset_s: 0,
        exit_with_stdin: false,
    }
}

impl RunningNode {
    /// Starts a node in `dir`.
    pub(crate) fn start(dir: &Path) -> RunningNode {
        RunningNode::start_with(options(dir))
    }

    pub(crate) fn start_with(options: StartOptions) -> RunningNode {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            start::run(options, |started| {
                let _ = sender.send(started.clone());
            })
        });
        let Ok(started) = receiver.recv_timeout(PATIENCE) else {
            panic!("the node did not start: {:?}", thread.join());
        };
        let auth = Auth::Cookie(started.cookie.clone());
        let client = Client::new(&started.rpc, auth).with_timeout(PATIENCE);
        RunningNode {
            started,
            client,
            thread: Some(thread),
        }
    }

    /// A call that must succeed.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        let result = self.client.call(method, params.clone());
        result.unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    /// A call that must fail: its code and message.
    pub(crate) fn refused(&self, method: &str, params: Value) -> (i64, String) {
        match self.client.call(method, params.clone()) {
            Err(RpcError::Rpc { code, message }) => (code, message),
            other => panic!("{method} {params}: {other:?}"),
        }
    }

    pub(crate) fn mine(&self, count: u32) -> Vec<String> {
        let hashes = self.call("generatetoaddress", json!([count, ADDRESS]));
        serde_json::from_value(hashes).expect("hashes")
    }

    /// Stops the node and gives what `run` gave.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.call("stop", json!([]));
        self.join()
    }

    fn join(&mut self) -> anyhow::Result<()> {
        let thread = self.thread.take().expect("joined once");
        thread.join().expect("the node does not panic")
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.client.call("stop", json!([]));
            let _ = thread.join();
        }
    }
}

/// Waits until `done` says so.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
