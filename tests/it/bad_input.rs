//! What is wrong gets one clear line with a remedy and a non-zero exit, and nothing is lost.

use std::fs;
use std::net::TcpListener;

use crate::process::{Node, refused};

const REGTEST: [&str; 2] = ["--genesis", "bitcoin-regtest"];

/// The one line of a refusal must have all of `parts`.
#[track_caller]
fn assert_one_line(args: &[&str], parts: &[&str]) {
    let (code, text) = refused(args);
    assert_eq!(code, 1, "{text}");
    assert!(text.starts_with("error: "), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

/// A node that must not start in `dir`.
#[track_caller]
fn assert_no_start(dir: &str, more: &[&str], parts: &[&str]) {
    let ports = ["--rpc", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0"];
    let mut args = vec!["node", "--log", "off", "--data-dir", dir];
    if !more.contains(&"--rpc") && !more.contains(&"--listen") {
        args.extend(ports);
    }
    args.extend(more);
    assert_one_line(&args, parts);
}

#[test]
fn a_wrong_genesis_is_named_by_its_field() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("data");
    let dir = dir.to_str().expect("text");
    let path = folder.path().join("genesis.json");
    let file = path.to_str().expect("text");
    assert_no_start(
        dir,
        &["--genesis", "/nowhere.json"],
        &["/nowhere.json", "bitcoin-regtest"],
    );

    fs::write(&path, "{").expect("written");
    assert_no_start(dir, &["--genesis", file], &[file]);
    let good = crate::process::told(&["genesis", "show"]);
    let mut json: serde_json::Value = serde_json::from_str(&good).expect("JSON");
    json["pow"]["spacing_s"] = 0.into();
    fs::write(&path, json.to_string()).expect("written");
    assert_no_start(dir, &["--genesis", file], &["pow.spacing_s"]);
    assert_one_line(&["genesis", "check", file], &["pow.spacing_s"]);
    let nonsense = good.replacen('{', "{\"colour\": 1,", 1);
    fs::write(&path, nonsense).expect("written");
    assert_no_start(dir, &["--genesis", file], &["colour"]);
    // Nothing was made for a network that is none.
    assert!(!folder.path().join("data").exists());
}

#[test]
fn ports_that_were_asked_for_and_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("text");
    let taken = TcpListener::bind("127.0.0.1:0").expect("free");
    let port = taken.local_addr().expect("bound").port();
    let rpc = format!("127.0.0.1:{port}");
    assert_no_start(dir, &["--rpc", &rpc], &[&rpc, "--rpc"]);
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let more = ["--rpc", "127.0.0.1:0", "--listen", &listen];
    assert_no_start(dir, &more, &["--listen"]);
    assert_no_start(dir, &["--rpc", "nonsense"], &["127.0.0.1:18443"]);
    assert!(!folder.path().join(".cookie").exists());
}

#[test]
fn data_of_another_network_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("text");
    let node = Node::start(folder.path(), &REGTEST);
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    node.call(&["generatetoaddress", "2", address]);
    node.stop();
    assert_no_start(dir, &[], &["bitcoin-regtest", "mend-local", "--data-dir"]);
    let node = Node::start(folder.path(), &REGTEST);
    assert_eq!(node.call(&["getblockcount"]), "2");
}

#[test]
fn a_second_node_in_the_same_folder_leaves_the_first_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("text");
    let node = Node::start(folder.path(), &REGTEST);
    assert_no_start(dir, &REGTEST, &["in use", "--data-dir"]);
    // Its cookie is still good.
    assert_eq!(node.call(&["getblockcount"]), "0");
}

/// What the healing of such files gives is in `bitrot.rs`.
#[test]
fn a_damaged_database_is_refused_and_kept_where_damage_shall_stop_the_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("text");
    let node = Node::start(folder.path(), &REGTEST);
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    node.call(&["generatetoaddress", "20", address]);
    node.stop();
    let path = folder.path().join("chain.redb");
    let good = fs::read(&path).expect("read");
    for damaged in [
        b"not a database at all".to_vec(),
        good[..good.len() / 3].to_vec(),
        vec![0; 100_000],
    ] {
        fs::write(&path, &damaged).expect("written");
        let stop = [&REGTEST[..], &["--on-damage", "stop"]].concat();
        assert_no_start(dir, &stop, &["chain.redb"]);
        assert_eq!(fs::read(&path).expect("read"), damaged);
    }
    fs::write(&path, &good).expect("written");
    let node = Node::start(folder.path(), &REGTEST);
    assert_eq!(node.call(&["getblockcount"]), "20");
}

#[test]
fn addresses_rates_and_users_that_are_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().to_str().expect("text");
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    assert_no_start(dir, &["--mine", mainnet], &["another network", "bcrt1"]);
    assert_no_start(dir, &["--mine", "nobody"], &["not an address"]);
    assert_no_start(dir, &["--rpcauth", "nobody"], &["rpcauth"]);
    for (option, value, remedy) in [
        ("--listen", "nowhere", "127.0.0.1:9333"),
        ("--rate", "fast", "200k"),
    ] {
        let (code, text) = refused(&["node", option, value]);
        assert_eq!(code, 2);
        assert!(text.contains(value) && text.contains(remedy), "{text}");
    }
    fs::write(folder.path().join("node.key"), "x").expect("written");
    assert_no_start(dir, &[], &["node.key"]);
}

#[test]
fn files_that_hold_no_blocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("data");
    let dir = dir.to_str().expect("text");
    assert_one_line(
        &["import", "/nowhere.blk", "--data-dir", dir],
        &["/nowhere.blk"],
    );
    let path = folder.path().join("noise.blk");
    fs::write(&path, vec![7; 10_000]).expect("written");
    let file = path.to_str().expect("text");
    assert_one_line(
        &["import", file, "--data-dir", dir],
        &["no blocks", "blk*.dat"],
    );
    let empty = folder.path().join("empty");
    let empty = empty.to_str().expect("text");
    for command in ["verify", "export"] {
        let mut args = vec![command, "--data-dir", empty];
        if command == "export" {
            args.push(file);
        }
        let (_, text) = refused(&args);
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    }
    assert_one_line(&["verify", "--data-dir", empty], &["--data-dir"]);
}
