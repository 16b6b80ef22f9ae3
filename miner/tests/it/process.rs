//! `mend mine` as a process: what it prints, and how signals end it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::external::mine;
use crate::node::{Fault, TestNode};

const PATIENCE: Duration = Duration::from_secs(60);
/// Holds the words of the command line of [`the_process`].
const WORDS: &str = "MEND_TEST_MINE";

/// Not a test: what the tests below start, in a process of its own.
#[test]
fn the_process() {
    if let Ok(words) = std::env::var(WORDS) {
        let words: Vec<&str> = words.split_whitespace().collect();
        mine(&words).expect("mines");
    }
}

struct Miner {
    child: Child,
    lines: Receiver<Value>,
}

impl Miner {
    fn start(words: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "process::the_process", "--nocapture"])
            .env(WORDS, words.join(" "))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Lines that are no JSON are the test harness's.
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(event) = line
                    .find('{')
                    .and_then(|at| serde_json::from_str(&line[at..]).ok())
                    && sender.send(event).is_err()
                {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for an event of this name.
    fn wait_for(&self, name: &str) -> Value {
        let start = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let event = self.lines.recv_timeout(left);
            let event = event.unwrap_or_else(|error| panic!("waited for {name}: {error}"));
            if event["event"] == name {
                return event;
            }
        }
    }

    /// What it prints until it ends.
    fn rest(&mut self) -> (Vec<Value>, ExitStatus) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        (self.lines.iter().collect(), status)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn int_and_term_end_it_with_an_end_line() {
    for signal in [Signal::INT, Signal::TERM] {
        let node = TestNode::start();
        let mut miner = Miner::start(&["--rpc", &node.url(), "--rate", "1"]);
        miner.wait_for("template");
        miner.signal(signal);
        let (events, status) = miner.rest();
        let last = events.last().expect("an end");
        assert_eq!(last["event"], "end", "{events:?}");
        assert!(status.success(), "{signal:?}: {status}");
    }
}

#[test]
fn a_signal_before_all_blocks_are_found_is_told_by_the_exit_code() {
    let node = TestNode::start();
    let mut miner = Miner::start(&["--rpc", &node.url(), "--rate", "1", "--blocks", "5"]);
    miner.wait_for("template");
    miner.signal(Signal::INT);
    let (events, status) = miner.rest();
    assert_eq!(events.last().expect("an end")["event"], "end");
    assert!(!status.success());
}

#[test]
fn a_block_is_told_before_the_template_that_follows_it() {
    let node = TestNode::start();
    let mut miner = Miner::start(&["--rpc", &node.url(), "--blocks", "30"]);
    let (events, status) = miner.rest();
    assert!(status.success(), "{events:?}");
    let steps = |event: &Value| {
        let name = event["event"].as_str().expect("a name").to_owned();
        let height = event["height"].as_u64()?;
        Some((height, name))
    };
    let told: Vec<_> = events.iter().filter_map(steps).collect();
    let step = |height, name: &str| (height, name.to_owned());
    let expected: Vec<_> = (1..=30)
        .flat_map(|height| [step(height, "template"), step(height, "block")])
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn the_first_node_is_returned_to_when_it_is_back() {
    let (first, second) = (TestNode::start(), TestNode::start());
    first.set_down(true);
    let (one, two) = (first.url(), second.url());
    // So slow that no block of its own ends the long poll at the second node.
    let miner = Miner::start(&["--rpc", &one, "--rpc", &two, "--rate", "1"]);
    assert_eq!(miner.wait_for("template")["url"], format!("{two}/"));
    // Another chain, so that its template is told.
    first.fork();
    first.set_down(false);
    assert_eq!(miner.wait_for("template")["url"], format!("{one}/"));
}

#[test]
fn a_block_that_a_node_took_before_it_went_down_is_counted_when_it_is_back() {
    let node = TestNode::start();
    node.fail_at_the_next_block(Fault::GoesDown);
    let mut miner = Miner::start(&["--rpc", &node.url(), "--blocks", "2"]);
    assert_eq!(miner.wait_for("block")["verdict"], "lost");
    assert_eq!(node.height(), 1, "the fault came after it was taken");
    node.set_down(false);
    let (events, status) = miner.rest();
    assert!(status.success());
    let end = events.last().expect("an end");
    assert_eq!((&end["found"], node.height()), (&2.into(), 2), "{events:?}");
}
