//! Nodes that are killed at random instants, for real: while they commit, while they catch up, and while they change chains.
//!
//! After each kill the data opens, its tip is one that was acknowledged or an ancestor of what comes next, the coins are exactly
//! those of the tip (`mend verify` disconnects all blocks, connects them again and hashes all coins from scratch), and no
//! acknowledged block is lost. `MEND_KILL_ROUNDS` asks for more rounds.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Node, PATIENCE, output, told};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const OTHER_ADDRESS: &str = "bcrt1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qzf4jry";
const REGTEST: [&str; 2] = ["--genesis", "bitcoin-regtest"];
/// Dial this address only, where nobody listens, and none that is remembered.
const NOBODY: [&str; 2] = ["--connect", "/ip4/127.0.0.1/tcp/1"];

/// How many kills are asked for.
pub(crate) fn rounds() -> u64 {
    let asked = std::env::var("MEND_KILL_ROUNDS").ok();
    asked.map_or(5, |text| {
        text.parse().expect("MEND_KILL_ROUNDS is a number")
    })
}

/// An instant below `most_ms`, the same for the same round in every run (SplitMix64).
pub(crate) fn instant(phase: u64, round: u64, most_ms: u64) -> Duration {
    let mut dice = (phase << 32 | round)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    dice = (dice ^ (dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    dice = (dice ^ (dice >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Duration::from_millis((dice ^ (dice >> 31)) % most_ms)
}

/// What `mend verify` finds: no problem, and a tip with its height and MuHash.
#[derive(Debug, PartialEq, Eq)]
struct Verified {
    tip: String,
    height: u64,
    muhash: String,
}

fn verified(dir: &Path) -> Verified {
    let dir = dir.to_str().expect("text");
    let text = told(&[
        "verify",
        "--json",
        "--data-dir",
        dir,
        REGTEST[0],
        REGTEST[1],
    ]);
    let found: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(found["problems"], Value::Array(Vec::new()), "{found}");
    let field = |name: &str| found[name].as_str().expect("text").to_owned();
    Verified {
        tip: field("tip"),
        height: found["height"].as_u64().expect("a number"),
        muhash: field("muhash"),
    }
}

fn confirmations(node: &Node, hash: &str) -> i64 {
    let header = node.call(&["getblockheader", hash]);
    let header: Value = serde_json::from_str(&header).expect("JSON");
    header["confirmations"].as_i64().expect("a number")
}

fn coins(node: &Node) -> Value {
    let info = node.call(&["gettxoutsetinfo", "muhash"]);
    serde_json::from_str(&info).expect("JSON")
}

/// Looks at what a kill left, lets a lonely node go on from it, and looks again. Gives what was there right after the kill.
fn check_after_kill(dir: &Path, acknowledged: &[String]) -> Verified {
    let left = verified(dir);
    let node = Node::start(dir, &[&REGTEST[..], &NOBODY].concat());
    assert!(
        confirmations(&node, &left.tip) > 0,
        "it goes on from {left:?}"
    );
    for hash in acknowledged {
        assert!(confirmations(&node, hash) > 0, "{hash} was lost");
    }
    let info = coins(&node);
    node.stop();
    let after = verified(dir);
    assert_eq!(info["bestblock"], after.tip.as_str());
    assert_eq!(info["muhash"], after.muhash.as_str());
    left
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn address_of(node: &Node) -> &str {
    node.started["listen"][0].as_str().expect("an address")
}

#[test]
fn a_kill_while_blocks_are_committed_loses_none_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("node");
    let data_dir = format!("-datadir={}", dir.to_str().expect("text"));
    let mut all = 0;
    for round in 0..rounds() {
        let node = Node::start(&dir, &REGTEST);
        let acknowledged = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Until the node is gone.
                loop {
                    let mined = output(&["cli", &data_dir, "generatetoaddress", "2", ADDRESS]);
                    if !mined.status.success() {
                        return;
                    }
                    let hashes: Vec<String> = serde_json::from_slice(&mined.stdout).expect("JSON");
                    acknowledged.lock().expect("no panic").extend(hashes);
                }
            });
            std::thread::sleep(Duration::from_millis(200) + instant(1, round, 2_000));
            node.kill();
        });
        let acknowledged = acknowledged.into_inner().expect("no panic");
        check_after_kill(&dir, &acknowledged);
        all += acknowledged.len();
    }
    assert!(all > 0, "kills came between blocks");
}

#[test]
fn a_kill_while_a_node_catches_up_leaves_a_chain_that_its_peer_has() {
    const BLOCKS: u64 = 400;
    let folder = tempfile::tempdir().expect("a folder");
    let peer = Node::start(&folder.path().join("peer"), &REGTEST);
    peer.call(&["generatetoaddress", &BLOCKS.to_string(), ADDRESS]);
    // How long it takes undisturbed, to its first commit.
    let connect = [&REGTEST[..], &["--connect", address_of(&peer)]].concat();
    let start = Instant::now();
    let undisturbed = Node::start(&folder.path().join("undisturbed"), &connect);
    eventually("the chain", || {
        undisturbed.call(&["getblockcount"]) == BLOCKS.to_string()
    });
    let whole_ms = u64::try_from(start.elapsed().as_millis()).expect("short") + 1_500;
    undisturbed.stop();
    let mut in_between = 0;
    for round in 0..rounds() {
        let dir = folder.path().join(format!("node{round}"));
        let node = Node::start(&dir, &connect);
        std::thread::sleep(instant(2, round, whole_ms));
        node.kill();
        let left = check_after_kill(&dir, &[]);
        assert!(confirmations(&peer, &left.tip) > 0, "{left:?}");
        in_between += u32::from(left.height < BLOCKS);
        // Once more, from what is there.
        let node = Node::start(&dir, &connect);
        std::thread::sleep(instant(3, round, whole_ms / 2));
        node.kill();
        let again = check_after_kill(&dir, &[]);
        assert!(again.height >= left.height, "{left:?}, then {again:?}");
        let node = Node::start(&dir, &connect);
        eventually("the end", || {
            node.call(&["getbestblockhash"]) == peer.call(&["getbestblockhash"])
        });
    }
    assert!(in_between > 0, "kills came before the end");
}

#[test]
fn a_kill_while_a_node_changes_chains_leaves_one_or_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let peer = Node::start(&folder.path().join("peer"), &REGTEST);
    peer.call(&["generatetoaddress", "150", ADDRESS]);
    let before = folder.path().join("before");
    let node = Node::start(&before, &REGTEST);
    node.call(&["generatetoaddress", "140", OTHER_ADDRESS]);
    let old_tip = node.call(&["getbestblockhash"]);
    node.stop();
    let connect = [&REGTEST[..], &["--connect", address_of(&peer)]].concat();
    let mut chains = [0, 0];
    for round in 0..rounds() {
        let dir = folder.path().join(format!("node{round}"));
        fs::create_dir(&dir).expect("made");
        fs::copy(before.join("chain.redb"), dir.join("chain.redb")).expect("copied");
        let node = Node::start(&dir, &connect);
        std::thread::sleep(instant(4, round, 2_500));
        node.kill();
        let left = check_after_kill(&dir, &[]);
        let is_new = left.tip != old_tip;
        assert!(!is_new || confirmations(&peer, &left.tip) > 0, "{left:?}");
        chains[usize::from(is_new)] += 1;
        let node = Node::start(&dir, &connect);
        eventually("the change", || {
            node.call(&["getbestblockhash"]) == peer.call(&["getbestblockhash"])
        });
        assert_eq!(coins(&node)["muhash"], coins(&peer)["muhash"]);
    }
    assert!(
        chains[0] > 0,
        "kills came before the change was committed: {chains:?}"
    );
}
