//! Floods of sockets, of log lines and too few file descriptors: what is refused is not taken out on peers, callers or the chain.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Node, PATIENCE, mend, told};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const REGTEST: [&str; 2] = ["--genesis", "bitcoin-regtest"];

fn rpc_address(node: &Node) -> SocketAddr {
    let url = node.field("rpc").trim_start_matches("http://");
    url.trim_end_matches('/').parse().expect("an address")
}

/// The first multiaddress, and the socket address in it.
fn p2p_address(node: &Node) -> (String, SocketAddr) {
    let address = node.started["listen"][0].as_str().expect("an address");
    let parts: Vec<&str> = address.split('/').collect();
    let socket = format!("{}:{}", parts[2], parts[4]);
    (address.to_owned(), socket.parse().expect("an address"))
}

/// Sockets that say nothing. Those that the system or the node refuses are left out.
fn silent_sockets(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect_timeout(&to, Duration::from_secs(1)).ok();
    (0..count).filter_map(connect).collect()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn case_57_sockets_that_say_nothing_take_no_place_of_peers_and_callers() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(&folder.path().join("a"), &REGTEST);
    let (address, socket) = p2p_address(&node);
    let peer = Node::start(
        &folder.path().join("b"),
        &[&REGTEST[..], &["--connect", &address]].concat(),
    );
    wait_until("the two connect", || {
        node.call(&["getconnectioncount"]) == "1"
    });
    let held = [
        silent_sockets(socket, 200),
        silent_sockets(rpc_address(&node), 60),
    ];
    assert!(!held[0].is_empty() && !held[1].is_empty());
    node.call(&["generatetoaddress", "3", ADDRESS]);
    wait_until("blocks pass all the while", || {
        peer.call(&["getblockcount"]) == "3"
    });
    assert_eq!(node.call(&["getconnectioncount"]), "1");
    drop(held);
    node.stop();
    peer.stop();
}

/// A node that may open few files.
#[cfg(unix)]
fn node_with_few_descriptors(dir: &Path, descriptors: u32) -> Node {
    let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
    Node::start_by(dir, &REGTEST, |program, args| {
        let mut command = Command::new("sh");
        command.args(["-c", &script, program]).args(args);
        command
    })
}

#[cfg(unix)]
#[test]
fn case_61_a_node_without_descriptors_left_goes_on_when_there_are_some_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("node");
    let node = node_with_few_descriptors(&dir, 40);
    node.call(&["generatetoaddress", "2", ADDRESS]);
    let (_, socket) = p2p_address(&node);
    let held = [
        silent_sockets(socket, 60),
        silent_sockets(rpc_address(&node), 60),
    ];
    assert!(held[0].len() + held[1].len() > 40, "the limit is reached");
    std::thread::sleep(Duration::from_millis(500));
    drop(held);
    wait_until("callers are answered again", || {
        node.cli(&["getblockcount"]).status.success()
    });
    node.call(&["generatetoaddress", "2", ADDRESS]);
    assert_eq!(node.call(&["getblockcount"]), "4");
    node.stop();
    // What was opened with nothing left did no harm.
    let dir = dir.to_str().expect("text");
    let verified = [&["verify", "--json", "--data-dir", dir], &REGTEST[..]].concat();
    let found: serde_json::Value = serde_json::from_str(&told(&verified)).expect("JSON");
    assert_eq!(found["problems"], serde_json::json!([]), "{found}");
}

/// A network whose blocks cost nothing, and a node that mines them as fast as it can.
#[test]
fn case_63_a_flood_of_the_same_line_is_counted_instead_of_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = [&REGTEST[..], &["--mine", ADDRESS, "--threads", "1"]].concat();
    let node = Node::start_by(&folder.path().join("a"), &options, |_, args| {
        let mut command = mend(args);
        command.env("RUST_LOG", "info");
        command
    });
    let blocks = || -> usize { node.call(&["getblockcount"]).parse().expect("a number") };
    wait_until("a hundred blocks", || blocks() > 100);
    let blocks = blocks();
    node.call(&["stop"]);
    let (code, log) = node.wait();
    assert_eq!(code, Some(0), "{log}");
    for what in ["block connected", "block found"] {
        let written = log.lines().filter(|line| line.contains(what)).count();
        assert!(
            written > 0 && written < blocks,
            "{what}: {written} of {blocks}"
        );
        assert!(log.contains(&format!("more like this: {what}")), "{log}");
    }
}
