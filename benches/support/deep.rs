//! A node whose chain changes deeply: from one chain of payments to another from genesis, and back.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bitcoin::Amount;
use serde_json::{Value, json};

use super::node::{Node, program};
use super::{payments, write_genesis};

/// What payments of the other chain give away, so that all of them are others.
const PAID_ELSEWHERE: Amount = Amount::from_sat(2_000);

/// A call that takes longer is told, in ms.
const SLOW_MS: f64 = 100.0;

/// Memory for coins and pages of the nodes, in MiB.
pub const CACHE_MIB: usize = 64;

/// Both chains in a data directory. The second, one block longer, is active.
pub struct Scene {
    folder: PathBuf,
    /// Removes the folder in the end, unless it is kept.
    temporary: Option<tempfile::TempDir>,
    genesis: PathBuf,
    /// Block 1 of the active chain: without it the other one is the best.
    pub first: String,
    /// The coins' MuHash at each end, by the tip's hash: the other chain's, and the active one's.
    pub ends: BTreeMap<String, Value>,
    /// All blocks of both: those of the other chain from height 1 on, then those of the active one.
    pub blocks: Vec<String>,
    /// Height of the other chain.
    depth: usize,
    /// Memory for coins and pages of the nodes, in MiB.
    pub cache_mib: usize,
    /// Whether [`Scene::kill_at`] has the state on the way committed before it kills: short changes are not, by themselves.
    pub commits_on_the_way: bool,
}

/// A kill in the middle of a change of chains.
#[derive(Debug)]
pub struct Kill {
    /// How far the change was: 1 at genesis, 2 at the other end.
    pub way: f64,
    /// Height of the tip that was left on disk.
    pub height: u64,
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
    /// Calls that took longer than [`SLOW_MS`]: seconds after the beginning, the call, ms, the height seen before.
    pub slow: Vec<(f64, &'static str, f64, Option<u64>)>,
}

impl Scene {
    /// Makes both chains, of `depth` and `depth + 1` blocks, and imports them.
    pub fn make(depth: usize, payments_per_block: usize) -> Scene {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let mut scene = Scene::empty(temporary.path().to_owned(), depth, payments_per_block);
        scene.temporary = Some(temporary);
        scene.fill(payments_per_block);
        scene
    }

    /// As [`Scene::make`], in a folder of its own in `parent` that is kept: made once, and taken from there ever after.
    pub fn keep_in(parent: &Path, depth: usize, payments_per_block: usize) -> Scene {
        let folder = parent.join(format!("deep-{depth}-{payments_per_block}"));
        fs::create_dir_all(&folder).expect("the folder can be written");
        let mut scene = Scene::empty(folder, depth, payments_per_block);
        let list = scene.folder.join("scene.json");
        match fs::read(&list) {
            Ok(bytes) => {
                let (blocks, ends) = serde_json::from_slice(&bytes).expect("as it was written");
                (scene.blocks, scene.ends) = (blocks, ends);
                scene.first = scene.blocks[depth].clone();
            }
            // Absent, or given up half made.
            Err(_) => {
                let _ = fs::remove_dir_all(scene.data_dir("both"));
                scene.fill(payments_per_block);
                let bytes = serde_json::to_vec(&(&scene.blocks, &scene.ends)).expect("plain data");
                fs::write(list, bytes).expect("the folder can be written");
            }
        }
        scene
    }

    fn empty(folder: PathBuf, depth: usize, payments_per_block: usize) -> Scene {
        Scene {
            genesis: write_genesis(&folder, payments_per_block),
            first: String::new(),
            ends: BTreeMap::new(),
            blocks: Vec::new(),
            depth,
            cache_mib: CACHE_MIB,
            commits_on_the_way: false,
            folder,
            temporary: None,
        }
    }

    fn fill(&mut self, payments_per_block: usize) {
        let depth = self.depth;
        self.import(&payments::make(depth, payments_per_block));
        let elsewhere = payments::make_paying(PAID_ELSEWHERE, depth + 1, payments_per_block);
        self.import(&elsewhere);
        self.first = self.blocks[self.depth].clone();
    }

    fn import(&mut self, chain: &payments::PaymentChain) {
        let file = self.folder.join("blocks");
        fs::write(&file, chain.to_file()).expect("the temporary folder can be written");
        let hashes = chain
            .blocks
            .iter()
            .map(|block| block.block_hash().to_string());
        self.blocks.extend(hashes);
        let imported = Command::new(program())
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
        self.folder.join(name)
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
        let cache = self.cache_mib.to_string();
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
        let (mut calls_ms, mut heights, mut slow) = (Vec::new(), Vec::new(), Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                node.call(order, json!([self.first]));
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                for method in ["getblockcount", "getbestblockhash", "getmempoolinfo"] {
                    let asked = Instant::now();
                    let answer = node.call(method, json!([]));
                    let took = asked.elapsed().as_secs_f64() * 1_000.0;
                    calls_ms.push(took);
                    if took > SLOW_MS {
                        slow.push((
                            began.elapsed().as_secs_f64(),
                            method,
                            took,
                            heights.last().copied(),
                        ));
                    }
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
            slow,
        }
    }

    /// Orders a change of chains on a fresh copy, kills the node when it is so far (1 at genesis, 2 at the other end), and looks at what
    /// is left: a node on it goes on to one of the two ends, with exactly that end's coins.
    ///
    /// # Panics
    ///
    /// When the change is over before the kill.
    pub fn kill_at(&self, part: f64) -> Kill {
        self.copy("killed");
        let node = self.start("killed");
        let order = node.composed("invalidateblock", json!([self.first]));
        let waiting = order.begin();
        waiting.set_nonblocking(true).expect("a socket");
        let is_under_way = || {
            let answer = waiting.peek(&mut [0]);
            answer.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        };
        let mut way = self.way(&node);
        let mut commits = None;
        while way < part {
            if self.commits_on_the_way && commits.is_none() && way > 0.5 * part {
                // Who looks at all coins has them committed first. The answer is not waited for.
                commits = Some(node.composed("gettxoutsetinfo", json!(["none"])).begin());
            }
            assert!(is_under_way(), "the change was over at {way} of {part}");
            std::thread::sleep(Duration::from_millis(1));
            way = self.way(&node);
        }
        node.send_kill();
        assert!(is_under_way(), "the kill came too late for {part}");
        node.kill();
        let height = self.check_what_is_left();
        Kill { way, height }
    }

    /// How far a change of chains is: 0 at its beginning, 1 at genesis, 2 at its end.
    fn way(&self, node: &Node) -> f64 {
        let tip = node.call("getbestblockhash", json!([]));
        let depth = self.depth as f64;
        match self.blocks.iter().position(|block| tip == json!(block)) {
            Some(at) if at < self.depth => 1.0 + (at + 1) as f64 / depth,
            Some(at) => 1.0 - (at + 1 - self.depth) as f64 / (depth + 1.0),
            None => 1.0,
        }
    }

    /// Looks at what a kill left. Gives the height of the tip on disk.
    fn check_what_is_left(&self) -> u64 {
        let stored = Command::new(program())
            .arg("verify")
            .args(["--json", "--level", "0", "--depth", "1", "--data-dir"])
            .arg(self.data_dir("killed"))
            .arg("--genesis")
            .arg(&self.genesis)
            .output()
            .expect("mend starts");
        let told: Value = serde_json::from_slice(&stored.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&stored.stderr)));
        let height = told["height"].as_u64().expect("a height");
        let node = self.start("killed");
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
        height
    }
}

fn muhash(node: &Node) -> Value {
    node.call("gettxoutsetinfo", json!(["muhash"]))["muhash"].clone()
}
