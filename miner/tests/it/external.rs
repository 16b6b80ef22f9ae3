//! `mend mine` against nodes.

use std::time::{Duration, Instant};

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, ScriptBuf};
use clap::Parser;
use miner::{MineArgs, run};
use serde_json::json;

use crate::node::{Fault, TestNode};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    mine: MineArgs,
}

/// Runs `mend mine` with these words; fails the test when it takes too long.
pub(crate) fn mine(words: &[&str]) -> anyhow::Result<()> {
    let fixed = [
        "mine",
        "--json",
        "--threads",
        "1",
        "--kernel",
        "portable",
        "--address",
        ADDRESS,
    ];
    let args = Command::parse_from(fixed.iter().chain(words)).mine;
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(run(args)));
    receiver
        .recv_timeout(2 * PATIENCE)
        .expect("the miner came to an end")
}

/// What pays [`ADDRESS`].
fn payee() -> ScriptBuf {
    let address = ADDRESS.parse::<Address<NetworkUnchecked>>().expect("valid");
    address.assume_checked().script_pubkey()
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn blocks_are_mined_one_on_the_other_until_there_are_enough() {
    let node = TestNode::start();
    mine(&["--rpc", &node.url(), "--blocks", "20"]).expect("mines");
    assert_eq!(node.height(), 20);
    assert_eq!(node.submissions(), 20, "no block was a sibling of another");
    assert!(node.long_polls() >= 1);
}

#[test]
fn a_late_or_refused_block_does_not_end_the_work() {
    let node = TestNode::start();
    node.answer_next_with(json!("inconclusive"));
    node.answer_next_with(json!("bad-cb-height"));
    mine(&["--rpc", &node.url(), "--blocks", "2"]).expect("mines");
    assert_eq!((node.height(), node.submissions()), (2, 4));
}

#[test]
fn a_block_that_was_taken_without_an_answer_is_found_once() {
    let node = TestNode::start();
    node.fail_at_the_next_block(Fault::NoAnswer);
    mine(&["--rpc", &node.url(), "--blocks", "2"]).expect("mines");
    let submissions = (node.submissions(), node.different_submissions());
    assert_eq!(submissions, (3, 2), "it was handed in twice");
    assert_eq!(node.height(), 2, "as many as were asked for");
}

#[test]
fn a_tip_found_by_somebody_else_is_taken_up() {
    let node = TestNode::start();
    let url = node.url();
    std::thread::scope(|scope| {
        // So slow that the other one finds most blocks.
        let slow = scope.spawn(|| mine(&["--rpc", &url, "--rate", "1k", "--blocks", "1"]));
        wait_for("a long poll", || node.long_polls() >= 1);
        mine(&["--rpc", &url, "--rate", "10k", "--blocks", "20"]).expect("mines");
        slow.join().expect("no panic").expect("mines");
    });
    assert!(node.height() >= 21);
}

#[test]
fn when_a_node_fails_the_next_one_is_mined_on_and_it_may_come_back() {
    let (first, second) = (TestNode::start(), TestNode::start());
    let (one, two) = (first.url(), second.url());
    first.set_down(true);
    mine(&["--rpc", &one, "--rpc", &two, "--blocks", "2"]).expect("mines on the second");
    assert_eq!((first.height(), second.height()), (0, 2));
    std::thread::scope(|scope| {
        let alone = scope.spawn(|| mine(&["--rpc", &one, "--blocks", "2"]));
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(first.height(), 0);
        first.set_down(false);
        alone
            .join()
            .expect("no panic")
            .expect("mines when the node is back");
    });
    assert_eq!(first.height(), 2);
}

#[test]
fn a_node_that_fails_in_the_middle_is_left_for_the_next_one() {
    let (first, second) = (TestNode::start(), TestNode::start());
    let (one, two) = (first.url(), second.url());
    std::thread::scope(|scope| {
        let words = [
            "--rpc", &one, "--rpc", &two, "--rate", "4k", "--blocks", "12",
        ];
        let miner = scope.spawn(move || mine(&words));
        wait_for("two blocks", || first.height() >= 2);
        first.set_down(true);
        miner
            .join()
            .expect("no panic")
            .expect("mines on the second");
    });
    assert!(first.height() >= 2 && second.height() >= 1);
    assert!(first.height() + second.height() >= 12);
}

#[test]
fn a_nodes_own_coinbase_is_mined_on_with_an_extra_nonce_appended() {
    let node = TestNode::start();
    node.insist_on_its_coinbase(&["time", "coinbase/append"]);
    mine(&["--rpc", &node.url(), "--blocks", "18"]).expect("mines");
    assert_eq!((node.height(), node.submissions()), (18, 18));
}

#[test]
fn a_nodes_own_coinbase_that_may_not_be_changed_is_mined_on_as_it_is() {
    let node = TestNode::start();
    node.insist_on_its_coinbase(&["time"]);
    // After a refusal there is no other extra nonce to go on with, so the version has to be another.
    node.answer_next_with(json!("inconclusive"));
    mine(&["--rpc", &node.url(), "--blocks", "3"]).expect("mines");
    assert_eq!((node.height(), node.submissions()), (3, 4));
    assert_eq!(node.different_submissions(), 4);
}

#[test]
fn after_a_failure_the_next_node_may_be_of_the_other_kind() {
    let (first, second) = (TestNode::start(), TestNode::start());
    let (one, two) = (first.url(), second.url());
    first.set_down(true);
    second.insist_on_its_coinbase(&["coinbase/append"]);
    mine(&["--rpc", &one, "--rpc", &two, "--blocks", "2"]).expect("mines for the second");
    let paid = |node: &TestNode| node.blocks()[0].txdata[0].output[0].script_pubkey.clone();
    assert_eq!(paid(&second).as_bytes(), [0x52], "the node's own payee");
    first.set_down(false);
    mine(&["--rpc", &one, "--rpc", &two, "--blocks", "1"]).expect("mines for us");
    assert_eq!(paid(&first), payee());
}

#[test]
fn a_refused_login_ends_the_miner_with_a_remedy() {
    let node = TestNode::start();
    node.demand_password("Basic bWU6c2VjcmV0");
    let wrong = [
        "--rpc",
        &node.url(),
        "--user",
        "me",
        "--password",
        "wrong",
        "--blocks",
        "1",
    ];
    let error = mine(&wrong).expect_err("refused").to_string();
    assert!(
        error.contains("refused the user or password; give"),
        "{error}"
    );
    let right = [
        "--rpc",
        &node.url(),
        "--user",
        "me",
        "--password",
        "secret",
        "--blocks",
        "1",
    ];
    mine(&right).expect("mines");
    assert_eq!(node.height(), 1);
}
