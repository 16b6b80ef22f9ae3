//! Many nodes that are started on one data directory at once: one has it, and loses nothing by the others.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

use crate::process::{Node, PATIENCE, mend};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// Rounds of each size, unless the environment says otherwise.
const ROUNDS: usize = 2;

fn rounds() -> usize {
    let given = std::env::var("MEND_OWNER_ROUNDS").ok();
    given.map_or(ROUNDS, |count| count.parse().expect("a number of rounds"))
}

fn start(dir: &Path) -> Child {
    let dir = dir.to_str().expect("text");
    mend(&["node", "--json", "--log", "warn", "--data-dir", dir])
        .args(["--genesis", "bitcoin-regtest", "--rpc", "127.0.0.1:0"])
        .args(["--listen", "/ip4/127.0.0.1/tcp/0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mend starts")
}

/// What a process that gave up said, and how it ended; `None` while it runs.
fn ended(child: &mut Child) -> Option<(Option<i32>, String)> {
    let status = child.try_wait().expect("it can be asked")?;
    let mut text = String::new();
    let mut stderr = child.stderr.take().expect("piped");
    stderr.read_to_string(&mut text).expect("text");
    Some((status.code(), text))
}

/// Processes that are killed if the test ends before they do.
struct Racers(Vec<Child>);

impl Drop for Racers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts `count` nodes at once on one fresh directory. Gives the one that runs; the others must have been refused.
fn race(dir: &Path, count: usize) -> Node {
    let mut running = Racers((0..count).map(|_| start(dir)).collect());
    let begin = Instant::now();
    while running.0.len() > 1 {
        assert!(begin.elapsed() < PATIENCE, "{} nodes run", running.0.len());
        running.0.retain_mut(|child| {
            let Some((code, text)) = ended(child) else {
                return true;
            };
            assert_eq!(code, Some(1), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.contains("in use by another process"), "{text}");
            assert!(text.contains("--data-dir"), "{text}");
            false
        });
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut child = running.0.pop().expect("one has the directory");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    let _ = BufReader::new(stdout).read_line(&mut line);
    let started = serde_json::from_str(&line);
    Node::new(child, started.expect("the start line of the survivor"))
}

fn play(count: usize) {
    for round in 0..rounds() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("node");
        let node = race(&dir, count);
        node.call(&["generatetoaddress", "20", ADDRESS]);
        let tip = node.call(&["getbestblockhash"]);
        node.stop();
        let again = Node::start(&dir, &["--genesis", "bitcoin-regtest"]);
        assert_eq!(again.call(&["getblockcount"]), "20", "round {round}");
        assert_eq!(again.call(&["getbestblockhash"]), tip, "round {round}");
        again.stop();
    }
}

#[test]
fn of_two_nodes_that_start_on_one_directory_one_runs() {
    play(2);
}

#[test]
fn of_ten_nodes_that_start_on_one_directory_one_runs() {
    play(10);
}
