//! `mend cli` has the habits of `bitcoin-cli`.

use std::io::Write;
use std::process::Stdio;

use crate::process::{Node, mend, output};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const REGTEST: [&str; 2] = ["--genesis", "bitcoin-regtest"];

#[test]
fn results_and_errors_are_printed_as_bitcoin_cli_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path(), &REGTEST);
    let hash = node.call(&["getbestblockhash"]);
    assert_eq!(hash.len(), 64, "no quotes: {hash}");
    assert_eq!(node.call(&["-named", "getblockhash", "height=0"]), hash);
    assert_eq!(node.call(&["invalidateblock", &node_tip(&node)]), "");
    let list = node.call(&["-generate", "2", ADDRESS]);
    assert!(list.starts_with("[\n  \""), "{list}");
    assert!(
        node.call(&["gettxoutsetinfo"])
            .contains("\"total_amount\": 100.00000000,")
    );
    assert!(
        node.call(&["-getinfo"])
            .starts_with("Chain: regtest\nBlocks: 2\n")
    );

    for (args, code, text) in [
        (
            vec!["nonsense"],
            89,
            "error code: -32601\nerror message:\nMethod not found\n",
        ),
        (
            vec!["getblockhash", "9"],
            8,
            "error code: -8\nerror message:\nBlock height out of range\n",
        ),
        (vec!["getblockhash", "x"], 3, "error code: -3\n"),
        (
            vec!["getblock", &"1".repeat(64)],
            5,
            "error code: -5\nerror message:\nBlock not found\n",
        ),
        (vec!["getblockhash"], 1, "error code: -1\n"),
    ] {
        let output = node.cli(&args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
        assert!(errors.starts_with(text), "{args:?}: {errors}");
        assert!(output.stdout.is_empty());
    }

    let dir = format!("-datadir={}", node.field("data_dir"));
    let mut child = mend(&["cli", &dir, "-stdin", "getblockhash"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("mend starts");
    writeln!(child.stdin.take().expect("piped"), "0").expect("written");
    let printed = child.wait_with_output().expect("ended").stdout;
    assert_eq!(String::from_utf8_lossy(&printed).trim_end(), hash);
}

/// A block on the tip that is made only to be taken back.
fn node_tip(node: &Node) -> String {
    let list = node.call(&["generatetoaddress", "1", ADDRESS]);
    let list: Vec<String> = serde_json::from_str(&list).expect("hashes");
    list[0].clone()
}

#[test]
fn a_node_that_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = format!("-datadir={}", folder.path().display());
    let output = output(&["cli", &dir, "getblockcount"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("start the node"), "{errors}");
}

#[test]
fn waiting_for_a_node_that_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = format!("-datadir={}", folder.path().display());
    let waiting = mend(&[
        "cli",
        &dir,
        "-rpcwait",
        "-rpcwaittimeout=20",
        "getblockcount",
    ])
    .stdout(Stdio::piped())
    .spawn()
    .expect("mend starts");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let _node = Node::start(folder.path(), &REGTEST);
    let output = waiting.wait_with_output().expect("ended");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "0");
}

#[test]
fn users_with_passwords() {
    let folder = tempfile::tempdir().expect("a folder");
    let more = [&REGTEST[..], &["--rpcuser", "u", "--rpcpassword", "p"]].concat();
    let node = Node::start(folder.path(), &more);
    let (_, port) = node.field("rpc").rsplit_once(':').expect("a port");
    let port = format!("-rpcport={port}");
    let good = output(&[
        "cli",
        &port,
        "-rpcuser=u",
        "-rpcpassword=p",
        "getblockcount",
    ]);
    assert_eq!(String::from_utf8_lossy(&good.stdout).trim_end(), "0");
    let bad = output(&[
        "cli",
        &port,
        "-rpcuser=u",
        "-rpcpassword=x",
        "getblockcount",
    ]);
    assert_eq!(bad.status.code(), Some(1));
}
