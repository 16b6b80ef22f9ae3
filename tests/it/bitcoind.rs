//! `mend bitcoind` in place of `bitcoind -regtest`: arguments, cookie and background as programs expect them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{PATIENCE, mend, output, refused, told};

/// A data directory in the form of `-datadir=DIR`.
fn data_dir(folder: &Path) -> String {
    format!("-datadir={}", folder.display())
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The port of a URL.
fn port_of(url: &str) -> &str {
    let at = url.rsplit(':').next().expect("a port");
    at.trim_end_matches('/')
}

#[test]
fn what_harnesses_pass_starts_a_node_whose_cookie_is_where_they_look() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = data_dir(folder.path());
    std::fs::write(
        folder.path().join("bitcoin.conf"),
        "regtest=1\n[regtest]\nfallbackfee=0.0002\nrest=1\nserver=1\nkeypool=1\ndnsseed=0\nlistenonion=0\n",
    )
    .expect("written");
    let mut node = mend(&[
        "bitcoind",
        &place,
        "-rpcport=0",
        "-listen=0",
        "-uacomment=testnode0",
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("mend starts");
    let lines = BufReader::new(node.stdout.take().expect("piped")).lines();
    let url = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("rpc ").map(|url| url.trim().to_owned()))
        .expect("it tells where");
    assert!(folder.path().join("regtest").join(".cookie").is_file());
    let port = format!("-rpcport={}", port_of(&url));
    let call = |args: &[&str]| told(&[&["cli", "-regtest", &place, &port], args].concat());
    let info: Value = serde_json::from_str(&call(&["getblockchaininfo"])).expect("JSON");
    assert_eq!(info["chain"], "regtest");
    call(&["stop"]);
    let ended = node.wait_with_output().expect("it ends");
    assert!(ended.status.success());
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(errors, "", "harnesses want nothing there");
}

#[cfg(unix)]
#[test]
fn a_node_in_the_background_goes_on_when_the_command_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = data_dir(folder.path());
    let start = [
        "bitcoind",
        "-regtest",
        &place,
        "-rpcport=0",
        "-listen=0",
        "-daemon",
    ];
    assert_eq!(told(&start), "Bitcoin Core starting");
    let log = folder.path().join("regtest").join("debug.log");
    let log = std::fs::read_to_string(log).expect("a log");
    let (code, text) = refused(&start);
    assert_eq!((code, text.lines().count()), (1, 1), "{text}");
    assert!(text.contains("is in use by another process"), "{text}");
    // Where it serves stands in the folder, as for every node.
    let own = folder.path().join("regtest");
    let own = format!("-datadir={}", own.display());
    assert_eq!(told(&["cli", &own, "getblockcount"]), "0", "{log}");
    told(&["cli", &own, "stop"]);
    let cookie = folder.path().join("regtest").join(".cookie");
    eventually("its end", || !cookie.exists());
}

#[test]
fn what_would_mislead_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = data_dir(folder.path());
    for (more, remedy) in [
        (&["-regtest"][..], "-datadir"),
        (&[&place], "-regtest"),
        (
            &[&place, "-regtest", "-zmqpubrawblock=tcp://127.0.0.1:1"],
            "/events",
        ),
        (&[&place, "-regtest", "-dbcache=much"], "megabytes"),
        (&[&place, "-regtest", "-conf=absent.conf"], "-conf"),
        (&[&place, "-regtest", "-foo"], "leave it out"),
    ] {
        let (code, text) = refused(&[&["bitcoind"], more].concat());
        assert_eq!((code, text.lines().count()), (1, 1), "{more:?}: {text}");
        assert!(text.contains(remedy), "{more:?}: {text}");
    }
    let cores = folder.path().join("regtest").join("blocks").join("index");
    std::fs::create_dir_all(cores).expect("made");
    let (_, text) = refused(&["bitcoind", &place, "-regtest"]);
    assert!(text.contains("mend import"), "{text}");
    let version = output(&["bitcoind", "-version"]);
    assert!(version.status.success() && version.stdout.ends_with(b"v31.99.0\n"));
}
