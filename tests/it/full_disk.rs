//! Disks that are really full: one line with the remedy, a non-zero exit, and all is well when there is room again.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::process::{Node, mend, told};

const ADDRESS: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const REGTEST: [&str; 2] = ["--genesis", "bitcoin-regtest"];

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

fn verified(dir: &str) -> Value {
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
    found
}

/// The one line that a process ends with.
fn assert_told_once(errors: &str, problem: &str) {
    let lines: Vec<&str> = errors.lines().collect();
    let told = |line: &&&str| line.contains("storage failed");
    let [line] = lines.iter().filter(told).collect::<Vec<_>>()[..] else {
        panic!("one line tells it: {errors}");
    };
    assert!(line.starts_with("error: "), "{line}");
    assert!(line.contains(problem), "{line}");
    assert!(
        line.ends_with("free some space, then start again"),
        "{line}"
    );
}

/// A node whose files may not grow beyond `limit_bytes`.
#[cfg(unix)]
fn limited_node(dir: &Path, limit_bytes: u64) -> Node {
    // `ulimit` counts in 512 bytes; the signal that comes with the error would kill the node.
    let script = format!(
        "trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"",
        limit_bytes / 512
    );
    Node::start_by(dir, &REGTEST, |program, args| {
        let mut command = Command::new("sh");
        command.args(["-c", &script, program]).args(args);
        command
    })
}

#[cfg(unix)]
#[test]
fn a_node_that_may_not_write_more_stops_with_one_line_and_goes_on_when_it_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("node");
    let node = Node::start(&dir, &REGTEST);
    node.call(&["generatetoaddress", "10", ADDRESS]);
    node.stop();
    let size = dir.join("chain.redb").metadata().expect("there").len();

    let node = limited_node(&dir, size);
    let mut acknowledged = 10;
    // It fails in a call or in between, when coins are committed.
    while node
        .cli(&["generatetoaddress", "25", ADDRESS])
        .status
        .success()
    {
        acknowledged += 25;
        assert!(
            acknowledged < 20_000,
            "the limit of {size} bytes is not reached"
        );
    }
    let (code, errors) = node.wait();
    assert_eq!(code, Some(1), "{errors}");
    assert_told_once(&errors, "File too large");

    let data_dir = dir.to_str().expect("text");
    verified(data_dir);
    let node = Node::start(&dir, &REGTEST);
    let height: u32 = node.call(&["getblockcount"]).parse().expect("a number");
    assert!(height >= acknowledged, "{height} of {acknowledged}");
    node.call(&["generatetoaddress", "1", ADDRESS]);
    let info = node.call(&["gettxoutsetinfo", "muhash"]);
    let info: Value = serde_json::from_str(&info).expect("JSON");
    node.stop();
    assert_eq!(verified(data_dir)["muhash"], info["muhash"]);
}

/// Runs a script that may mount file systems nobody else sees; they are gone when it ends. `None`: not allowed here.
#[cfg(target_os = "linux")]
fn in_own_mounts(script: &str, args: &[&str]) -> Option<Output> {
    let allowed = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        skipped("file systems cannot be mounted here");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).args(args);
    Some(command.output().expect("unshare runs"))
}

#[cfg(target_os = "linux")]
#[test]
fn a_node_that_fills_its_disk_while_it_catches_up_goes_on_when_there_is_room() {
    const SCRIPT: &str = r#"
        mount -t tmpfs -o size=$3 none "$2" || exit 99
        timeout 60 "$0" node --genesis bitcoin-regtest --data-dir "$2" --rpc 127.0.0.1:0 \
            --listen /ip4/127.0.0.1/tcp/0 --connect "$1" --log warn >/dev/null
        echo "exit $?"
        mount -o remount,size=64m none "$2" || exit 98
        "$0" verify --genesis bitcoin-regtest --data-dir "$2" --json || exit 97
        "$0" import "$4" --genesis bitcoin-regtest --data-dir "$2" --json || exit 96
        "$0" verify --genesis bitcoin-regtest --data-dir "$2" --json || exit 95
    "#;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let peer = Node::start(Path::new(&path("peer")), &REGTEST);
    peer.call(&["generatetoaddress", "300", ADDRESS]);
    let info = peer.call(&["gettxoutsetinfo", "muhash"]);
    let info: Value = serde_json::from_str(&info).expect("JSON");
    // The same chain as a file, to go on with.
    let file = path("chain.blk");
    let copy = path("copy");
    peer.call(&["backup", &copy]);
    told(&["export", &file, "--data-dir", &copy, REGTEST[0], REGTEST[1]]);
    std::fs::create_dir(path("small")).expect("made");
    let address = peer.started["listen"][0].as_str().expect("an address");
    let program = mend(&[]).get_program().to_str().expect("text").to_owned();
    let args = [&program, address, &path("small"), SMALL_DISK, &file];
    let Some(ended) = in_own_mounts(SCRIPT, &args) else {
        return;
    };
    let errors = String::from_utf8(ended.stderr).expect("text");
    let text = String::from_utf8(ended.stdout).expect("text");
    assert!(ended.status.success(), "{}: {text}{errors}", ended.status);
    assert_told_once(&errors, "No space left on device");
    let lines: Vec<&str> = text.lines().collect();
    let [exit, left, imported, end] = lines[..] else {
        panic!("four lines: {text}");
    };
    assert_eq!(exit, "exit 1");
    let json = |line: &str| -> Value { serde_json::from_str(line).expect("JSON") };
    assert_eq!(json(left)["problems"], Value::Array(Vec::new()));
    assert!(json(left)["height"].as_u64() < Some(300), "{left}");
    assert_eq!(json(imported)["height"], 300);
    assert_eq!(json(end)["muhash"], info["muhash"]);
}

/// Room for a new database and little more.
#[cfg(target_os = "linux")]
const SMALL_DISK: &str = "160k";
