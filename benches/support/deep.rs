//! A node whose chain changes deeply: from one chain of payments to another from genesis, and back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bitcoin::Amount;
use serde_json::{Value, json};

use super::node::Node;
use super::{payments, write_genesis};

/// What payments of the other chain give away, so that all of them are others.
const PAID_ELSEWHERE: Amount = Amount::from_sat(2_000);

/// Memory for coins and pages of the nodes, in MiB.
pub const CACHE_MIB: usize = 64;

/// Both chains in a data directory. The second, one block longer, is active.
pub struct Scene {
    folder: tempfile::TempDir,
    genesis: PathBuf,
    /// Block 1 of the active chain: without it the other one is the best.
    pub first: String,
    /// The coins' MuHash at each end, by the tip's hash: the other chain's, and the active one's.
    pub ends: BTreeMap<String, Value>,
    /// All blocks of both.
    pub blocks: Vec<String>,
}

/// What a change of chains took.
pub struct Measured {
    /// How long it took.
    pub seconds: f64,
    /// Peak resident memory of the node until its end, in MiB; 0 where the system does not tell.
    pub peak_mib: f64,
    /// Every call that was made meanwhile, in ms.
    pub calls_ms: Vec<f64>,
    /// Heights that were seen on the way.
    pub heights: Vec<u64>,
}

impl Scene {
    /// Makes both chains, of `depth` and `depth + 1` blocks, and imports them.
    pub fn make(depth: usize, payments_per_block: usize) -> Scene {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let genesis = write_genesis(folder.path(), payments_per_block);
        let mut scene = Scene {
            genesis,
            first: String::new(),
            ends: BTreeMap::new(),
            blocks: Vec::new(),
            folder,
        };
        let elsewhere = || payments::make_paying(PAID_ELSEWHERE, depth + 1, payments_per_block);
        scene.import(&payments::make(depth, payments_per_block));
        let other = elsewhere();
        scene.first = other.blocks[0].block_hash().to_string();
        scene.import(&other);
        scene
    }

    fn import(&mut self, chain: &payments::PaymentChain) {
        let file = self.folder.path().join("blocks");
        fs::write(&file, chain.to_file()).expect("the temporary folder can be written");
        let hashes = chain
            .blocks
            .iter()
            .map(|block| block.block_hash().to_string());
        self.blocks.extend(hashes);
        let imported = Command::new(env!("CARGO_BIN_EXE_mend"))
            .arg("import")
            .arg(&file)
            .arg("--data-dir")
            .arg(self.data_dir("both"))
            .arg("--genesis")
            .arg(&self.genesis)
            .output()
            .expect("mend starts");
        let errors = String::from_utf8_lossy(&imported.stderr);
        assert!(imported.status.success(), "{errors}");
        let node = self.start("both");
        let end = self.blocks[self.blocks.len() - 1].clone();
        assert_eq!(node.call("getbestblockhash", json!([])), json!(end));
        self.ends.insert(end, muhash(&node));
        node.stop();
    }

    fn data_dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A fresh copy of the data under another name.
    pub fn copy(&self, name: &str) {
        let to = self.data_dir(name);
        let _ = fs::remove_dir_all(&to);
        fs::create_dir(&to).expect("made");
        let file = Path::new("chain.redb");
        fs::copy(self.data_dir("both").join(file), to.join(file)).expect("copied");
    }

    /// A node on a copy.
    pub fn start(&self, name: &str) -> Node {
        let cache = CACHE_MIB.to_string();
        Node::start(&self.data_dir(name), &self.genesis, &["--dbcache", &cache])
    }

    /// Takes the chain back to genesis and up on the other side, or down and up again if `back`, and makes calls meanwhile.
    pub fn change(&self, node: &Node, back: bool) -> Measured {
        let order = if back {
            "reconsiderblock"
        } else {
            "invalidateblock"
        };
        let done = AtomicBool::new(false);
        let began = Instant::now();
        let (mut calls_ms, mut heights) = (Vec::new(), Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                node.call(order, json!([self.first]));
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                for method in ["getblockcount", "getbestblockhash", "getmempoolinfo"] {
                    let asked = Instant::now();
                    let answer = node.call(method, json!([]));
                    calls_ms.push(asked.elapsed().as_secs_f64() * 1_000.0);
                    heights.extend(answer.as_u64());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Measured {
            seconds: began.elapsed().as_secs_f64(),
            peak_mib: node.peak_mib(),
            calls_ms,
            heights,
        }
    }

    /// Orders a change of chains on a fresh copy, kills the node after `instant`, and looks at what is left: a node on it goes on to one
    /// of the two ends, with exactly that end's coins. Gives the height right after the kill.
    pub fn kill_after(&self, instant: Duration) -> u64 {
        self.copy("killed");
        let node = self.start("killed");
        let order = node.composed("invalidateblock", json!([self.first]));
        let waiting = order.begin();
        std::thread::sleep(instant);
        node.kill();
        drop(waiting);
        let node = self.start("killed");
        let height = node.call("getblockcount", json!([])).as_u64();
        let at = node.call("getbestblockhash", json!([]));
        let at = at.as_str().expect("text");
        let genesis = node.call("getblockhash", json!([0]));
        let is_known = self.blocks.iter().any(|block| block == at) || genesis == json!(at);
        assert!(is_known, "{at} is on no chain");
        let ends = |node: &Node| {
            let tip = node.call("getbestblockhash", json!([]));
            self.ends.get(tip.as_str().expect("text")).cloned()
        };
        node.wait_until("one of the ends", |node| ends(node).is_some());
        assert_eq!(Some(muhash(&node)), ends(&node));
        node.stop();
        height.expect("a number")
    }
}

fn muhash(node: &Node) -> Value {
    node.call("gettxoutsetinfo", json!(["muhash"]))["muhash"].clone()
}
