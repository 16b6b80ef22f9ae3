//! Synchronisation of real nodes against the import of the same chain from a file, in the same run.
//!
//! ```text
//! cargo bench --bench sync             # 300,000 one-input payments in 300 blocks
//! cargo bench --bench sync -- 30000    # fewer
//! cargo bench --bench sync -- 300000 loopback   # one case only: loopback, delay or hostile
//! ```
//!
//! Cases: from one peer on loopback; over a link with 25 ms delay each way; from three peers of which one never gives blocks and one
//! gives others than it was asked for.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

#[path = "support/scripted.rs"]
mod scripted;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use testnet::link::{Lane, LinkProxy, LinkSettings};

use scripted::{Manner, ScriptedPeer};
use support::PAYMENTS_PER_BLOCK;
use support::node::Node;

const ROUNDS: usize = 3;
const DELAY_MS: u32 = 25;

/// The chain, as a file and in the data directory of a node that serves it.
struct Served {
    folder: tempfile::TempDir,
    genesis: PathBuf,
    file: PathBuf,
    blocks: usize,
    payments: usize,
}

/// What one way of getting the chain took.
struct Took {
    seconds: f64,
    /// Of all processes that took part.
    cpu_seconds: f64,
}

fn main() {
    let payments = support::number_argument(300_000);
    let blocks = payments.div_ceil(PAYMENTS_PER_BLOCK);
    let one_case = ["loopback", "delay", "hostile"]
        .into_iter()
        .any(support::has_argument);
    let wants = |case: &str| !one_case || support::has_argument(case);
    println!("sync: making {blocks} blocks of {PAYMENTS_PER_BLOCK} payments");
    let served = Served::make(blocks);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("threads for links");
    let _guard = runtime.enter();
    for round in 0..ROUNDS {
        let import = served.import(round);
        served.tell("import", &import, &import);
        if wants("loopback") {
            served.tell("sync, loopback", &served.sync_from_one(None), &import);
        }
        if wants("delay") {
            let proxy = runtime.block_on(LinkProxy::listen(1)).expect("a free port");
            proxy.set(LinkSettings::both(Lane::delayed(DELAY_MS)));
            let took = served.sync_from_one(Some(&proxy));
            served.tell("sync, 25 ms each way", &took, &import);
        }
        if wants("hostile") {
            served.tell(
                "sync, one of three honest",
                &served.sync_beside_hostile_peers(round),
                &import,
            );
        }
    }
}

impl Served {
    fn make(blocks: usize) -> Served {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let genesis = support::write_genesis(folder.path(), PAYMENTS_PER_BLOCK);
        let file = folder.path().join("blk00000.dat");
        let made = support::payments::make(blocks, PAYMENTS_PER_BLOCK);
        std::fs::write(&file, made.to_file()).expect("the temporary folder can be written");
        let served = Served {
            folder,
            genesis,
            file,
            blocks,
            payments: blocks * PAYMENTS_PER_BLOCK,
        };
        served.import_to(&served.data());
        served
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("served")
    }

    fn import(&self, round: usize) -> Took {
        let folder = self.folder.path().join(format!("imported{round}"));
        let took = self.import_to(&folder);
        std::fs::remove_dir_all(folder).expect("a folder of ours");
        took
    }

    /// `mend import` in a process of its own; time as it tells, from opening the file to the last commit.
    fn import_to(&self, folder: &Path) -> Took {
        let before = children_cpu_seconds();
        let output = Command::new(env!("CARGO_BIN_EXE_mend"))
            .arg("import")
            .arg(&self.file)
            .args(["--json", "--genesis"])
            .arg(&self.genesis)
            .arg("--data-dir")
            .arg(folder)
            .output()
            .expect("mend starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(told["connected"], json!(self.blocks));
        Took {
            seconds: told["seconds"].as_f64().expect("a number"),
            cpu_seconds: children_cpu_seconds() - before,
        }
    }

    /// A fresh node gets the chain of another one. Counted from the start of its process to its last block.
    fn sync_from_one(&self, link: Option<&LinkProxy>) -> Took {
        let server = Node::start(&self.data(), &self.genesis, &["--no-discovery"]);
        let address = match link {
            None => server.address.clone(),
            Some(proxy) => {
                proxy.set_target(Some(([127, 0, 0, 1], server.port()).into()));
                format!("/ip4/127.0.0.1/tcp/{}", proxy.address().port())
            }
        };
        let served_before = server.cpu_seconds();
        let (took, fresh) = self.start_fresh_and_wait(&["--connect", &address]);
        let took = Took {
            cpu_seconds: took.cpu_seconds + server.cpu_seconds() - served_before,
            ..took
        };
        self.same_coins(&fresh, &server);
        let stopped = fresh.stop();
        println!("sync: the fresh node stopped in {stopped:.2?}");
        took
    }

    /// As [`Served::sync_from_one`], with two peers beside the honest one, which know the headers too and claim the same tip.
    fn sync_beside_hostile_peers(&self, round: usize) -> Took {
        let copy = self.folder.path().join(format!("copy{round}"));
        copy_folder(&self.data(), &copy);
        let staller = ScriptedPeer::start(&copy, &self.genesis, Manner::NeverGivesBlocks);
        let liar_copy = self.folder.path().join(format!("copy{round}b"));
        copy_folder(&self.data(), &liar_copy);
        let liar = ScriptedPeer::start(&liar_copy, &self.genesis, Manner::GivesOtherBlocks);
        let server = Node::start(&self.data(), &self.genesis, &["--no-discovery"]);
        let (took, fresh) = self.start_fresh_and_wait(&[
            "--connect",
            &server.address,
            "--connect",
            &staller.address,
            "--connect",
            &liar.address,
        ]);
        self.same_coins(&fresh, &server);
        let banned = fresh.call("listbanned", json!([]));
        println!("sync: listbanned {banned}");
        for line in fresh
            .log()
            .lines()
            .filter(|line| line.contains("disconnecting"))
        {
            println!("sync: log {line}");
        }
        assert!(
            banned.to_string().contains(liar.peer_id()),
            "the liar is on the ban list"
        );
        assert!(
            staller.was_asked_for_blocks() && liar.was_asked_for_blocks(),
            "both had the occasion to be hostile"
        );
        drop(fresh);
        took
    }

    fn start_fresh_and_wait(&self, arguments: &[&str]) -> (Took, Node) {
        let folder = self.folder.path().join("fresh");
        // Left by the round before.
        let _ = std::fs::remove_dir_all(&folder);
        let began = Instant::now();
        let fresh = Node::start(&folder, &self.genesis, arguments);
        fresh.wait_for_height(self.blocks);
        let took = Took {
            seconds: began.elapsed().as_secs_f64(),
            cpu_seconds: fresh.cpu_seconds(),
        };
        (took, fresh)
    }

    fn same_coins(&self, a: &Node, b: &Node) {
        let muhash =
            |node: &Node| node.call("gettxoutsetinfo", json!(["muhash"]))["muhash"].clone();
        assert_eq!(muhash(a), muhash(b));
    }

    fn tell(&self, what: &str, took: &Took, import: &Took) {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.payments as f64 / took.seconds;
        println!(
            "{what}: {rate:.0} payments/s, {:.2} s ({:.2} s of CPU); {:.0}% of the import's rate ({:.0}% by CPU)",
            took.seconds,
            took.cpu_seconds,
            100.0 * import.seconds / took.seconds,
            100.0 * import.cpu_seconds / took.cpu_seconds,
        );
    }
}

/// User and system time of all child processes that have ended, in seconds.
fn children_cpu_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let fields = after_name.split_whitespace().skip(13).take(2);
    fields
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the temporary folder can be written");
    for entry in std::fs::read_dir(from).expect("a folder of ours") {
        let entry = entry.expect("a folder of ours");
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}
