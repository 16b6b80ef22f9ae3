//! What other networks' users reported of theirs, on real nodes: orders against blocks, ports that are swapped, peers that cannot
//! help, copied data directories, machines that die without a word.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Node, PATIENCE, mend, told};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const REGTEST: [&str; 2] = ["--genesis", "bitcoin-regtest"];

/// Beyond the stated times: these tests run without optimisation, beside others.
const SLACK: Duration = Duration::from_secs(3);

fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    let _ = time_until(what, PATIENCE, holds);
}

fn time_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    start.elapsed()
}

/// Waits for what is to happen within a stated time, and says how long it took.
#[expect(clippy::print_stdout, reason = "the time is worth knowing")]
fn wait_within(stated: Duration, what: &str, holds: impl FnMut() -> bool) {
    let took = time_until(what, stated + SLACK, holds);
    println!("{what}: after {took:?}, {stated:?} are stated");
}

fn json(node: &Node, args: &[&str]) -> Value {
    serde_json::from_str(&node.call(args)).expect("JSON")
}

fn connections(node: &Node) -> String {
    node.call(&["getconnectioncount"])
}

fn tip(node: &Node) -> String {
    node.call(&["getbestblockhash"])
}

/// Where a node listens, without its identity.
fn plain_address(node: &Node) -> String {
    let address = node.started["listen"][0].as_str().expect("an address");
    let (plain, _) = address.split_once("/p2p/").expect("its own id");
    plain.to_owned()
}

/// A node that tells of its peers on standard error.
fn start_talking(dir: &Path, more: &[&str]) -> Node {
    Node::start_by(dir, more, |_, args| {
        let args: Vec<&str> = args
            .iter()
            .map(|arg| if *arg == "warn" { "info" } else { arg })
            .collect();
        mend(&args)
    })
}

/// An address on this machine at which nobody listens.
fn free_address() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = socket.local_addr().expect("bound").port();
    format!("/ip4/127.0.0.1/tcp/{port}")
}

/// A node with `peers` as orders.
fn start_with_peers(dir: &Path, peers: &[String]) -> Node {
    let mut args = REGTEST.to_vec();
    for peer in peers {
        args.extend(["--peer", peer]);
    }
    Node::start(dir, &args)
}

/// `invalidateblock` banned every peer that the node had dialled; its longer branch was heard by nobody, and after
/// `reconsiderblock` it stayed alone.
#[test]
fn an_order_against_a_block_costs_no_peers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes: Vec<Node> = Vec::new();
    for number in 0..5 {
        let peers: Vec<String> = nodes.iter().map(plain_address).collect();
        nodes.push(start_with_peers(
            &folder.path().join(number.to_string()),
            &peers,
        ));
    }
    wait_until("all are connected", || {
        nodes.iter().all(|node| connections(node) == "4")
    });
    nodes[0].call(&["generatetoaddress", "20", ADDRESS]);
    let agree = |nodes: &[Node]| {
        let first = tip(&nodes[0]);
        nodes.iter().all(|node| tip(node) == first)
    };
    wait_until("all have twenty blocks", || agree(&nodes));
    let ordered = nodes[4].call(&["getblockhash", "18"]);
    nodes[4].call(&["invalidateblock", &ordered]);
    assert_eq!(
        nodes[4].call(&["getblockcount"]),
        "17",
        "it was carried out"
    );
    nodes[0].call(&["generatetoaddress", "1", ADDRESS]);
    wait_until("the others go on", || {
        nodes[..4]
            .iter()
            .all(|node| node.call(&["getblockcount"]) == "21")
    });
    // What was just announced has been asked for and judged by then.
    std::thread::sleep(Duration::from_secs(3));
    for node in &nodes {
        let banned = json(node, &["listbanned"]);
        assert_eq!(banned, serde_json::json!([]), "nobody is to blame");
    }
    nodes[4].call(&["generatetoaddress", "6", ADDRESS]);
    let longer = tip(&nodes[4]);
    wait_until("its longer branch is heard", || {
        nodes.iter().all(|node| tip(node) == longer)
    });
    // And back: the others extend what the fifth does not want, until that is longest.
    let unwanted = nodes[0].call(&["getblockhash", "19"]);
    nodes[4].call(&["invalidateblock", &unwanted]);
    nodes[0].call(&["generatetoaddress", "3", ADDRESS]);
    nodes[4].call(&["reconsiderblock", &unwanted]);
    let stated = Duration::from_secs(5);
    wait_within(stated, "all agree after it was reconsidered", || {
        agree(&nodes)
    });
    for node in nodes {
        assert_eq!(json(&node, &["listbanned"]), serde_json::json!([]));
        node.stop();
    }
}

/// Of two peers that came back at each other's port one was never dialled again.
#[test]
fn peers_that_swap_their_ports_are_both_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let places = [free_address(), free_address()];
    let start = |name: &str, place: &str| {
        // They do not dial by themselves: who is connected was dialled.
        let args = [&REGTEST[..], &["--listen", place, "--no-discovery"]].concat();
        Node::start(&folder.path().join(name), &args)
    };
    let peers = [start("x", &places[0]), start("y", &places[1])];
    let node = start_with_peers(&folder.path().join("a"), &places);
    wait_until("both are connected", || connections(&node) == "2");
    for peer in peers {
        peer.stop();
    }
    wait_until("both are gone", || connections(&node) == "0");
    let peers = [start("x", &places[1]), start("y", &places[0])];
    let stated = Duration::from_secs(10);
    wait_within(stated, "both are connected again", || {
        connections(&node) == "2"
    });
    let added = json(&node, &["getaddednodeinfo"]);
    let all = added.as_array().expect("a list");
    assert!(all.iter().all(|one| one["connected"] == true), "{added}");
    for peer in peers {
        peer.stop();
    }
    node.stop();
}

/// Starts a node on the coins of a snapshot.
fn start_from_snapshot(dir: &Path, file: &str, hash: &str) -> Node {
    let text = dir.to_str().expect("text");
    let mut args = vec!["import", file, "--snapshot", hash, "--data-dir", text];
    args.extend(REGTEST);
    told(&args);
    Node::start(dir, &REGTEST)
}

/// A fresh node whose peers had all started from a snapshot, so that none could give it the first blocks, connected to them 94
/// times in ten seconds.
#[test]
fn peers_that_cannot_help_are_left_alone() {
    const WATCHED: Duration = Duration::from_secs(10);
    let folder = tempfile::tempdir().expect("a folder");
    let first = Node::start(&folder.path().join("first"), &REGTEST);
    first.call(&["generatetoaddress", "30", ADDRESS]);
    let file = folder.path().join("coins");
    let file = file.to_str().expect("text");
    let dumped = json(&first, &["dumptxoutset", file]);
    let hash = dumped["txoutset_hash"].as_str().expect("a hash").to_owned();
    first.stop();
    let peers: Vec<Node> = ["b", "c"]
        .iter()
        .map(|name| start_from_snapshot(&folder.path().join(name), file, &hash))
        .collect();
    let addresses: Vec<String> = peers.iter().map(plain_address).collect();
    let mut args = REGTEST.to_vec();
    for address in &addresses {
        args.extend(["--connect", address]);
    }
    let fresh = start_talking(&folder.path().join("fresh"), &args);
    std::thread::sleep(WATCHED);
    let height = fresh.call(&["getblockcount"]);
    assert_eq!(height, "0", "nobody could help");
    let (code, log) = fresh.stopped();
    assert_eq!(code, Some(0), "{log}");
    let connects = log.lines().filter(|line| line.contains("peer connected"));
    let connects = connects.count();
    assert!(connects >= peers.len(), "{log}");
    // Each once at the start, and at most once in the ten seconds after it.
    assert!(connects <= 2 * peers.len(), "{log}");
    for peer in peers {
        peer.stop();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// A copied data directory has the identity of the first. The two never connected, and nothing told why.
#[test]
fn a_copied_data_directory_is_told_once_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dir, copy) = (folder.path().join("a"), folder.path().join("copy"));
    Node::start(&dir, &REGTEST).stop();
    copy_folder(&dir, &copy);
    let original = Node::start(&dir, &REGTEST);
    let copied = start_with_peers(&copy, &[plain_address(&original)]);
    let problem = || {
        let added = json(&copied, &["getaddednodeinfo"]);
        added[0]["error"].as_str().map(str::to_owned)
    };
    wait_until("the reason is shown", || problem().is_some());
    let shown = problem().expect("just seen");
    assert!(shown.contains("a copy of the other"), "{shown}");
    std::thread::sleep(Duration::from_secs(2));
    let (_, log) = copied.stopped();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("a copy")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(warnings[0].contains("delete the file node.key"), "{log}");
    original.stop();
}

/// A node whose machine dies says no farewell; when it came back it was refused for half a minute as a second connection.
#[cfg(unix)]
#[test]
fn a_machine_that_died_without_a_word_is_back_soon() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dir, reborn): (PathBuf, PathBuf) = (folder.path().join("m"), folder.path().join("again"));
    Node::start(&dir, &REGTEST).stop();
    copy_folder(&dir, &reborn);
    let node = Node::start(&folder.path().join("a"), &REGTEST);
    let peers = [plain_address(&node)];
    let dead = start_with_peers(&dir, &peers);
    wait_until("it is connected", || connections(&node) == "1");
    let before = json(&node, &["getpeerinfo"])[0]["id"].clone();
    // Nothing comes from it any more, and its connection stays open.
    dead.signal("-STOP");
    let again = start_with_peers(&reborn, &peers);
    let stated = Duration::from_secs(5);
    wait_within(stated, "it is back", || connections(&again) == "1");
    let after = json(&node, &["getpeerinfo"])[0]["id"].clone();
    assert_ne!(before, after, "by a connection of its own");
    dead.signal("-KILL");
    again.stop();
    node.stop();
}
