//! [`Scene`]: a chain of payments, an honest node that serves it, and a victim that has to get it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bitcoin::Block;
use bitcoin::consensus::encode::serialize_hex;
use chain::Params;
use serde_json::json;

use crate::judge;
use crate::support::node::Node;
use crate::support::node::program;
use crate::support::payments::{self, PaymentChain};
use crate::support::write_genesis;

/// Payments of a block.
pub(crate) const PAYMENTS: usize = 200;

/// The chain that all attacks share.
pub(crate) struct Served {
    folder: tempfile::TempDir,
    pub(crate) genesis: PathBuf,
    pub(crate) chain: PaymentChain,
}

static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let genesis = write_genesis(folder.path(), PAYMENTS);
    let blocks = if judge::is_full() { 300 } else { 40 };
    let chain = payments::make(blocks, PAYMENTS);
    let file = folder.path().join("blk00000.dat");
    std::fs::write(&file, chain.to_file()).expect("the temporary folder can be written");
    import(&genesis, &file, &folder.path().join("served"));
    Served {
        folder,
        genesis,
        chain,
    }
});

/// One attack at a time: they measure.
static TURN: Mutex<()> = Mutex::new(());

/// The place of one attack.
pub(crate) struct Scene {
    pub(crate) served: &'static Served,
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let turn = TURN
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Scene {
            served: &SERVED,
            folder: tempfile::tempdir().expect("a temporary folder"),
            _turn: turn,
        }
    }

    /// A folder of this attack alone.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The network's digest in hexadecimal.
    pub(crate) fn network(&self) -> String {
        network_of(&self.served.chain.params)
    }

    /// An honest node that has the whole chain.
    pub(crate) fn honest(&self, name: &str) -> Node {
        let data = self.path().join(name);
        std::fs::create_dir(&data).expect("the temporary folder can be written");
        for entry in std::fs::read_dir(self.served.folder.path().join("served")).expect("ours") {
            let entry = entry.expect("ours");
            if entry.path().is_file() {
                std::fs::copy(entry.path(), data.join(entry.file_name())).expect("a copy");
            }
        }
        self.start(name, &[])
    }

    /// A node of the network, fresh if nothing is in its folder yet.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Node {
        let folder = self.path().join(name);
        Node::start(&folder, &self.served.genesis, arguments)
    }

    /// The height that an honest node serves.
    pub(crate) fn height(&self) -> usize {
        self.served.chain.blocks.len()
    }

    /// Seconds until `victim` has the honest chain, from the moment at which it is told of the honest node.
    pub(crate) fn seconds_to_sync(&self, victim: &Node, honest: &Node, patience: Duration) -> f64 {
        let began = Instant::now();
        victim.call("addnode", json!([honest.address, "add"]));
        let millis = u64::try_from(patience.as_millis()).expect("short");
        let told = victim.call("waitforblockheight", json!([self.height(), millis]));
        assert!(
            told["height"].as_u64() >= Some(self.height() as u64),
            "after {patience:?} the victim is at {told} of {}: {}",
            self.height(),
            victim.call("getpeerinfo", json!([]))
        );
        began.elapsed().as_secs_f64()
    }

    /// Seconds that a fresh node takes without any attack.
    pub(crate) fn seconds_to_sync_in_peace(&self) -> f64 {
        let honest = self.honest("peace-honest");
        let victim = self.start("peace-victim", &[]);
        self.seconds_to_sync(&victim, &honest, Duration::from_secs(120))
    }

    /// Hands a block to a node.
    pub(crate) fn submit(&self, node: &Node, block: &Block) {
        let answer = node.call("submitblock", json!([serialize_hex(block)]));
        assert!(answer.is_null(), "{answer}");
    }
}

/// The digest of a network in hexadecimal.
pub(crate) fn network_of(params: &Params) -> String {
    let bytes = params.digest.0.iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Imports a file of blocks into a data directory.
pub(crate) fn import(genesis: &Path, file: &Path, data: &Path) {
    let output = Command::new(program())
        .arg("import")
        .arg(file)
        .arg("--genesis")
        .arg(genesis)
        .arg("--data-dir")
        .arg(data)
        .output()
        .expect("mend starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The longest of some calls that have to be answered at once while `during` runs, in seconds.
pub(crate) fn slowest_call_during(node: &Node, during: impl FnOnce()) -> f64 {
    use std::sync::atomic::{AtomicBool, Ordering};
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut slowest = 0.0_f64;
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                node.call("getblockcount", json!([]));
                slowest = slowest.max(began.elapsed().as_secs_f64());
                std::thread::sleep(Duration::from_millis(20));
            }
            slowest
        });
        during();
        over.store(true, Ordering::Relaxed);
        asking.join().expect("the node answers")
    })
}
